"""The shapes of Anthropic messages and of their streams.

Owns the JSON of answers and the event sequence: `message_start` (input and cache exact, output
small), for each block start, deltas and stop, a `ping` after the first block's start,
`message_delta` (cumulative output, no cache breakdown by lifetime), `message_stop`. Thinking
shows a short summary; the hidden tokens behind it are in `output_tokens`. Every event says what
must be charged before it is sent.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from budgetd.simulator.answer import Call, Draft, Event, Json, dumps
from budgetd.simulator.prices import Model, Tokens
from budgetd.simulator.tokens import utf8

_SUMMARY = "Let me think about it."
_PING = Event('{"type": "ping"}', "ping")


@dataclass(frozen=True, slots=True)
class Message:
    """One planned message with its true totals."""

    call: Call
    model: Model
    tokens: Tokens
    draft: Draft
    thinks: bool

    @property
    def tier(self) -> str:
        """What the usage reports as service tier; the price is the same."""
        return self.call.script.service_tier or "standard"


def signature(model: Model, thinking: str) -> str:
    """What a thinking block of this model must be signed with to be taken back."""
    return b64encode(blake2b(utf8(f"{model.name}\0{thinking}"), digest_size=48).digest()).decode()


def message(planned: Message) -> Json:
    """The answer in one body."""
    blocks = [block.whole for block in _blocks(planned)]
    body = _head(planned, blocks, stop_reason(planned.draft))
    if not planned.call.script.omit_usage:
        body["usage"] = full_usage(planned, planned.tokens.output)
    return body


def events(planned: Message) -> Iterator[Event]:
    """The answer as a stream."""
    silent = planned.call.script.omit_usage
    start = _head(planned, [], None)
    if not silent:
        start["usage"] = full_usage(planned, min(planned.tokens.output, 1))
    yield _event("message_start", {"message": start})
    for index, block in enumerate(_blocks(planned)):
        yield _event(
            "content_block_start",
            {"index": index, "content_block": block.start},
            searches=block.searches,
        )
        if index == 0:
            yield _PING
        for delta, output, reasoning in block.deltas:
            yield _event(
                "content_block_delta",
                {"index": index, "delta": delta},
                output=output,
                reasoning=reasoning,
            )
        yield _event("content_block_stop", {"index": index})
    ending: Json = {"stop_reason": stop_reason(planned.draft), "stop_sequence": None}
    final: Json = {"delta": ending}
    if not silent:
        final["usage"] = _delta_usage(planned)
    yield _event("message_delta", final)
    yield _event("message_stop", {})


def stop_reason(one: Draft) -> str:
    """Why a message ended."""
    if one.clipped:
        return "max_tokens"
    return "end_turn" if one.tool is None else "tool_use"


def full_usage(planned: Message, output: int) -> Json:
    """Usage as in `message_start` and in whole answers."""
    tokens = planned.tokens
    usage: Json = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.write_5m + tokens.write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.write_5m,
            "ephemeral_1h_input_tokens": tokens.write_1h,
        },
        "output_tokens": output,
        "service_tier": planned.tier,
    }
    return usage | _details(planned)


def _delta_usage(planned: Message) -> Json:
    """Usage as in `message_delta`: cumulative, without the lifetimes of cache writes."""
    tokens = planned.tokens
    usage: Json = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.write_5m + tokens.write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    }
    return usage | _details(planned)


def _details(planned: Message) -> Json:
    details: Json = {}
    if planned.thinks:
        details["output_tokens_details"] = {"thinking_tokens": planned.tokens.reasoning}
    if planned.tokens.searches:
        requests = planned.tokens.searches
        details["server_tool_use"] = {"web_search_requests": requests, "web_fetch_requests": 0}
    return details


def _head(planned: Message, content: list[Json], stop: str | None) -> Json:
    call = planned.call
    return {
        "id": f"msg_{call.id}",
        "type": "message",
        "role": "assistant",
        "model": call.script.response_model or call.body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }


@dataclass(frozen=True, slots=True)
class _Block:
    """One content block: whole, as it starts, and its deltas with output and reasoning tokens."""

    whole: Json
    start: Json
    deltas: tuple[tuple[Json, int, int], ...] = ()
    searches: int = 0


def _blocks(planned: Message) -> Iterator[_Block]:
    if planned.thinks:
        yield _thinking(planned)
    for number in range(planned.tokens.searches):
        yield from _search(planned, number)
    yield _answer(planned)


def _thinking(planned: Message) -> _Block:
    hidden, signed = planned.draft.reasoning, signature(planned.model, _SUMMARY)
    start: Json = {"type": "thinking", "thinking": "", "signature": ""}
    deltas: tuple[tuple[Json, int, int], ...] = (
        ({"type": "thinking_delta", "thinking": _SUMMARY}, hidden, hidden),
        ({"type": "signature_delta", "signature": signed}, 0, 0),
    )
    return _Block(start | {"thinking": _SUMMARY, "signature": signed}, start, deltas)


def _search(planned: Message, number: int) -> Iterator[_Block]:
    use_id = f"srvtoolu_{planned.call.id}_{number}"
    use: Json = {"type": "server_tool_use", "id": use_id, "name": "web_search", "input": {}}
    asked = {"query": "simulated"}
    delta: Json = {"type": "input_json_delta", "partial_json": dumps(asked)}
    yield _Block(use | {"input": asked}, use, ((delta, 0, 0),), searches=1)
    found: Json = {"type": "web_search_tool_result", "tool_use_id": use_id, "content": []}
    yield _Block(found, found)


def _answer(planned: Message) -> _Block:
    one = planned.draft
    deltas: list[tuple[Json, int, int]] = []
    for text, output in one.fragments(planned.call.script.chunk_tokens):
        delta: Json = {"type": "text_delta", "text": text}
        if one.tool is not None:
            delta = {"type": "input_json_delta", "partial_json": text}
        deltas.append((delta, output, 0))
    if one.tool is None:
        return _Block({"type": "text", "text": one.text}, {"type": "text", "text": ""}, (*deltas,))
    start: Json = {
        "type": "tool_use",
        "id": f"toolu_{planned.call.id}",
        "name": one.tool,
        "input": {},
    }
    return _Block(start | {"input": _arguments(one)}, start, (*deltas,))


def _arguments(one: Draft) -> object:
    """The tool's input as an object; what the output bound cut off cannot be one."""
    return {} if one.clipped else json.loads(one.text)


def _event(
    name: str, body: Json, *, output: int = 0, reasoning: int = 0, searches: int = 0
) -> Event:
    data = dumps({"type": name} | body)
    return Event(data, name, output=output, reasoning=reasoning, searches=searches)
