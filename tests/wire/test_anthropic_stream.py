"""Streams of messages: usage that overlays, any split, every kind of end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetd.core.usage import Traits, Usage
from budgetd.wire.anthropic_stream import MessagesTap
from tests.wire.tokens import END, block, event, run, started, stopped, words

PING = event("ping")
CACHE = {
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 5000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
}
START = started(input_tokens=10, output_tokens=1, **CACHE)
CACHED = Usage(input=10, cache_read=5000, cache_write_5m=100, cache_write_1h=200)


def with_output(tokens: int, base: Usage = CACHED) -> Usage:
    return base.plus(Usage(output=tokens))


@dataclass(frozen=True)
class Stream:
    name: str
    events: list[bytes]
    usage: Usage | None
    terminal: bool = True


TOOL = block(
    1,
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    {"type": "input_json_delta", "partial_json": '{"a"'},
    {"type": "input_json_delta", "partial_json": ": 1}"},
)
THOUGHT = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "hm é"},
    {"type": "signature_delta", "signature": "abc"},
)

STREAMS = [
    Stream(
        "text",
        [START, PING, *words(0, "Hi", " you"), stopped(output_tokens=12), END],
        with_output(12),
    ),
    Stream(
        "several deltas: the last total counts, and nothing is added up",
        [START, *words(0, "a"), stopped(None, output_tokens=5), stopped(output_tokens=9), END],
        with_output(9),
    ),
    Stream(
        "a delta repeats and corrects the input, nulls leave it alone",
        [
            START,
            stopped(
                input_tokens=40,
                output_tokens=9,
                cache_read_input_tokens=6000,
                cache_creation_input_tokens=None,
                server_tool_use={"web_search_requests": 2},
            ),
            END,
        ],
        Usage(40, 6000, 100, 200, 9, web_searches=2),
    ),
    Stream(
        "nulls leave what is known alone",
        [START, stopped(output_tokens=9, input_tokens=None, cache_read_input_tokens=None), END],
        with_output(9),
    ),
    Stream(
        "cache writes grow after the start",
        [START, stopped(output_tokens=1, cache_creation_input_tokens=450), END],
        Usage(10, 5000, 100, 350, 1),
    ),
    Stream(
        "thinking and a tool",
        [START, *THOUGHT, *TOOL, stopped("tool_use", output_tokens=80), END],
        with_output(80),
    ),
    Stream(
        "compaction",
        [
            START,
            stopped(
                output_tokens=5,
                iterations=[{"type": "compaction", "input_tokens": 1000, "output_tokens": 100}],
            ),
            END,
        ],
        CACHED.plus(Usage(input=1000, output=105)),
    ),
    Stream(
        "no input count anywhere",
        [event("message_start", message={"model": "m"}), stopped(output_tokens=5), END],
        None,
    ),
    Stream(
        "a start without a message", [event("message_start"), stopped(output_tokens=5), END], None
    ),
    Stream("cut", [START, PING, *words(0, "Hi")[:2]], with_output(1), terminal=False),
    Stream("cut before the first event", [PING], None, terminal=False),
    Stream(
        "an error",
        [START, *words(0, "Hi")[:2], event("error", error={"type": "overloaded_error"})],
        with_output(1),
        terminal=False,
    ),
    Stream(
        "cut between the last delta and the stop",
        [START, stopped(output_tokens=7)],
        with_output(7),
        terminal=False,
    ),
]
IDS = [stream.name for stream in STREAMS]


def told(one: MessagesTap) -> tuple[Any, ...]:
    return one.reported, one.visible_bytes, one.terminal, one.mark


@pytest.mark.parametrize("stream", STREAMS, ids=IDS)
def test_what_a_stream_says(stream: Stream) -> None:
    tap = MessagesTap()
    assert run(tap, stream.events) == b"".join(stream.events)
    assert tap.terminal == stream.terminal
    assert (tap.reported.usage if tap.reported else None) == stream.usage


def test_the_model_and_the_traits() -> None:
    tap = MessagesTap()
    run(tap, [started(input_tokens=1, service_tier="batch", speed="fast", inference_geo="us")])
    assert tap.reported is not None
    assert tap.reported.model == "claude-sonnet-4-5-20250929"
    assert tap.reported.traits == Traits("batch", "fast", "us")
    assert tap.reported is tap.reported  # made once, not at every look


def test_a_zero_takes_no_figure_back() -> None:
    tap = MessagesTap()
    for piece in (START, stopped(input_tokens=0, cache_read_input_tokens=0, output_tokens=9), END):
        tap.feed(piece)
    assert tap.reported is not None
    assert tap.reported.usage == with_output(9)


def test_visible_bytes_are_those_of_what_was_generated() -> None:
    def seen(*events: bytes) -> int:
        tap = MessagesTap()
        run(tap, events)
        return tap.visible_bytes

    one = words(0, "Hi")
    opening = len(one[0].split(b"data: ")[1]) - 2
    assert seen(START, PING) == 0
    assert seen(one[0]) == opening  # a block may come whole: a search result, a tool's name
    assert seen(*one) == opening + len(b'"Hi"')
    assert seen(*THOUGHT) - seen(THOUGHT[0]) == len(b'"hm \\u00e9"')  # not the signature
    assert seen(*TOOL) - seen(TOOL[0]) == len(b'"{\\"a\\""') + len(b'": 1}"')
    cited = {"type": "citations_delta", "citation": {"url": "u"}}
    assert seen(event("content_block_delta", index=0, delta=cited)) == len(b'{"url": "u"}')
    assert seen(event("content_block_delta", index=0)) == 0
    assert seen(event("content_block_start", index=0)) > 0


def test_what_cannot_be_read() -> None:
    tap = MessagesTap()
    surrogate = event(
        "content_block_delta", index=0, delta={"type": "text_delta", "text": "\ud83d"}
    )
    run(tap, [START, b"data: nonsense\n\n", b"data: " + b"[" * 5000 + b"\n\n", surrogate, END])
    assert tap.visible_bytes == 8 + 5000 + 8
    assert tap.terminal


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("stream", STREAMS, ids=IDS)
def test_any_two_pieces(stream: Stream, ends: bytes) -> None:
    data = b"".join(stream.events).replace(b"\n", ends)
    whole = MessagesTap()
    run(whole, [data])
    for cut in range(len(data) + 1):
        one = MessagesTap()
        assert run(one, [data[:cut], data[cut:]]) == data
        assert told(one) == told(whole)
    one = MessagesTap()
    pieces = [data[i : i + 1] for i in range(len(data))]
    assert [one.feed(piece) for piece in pieces] == pieces  # at once
    assert one.finish() == b""
    assert told(one) == told(whole)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(STREAMS), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_any_pieces(stream: Stream, ends: bytes, data: st.DataObject) -> None:
    whole = b"".join(stream.events).replace(b"\n", ends)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=40)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    one, other = MessagesTap(), MessagesTap()
    assert run(one, pieces) == run(other, [whole]) == whole
    assert told(one) == told(other)


def mark(*events: bytes) -> int:
    tap = MessagesTap()
    run(tap, [START, *events, END])
    return tap.mark


def test_the_mark_is_of_the_calls_or_else_of_the_words() -> None:
    said = mark(*words(0, "Hel", "lo"), *words(1, " world"))
    assert said == mark(*THOUGHT, *words(1, "Hello world")) != 0
    assert said == mark(
        *block(0, {"type": "text", "text": "Hello"}, {"type": "text_delta", "text": " world"})
    )
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    called = mark(*words(0, "Hello"), *block(1, call))
    assert called == mark(*block(0, call)) != mark(*block(0, {**call, "id": "toolu_2"}))
    assert len({said, called, mark(*words(0, "Hello"))}) == 3
    assert mark(*block(0, {**call, "type": "server_tool_use"}), *words(1, "Hello world")) == said


def test_what_leaves_no_mark() -> None:
    nameless = block(0, {"type": "tool_use", "name": "f", "input": {}})
    assert mark() == mark(*THOUGHT) == mark(*words(0, " ")) == mark(*nameless, *words(1, "so")) == 0
