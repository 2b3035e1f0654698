"""Histories: what is the same conversation, what was read before is not read again, what real clients send."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from budgetd.core.transcript import Head, Item
from budgetd.wire import history
from budgetd.wire.body import Body, parse
from budgetd.wire.dialects import target
from budgetd.wire.history import NOWHERE, Fields, Historian, History, Span
from budgetd.wire.items import Entry, read_entry
from tests.wire.captured import Capture, captures
from tests.wire.conversations import (
    DIALECTS,
    Piece,
    Said,
    conversations,
    entry,
    request,
    spelled,
)

HISTORIAN = Historian(7)
CHAT = Fields()
CHANCE = st.integers(0, 2**32).map(random.Random)
NAMES = st.sampled_from(sorted(DIALECTS))


def read(body: bytes, fields: Fields = CHAT, *spans: Span) -> History:
    return HISTORIAN.read(parse(body), fields, spans)


def chat(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": messages, **more}).encode()


def told(conversation: list[Piece], dialect: str, chance: random.Random) -> bytes:
    return request([entry(piece, dialect, chance) for piece in conversation], dialect, chance)


USER = {"role": "user", "content": "do it"}
ANSWER = {"role": "assistant", "content": "done"}
TOOL = {"role": "tool", "tool_call_id": "1", "content": "x"}


# ------------------------------------------------------------------------------- the same, and not


@given(conversations(), NAMES, CHANCE, CHANCE)
def test_every_form_of_a_conversation_has_the_same_digests(
    conversation: list[Piece], dialect: str, one: random.Random, other: random.Random
) -> None:
    fields = DIALECTS[dialect]
    first, second = (read(told(conversation, dialect, chance), fields) for chance in (one, other))
    assert first.chains == second.chains
    assert [item.digest for item in first.items] == [item.digest for item in second.items]
    assert [item.says for item in first.items] == [item.says for item in second.items]


@given(conversations(), st.data(), NAMES)
def test_another_piece_is_another_conversation_from_there_on(
    conversation: list[Piece], data: st.DataObject, dialect: str
) -> None:
    place = data.draw(st.integers(0, len(conversation) - 1))
    other = [*conversation]
    other[place] = Said("user", ("something that nobody draws",))
    fields = DIALECTS[dialect]
    one, two = (read(told(c, dialect, random.Random(3)), fields) for c in (conversation, other))
    assert one.chains[: place + 1] == two.chains[: place + 1]
    assert not set(one.chains[place + 1 :]) & set(two.chains[place + 1 :])


@given(conversations(), conversations(4), NAMES, CHANCE)
def test_what_is_added_leaves_the_beginning_alone(
    conversation: list[Piece], more: list[Piece], dialect: str, chance: random.Random
) -> None:
    fields = DIALECTS[dialect]
    before = read(told(conversation, dialect, chance), fields)
    after = read(told(conversation + more, dialect, chance), fields)
    assert after.chains[: len(before.chains)] == before.chains
    assert after.items[len(before.items) :] != ()


def test_chains_are_those_of_the_items() -> None:
    found = read(chat(USER, ANSWER))
    first = xxh3_128_digest(found.items[0].digest, 7)
    assert found.chains == (b"", first, xxh3_128_digest(first + found.items[1].digest, 7))
    assert (found.skipped, found.whole.chain) == (0, found.chains[-1])


def test_another_seed_is_another_digest_everywhere() -> None:
    body = parse(chat(USER, ANSWER, tools=[{"type": "function"}]))
    one, other = (Historian(seed).read(body, CHAT) for seed in (1, 2))
    assert one.chains[1] != other.chains[1]
    assert one.whole.digest != other.whole.digest
    assert one.start != other.start
    assert one.head.tools[0] != other.head.tools[0]
    assert Historian(2).read(body, CHAT, [one.whole]).skipped == 0


# ------------------------------------------------------------------------------ spans: read it once


@given(conversations(10), NAMES, CHANCE, st.data())
def test_what_was_read_before_makes_no_difference_but_in_time(
    conversation: list[Piece], dialect: str, chance: random.Random, data: st.DataObject
) -> None:
    name, fields = DIALECTS[dialect].history, DIALECTS[dialect]
    raws = [spelled(entry(piece, dialect, chance), chance) for piece in conversation]
    raws = [chance.choice(["", " ", "\n\t"]) + raw for raw in raws]

    def body(count: int, after: str = "") -> bytes:
        """The same bytes for the same beginning, but for what follows the last entry."""
        return f'{{"{name}": [{" ,".join(raws[:count])}{after}]}}'.encode("utf-8", "surrogatepass")

    whole = read(body(len(raws)), fields)
    places = st.lists(st.integers(1, len(raws)), min_size=1, max_size=3)
    spans = [
        span
        for count in data.draw(places)
        for before in [read(body(count, chance.choice(["", "\n"])), fields)]
        for span in (before.stable, before.whole)
    ]
    foreign = [Span(3, length, 5, b"another's") for length in (40, whole.whole.length - 1)]
    again = read(body(len(raws)), fields, *spans, *foreign)
    assert again.chains == whole.chains[again.skipped :]
    assert again.items == whole.items[again.skipped :]
    assert (again.head, again.start, again.whole) == (whole.head, whole.start, whole.whole)
    assert again.skipped == max(span.items for span in spans)


def test_only_what_follows_the_longest_span_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [[ANSWER, TOOL] for _ in range(20)]
    messages = [USER, *(message for turn in turns for message in turn)]
    spans = [read(chat(*messages[:count])).whole for count in range(1, 40)]
    counted: list[int] = []

    def counting(raw: memoryview, seed: int) -> Entry:
        counted.append(raw.nbytes)
        return read_entry(raw, seed)

    monkeypatch.setattr(history, "read_entry", counting)
    shuffled = random.Random(1).sample(spans, len(spans))
    found = Historian(7).read(parse(chat(*messages)), CHAT, shuffled)
    assert (found.skipped, len(counted)) == (39, 2)
    assert found.whole == Span(41, found.whole.length, found.whole.digest, found.chains[-1])


def test_a_repeat_is_read_no_further_and_keeps_what_is_stable() -> None:
    body = chat(USER, ANSWER, USER)
    first = read(body)
    assert (first.stable.items, first.whole.items) == (2, 3)
    again = read(body, CHAT, first.stable, first.whole)
    assert (again.skipped, again.items, again.chains) == (3, (), (first.chains[-1],))
    assert (again.stable, again.whole) == (first.stable, first.whole)
    alone = read(body, CHAT, first.whole)
    assert (alone.stable, alone.whole) == (first.whole, first.whole)


def test_spans_of_others_are_no_beginning() -> None:
    body = chat(USER, ANSWER)
    known = read(body).whole
    others = [
        NOWHERE,
        Span(1, known.length, known.digest + 1, b"x"),
        Span(1, known.length - 1, known.digest, b"x"),
        Span(9, 10**9, known.digest, b"x"),
    ]
    assert read(body, CHAT, *others).skipped == 0
    assert read(body, CHAT, *others, known).skipped == 2


def test_a_beginning_ends_where_an_entry_does() -> None:
    short = read(b'{"messages": [1, 12]}')
    assert short.whole.length == len("[1, 12")
    longer = read(b'{"messages": [1, 123]}', CHAT, short.whole)
    assert (longer.skipped, len(longer.items)) == (0, 2)
    assert read(b'{"messages": [1, 12 , 3]}', CHAT, short.whole).skipped == 2


@pytest.mark.parametrize(
    "text", ["[ %s , %s ]", "[%s,%s]", "\n[\n\t%s\n,\t%s\r\n]\n", "[%s, %s\n]"]
)
def test_where_spans_end(text: str) -> None:
    one, two = json.dumps(USER), json.dumps(ANSWER)
    found = read(b'{"messages":' + (text % (one, two)).encode() + b"}")
    raw = (text % (one, two)).strip()
    assert raw[: found.whole.length].endswith(two)
    assert found.whole.length == raw.index(two) + len(two)
    assert found.stable == found.whole


def test_the_start_is_that_of_the_first_bytes() -> None:
    def start(*messages: Any) -> int:
        return HISTORIAN.start(parse(chat(*messages)), CHAT)

    long = {"role": "user", "content": "a" * 600}
    assert start(long) == start(long, ANSWER) != start(USER, long)
    assert 0 <= start(long) < 2**63
    assert read(chat(long)).start == start(long)
    assert start(USER) == HISTORIAN.start(parse(chat(USER, model="x")), CHAT)


# ----------------------------------------------------------------------- what the next request repeats


def marked(message: dict[str, Any]) -> dict[str, Any]:
    block = {"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}
    return {"role": message["role"], "content": [block]}


@pytest.mark.parametrize(
    ("messages", "stable"),
    [
        ([], 0),
        ([USER], 0),
        ([USER, ANSWER], 2),
        ([USER, ANSWER, TOOL], 3),
        ([USER, ANSWER, USER], 2),
        ([USER, ANSWER, USER, USER], 3),
        ([USER, ANSWER, marked(ANSWER)], 2),
        ([USER, marked(ANSWER), ANSWER], 1),
        ([marked(USER), ANSWER], 0),
        ([marked(USER), *[ANSWER] * 7], 0),
        ([marked(USER), *[ANSWER] * 8], 9),  # so far back a mark stays where it is
        ([marked(USER), *[ANSWER] * 8, marked(ANSWER)], 9),
        (
            [USER, {"role": "user", "content": "<info-msg>12:00</info-msg>\nhello"}, *[ANSWER] * 9],
            1,
        ),
    ],
)
def test_what_stays_byte_for_byte(messages: list[Any], stable: int) -> None:
    found = read(chat(*messages))
    moves = "info-msg" in json.dumps(messages)
    assert (found.stable.items, found.whole.items) == (stable, stable if moves else len(messages))
    assert found.stable.chain == found.chains[stable]
    again = read(chat(*messages[:stable], *[USER] * 2), CHAT, found.stable)
    assert again.skipped == stable


CLOCK = {"role": "user", "content": "<info-msg>\nIt is 12:00\n</info-msg>"}
LATER = {"role": "user", "content": "<info-msg>\nIt is 12:05, 4711 tokens\n</info-msg>"}


def size(*messages: Any) -> int:
    return sum(len(json.dumps(message)) for message in messages)


def test_an_entry_that_moves_belongs_to_the_one_after_it() -> None:
    found = read(chat(USER, CLOCK, ANSWER, TOOL))
    plain = read(chat(USER, ANSWER, TOOL))
    assert found.chains == plain.chains
    assert [item.moving for item in found.items] == [0, size(CLOCK), 0]
    assert [item.size for item in found.items] == [size(USER), size(CLOCK, ANSWER), size(TOOL)]
    assert found.stable.items == 1
    assert found.whole == found.stable  # who skips what moved cannot count it
    moved = read(chat(USER, ANSWER, TOOL, LATER, ANSWER), CHAT, found.stable, found.whole)
    assert moved.skipped == 1
    assert moved.chains[: len(plain.chains) - 1] == plain.chains[1:]


def test_two_that_move_and_one_at_the_end() -> None:
    found = read(chat(USER, CLOCK, LATER, ANSWER, CLOCK))
    assert [item.moving for item in found.items] == [0, size(CLOCK, LATER), size(CLOCK)]
    assert found.items[-1] == Item("user", found.items[-1].digest, size(CLOCK), moving=size(CLOCK))
    assert (found.whole.items, found.whole.chain) == (1, found.chains[1])
    after = chat(USER, CLOCK, LATER, ANSWER, CLOCK, ANSWER)
    assert read(after, CHAT, found.whole).chains == read(after).chains[1:]
    assert sum(item.size for item in found.items) == size(USER, CLOCK, LATER, ANSWER, CLOCK)


# ------------------------------------------------------------------------------------ what stands before


def test_the_head_has_three_parts() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = chat(
        USER, system="be brief", tools=tools, response_format={"type": "json_object"}, model="m"
    )
    head = read(body, Fields(system="system")).head
    assert head.system[1] == len('"be brief"')
    assert head.tools[1] == len(json.dumps(tools))
    assert head.rest[1] == len('{"type": "json_object"}')
    assert len({head.system[0], head.tools[0], head.rest[0], 0}) == 4
    assert all(0 < part[0] < 2**63 for part in (head.system, head.tools, head.rest))
    assert read(body).head.rest[1] == head.rest[1] + head.system[1]  # no field of this dialect


@pytest.mark.parametrize("field", ["system", "tools", "response_format", "unheard_of"])
def test_a_change_in_the_head_shows_in_its_part(field: str) -> None:
    fields = Fields(system="system")
    one = read(chat(USER, **{field: "a"}), fields).head
    other = read(chat(USER, **{field: "b"}), fields).head
    assert one != other
    assert (other.changed(one), other.size) == (3, 3)


def test_the_blocks_of_a_system_prompt_are_told_apart() -> None:
    fields = Fields(system="system")
    blocks = [{"type": "text", "text": text} for text in ("12:01", "Be brief.")]
    one = read(chat(USER, system=blocks), fields).head
    blocks[0]["text"] = "12:02"
    other = read(chat(USER, system=blocks), fields).head
    assert len(one.blocks) == len(other.blocks) == 2
    assert other.changed(one) == len(json.dumps(blocks[0]))
    others: list[Any] = ["Be brief.", [], None, {"text": "x"}]
    for plain in others:
        assert read(chat(USER, system=plain), fields).head.blocks == ()
    many = [{"type": "text", "text": "x"}] * (history.MOST_BLOCKS + 1)
    assert read(chat(USER, system=many), fields).head.blocks == ()


def test_what_was_read_once_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_READ", 3)
    reader, seen = Historian(1), []

    def reading(piece: memoryview, seed: int) -> Entry:
        seen.append(bytes(piece))
        return read_entry(piece, seed)

    monkeypatch.setattr(history, "read_entry", reading)
    messages = [{"role": "user", "content": str(number)} for number in range(3)]
    first = reader.read(parse(chat(*messages)), Fields())
    assert reader.read(parse(chat(*messages)), Fields()) == first
    assert len(seen) == 3
    reader.read(parse(chat({"role": "user", "content": "other"})), Fields())
    assert len(reader._read) == 1  # what is full begins anew
    assert reader.read(parse(chat(*messages)), Fields()) == first


@pytest.mark.parametrize(
    "field",
    ["model", "stream", "max_tokens", "temperature", "metadata", "prompt_cache_key", "stop"],
)
def test_fields_without_words_are_no_part_of_the_head(field: str) -> None:
    assert read(chat(USER, **{field: "x"})).head == Head()


def test_absent_and_null_are_the_same_and_an_empty_list_of_tools_is_told() -> None:
    assert (
        read(chat(USER, tools=None, system=None, other=None), Fields(system="system")).head
        == Head()
    )
    assert read(chat(USER, tools=[])).head.tools[1] == 2
    assert read(b'{"messages": [], "tools": "null and so on"}').head.tools[1] == 16


def test_the_order_of_other_fields_does_not_matter() -> None:
    one, other = (
        read(chat(USER, **fields)).head for fields in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    )
    assert one == other
    assert one != read(chat(USER, a=2, b=1)).head
    assert read(chat(USER, a=1)).head != read(chat(USER, b=1)).head
    several = "hgfedcba"
    named = b"".join(f'1:3:{name}"{name}"'.encode() for name in sorted(several))
    rest = read(chat(USER, **{name: name for name in several})).head.rest
    assert rest == (xxh3_64_intdigest(named, 7) >> 1, 3 * len(several))
    assert read(rb'{"messages": [], "\ud83d": 1}').head.rest[1] == 1


# ---------------------------------------------------------------------------------- what can be read


@pytest.mark.parametrize("raw", ["null", "[]", "[ ]"])
def test_no_history(raw: str) -> None:
    found = read(b'{"messages": ' + raw.encode() + b"}")
    assert (found.items, found.chains, found.whole.items) == ((), (b"",), 0)
    assert (found.stable, found.skipped) == (NOWHERE, 0)


def test_an_absent_history() -> None:
    found = read(b'{"model": "m"}')
    assert (found.items, found.chains, found.whole) == ((), (b"",), NOWHERE)


def test_a_history_may_be_words_alone() -> None:
    responses = DIALECTS["responses"]
    alone = read(b'{"input": "hello"}', responses)
    listed = read(json.dumps({"input": [{"role": "user", "content": "hello"}]}).encode(), responses)
    assert alone.chains == listed.chains
    assert (alone.stable, alone.whole) == (NOWHERE, NOWHERE)
    gemini = read(
        b'{"contents": {"role": "user", "parts": [{"text": "hello"}]}}', DIALECTS["gemini"]
    )
    assert gemini.chains == listed.chains


@pytest.mark.parametrize(
    "raw", ["5", "true", '"\xff"', "[" * 900 + "]" * 900, '[{"role": "user"}, "\xff"]']
)
def test_what_cannot_be_read_is_one_item(raw: str) -> None:
    value = raw.encode("latin-1")
    found = HISTORIAN.read(Body({"messages": msgspec.Raw(value)}, len(value)), CHAT)
    assert found.items[-1].author == "user"
    assert sum(item.size for item in found.items) <= len(value)
    assert found.chains == HISTORIAN.read(parse(b'{"messages":' + value + b"}"), CHAT).chains


def test_nesting_beyond_reading_is_one_item() -> None:
    value = b"[" * 100_000
    found = HISTORIAN.read(Body({"messages": msgspec.Raw(value)}, len(value)), CHAT)
    assert [(item.author, item.size) for item in found.items] == [("user", len(value))]
    assert found.whole == NOWHERE


def test_lone_surrogates_do_not_keep_a_history_from_being_read() -> None:
    messages = rb'[{"role":"user","content":"\ud83d"}, {"role":"assistant","content":"x"}]'
    found = read(b'{"messages": ' + messages + b"}")
    assert [item.author for item in found.items] == ["user", "assistant"]
    assert found.whole.length == len(messages) - 1
    longer = b'{"messages": ' + messages[:-1] + rb' ,{"role":"user","content":"\ud83e y"} ]}'
    again = read(longer, CHAT, found.whole)
    assert (again.skipped, again.chains) == (2, read(longer).chains[2:])


def test_a_history_of_too_many_entries_ends_in_one_that_is_all_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "MOST_ITEMS", 4)
    body = chat(*[ANSWER] * 4, CLOCK, TOOL, USER)
    found = read(body)
    assert [item.author for item in found.items] == ["assistant"] * 4 + ["user"]
    assert found.items[-1].size >= size(CLOCK, TOOL, USER)
    assert (found.whole.items, found.whole.chain) == (4, found.chains[4])
    assert read(body, CHAT, found.whole).skipped == 4  # and the beginning is never read again
    loose = read(chat(*[ANSWER] * 3, CLOCK, USER, USER))
    assert loose.items[-1].moving == size(CLOCK)


def test_what_is_no_conversation_is_not_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_COMMAS", 100)
    numbers = b"[" + b"1," * 100 + b"1]"
    assert len(read(b'{"messages": ' + numbers + b"}").items) == 101
    numbers = b"[" + b"1," * 101 + b"1]"
    found = read(b'{"messages": ' + numbers + b"}")
    assert [(item.author, item.size) for item in found.items] == [("user", len(numbers))]


# ------------------------------------------------------------------------------------- real clients


# ------------------------------------------------------------------------------------- real clients


def fields_of(capture: Capture) -> Fields | None:
    """Where this request holds its history; some dialects are known here before budgetd has them."""
    aim = target(capture.method, capture.path, capture.mapping)
    if aim is not None and aim.operation.history is not None:
        return aim.operation.history
    held = capture.fields
    others = (fields for fields in DIALECTS.values() if fields.history != "messages")
    return next((fields for fields in others if fields.history in held), None)


DIALECT_WORD = re.compile(r"-(?:chat|anthropic|responses|gemini)$")
REAL = {
    DIALECT_WORD.sub("", capture.name): (capture.body or b"", fields)
    for capture in captures()
    if (fields := fields_of(capture)) is not None
}
# Requests of one conversation that re-send what was before, in the order they were sent.
GROWING = [
    "claude-code 003-claude1 004-claude1 006-claude1 007-claude1",
    "claude-code 010-sub-claude 012-sub-claude 013-sub-claude",
    "opencode 002-opencode1 003-opencode1 004-opencode1 005-opencode1",
    "opencode 007-opencode1 008-opencode1 009-opencode1 010-opencode1",
    "opencode 012-opencode1 013-opencode1 014-opencode1 015-opencode1",
    "opencode 017-sub-opencode 019-sub-opencode 020-sub-opencode",
    "pi 001-pi1 002-pi1 003-pi1",
    "pi 004-pi1 005-pi1 006-pi1",
    "pi 007-pi1 008-pi1 009-pi1",
    "codex 001-codex1 002-codex1 003-codex1 004-codex1",
    "codex 005-sub-codex 006-sub-codex 008-sub-codex 009-sub-codex",
    "codex 011-codex_builtin-inf 013-codex_builtin-inf 014-codex_builtin-inf",
    "qwen-code 001-qwen1 002-qwen1 003-qwen1 004-qwen1",
    "qwen-code 005-sub-qwen 007-sub-qwen 008-sub-qwen",
    "gemini-cli 006-sub-gemini 009-sub-gemini 010-sub-gemini",
    "gemini-cli 004-gemini1 005-gemini1",
    "gemini-cli 007-sub-gemini 008-sub-gemini",
    "sdk-claude_agent 003-claude_agent-ok 004-claude_agent-ok 006-claude_agent-ok",
    "sdk-smolagents 001-smolagents-ok 002-smolagents-ok",
    *(
        f"sdk-{name} " + " ".join(f"00{number}-{name}-ok" for number in range(1, 5))
        for name in (
            *("agents", "agents_chat", "anthropic", "anthropic-stream", "google", "google-stream"),
            *("langchain_anthropic", "langchain_google", "langchain_openai", "openai"),
            *("langchain_openai-stream", "pydantic_anthropic", "pydantic_google"),
            *("pydantic_openai", "pydantic_openai-stream", "pydantic_openai_resp"),
        )
    ),
]


@pytest.mark.parametrize("line", GROWING)
def test_real_clients_send_what_was_before_again(line: str) -> None:
    folder, *names = line.split()
    known: list[History] = []
    for name in names:
        body, fields = REAL[f"{folder}/{name}"]
        spans = [span for before in known[-2:] for span in (before.stable, before.whole)]
        found = read(body, fields)
        quick = read(body, fields, *spans)
        assert quick.chains == found.chains[quick.skipped :]
        assert (quick.stable, quick.whole) == (found.stable, found.whole)
        for before in known:
            assert before.chains == found.chains[: len(before.chains)]
        if known:
            assert quick.skipped >= known[-1].stable.items
        known.append(found)
    assert known[-1].stable.items >= len(known[-2].items)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("claude-code/003-claude1", "claude-code/002-claude1"),  # the title
        ("claude-code/010-sub-claude", "claude-code/011-sub-claude"),  # the sub-agent
        ("opencode/001-opencode1", "opencode/002-opencode1"),
        ("opencode/017-sub-opencode", "opencode/018-sub-opencode"),
        ("codex/005-sub-codex", "codex/007-sub-codex"),
        ("qwen-code/005-sub-qwen", "qwen-code/006-sub-qwen"),
        ("gemini-cli/006-sub-gemini", "gemini-cli/007-sub-gemini"),
    ],
)
def test_side_calls_and_sub_agents_are_other_conversations(one: str, other: str) -> None:
    first, second = (read(*REAL[name]) for name in (one, other))
    assert first.chains[-1] not in second.chains
    assert second.chains[-1] not in first.chains


@pytest.mark.parametrize("name", sorted(REAL))
def test_every_real_request_is_read(name: str) -> None:
    body, fields = REAL[name]
    found = read(body, fields)
    sent = parse(body).get(fields.history)
    sent = sent if isinstance(sent, list) else [sent]
    assert len(found.items) == len(sent)
    plain = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in sent]
    assert [item.size for item in found.items] == [len(one.encode()) for one in plain]
    asked = {call.id for item in found.items for call in item.calls}
    assert {result.id for item in found.items for result in item.results} <= asked
    assert [item.author == "tool" for item in found.items] == [bool(i.results) for i in found.items]
    for one, item in zip(sent, found.items, strict=True):
        if isinstance(one, str):
            continue
        role = {"developer": "system", "model": "assistant"}.get(
            one.get("role", ""), one.get("role")
        )
        assert role is None or item.author in {role, "tool"}
    assert found.head.tools[1] == len(parse(body).raw(fields.tools))


# What goose sends: its texts were not kept, their places were.
GOOSE = "goose/00{}-basic-goose", "goose/00{}-basic-goose_anth"


def goose(number: int, form: str) -> History:
    body, fields = REAL[form.format(number)]
    clock = f"<info-msg>\nIt is 10:0{number}, {number * 4711} tokens\n</info-msg>"
    value = json.loads(body)
    for message in value["messages"]:
        content = message["content"]
        for part in content if isinstance(content, list) else [message]:
            name = "text" if "text" in part else "content"
            words = part.get(name)
            if message["role"] == "user" and isinstance(words, str) and len(words.encode()) > 240:
                both = f"{clock}\n" if number == 1 else f"\n{clock}"
                hello = (
                    "second turn TOOLS=1" if len(value["messages"]) > 6 else "hello TOOLS=1 please"
                )
                part[name] = (clock if name == "text" or number == 3 else
                              both + hello if number == 1 else hello + both)  # fmt: skip
    return read(json.dumps(value).encode(), fields)


@pytest.mark.parametrize("form", GOOSE)
def test_gooses_clock_moves_and_the_conversation_stays(form: str) -> None:
    first = 5 if "anth" in form else 1
    known: list[History] = []
    for number in range(first, first + 4):
        found = goose(number, form)
        assert sum(item.moving for item in found.items) > 0
        for before in known:
            assert before.chains == found.chains[: len(before.chains)]
        known.append(found)
    assert len(known[-1].items) >= 7
