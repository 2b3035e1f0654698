"""Marks of answers: the same from the stream, from the whole answer, and from what clients send back."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from budgetd.core.transcript import Item
from budgetd.wire.answers import BATCH, LONG, Answer, mark_of, mark_of_message
from budgetd.wire.anthropic import DIALECT as ANTHROPIC
from budgetd.wire.anthropic import MESSAGES
from budgetd.wire.body import parse
from budgetd.wire.content import MOST_CALLS
from budgetd.wire.dialect import Tap
from budgetd.wire.history import Historian
from budgetd.wire.items import read_entry
from budgetd.wire.openai_chat import CHAT
from budgetd.wire.openai_chat import DIALECT as OPENAI
from tests.wire.conversations import DIALECTS, IDS, WORDS, Asked, Said, entry, request
from tests.wire.tokens import DONE, END, block, delta, started, stopped

PLAIN = xxh3_64_intdigest(b"Hello,world!") >> 1
CHANCE = st.integers(0, 2**32).map(random.Random)


def item(value: Any) -> Item:
    return read_entry(memoryview(json.dumps(value).encode()), 1).item


def said(*pieces: str) -> int:
    answer = Answer()
    for piece in pieces:
        answer.words(json.dumps(piece).encode())
    return answer.mark


def called(*ids: str | None, words: str = "") -> int:
    answer = Answer()
    if words:
        answer.words(json.dumps(words).encode())
    for at in ids:
        answer.call(at)
    return answer.mark


def cut(chance: random.Random, words: str) -> list[str]:
    """The words in pieces, some of them empty."""
    places = sorted(chance.randint(0, len(words)) for _ in range(chance.randint(0, 40)))
    return [words[a:b] for a, b in zip([0, *places], [*places, len(words)], strict=True)]


# ------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    "pieces",
    [
        ["Hello, world!"],
        ["Hel", "lo", "", ", wor", "ld!"],
        ["  Hello,\n", "\tworld! \r\n"],
        list("Hello, world!"),
        ["Hello, world!", *[" "] * 100],
    ],
)
def test_words_count_without_the_space_between(pieces: list[str]) -> None:
    assert said(*pieces) == PLAIN
    assert said(*pieces, "?") != PLAIN


@given(st.lists(WORDS, max_size=60), CHANCE)
def test_any_pieces_make_the_mark_that_the_words_have(
    texts: list[str], chance: random.Random
) -> None:
    words = "".join(texts)
    answer = Answer()
    for piece in cut(chance, words):
        answer.words(json.dumps(piece, ensure_ascii=chance.random() < 0.5).encode())
        if chance.random() < 0.1:
            assert answer.mark == answer.mark  # it may be asked for at any time
    assert answer.mark == mark_of([item({"role": "assistant", "content": words})])


def test_silence_has_no_mark() -> None:
    assert (Answer().mark, said(""), said(" ", "\n"), called()) == (0, 0, 0, 0)


def test_what_is_no_string_is_no_word_unless_it_is_the_parts_of_a_message() -> None:
    answer = Answer()
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": ", world"}]
    pieces = [
        b"null",
        b'"Hello"',
        b"null",
        json.dumps(parts).encode(),
        b'{"type": "text", "text": "!"}',
    ]
    for raw in [*pieces, b"5", b"[]", b"{}"]:
        answer.words(raw)
    assert answer.mark == PLAIN


def test_lone_surrogates_are_words_and_what_cannot_be_read_is_none() -> None:
    answer = Answer()
    answer.words(rb'"\ud83d"')
    assert answer.mark == item({"role": "assistant", "content": "\ud83d"}).says
    answer.words(b"{broken")
    assert answer.mark == item({"role": "assistant", "content": "\ud83d"}).says


def test_little_is_kept_of_a_stream_without_end() -> None:
    def kept(one: Answer) -> int:
        return sum(map(sys.getsizeof, one._pieces)) + sum(map(sys.getsizeof, one._ids))

    answer = Answer()
    for number in range(10_000):
        answer.words(b'"word"' if number % 997 else b'"' + b"x" * 100_000 + b'"')
        answer.call(f"call_{number}")
        assert kept(answer) < (BATCH * (LONG + 64)) + MOST_CALLS * 64


# ------------------------------------------------------------------------------------------- calls


def test_calls_count_before_words() -> None:
    assert called("a", words="Hello") == called("a") != said("Hello")
    assert called("a", "b") != called("b", "a")
    assert called("a", "b") != called("ab") != called("a")
    assert called("a", "a", "b", "a") == called("a", "b")  # some servers repeat the id


def test_ids_are_known_again_after_clients_have_rewritten_them() -> None:
    assert called("call_1a-2") == called("call1a2") != called("call1a3")
    assert 0 < called("\ud83d") < 2**63


def test_a_call_without_an_id_leaves_nothing_to_know_it_by() -> None:
    assert called(None) == called("") == called(None, words="Hello") == 0
    assert called("a", None) == called("a")  # the rest of a call that had one


def test_calls_beyond_counting_do_not_count() -> None:
    ids = [str(number) for number in range(MOST_CALLS + 5)]
    assert called(*ids) == called(*ids[:MOST_CALLS]) != called(*ids[: MOST_CALLS - 1])
    calls = [{"id": at, "function": {"name": "f", "arguments": "{}"}} for at in ids]
    assert called(*ids) == mark_of([item({"role": "assistant", "tool_calls": calls})])


# --------------------------------------------------------------------------------- from a history


ASSISTANT = {"role": "assistant", "content": "Hello, world!"}
USER = {"role": "user", "content": "Hello, world!"}
THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
CALL = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        ([], 0),
        ([USER, ASSISTANT], 0),
        ([ASSISTANT], PLAIN),
        ([ASSISTANT, USER, ASSISTANT], PLAIN),
        ([THOUGHT, ASSISTANT, USER], PLAIN),
        ([THOUGHT, USER], 0),
        ([THOUGHT, ASSISTANT, CALL], called("a")),
        ([CALL, {**CALL, "call_id": "b"}, USER, {**CALL, "call_id": "c"}], called("a", "b")),
        ([CALL, CALL], called("a")),
        ([ASSISTANT, {"role": "assistant", "content": ""}], PLAIN),
        ([ASSISTANT, {"role": "assistant", "content": "more"}], 0),  # whose words were whose?
    ],
)
def test_the_answer_that_a_history_goes_on_with(values: list[Any], mark: int) -> None:
    assert mark_of([item(value) for value in values]) == mark


@pytest.mark.parametrize(
    ("message", "mark"),
    [
        (b'{"role": "assistant", "content": "Hello, world!"}', PLAIN),
        (b'{"role": "assistant", "content": [{"type": "text", "text": "Hello, world!"}]}', PLAIN),
        (b'{"content": "Hello, world!"}', 0),
        (b'{"type": "error", "error": {}}', 0),
        (b"<html>", 0),
        (b"", 0),
    ],
)
def test_an_answer_that_came_whole(message: bytes, mark: int) -> None:
    assert mark_of_message(message) == mark


# ----------------------------------------------------------------- streams, and what is sent back


def chat_stream(words: str, calls: list[Asked], chance: random.Random) -> list[bytes]:
    events = [delta(role="assistant", content="" if chance.random() < 0.5 else None)]
    events += [delta(reasoning_content="hm", content=None)] * chance.randint(0, 2)
    events += [delta(content=piece) for piece in cut(chance, words)]
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        first = {"index": index, "id": call.id, "type": "function", "function": function}
        more = {"index": index, "function": {"arguments": json.dumps(call.arguments)}}
        if chance.random() < 0.3:
            more["id"] = chance.choice([call.id, None, ""])
        events += [delta(tool_calls=[first]), delta(tool_calls=[more])]
    return [*events, delta("tool_calls" if calls else "stop"), DONE]


def messages_stream(words: str, calls: list[Asked], chance: random.Random) -> list[bytes]:
    events = [started(input_tokens=1, output_tokens=1)]
    events += block(
        0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}
    )
    said = [{"type": "text_delta", "text": piece} for piece in cut(chance, words)]
    head = said.pop(0)["text"] if chance.random() < 0.3 else ""
    events += block(1, {"type": "text", "text": head}, *said)
    searched = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
    events += block(2, searched) if chance.random() < 0.3 else []
    for index, call in enumerate(calls, start=3):
        content = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        part = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        events += block(index, content, part)
    return [*events, stopped("tool_use" if calls else "end_turn", output_tokens=5), END]


def fed(tap: Tap, events: list[bytes], chance: random.Random) -> int:
    data = b"".join(events)
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 10)))
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        tap.feed(data[start:end])
    tap.finish()
    return tap.mark


CALLS = st.lists(
    st.builds(Asked, IDS, st.just("f"), st.just({"path": "x"})),
    max_size=3,
    unique_by=lambda call: call.id.replace("_", ""),
)


@given(WORDS, CALLS, st.sampled_from(["chat", "anthropic"]), CHANCE)
def test_what_a_client_sends_back_has_the_mark_of_the_stream(
    words: str, calls: list[Asked], dialect: str, chance: random.Random
) -> None:
    if dialect == "chat":
        events = chat_stream(words, calls, chance)
        mark = fed(OPENAI.tap(CHAT, streamed=True, hide_usage=True), events, chance)
    else:
        events = messages_stream(words, calls, chance)
        mark = fed(ANTHROPIC.tap(MESSAGES, streamed=True, hide_usage=False), events, chance)
    back = [entry(Said("user", ("go",)), dialect, chance), sent_back(words, calls, dialect, chance)]
    fields = DIALECTS[dialect]
    history = Historian(3).read(parse(request(back, dialect, chance)), fields)
    assert mark == mark_of(history.items[1:])
    assert mark or not (words.strip() or calls)


def sent_back(words: str, calls: list[Asked], dialect: str, chance: random.Random) -> Any:
    """The answer as one message of a history, its words trimmed."""
    told = entry(Said("assistant", (words.strip(),)), dialect, chance)
    asked = [entry(call, dialect, chance) for call in calls]
    if dialect == "chat" and asked:
        told["tool_calls"] = [call for one in asked for call in one["tool_calls"]]
    if dialect == "anthropic" and asked:
        before = told["content"] or []
        before = before if isinstance(before, list) else [{"type": "text", "text": before}]
        told["content"] = [*before, *(part for one in asked for part in one["content"])]
    return told
