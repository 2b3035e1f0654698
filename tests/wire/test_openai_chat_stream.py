"""Streams of chat completions: every provider's place for usage, any split, what is hidden."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetd.core.usage import Traits, Usage
from budgetd.wire.openai_chat import CHAT, COMPLETIONS, DIALECT
from budgetd.wire.openai_chat_stream import ChatTap
from tests.wire.tokens import DONE, chunk, delta, run, run_all

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
SAID = Usage(input=100, output=20)
LAST = chunk(choices=[], usage=USAGE)
HELLO = [delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo é")]
STOP = delta("stop")


@dataclass(frozen=True)
class Stream:
    """A stream, what it says, and which of its events are only there because budgetd asked."""

    name: str
    events: list[bytes]
    usage: Usage | None
    visible: int
    terminal: bool = True
    hidden: tuple[bytes, ...] = ()
    cost: int | None = None
    tier: str | None = None


def groq(usage: dict[str, int]) -> bytes:
    return chunk(
        choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}],
        x_groq={"id": "r", "usage": usage},
    )


TOOL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
# Visible bytes are those of the raw JSON values: quotes and escapes count, for an estimate is never below.
TEXT = 2 + 5 + len(b'"lo \\u00e9"')

STREAMS = [
    Stream("openai asked", [*HELLO, STOP, LAST, DONE], SAID, TEXT, hidden=(LAST,)),
    Stream(
        "openai with nulls and a tier",
        [
            chunk(choices=[{"index": 0, "delta": {"content": "hi"}}], usage=None),
            chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=None),
            LAST.replace(b'"usage"', b'"service_tier": "flex", "usage"'),
            DONE,
        ],
        SAID,
        4,
        hidden=(LAST.replace(b'"usage"', b'"service_tier": "flex", "usage"'),),
        tier="flex",
    ),
    Stream("no usage at all", [*HELLO, STOP, DONE], None, TEXT),
    Stream(
        "an empty usage is none",
        [*HELLO, STOP, chunk(choices=[], usage={}), DONE],
        None,
        TEXT,
        hidden=(chunk(choices=[], usage={}),),
    ),
    Stream(
        "azure begins with a chunk without choices",
        [chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}]), *HELLO, STOP, LAST, DONE],
        SAID,
        TEXT,
        hidden=(LAST,),
    ),
    Stream(
        "openrouter: comments, and a cost on the last chunk",
        [
            b": OPENROUTER PROCESSING\n\n",
            *HELLO,
            b": OPENROUTER PROCESSING\n\n",
            chunk(
                choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}],
                usage=USAGE | {"cost": 0.00125},
            ),
            DONE,
        ],
        SAID,
        TEXT + 2,
        cost=1_250_000_000,
    ),
    Stream(
        "openrouter breaks off with an error beside the usage",
        [*HELLO, chunk(choices=[], usage=USAGE, error={"code": 502, "message": "no"}), DONE],
        SAID,
        TEXT,
    ),
    Stream("groq unasked", [*HELLO, groq(USAGE), DONE], SAID, TEXT),
    Stream("groq both, taken once", [*HELLO, groq(USAGE), LAST, DONE], SAID, TEXT, hidden=(LAST,)),
    Stream(
        "groq begins with an id alone",
        [chunk(choices=[], x_groq={"id": "r"}), *HELLO, groq(USAGE), DONE],
        SAID,
        TEXT,
    ),
    Stream(
        "kimi: in the choice",
        [
            *HELLO,
            chunk(
                choices=[
                    {
                        "index": 0,
                        "delta": {},
                        "finish_reason": "stop",
                        "usage": USAGE | {"cached_tokens": 60},
                    }
                ]
            ),
            DONE,
        ],
        Usage(input=40, cache_read=60, output=20),
        TEXT,
    ),
    Stream(
        "kimi: in both places",
        [
            *HELLO,
            chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]),
            LAST,
            DONE,
        ],
        SAID,
        TEXT,
        hidden=(LAST,),
    ),
    Stream(
        "mistral: on the last content chunk",
        [
            *HELLO,
            chunk(
                choices=[{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}],
                usage=USAGE,
            ),
            DONE,
        ],
        SAID,
        TEXT + 3,
    ),
    Stream(
        "xai: usage before the end, reasoning apart",
        [
            delta(reasoning_content="hm"),
            chunk(
                choices=[{"index": 0, "delta": {"content": "hi"}}],
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 2,
                    "total_tokens": 132,
                    "completion_tokens_details": {"reasoning_tokens": 30},
                    "cost_in_usd_ticks": 4_000,
                },
            ),
            STOP,
            DONE,
        ],
        Usage(input=100, output=2, reasoning=30),
        8,
        cost=400_000,
    ),
    Stream(
        "vllm: running totals, the last counts",
        [
            chunk(
                choices=[{"index": 0, "delta": {"content": "a"}}],
                usage={"prompt_tokens": 100, "completion_tokens": 1},
            ),
            chunk(
                choices=[{"index": 0, "delta": {"content": "b"}}],
                usage={"prompt_tokens": 100, "completion_tokens": 2},
            ),
            STOP,
            LAST,
            DONE,
        ],
        SAID,
        6,
        hidden=(LAST,),
    ),
    Stream(
        "deepseek: the same thought under two names counts once",
        [delta(reasoning_content="abc", reasoning="abc"), delta(reasoning="de"), STOP, LAST, DONE],
        SAID,
        5 + 4,
        hidden=(LAST,),
    ),
    Stream(
        "a tool call",
        [delta(tool_calls=[TOOL]), delta("tool_calls"), LAST, DONE],
        SAID,
        3 + 4,  # "f" and "{}"
        hidden=(LAST,),
    ),
    Stream(
        "refusal, audio and an old function call",
        [
            delta(refusal="no"),
            delta(audio={"data": "x"}),
            delta(function_call={"name": "f"}),
            delta("stop"),
            DONE,
        ],
        None,
        4 + 13 + 3,
    ),
    Stream(
        "a custom tool, and a delta without calls",
        [
            delta(tool_calls=[{"index": 0, "custom": {"name": "g", "input": "abc"}}, {"index": 1}]),
            delta(tool_calls=[], function_call=None),
            delta("tool_calls"),
            DONE,
        ],
        None,
        3 + 5,
    ),
    Stream(
        "a call that is none counts in full",
        [delta(tool_calls="x"), DONE],
        None,
        len(delta(tool_calls="x")) - 8,
    ),
    Stream("no end marker, but all said", [*HELLO, STOP, LAST], SAID, TEXT, hidden=(LAST,)),
    Stream("no end marker, no usage", [*HELLO, STOP], None, TEXT, terminal=False),
    Stream("cut before the end", [*HELLO], None, TEXT, terminal=False),
    Stream(
        "cut after a running total",
        [
            chunk(
                choices=[{"index": 0, "delta": {"content": "a"}}],
                usage={"prompt_tokens": 100, "completion_tokens": 1},
            )
        ],
        Usage(input=100, output=1),
        3,
        terminal=False,
    ),
    Stream(
        "cut with one of two choices open",
        [delta("stop"), delta(index=1, content="b"), LAST],
        SAID,
        3,
        terminal=False,
        hidden=(LAST,),
    ),
    Stream(
        "an error event",
        [*HELLO, b'data: {"error": {"message": "overloaded"}}\n\n'],
        None,
        TEXT,
        terminal=False,
    ),
    Stream(
        "nothing is read after the end", [*HELLO, STOP, DONE, delta(content="more")], None, TEXT
    ),
    Stream(
        "a lone surrogate beside the usage",
        [
            chunk(
                choices=[{"index": 0, "delta": {"content": "\ud83d"}, "finish_reason": "stop"}],
                usage=USAGE,
            ),
            DONE,
        ],
        SAID,
        8,
    ),
    Stream(
        "what cannot be read counts in full",
        [b"data: nonsense\n\n", b"data: " + b"[" * 5000 + b"\n\n", DONE],
        None,
        8 + 5000,
    ),
    Stream(
        "choices of the older completions",
        [
            chunk(choices=[{"index": 0, "text": "Hi", "finish_reason": None}]),
            chunk(choices=[{"index": 0, "text": "", "finish_reason": "stop"}]),
            LAST,
            DONE,
        ],
        SAID,
        4 + 2,
        hidden=(LAST,),
    ),
]


def ids(streams: list[Stream]) -> list[str]:
    return [stream.name for stream in streams]


def tap(*, hides: bool = False) -> ChatTap:
    return ChatTap(hides=hides, words=False)


def told(one: Any) -> tuple[Any, ...]:
    return one.reported, one.visible_bytes, one.terminal, one.mark


@pytest.mark.parametrize("stream", STREAMS, ids=ids(STREAMS))
def test_what_a_stream_says(stream: Stream) -> None:
    one = tap()
    assert run(one, stream.events) == b"".join(stream.events)
    assert one.terminal == stream.terminal
    assert one.visible_bytes == stream.visible
    if stream.usage is None:
        assert one.reported is None
    else:
        assert one.reported is not None
        assert one.reported.usage == stream.usage
        assert one.reported.cost == stream.cost
        assert one.reported.model == "gpt-4o"
        assert one.reported.traits == Traits(service_tier=stream.tier)


@pytest.mark.parametrize("stream", STREAMS, ids=ids(STREAMS))
def test_what_is_hidden(stream: Stream) -> None:
    seen = run(tap(hides=True), stream.events)
    assert seen == b"".join(one for one in stream.events if one not in stream.hidden)


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("stream", STREAMS[:8] + STREAMS[-4:], ids=ids(STREAMS[:8] + STREAMS[-4:]))
def test_any_two_pieces(stream: Stream, ends: bytes, hides: bool) -> None:
    data = b"".join(stream.events).replace(b"\n", ends)
    step = 97 if len(data) > 5000 else 1  # of the very long one not every split
    whole = tap(hides=hides)
    out = run(whole, [data])
    for cut in range(0, len(data) + 1, step):
        one = tap(hides=hides)
        assert run(one, [data[:cut], data[cut:]]) == out
        assert told(one) == told(whole)
    one = tap(hides=hides)
    assert run(one, [data[i : i + 1] for i in range(len(data))]) == out
    assert told(one) == told(whole)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STREAMS), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.data())
def test_any_pieces(stream: Stream, ends: bytes, hides: bool, data: st.DataObject) -> None:
    whole = b"".join(stream.events).replace(b"\n", ends)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=40)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    one, other = tap(hides=hides), tap(hides=hides)
    assert run(one, pieces) == run(other, [whole])
    assert told(one) == told(other)


def test_nothing_waits_that_need_not() -> None:
    """Not hiding, every byte goes on at once; hiding, every whole event does."""
    data = b"".join([*HELLO, STOP, LAST, DONE])
    plain = tap()
    assert all(plain.feed(data[i : i + 1]) == data[i : i + 1] for i in range(len(data)))
    hiding = tap(hides=True)
    for one in [*HELLO, STOP]:
        assert hiding.feed(one[:-1]) == b""
        assert hiding.feed(one[-1:]) == one
    assert hiding.feed(LAST) == b""
    assert hiding.feed(DONE) == DONE


def test_hidden_in_a_shared_chunk() -> None:
    assert tap(hides=True).feed(STOP + LAST + DONE) == STOP + DONE
    assert tap(hides=True).feed(HELLO[1] + STOP + LAST + DONE[:5]) == HELLO[1] + STOP


def test_hidden_at_the_very_end_without_its_blank_line() -> None:
    one = tap(hides=True)
    assert one.feed(STOP + LAST[:-2]) == STOP
    assert one.finish() == b""
    assert (one.reported is not None, one.terminal) == (True, True)


def test_what_was_kept_back_comes_at_the_end() -> None:
    one = tap(hides=True)
    assert one.feed(STOP[:-1]) == b""
    assert one.finish() == STOP[:-1]


def test_the_dialect_hides_where_it_asked_and_can() -> None:
    def made(**how: Any) -> bytes:
        return run(DIALECT.tap(CHAT, streamed=True, **how), [STOP, LAST, DONE])

    assert made(hide_usage=True) == STOP + DONE
    assert made(hide_usage=True, encoding="identity") == STOP + DONE
    assert made(hide_usage=False) == STOP + LAST + DONE


def test_the_older_completions_end_in_their_own_form() -> None:
    ending = run_all(DIALECT.tap(COMPLETIONS, streamed=True, hide_usage=False), []).ending()
    assert ending is not None
    assert json.loads(ending.split(b"\n")[0][6:])["object"] == "text_completion"


def mark(*events: bytes) -> int:
    return run_all(tap(), events).mark


def test_the_mark_is_that_of_the_first_choice() -> None:
    said = mark(delta(content="Hel"), delta(content="lo"))
    assert said == mark(delta(content="Hello ")) != 0
    assert said == mark(delta(content="Hello"), delta(index=1, content="!"), delta(reasoning="hm"))
    assert said != mark(delta(content="Hello!"))
    called = mark(delta(content="Hello"), delta(tool_calls=[TOOL]))
    assert called == mark(
        delta(tool_calls=[TOOL]), delta(index=1, tool_calls=[{**TOOL, "id": "u"}])
    )
    assert len({said, called, 0}) == 3


def test_calls_are_known_by_ids_and_the_older_ones_by_their_name() -> None:
    custom = {"index": 0, "id": "t", "type": "custom", "custom": {"name": "f", "input": ""}}
    assert mark(delta(tool_calls=[custom])) == mark(delta(tool_calls=[TOOL]))
    goes_on = delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])
    assert (
        mark(delta(tool_calls=[TOOL]), goes_on) == mark(delta(tool_calls=[TOOL])) != mark(goes_on)
    )
    old = mark(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": "{}"}),
    )
    assert (
        len({old, mark(delta(tool_calls=[TOOL])), mark(delta(function_call={"name": "g"})), 0}) == 4
    )


@pytest.mark.parametrize(
    "call", [{"function": {"name": "f"}}, {"id": "", "function": {"name": "f"}}, {"id": None}]
)
def test_a_call_without_an_id_leaves_no_mark(call: dict[str, Any]) -> None:
    assert mark(delta(content="Hello"), delta(tool_calls=[call])) == 0


def test_completions_are_no_conversation() -> None:
    older = ChatTap(hides=False, words=True)
    assert run_all(older, [chunk(choices=[{"index": 0, "text": "Hello"}])]).mark == 0
