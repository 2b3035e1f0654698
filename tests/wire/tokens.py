"""What the tests of the dialects share: streams written by hand, and reading them to the end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from budgetd.core.prices import RateCard
from budgetd.core.usage import BUCKETS
from budgetd.wire.dialect import Tap

DONE = b"data: [DONE]\n\n"


def card(**rates: int) -> RateCard:
    """A card of these rates (pico-dollars each), every other bucket far too dear to go unseen."""
    return RateCard("test", "m", {name: rates.get(name, 10**15) for name in BUCKETS})


def per_million(dollars: str) -> int:
    """Dollars per million tokens as pico-dollars a token: "2.5" -> 2_500_000."""
    whole, _, part = dollars.partition(".")
    return int(whole + part.ljust(6, "0"))


def chunk(**fields: Any) -> bytes:
    """One OpenAI chunk."""
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return b"data: " + json.dumps(head | fields).encode() + b"\n\n"


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """One OpenAI chunk with one choice."""
    return chunk(choices=[{"index": index, "delta": fields, "finish_reason": finish}])


def event(kind: str, **fields: Any) -> bytes:
    """One Anthropic event."""
    data = json.dumps({"type": kind, **fields}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def started(**usage: Any) -> bytes:
    """An Anthropic message_start with this usage."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-sonnet-4-5-20250929",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return event("message_start", message=message)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    """An Anthropic content block: its start, deltas and stop."""
    return [
        event("content_block_start", index=index, content_block=content),
        *(event("content_block_delta", index=index, delta=one) for one in deltas),
        event("content_block_stop", index=index),
    ]


def words(index: int = 0, *texts: str) -> list[bytes]:
    """A text block."""
    deltas = [{"type": "text_delta", "text": text} for text in texts]
    return block(index, {"type": "text", "text": ""}, *deltas)


def stopped(reason: str | None = "end_turn", **usage: Any) -> bytes:
    """An Anthropic message_delta."""
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


END = event("message_stop")


def run(tap: Tap, chunks: Iterable[bytes]) -> bytes:
    """Feed chunks and finish; what came out."""
    return b"".join([tap.feed(one) for one in chunks]) + tap.finish()


def run_all(tap: Tap, chunks: Iterable[bytes]) -> Tap:
    """Feed chunks and finish; the tap."""
    run(tap, chunks)
    return tap
