"""Cutting events: any chunks, any line ends, bounded memory and time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetd.wire.sse import LONGEST_EVENT, Splitter, data_of


def slow_split(data: bytes) -> list[bytes]:
    """The definition: an event ends with a line that is empty."""
    lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", data)
    events, event = [], b""
    for line in lines:
        event += line
        if not line.strip(b"\r\n") and event.strip(b"\r\n"):
            events.append(event)
            event = b""
    return [*events, event] if event else events


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"data: b", b":"])), st.data())
def test_any_pieces_of_any_stream(tokens: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    one, other = Splitter(), Splitter()
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    split = [event for piece in pieces for event in one.feed(piece)]
    assert b"".join(split) + one.finish() == whole
    # The same events but for those that are blank lines alone, which say nothing.
    at_once = [*other.feed(whole), other.finish()]
    split.append(whole[len(b"".join(split)) :])
    assert [data_of(e) for e in split if data_of(e)] == [data_of(e) for e in at_once if data_of(e)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_of_each_line_end(end: bytes) -> None:
    first, second = b"event: x" + end + b"data: 1" + end + end, b"data: 2" + end + end
    splitter = Splitter()
    found = splitter.feed(first + second + b"data: 3")
    assert found == [first, second]
    assert splitter.pending == 7
    assert splitter.finish() == b"data: 3"
    assert (splitter.pending, splitter.finish()) == (0, b"")


def test_mixed_line_ends() -> None:
    whole = b"data: 1\r\r\ndata: 2\n\r\ndata: 3\r\n\ndata: 4\n\rdata: 5\r\n\r\n"
    assert [data_of(e) for e in Splitter().feed(whole)] == [b"1", b"2", b"3", b"4", b"5"]
    assert slow_split(whole) == Splitter().feed(whole)


def test_a_cr_at_the_end_waits_for_its_lf() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: 1\r\n\r") == []
    assert splitter.feed(b"\n") == [b"data: 1\r\n\r\n"]
    assert splitter.feed(b"data: 2\r\r") == []
    assert splitter.feed(b"d") == [b"data: 2\r\r"]
    assert splitter.finish() == b"d"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_long_event_costs_no_more_than_its_length(end: bytes) -> None:
    event = b"data: " + b"x" * (LONGEST_EVENT - 100) + end + end
    splitter = Splitter()
    splitter.feed(b"data: 0\r\n")  # a stream with CRs, the slower way
    began = time.process_time()
    found = [e for i in range(0, len(event), 512) for e in splitter.feed(event[i : i + 512])]
    assert time.process_time() - began < 3  # joined anew for each chunk it takes minutes
    assert b"".join(found).endswith(event)


def test_an_endless_event_is_let_go() -> None:
    splitter = Splitter()
    piece = b"x" * (1 << 20)
    out = [len(e) for _ in range(20) for e in splitter.feed(piece)]
    assert out == [9 << 20, 9 << 20]
    assert splitter.pending == 2 << 20
    assert [len(e) for e in Splitter().feed(b"y" * (LONGEST_EVENT + 1))] == [LONGEST_EVENT + 1]
    assert [len(e) for e in Splitter().feed(b"\ry" * LONGEST_EVENT)] == [2 * LONGEST_EVENT]


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: 1\n\n", b"1"),
        (b"data:1\n\n", b"1"),
        (b"data:  1 \n\n", b" 1 "),
        (b"event: x\ndata: 1\nid: 4\n\n", b"1"),
        (b"data: 1\ndata: 2\n\n", b"1\n2"),
        (b"event: x\r\ndata: 1\r\n\r\n", b"1"),
        (b"data: 1\rdata: 2\r\r", b"1\n2"),
        (b": comment\n\n", b""),
        (b"event: x\n\n", b""),
        (b"data\n\n", b""),
        (b"\n\n", b""),
        (b"\ndata: 1\n\n", b"1"),
        (b"data: \n\n", b""),
    ],
)
def test_payloads(event: bytes, data: bytes) -> None:
    assert data_of(event) == data
