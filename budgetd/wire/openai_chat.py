"""OpenAI Chat Completions, with completions, embeddings and models: the dialect most providers
speak, each with its own habits.

Prompt tokens include cached ones and completion tokens include reasoning (not at xAI). Usage
arrives in an extra chunk with no choices if asked for, on the last content chunk (Mistral), inside
`choices[0]` (Kimi) or in `x_groq`; the last report wins and none are added up. `[DONE]` ends a
stream. A stated cost (OpenRouter, xAI) is kept as pico-dollars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from budgetd.core.estimate import Facts, Media
from budgetd.core.money import AmountError, pico_from_usd
from budgetd.core.policy import Dialect as DialectName
from budgetd.core.usage import Reported, Traits, Usage, split_input, split_output
from budgetd.wire.body import Body
from budgetd.wire.dialect import Blind, Complaint, Operation, Tap
from budgetd.wire.media import might_hold_media, walk_media
from budgetd.wire.sse import Splitter, data_of
from budgetd.wire.whole import WholeTap

TICKS_TO_PICO = 100  # xAI: 10^10 ticks to the dollar
TEMPLATE_TOKENS = 64  # around a request so short that its JSON is no longer than its template

CHAT = Operation("chat", "POST", "/v1/chat/completions")
COMPLETIONS = Operation("completions", "POST", "/v1/completions")
EMBEDDINGS = Operation("embeddings", "POST", "/v1/embeddings")
MODELS = Operation("models", "GET", "/v1/models", spends=False, listing=True)
MODEL = Operation("model", "GET", "/v1/models/*", spends=False)

_BOUNDS = ("max_completion_tokens", "max_tokens")
_IMAGES = frozenset({"image_url", "image", "input_image"})
_DOCUMENTS = frozenset({"file", "input_file"})
_AUDIO = frozenset({"input_audio", "audio"})
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
}
_ERROR_TYPES |= {
    404: "not_found_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}


class _Delta(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()
    reasoning_content: msgspec.Raw = msgspec.Raw()
    reasoning: msgspec.Raw = msgspec.Raw()
    refusal: msgspec.Raw = msgspec.Raw()
    tool_calls: msgspec.Raw = msgspec.Raw()
    function_call: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: msgspec.Raw = msgspec.Raw()
    finish_reason: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()


class _Chunk(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    x_groq: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    created: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_CHUNK = msgspec.json.Decoder(_Chunk)
_NULL = b"null"


class OpenAIChat:
    """The dialect. Stateless."""

    name: DialectName = "openai_chat"
    operations = (CHAT, COMPLETIONS, EMBEDDINGS, MODELS, MODEL)
    reasons_unasked = True

    def credential_header(self, secret: str) -> tuple[str, str]:
        """See `Dialect.credential_header`."""
        return "Authorization", f"Bearer {secret}"

    def read(self, operation: Operation, body: Body) -> Facts:
        """See `Dialect.read`."""
        model = body.text("model") or ""
        tier = body.text("service_tier")
        if operation is EMBEDDINGS:
            return Facts(model, body.size, bounded_output=False, traits=Traits(service_tier=tier))
        stated = {name: bound for name in _BOUNDS if (bound := body.count(name)) is not None}
        options = body.get("stream_options")
        streamed = body.flag("stream")
        media, searches = self._media(body)
        return Facts(
            model,
            body.size,
            streamed=streamed,
            output=max(stated.values(), default=None),
            output_fields=tuple(stated),
            answers=max(body.count("n") or 1, body.count("best_of") or 1),
            overhead=TEMPLATE_TOKENS,
            extra_output=len(body.raw("prediction")),
            media=media,
            searches=searches,
            traits=Traits(service_tier=tier),
            asked_usage=isinstance(options, dict) and options.get("include_usage") is True,
            hidden_output=bool(body.raw("reasoning_effort")) or bool(body.raw("reasoning")),
        )

    def _media(self, body: Body) -> tuple[Media, int]:
        searches = 1 if body.raw("web_search_options") not in {b"", _NULL} else 0
        messages = body.raw("messages")
        if not might_hold_media(messages):
            return Media(), searches
        return walk_media(
            body.get("messages"), images=_IMAGES, documents=_DOCUMENTS, audio=_AUDIO
        ), searches

    def limit_output(self, facts: Facts, bound: int, field: str) -> dict[str, Any]:
        """See `Dialect.limit_output`."""
        return dict.fromkeys(facts.output_fields or (field,), bound)

    def ask_usage(self, body: Body) -> dict[str, Any]:
        """See `Dialect.ask_usage`. Other stream options stay as they are."""
        options = body.get("stream_options")
        return {
            "stream_options": {**options, "include_usage": True}
            if isinstance(options, dict)
            else {"include_usage": True}
        }

    def tap(self, operation: Operation, *, streamed: bool, hide_usage: bool) -> Tap:
        """See `Dialect.tap`."""
        if not operation.spends:
            return Blind()
        return _StreamTap(hide_usage=hide_usage) if streamed else WholeTap(read_answer)

    def error(self, complaint: Complaint) -> bytes:
        """`{"error": {"message", "type", "param", "code"}}`."""
        kind = _ERROR_TYPES.get(
            complaint.status, "server_error" if complaint.status >= 500 else "invalid_request_error"
        )
        error: dict[str, Any] = {
            "message": complaint.message,
            "type": kind,
            "param": None,
            "code": complaint.code,
        }
        if complaint.details:
            error["budgetd"] = complaint.details
        return json.dumps({"error": error}).encode()


class _StreamTap:
    """Reads a stream of chunks. With `hide_usage` it keeps back incomplete events, to be able to
    drop the one not asked for.
    """

    __slots__ = (
        "_created",
        "_finished",
        "_hide",
        "_id",
        "_model",
        "_splitter",
        "_tier",
        "_tool",
        "reported",
        "terminal",
        "visible_bytes",
    )

    def __init__(self, *, hide_usage: bool) -> None:
        self._hide = hide_usage
        self._splitter = Splitter()
        self._id = self._created = self._model = self._tier = b""
        self._tool = self._finished = False
        self.terminal = False
        self.reported: Reported | None = None
        self.visible_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """Whole events, or with nothing to hide the chunk as it came."""
        events = self._splitter.feed(chunk)
        if not self._hide:
            for event in events:
                self._read(data_of(event))
            return chunk
        return b"".join([event for event in events if not self._read(data_of(event))])

    def finish(self) -> bytes:
        """What was kept back. A last event without its blank line counts."""
        rest = self._splitter.finish()
        hidden = bool(rest) and self._read(data_of(rest + b"\n\n"))
        if self._finished and self.reported is not None:
            self.terminal = True  # some servers leave [DONE] out
        return rest if self._hide and not hidden else b""

    def _read(self, data: bytes) -> bool:
        """Take in one payload; True if it is the usage chunk that nobody but us asked for."""
        if not data:
            return False
        if data.startswith(b"[DONE]"):
            self.terminal = True
            return False
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            self.visible_bytes += len(data)  # cannot be read (a lone surrogate): count all of it
            return False
        self._id, self._created = bytes(chunk.id) or self._id, bytes(chunk.created) or self._created
        self._model, self._tier = (
            bytes(chunk.model) or self._model,
            bytes(chunk.service_tier) or self._tier,
        )
        choices = chunk.choices or []
        for choice in choices:
            self._count(choice)
            if _present(choice.usage):
                self._report(choice.usage)
        if _present(chunk.usage):
            self._report(chunk.usage)
            return not choices
        if _present(chunk.x_groq):
            self._report(_member(chunk.x_groq, "usage"))
        return False

    def _count(self, choice: _Choice) -> None:
        delta = choice.delta
        if delta is not None:
            if _present(delta.tool_calls) or _present(delta.function_call):
                self._tool = True
            for piece in (
                delta.content,
                delta.reasoning_content,
                delta.refusal,
                delta.tool_calls,
                delta.function_call,
            ):
                self.visible_bytes += len(bytes(piece))
            if not _present(delta.reasoning_content):  # some send the same text under both names
                self.visible_bytes += len(bytes(delta.reasoning))
        else:
            self.visible_bytes += len(bytes(choice.text))
        if _present(choice.finish_reason):
            self._finished = True

    def _report(self, usage: msgspec.Raw | bytes) -> None:
        found = _lenient_object(bytes(usage))
        if found is not None:
            self.reported = report(found, _string(self._model), _string(self._tier))

    def ending(self) -> bytes | None:
        """A last chunk with `finish_reason: "length"`, then `[DONE]`; None inside a tool call."""
        if self._tool and not self._finished:
            return None
        if self._finished:
            return b"data: [DONE]\n\n"
        head = b'{"id":%s,"object":"chat.completion.chunk","created":%s,"model":%s,' % (
            self._id or b'"budgetd"',
            self._created or b"0",
            self._model or b'""',
        )
        tail = b'"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}'
        rest = self._splitter.rest
        return (
            (b"\n\n" if rest and not self._hide else b"")
            + b"data: "
            + head
            + tail
            + b"\n\ndata: [DONE]\n\n"
        )


def read_answer(document: bytes) -> Reported | None:
    """The report in a whole JSON answer, None if it states no usage."""
    answer = _lenient_object(document)
    if answer is None:
        return None
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    return report(usage, answer.get("model"), answer.get("service_tier"))


def report(usage: Mapping[str, Any], model: Any, tier: Any) -> Reported:
    """A usage object of this dialect, whoever's habits it follows, as disjoint buckets."""
    asked = _object(usage.get("prompt_tokens_details"))
    given = _object(usage.get("completion_tokens_details"))
    cached = _tokens(asked.get("cached_tokens")) or _tokens(usage.get("cached_tokens"))
    cached = cached or _tokens(usage.get("prompt_cache_hit_tokens"))
    written = _tokens(asked.get("cache_write_tokens"))
    heard, spoken = _tokens(asked.get("audio_tokens")), _tokens(given.get("audio_tokens"))
    uncached, read, write, _ = split_input(
        _tokens(usage.get("prompt_tokens")),
        cache_included=True,
        cache_read=cached,
        cache_write_5m=written,
        cache_write_1h=0,
    )
    ticks = usage.get("cost_in_usd_ticks")
    reasoning = _tokens(given.get("reasoning_tokens"))
    completion = _tokens(usage.get("completion_tokens"))
    visible, hidden = split_output(
        completion, reasoning_included=not _reasoning_apart(usage, ticks), reasoning=reasoning
    )
    counted = Usage(
        input=max(uncached - heard, 0),
        cache_read=read,
        cache_write_5m=write,
        output=max(visible - spoken, 0),
        reasoning=hidden,
        input_audio=heard,
        output_audio=spoken,
    )
    traits = Traits(service_tier=tier if isinstance(tier, str) else None)
    return Reported(
        counted, model if isinstance(model, str) else None, traits, _stated_cost(usage, ticks)
    )


