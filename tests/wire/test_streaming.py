"""Endings that the real SDKs accept at every event, whole events once one is wanted, and gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import anthropic
import brotli
import httpx2
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from budgetd.core.usage import Usage
from budgetd.wire.anthropic import DIALECT as ANTHROPIC
from budgetd.wire.anthropic import MESSAGES
from budgetd.wire.anthropic_stream import MessagesTap
from budgetd.wire.dialect import Tap
from budgetd.wire.openai_chat import CHAT, COMPLETIONS
from budgetd.wire.openai_chat import DIALECT as OPENAI
from budgetd.wire.openai_chat_stream import ChatTap
from budgetd.wire.streaming import UNREADABLE_BYTES, EncodedTap
from tests.wire.tokens import (
    DONE,
    END,
    block,
    chunk,
    delta,
    event,
    run,
    run_all,
    started,
    stopped,
    words,
)

CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{"}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
CHATS = {
    "text": [
        delta(role="assistant", content=""),
        delta(content="Hi"),
        delta(content=" you"),
        delta("stop"),
        chunk(choices=[], usage=USAGE),
        DONE,
    ],
    "thought": [
        delta(role="assistant", reasoning_content="hm"),
        delta(content="Hi"),
        delta("stop"),
        DONE,
    ],
    "tool": [
        delta(role="assistant", content="so:"),
        delta(tool_calls=[CALL]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
        delta("tool_calls"),
        DONE,
    ],
    "two choices": [
        delta(content="a"),
        delta(index=1, content="b"),
        delta("stop"),
        delta("stop", index=1),
        DONE,
    ],
    "comments": [b": PROCESSING\n\n", delta(content="a"), b": PROCESSING\n\n", delta("stop"), DONE],
}
TEXT = {"type": "text_delta", "text": "so"}
MESSAGE_STREAMS = {
    "text": [
        started(input_tokens=3, output_tokens=1),
        event("ping"),
        *words(0, "Hi", " you"),
        stopped(output_tokens=5),
        END,
    ],
    "thinking": [
        started(input_tokens=3, output_tokens=1),
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm"},
        ),
        *words(1, "Hi"),
        stopped(None, output_tokens=4),
        stopped(output_tokens=5),
        END,
    ],
    "tool": [
        started(input_tokens=3, output_tokens=1),
        *words(0, "so"),
        *block(
            1,
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            {"type": "input_json_delta", "partial_json": "{}"},
        ),
        stopped("tool_use", output_tokens=9),
        END,
    ],
}


def transport(data: bytes) -> httpx2.Client:
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))


def openai_reads(data: bytes) -> list[str]:
    """The finish reasons that the SDK arrives at, by choice."""
    client = openai.OpenAI(api_key="x", base_url="http://x/v1", http_client=transport(data))
    state = ChatCompletionStreamState()
    for one in client.chat.completions.create(model="m", messages=[], stream=True):
        state.handle_chunk(one)
    return [choice.finish_reason for choice in state.current_completion_snapshot.choices]


def anthropic_reads(data: bytes) -> anthropic.types.Message:
    client = anthropic.Anthropic(api_key="x", base_url="http://x", http_client=transport(data))
    with client.messages.stream(model="m", max_tokens=5, messages=[]) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("name", CHATS)
def test_a_chat_can_end_after_every_event(name: str, hides: bool) -> None:
    events = CHATS[name]
    in_call = range(2, 4) if name == "tool" else range(0)
    for count in range(len(events) + 1):
        tap = ChatTap(hides=hides, words=False)
        sent = b"".join(tap.feed(one) for one in events[:count])
        ending = tap.ending()
        if count in in_call:
            assert ending is None
            continue
        assert ending is not None
        reasons = openai_reads(sent + ending)
        whole = any(b'"finish_reason": "' in one for one in events[:count])
        if count == len(events):
            assert ending == b""
        elif not whole:
            assert set(reasons) == {"length"}
        assert None not in reasons
        assert (sent + ending).count(DONE) == 1


def test_every_open_choice_is_ended_and_no_other() -> None:
    tap = ChatTap(hides=False, words=False)
    sent = b"".join(tap.feed(one) for one in CHATS["two choices"][:3])
    assert openai_reads(sent + (tap.ending() or b"")) == ["stop", "length"]


@pytest.mark.parametrize("name", MESSAGE_STREAMS)
def test_a_message_can_end_after_every_event(name: str) -> None:
    events = MESSAGE_STREAMS[name]
    opened = next((i for i, one in enumerate(events) if b"tool_use" in one), 99)
    for count in range(len(events) + 1):
        tap = MessagesTap()
        sent = b"".join(tap.feed(one) for one in events[:count])
        ending = tap.ending()
        if count == 0 or opened < count <= opened + 2:
            assert ending is None
            continue
        assert ending is not None
        message = anthropic_reads(sent + ending)
        stop = next((i for i, one in enumerate(events) if b'"stop_reason": "' in one), 99)
        assert message.stop_reason == (
            "max_tokens" if count <= stop else "tool_use" if name == "tool" else "end_turn"
        )
        assert message.usage.output_tokens == tap._usage["output_tokens"]
        assert (sent + ending).count(b"event: message_stop") == 1


def test_a_text_completion_ends_in_its_own_form() -> None:
    tap = OPENAI.tap(COMPLETIONS, streamed=True, hide_usage=False)
    sent = tap.feed(chunk(choices=[{"index": 0, "text": "Hi", "finish_reason": None}]))
    data = sent + (tap.ending() or b"")
    client = openai.OpenAI(api_key="x", base_url="http://x/v1", http_client=transport(data))
    chunks = list(client.completions.create(model="m", prompt="p", stream=True))
    assert [one.choices[0].finish_reason for one in chunks] == [None, "length"]
    assert chunks[-1].choices[0].text == ""


def test_an_ending_waits_for_a_half_sent_event() -> None:
    """At every byte: what was sent, and the ending as soon as there is one, is a finished answer."""
    events = CHATS["text"][:3]
    data = b"".join(events)
    for cut in range(len(data)):
        tap = ChatTap(hides=False, words=False)
        sent = tap.feed(data[:cut])
        ending = tap.ending()
        boundary = cut in {0, len(events[0]), len(events[0] + events[1])}
        assert (ending is not None) == boundary
        if ending is None:
            for i in range(cut, len(data)):  # from now on byte by byte: only whole events pass
                sent += tap.feed(data[i : i + 1])
                if (ending := tap.ending()) is not None:
                    break
        assert ending is not None
        assert b"".join(events).startswith(sent)
        assert openai_reads(sent + ending) == ["length"]


def test_a_half_sent_event_in_one_message_stream() -> None:
    data = b"".join(MESSAGE_STREAMS["text"][:4])
    tap = MessagesTap()
    sent = tap.feed(data[:-10])
    assert tap.ending() is None
    sent += tap.feed(data[-10:] + words(0, "cut off")[1][:20])
    assert sent == data  # and not the beginning of the next one
    ending = tap.ending()
    assert ending is not None
    assert anthropic_reads(sent + ending).stop_reason == "max_tokens"


def test_what_was_kept_back_while_an_ending_was_wanted() -> None:
    tap = MessagesTap()
    first, second = started(input_tokens=1), stopped(output_tokens=2)
    sent = tap.feed(first[:20])
    assert tap.ending() is None
    for piece in (first[20:30], first[30:] + second[:9], second[9:12]):
        sent += tap.feed(piece)
    assert sent == first
    assert sent + tap.finish() == first + second[:12]  # upstream ended: everything it said
    assert tap.finish() == b""


def test_hiding_nothing_is_ever_half_sent() -> None:
    tap = ChatTap(hides=True, words=False)
    assert tap.feed(delta(content="a")[:30]) == b""
    assert openai_reads(tap.ending() or b"") == ["length"]


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    " GZIP ": gzip.compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_compressed_stream_is_read_and_passed_as_it_is(encoding: str, size: int) -> None:
    events = [delta(content="x" * 50) for _ in range(200)]
    data = ENCODERS[encoding](b"".join([*events, chunk(choices=[], usage=USAGE), DONE]))
    tap = OPENAI.tap(CHAT, streamed=True, hide_usage=True, encoding=encoding)
    assert run(tap, [data[i : i + size] for i in range(0, len(data), size)]) == data
    assert tap.terminal
    assert tap.reported is not None
    assert tap.reported.usage == Usage(input=9, output=5)
    assert tap.visible_bytes == 200 * 52
    assert tap.mark == run_all(ChatTap(hides=False, words=False), events).mark != 0
    assert tap.ending() is None


def test_a_compressed_message_stream() -> None:
    data = gzip.compress(b"".join(MESSAGE_STREAMS["text"]))
    tap = ANTHROPIC.tap(MESSAGES, streamed=True, hide_usage=False, encoding="gzip")
    assert run(tap, [data]) == data
    assert tap.reported is not None
    assert (tap.reported.usage, tap.terminal) == (Usage(input=3, output=5), True)


@pytest.mark.parametrize(
    ("encoding", "data"), [("gzip", b"not gzip"), ("gzip, br", b"x"), ("zz", b"x")]
)
def test_what_cannot_be_decoded_may_have_been_anything(encoding: str, data: bytes) -> None:
    tap: Tap = EncodedTap(MessagesTap(), encoding)
    assert run(tap, [data, data]) == data + data
    assert (tap.terminal, tap.reported, tap.visible_bytes) == (False, None, UNREADABLE_BYTES)
    assert tap.mark == 0


def test_half_an_answer_has_no_mark() -> None:
    data = gzip.compress(b"".join(delta(content="word" * 50) for _ in range(200)))
    tap: Tap = EncodedTap(ChatTap(hides=False, words=False), "gzip")
    tap.feed(data[: len(data) // 2])
    assert tap.mark != 0  # so far
    tap.feed(b"\xff" * 1000)
    assert tap.visible_bytes == UNREADABLE_BYTES
    assert tap.mark == 0
