"""The bytes that go to and fro: requests as agents send them, answers as providers give them.

Both sides of the benchmark read them from here: the load process sends the requests and counts the
answers' events, the upstream process answers. What an upstream is to do is said in one header of
the request (`x-bench`), which every proxy passes on. Usage figures are plausible for the sizes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["openai_chat", "anthropic"]
# whole: a JSON answer. short: a stream of a few events at once. flood: many events, one at each
# turn of the upstream's loop. paced: the same, one each PACE seconds. hold: one event, and silence.
Kind = Literal["whole", "short", "flood", "paced", "hold"]

MARK = b"data: "  # one in every event
SHORT_EVENTS = 8
FLOOD_EVENTS = 400
PACED_EVENTS = 60
PACE = 0.01

_PATHS: dict[Dialect, str] = {
    "openai_chat": "/v1/chat/completions",
    "anthropic": "/v1/messages",
}
_WORDS = "Every tool call of an agent sends the whole conversation again; so it grows. "


@dataclass(frozen=True, slots=True)
class Answer:
    """A stream in pieces, each framed for chunked encoding. `first` holds the HTTP head, too."""

    first: bytes
    middle: bytes
    last: bytes


def request(kind: Kind, dialect: Dialect, size: int) -> bytes:
    """A whole HTTP request whose body has about `size` bytes."""
    body: dict[str, object] = {"model": "gpt-4o", "stream": kind != "whole"}
    if dialect == "anthropic":
        body = {"model": "claude-sonnet-4-5", "max_tokens": 1024, "stream": kind != "whole"}
    filler = (_WORDS * (size // len(_WORDS) + 1))[: max(size - 160, 1)]
    texts = [filler[start : start + 4000] for start in range(0, len(filler), 4000)]
    roles = ("user", "assistant")
    body["messages"] = [
        {"role": roles[index % 2], "content": text} for index, text in enumerate(texts)
    ]
    data = json.dumps(body, separators=(",", ":")).encode()
    secret = {
        "openai_chat": "authorization: Bearer sk-proj-bench",
        "anthropic": "x-api-key: sk-ant-bench\r\nanthropic-version: 2023-06-01",
    }[dialect]
    head = (
        f"POST {_PATHS[dialect]} HTTP/1.1\r\nhost: 127.0.0.1\r\n{secret}\r\n"
        f"user-agent: bench/1\r\naccept: application/json\r\ncontent-type: application/json\r\n"
        f"x-stainless-lang: python\r\nx-stainless-retry-count: 0\r\n"
        f"x-bench: {kind} {dialect}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def whole_answer(dialect: Dialect) -> bytes:
    """A whole HTTP answer with a JSON document."""
    document: dict[str, object]
    if dialect == "openai_chat":
        message = {"role": "assistant", "content": _WORDS * 4, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        document = {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "gpt-4o-2024-08-06",
            "choices": [choice],
            "usage": _chat_usage(),
            "service_tier": "default",
        }
    else:
        document = {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": _WORDS * 4}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": _anthropic_usage(output=80),
        }
    data = json.dumps(document).encode()
    return _head("application/json", f"content-length: {len(data)}") + data


def stream_answer(dialect: Dialect) -> Answer:
    """A stream: a beginning, an event to repeat, and an end with usage."""
    head = _head("text/event-stream; charset=utf-8", "transfer-encoding: chunked")
    pieces = _chat_stream() if dialect == "openai_chat" else _anthropic_stream()
    first, middle, last = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return Answer(head + first, middle, last + b"0\r\n\r\n")


def _head(content_type: str, length: str) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\ndate: Fri, 20 Nov 2026 12:00:00 GMT\r\ncontent-type: {content_type}\r\n"
        f"{length}\r\nx-request-id: req_bench\r\nx-ratelimit-remaining-requests: 9999\r\n"
        f"openai-processing-ms: 1\r\ncf-ray: 0000000000000000-FRA\r\n\r\n"
    ).encode()


def _chat_usage() -> dict[str, object]:
    return {
        "prompt_tokens": 240,
        "completion_tokens": 80,
        "total_tokens": 320,
        "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _anthropic_usage(output: int) -> dict[str, object]:
    return {
        "input_tokens": 112,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 128,
        "output_tokens": output,
        "service_tier": "standard",
    }


def _chat_stream() -> tuple[bytes, bytes, bytes]:
    def chunk(choices: list[object], **more: object) -> bytes:
        fields = {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1_790_000_000,
            "model": "gpt-4o-2024-08-06",
            "choices": choices,
        }
        return b"data: " + json.dumps(fields | more, separators=(",", ":")).encode() + b"\n\n"

    def choice(delta: dict[str, object], finish: str | None = None) -> list[object]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    last = chunk(choice({}, "stop")) + chunk([], usage=_chat_usage()) + b"data: [DONE]\n\n"
    first = chunk(choice({"role": "assistant", "content": ""}))
    return first, chunk(choice({"content": " token"})), last


def _anthropic_stream() -> tuple[bytes, bytes, bytes]:
    def event(kind: str, **fields: object) -> bytes:
        data = json.dumps({"type": kind, **fields}, separators=(",", ":")).encode()
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)

    message: dict[str, object] = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _anthropic_usage(output=1),
    }
    block = {"type": "text", "text": ""}
    first = event("message_start", message=message) + event(
        "content_block_start", index=0, content_block=block
    )
    delta = {"type": "text_delta", "text": " token"}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    last = (
        event("content_block_stop", index=0)
        + event("message_delta", delta=stop, usage={"output_tokens": 80})
        + event("message_stop")
    )
    return first, event("content_block_delta", index=0, delta=delta), last