def _reasoning_apart(usage: Mapping[str, Any], ticks: Any) -> bool:
    """Whether completion tokens leave the reasoning out: xAI's habit, known by its ticks or by a
    total that only so adds up.
    """
    if ticks is not None:
        return True
    reasoning = _tokens(_object(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    plain = _tokens(usage.get("prompt_tokens")) + _tokens(usage.get("completion_tokens"))
    return reasoning > 0 and _tokens(usage.get("total_tokens")) == plain + reasoning


def _stated_cost(usage: Mapping[str, Any], ticks: Any) -> int | None:
    if isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0:
        return ticks * TICKS_TO_PICO
    cost = usage.get("cost")
    if isinstance(cost, dict):  # Perplexity
        cost = cost.get("total_cost")
    if isinstance(cost, (int, Decimal)) and not isinstance(cost, bool):
        try:
            pico = pico_from_usd(cost)
        except AmountError:
            return None
        upstream = _object(usage.get("cost_details")).get("upstream_inference_cost")
        if (
            isinstance(upstream, (int, Decimal))
            and not isinstance(upstream, bool)
            and usage.get("is_byok") is True
        ):
            pico += pico_from_usd(upstream)
        return pico if pico >= 0 else None
    return None


def _lenient_object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _member(raw: msgspec.Raw, name: str) -> bytes:
    found = _lenient_object(bytes(raw))
    value = found.get(name) if found else None
    return json.dumps(value, default=str).encode() if isinstance(value, dict) else b""


def _present(raw: msgspec.Raw) -> bool:
    data = bytes(raw)
    return bool(data) and data != _NULL


def _string(raw: bytes) -> str | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tokens(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


DIALECT = OpenAIChat()
