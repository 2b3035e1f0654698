"""Anthropic Messages and count_tokens.

Input tokens leave cached ones out: total input is input + cache writes + cache reads. A stream
states its input in `message_start` and its output, cumulatively, in every `message_delta`: fields
overlay, nothing is added up. `message_stop` ends it. Thinking is streamed as a summary and billed
whole, so output is hidden wherever thinking is on. Compaction is billed as an iteration of its own.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from budgetd.core.estimate import Facts, Media
from budgetd.core.policy import Dialect as DialectName
from budgetd.core.prices import Writes
from budgetd.core.usage import Reported, Traits, Usage, split_input
from budgetd.wire.body import Body
from budgetd.wire.dialect import Blind, Complaint, Operation, Tap
from budgetd.wire.media import might_hold_media, walk_media
from budgetd.wire.sse import Splitter, data_of
from budgetd.wire.whole import WholeTap

MESSAGES = Operation("messages", "POST", "/v1/messages")
COUNT = Operation("count_tokens", "POST", "/v1/messages/count_tokens", spends=False)

_IMAGES = frozenset({"image"})
_DOCUMENTS = frozenset({"document"})
TEMPLATE_TOKENS = 64  # around a request so short that its JSON is no longer than its template
TOOL_PROMPT_TOKENS = 1_000  # the prompt that the provider adds where tools are offered, and for each tool of its own making
_NOTHING = frozenset({b"", b"null", b"[]"})
_DATED_TYPE = re.compile(rb'"type"\s*:\s*"[a-z_]+_\d{8}"')
_SEARCHES = ("web_search_", "web_fetch_")
_CLIENT_SIDE = (
    "bash_",
    "text_editor_",
    "computer_",
    "memory_",
    "tool_search_",
)  # run by the client, or for nothing
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class _Delta(msgspec.Struct):
    text: msgspec.Raw = msgspec.Raw()
    thinking: msgspec.Raw = msgspec.Raw()
    partial_json: msgspec.Raw = msgspec.Raw()
    citation: msgspec.Raw = msgspec.Raw()
    stop_reason: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    type: str = ""


class _Message(msgspec.Struct):
    model: str = ""
    usage: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(_Event)


class Anthropic:
    """The dialect. Stateless."""

    name: DialectName = "anthropic"
    operations = (MESSAGES, COUNT)
    reasons_unasked = False

    def credential_header(self, secret: str) -> tuple[str, str]:
        """See `Dialect.credential_header`. OAuth tokens travel as a bearer."""
        if secret.startswith("sk-ant-oat"):
            return "Authorization", f"Bearer {secret}"
        return "x-api-key", secret

    def read(self, operation: Operation, body: Body) -> Facts:
        """See `Dialect.read`."""
        model = body.text("model") or ""
        if operation is COUNT:
            return Facts(model, body.size, bounded_output=False)
        bound = body.count("max_tokens")
        thinking = _object(body.get("thinking"))
        budget = thinking.get("budget_tokens")
        tools = _own_tools(body)
        searches, unbounded = _server_side(body, tools)
        return Facts(
            model,
            body.size,
            streamed=body.flag("stream"),
            output=bound,
            output_fields=("max_tokens",),
            least_output=budget + 1
            if isinstance(budget, int) and not isinstance(budget, bool)
            else 0,
            media=_media(body),
            searches=searches,
            rounds=(2 if b'"compact' in body.raw("context_management") else 1) + searches,
            overhead=_overhead(body, tools),
            unbounded=unbounded,
            traits=Traits(
                body.text("service_tier"), body.text("speed"), body.text("inference_geo")
            ),
            cache_writes=_cache_writes(body),
            hidden_output=thinking.get("type") in {"enabled", "adaptive"},
            account=_account(body),
        )

    def limit_output(self, facts: Facts, bound: int, field: str) -> dict[str, Any]:
        """See `Dialect.limit_output`. The protocol has one name for it."""
        return {"max_tokens": bound}

    def ask_usage(self, body: Body) -> dict[str, Any]:
        """Streams of this dialect always report."""
        return {}

    def tap(self, operation: Operation, *, streamed: bool, hide_usage: bool) -> Tap:
        """See `Dialect.tap`."""
        if not operation.spends:
            return Blind()
        return _StreamTap() if streamed else WholeTap(read_answer)

    def error(self, complaint: Complaint) -> bytes:
        """`{"type": "error", "error": {"type", "message"}}`."""
        kind = _ERROR_TYPES.get(
            complaint.status, "api_error" if complaint.status >= 500 else "invalid_request_error"
        )
        error: dict[str, Any] = {"type": kind, "message": complaint.message}
        if complaint.details:
            error["budgetd"] = complaint.details
        return json.dumps({"type": "error", "error": error}).encode()


class _StreamTap:
    """Reads a stream of events; passes every chunk as it came."""

    __slots__ = ("_block", "_model", "_splitter", "_stopped", "_usage", "terminal", "visible_bytes")

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._usage: dict[str, Any] | None = None
        self._model = ""
        self._block: tuple[int, str] | None = None  # the open content block: index and type
        self._stopped = False  # a stop_reason was sent
        self.terminal = False
        self.visible_bytes = 0

    @property
    def reported(self) -> Reported | None:
        """Usage as the fields stand by now."""
        return None if self._usage is None else report(self._usage, self._model)

    def feed(self, chunk: bytes) -> bytes:
        """The chunk."""
        for event in self._splitter.feed(chunk):
            self._read(data_of(event))
        return chunk

    def finish(self) -> bytes:
        """Nothing was kept back. A last event without its blank line counts."""
        rest = self._splitter.finish()
        if rest:
            self._read(data_of(rest + b"\n\n"))
        return b""

    def _read(self, data: bytes) -> None:
        if not data:
            return
        try:
            event = _EVENT.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            self.visible_bytes += len(data)  # cannot be read (a lone surrogate): count all of it
            return
        match event.type:
            case "content_block_delta":
                self._count(event.delta)
            case "content_block_start":
                self._block = (event.index, event.content_block.type if event.content_block else "")
                self.visible_bytes += len(data)
            case "content_block_stop":
                self._block = None
            case "message_start" if event.message is not None:
                self._model = event.message.model
                self._overlay(event.message.usage)
            case "message_delta":
                self._overlay(event.usage)
                self._stopped = self._stopped or (
                    event.delta is not None and bool(bytes(event.delta.stop_reason))
                )
            case "message_stop":
                self.terminal = True

    def _count(self, delta: _Delta | None) -> None:
        if delta is not None:
            for piece in (delta.text, delta.thinking, delta.partial_json, delta.citation):
                self.visible_bytes += len(bytes(piece))

    def _overlay(self, raw: msgspec.Raw) -> None:
        try:
            usage = json.loads(bytes(raw))
        except (ValueError, RecursionError):
            return
        if isinstance(usage, dict):
            known = self._usage or {}
            self._usage = known | {
                name: value for name, value in usage.items() if value is not None
            }

    def ending(self) -> bytes | None:
        """Close the open block, state `max_tokens`, stop; None inside a tool call and before the
        message began.
        """
        if self._usage is None or (self._block is not None and self._block[1].endswith("tool_use")):
            return None
        out = b"\n\n" if self._splitter.rest else b""
        if self._block is not None:
            out += (
                b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
                % self._block[0]
            )
        if not self._stopped:
            tokens = int(_tokens(self._usage.get("output_tokens")))
            out += (
                b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens",'
                b'"stop_sequence":null},"usage":{"output_tokens":%d}}\n\n' % tokens
            )
        return out + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def read_answer(document: bytes) -> Reported | None:
    """The report in a whole JSON answer, None if it states no usage."""
    try:
        answer = json.loads(document)
    except (ValueError, RecursionError):
        return None
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return None
    model = answer.get("model")
    return report(usage, model if isinstance(model, str) else "")


def report(usage: dict[str, Any], model: str) -> Reported:
    """A usage object of this dialect as disjoint buckets."""
    counted = _buckets(usage)
    for step in usage.get("iterations") or []:
        if isinstance(step, dict) and step.get("type") == "compaction":  # not in the totals
            counted = counted.plus(_buckets(step))
    traits = Traits(
        _text(usage.get("service_tier")),
        _text(usage.get("speed")),
        _text(usage.get("inference_geo")),
    )
    return Reported(counted, model or None, traits)


def _buckets(usage: dict[str, Any]) -> Usage:
    detail = _object(usage.get("cache_creation"))
    written = _tokens(usage.get("cache_creation_input_tokens"))
    hour = _tokens(detail.get("ephemeral_1h_input_tokens"))
    five = _tokens(detail.get("ephemeral_5m_input_tokens"))
    five = max(five, written - hour)
    uncached, read, five, hour = split_input(
        _tokens(usage.get("input_tokens")),
        cache_included=False,
        cache_read=_tokens(usage.get("cache_read_input_tokens")),
        cache_write_5m=five,
        cache_write_1h=hour,
    )
    searches = _tokens(_object(usage.get("server_tool_use")).get("web_search_requests"))
    return Usage(
        input=uncached,
        cache_read=read,
        cache_write_5m=five,
        cache_write_1h=hour,
        output=_tokens(usage.get("output_tokens")),
        web_searches=searches,
    )


def _media(body: Body) -> Media:
    messages = body.raw("messages")
    if not might_hold_media(messages):
        return Media()
    return walk_media(body.get("messages"), images=_IMAGES, documents=_DOCUMENTS, audio=frozenset())


def _own_tools(body: Body) -> list[dict[str, Any]]:
    """The provider's own tools that the request offers: those whose type carries a date. A client's
    tools have a schema.
    """
    raw = body.raw("tools")
    if not _DATED_TYPE.search(raw) and b"\\u00" not in raw:
        return []
    offered = body.get("tools")
    tools = (
        [tool for tool in offered if isinstance(tool, dict)] if isinstance(offered, list) else []
    )
    return [
        tool for tool in tools if isinstance(kind := tool.get("type"), str) and kind != "custom"
    ]


def _server_side(body: Body, tools: list[dict[str, Any]]) -> tuple[int, str | None]:
    """Searches that the request allows, and what in it cannot be bounded."""
    if body.raw("mcp_servers") not in _NOTHING:
        return 0, "mcp_servers (tools that run at the provider)"
    searches = 0
    for tool in tools:
        kind = tool["type"]
        if kind.startswith(_SEARCHES):
            uses = tool.get("max_uses")
            if not isinstance(uses, int) or isinstance(uses, bool):
                return 0, f"the server tool {kind} without max_uses"
            searches += max(uses, 0)
        elif not kind.startswith(_CLIENT_SIDE):
            return 0, f"the server tool {kind}"
    return searches, None


def _overhead(body: Body, tools: list[dict[str, Any]]) -> int:
    """Input tokens that stand in no byte of the request."""
    if body.raw("tools") in _NOTHING:
        return TEMPLATE_TOKENS
    return TEMPLATE_TOKENS + TOOL_PROMPT_TOKENS * (1 + len(tools))


def _cache_writes(body: Body) -> Writes:
    """The dearest cache write that the request can cause."""
    marked = [
        raw
        for name in ("system", "messages", "tools", "cache_control")
        if _may_mark(raw := body.raw(name))
    ]
    if not marked and "cache_control" not in body:
        return "none"
    return "1h" if any(b'"1h"' in raw or b"\\u00" in raw for raw in marked) else "5m"


def _may_mark(raw: bytes) -> bool:
    return b'"cache_control"' in raw or b'"ttl"' in raw or b"\\u00" in raw


def _account(body: Body) -> str | None:
    """The account id that Claude Code puts, as JSON in a string, into metadata.user_id."""
    user = _object(body.get("metadata")).get("user_id")
    if not isinstance(user, str) or not user.startswith("{"):
        return None
    try:
        account = json.loads(user).get("account_uuid")
    except (ValueError, AttributeError, RecursionError):
        return None
    return account if isinstance(account, str) and account else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _tokens(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


DIALECT = Anthropic()
