"""Whole answers: passed on a chunk late, read at the end, whatever they come in."""

from __future__ import annotations

import gzip
import json

import pytest

from budgetd.core.usage import Usage
from budgetd.wire.openai_chat import CHAT, DIALECT
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
