"""Whole answers: passed on a chunk late, read at the end, whatever they come in."""

from __future__ import annotations

import gzip
import json

import pytest

from budgetd.core.usage import Usage
from budgetd.wire.answers import mark_of_message
from budgetd.wire.anthropic import DIALECT as ANTHROPIC
from budgetd.wire.anthropic import MESSAGES
from budgetd.wire.openai_chat import CHAT, COMPLETIONS, DIALECT
from budgetd.wire.openai_chat_usage import read_answer
from budgetd.wire.whole import LONGEST_ANSWER, WholeTap

ANSWER = json.dumps({"usage": {"prompt_tokens": 7, "completion_tokens": 3}}).encode()


def test_the_last_chunk_waits_until_the_answer_was_read() -> None:
    tap = WholeTap(read_answer)
    assert (tap.feed(ANSWER[:5]), tap.feed(ANSWER[5:9]), tap.feed(ANSWER[9:])) == (
        b"",
        ANSWER[:5],
        ANSWER[5:9],
    )
    assert (tap.terminal, tap.reported, tap.visible_bytes) == (False, None, len(ANSWER))
    assert tap.ending() is None
    assert tap.finish() == ANSWER[9:]
    assert tap.terminal
    assert tap.reported is not None
    assert tap.reported.usage == Usage(input=7, output=3)
    assert tap.finish() == b""


def test_an_answer_without_usage_has_no_end() -> None:
    tap = WholeTap(read_answer)
    tap.feed(b"<html>")
    assert tap.finish() == b"<html>"
    assert (tap.terminal, tap.reported) == (False, None)


def test_an_empty_answer() -> None:
    tap = WholeTap(read_answer)
    assert tap.finish() == b""
    assert not tap.terminal


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_a_compressed_answer(size: int) -> None:
    data = gzip.compress(ANSWER)
    tap = DIALECT.tap(CHAT, streamed=False, hide_usage=True, encoding="gzip")
    out = b"".join(tap.feed(data[i : i + size]) for i in range(0, len(data), size)) + tap.finish()
    assert out == data
    assert tap.reported is not None


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "nonsense"])
def test_an_answer_that_is_not_what_it_says(encoding: str) -> None:
    tap = WholeTap(read_answer, encoding)
    assert tap.feed(ANSWER) + tap.finish() == ANSWER
    assert (tap.terminal, tap.reported) == (False, None)


def test_an_endless_answer_is_not_kept() -> None:
    tap = WholeTap(read_answer)
    piece = b" " * (LONGEST_ANSWER // 4)
    passed = sum(len(tap.feed(piece)) for _ in range(6)) + len(tap.feed(ANSWER))
    assert passed == 6 * len(piece)
    assert len(tap._copy) <= 1
    assert tap.finish() == ANSWER
    assert tap.reported is None


def test_the_mark_is_read_with_the_rest() -> None:
    heard: list[bytes] = []

    def mark(document: bytes) -> int:
        heard.append(document)
        return 17

    tap = WholeTap(read_answer, "gzip", heard=mark)
    data = gzip.compress(ANSWER)
    tap.feed(data)
    assert (tap.mark, heard) == (0, [])
    tap.finish()
    assert (tap.mark, heard) == (17, [ANSWER])
    broken = WholeTap(read_answer, "gzip", heard=mark)
    broken.feed(b"not gzip")
    broken.finish()
    assert (broken.mark, len(heard)) == (0, 1)
    deaf = WholeTap(read_answer)
    deaf.feed(ANSWER)
    deaf.finish()
    assert deaf.mark == 0


MESSAGE = {"role": "assistant", "content": "Hello", "refusal": None}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"choices": [{"index": 0, "message": MESSAGE}, {"index": 1, "message": {}}]}, True),
        ({"choices": [{"message": {**MESSAGE, "content": None}}]}, False),
        ({"choices": [{"text": "Hello"}]}, False),
        ({"choices": []}, False),
        ({"error": {"message": "no"}}, False),
        ({"choices": "Hello"}, False),
    ],
)
def test_the_mark_of_a_whole_chat(answer: dict[str, object], told: bool) -> None:
    tap = DIALECT.tap(CHAT, streamed=False, hide_usage=False)
    tap.feed(json.dumps(answer).encode())
    tap.finish()
    assert tap.mark == (mark_of_message(json.dumps(MESSAGE).encode()) if told else 0)
    older = DIALECT.tap(COMPLETIONS, streamed=False, hide_usage=False)
    older.feed(json.dumps(answer).encode())
    older.finish()
    assert older.mark == 0


def test_the_mark_of_a_whole_message() -> None:
    answer: dict[str, object] = {
        **MESSAGE,
        "type": "message",
        "content": [{"type": "text", "text": " Hello"}],
        "usage": {},
    }
    tap = ANTHROPIC.tap(MESSAGES, streamed=False, hide_usage=False)
    tap.feed(json.dumps(answer).encode())
    tap.finish()
    assert tap.mark == mark_of_message(json.dumps(MESSAGE).encode()) != 0
