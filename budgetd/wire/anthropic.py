"""Anthropic Messages and count_tokens.

Reads a request's facts, names the fields to rewrite and writes errors; what comes back is read in
`wire.anthropic_stream` and `wire.anthropic_usage`. Thinking is streamed as a summary and billed
whole, so output is hidden wherever thinking is on. Tools that run at the provider are counted, or
named as unbounded.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from budgetd.core.estimate import Facts, Media
from budgetd.core.policy import DialectName
from budgetd.core.prices import Writes
from budgetd.core.usage import Traits
from budgetd.wire.answers import mark_of_message
from budgetd.wire.anthropic_stream import MessagesTap
from budgetd.wire.anthropic_usage import read_answer
from budgetd.wire.body import Body
from budgetd.wire.coding import is_coded
from budgetd.wire.dialect import Blind, Complaint, Operation, Tap
from budgetd.wire.figures import members, present, text
from budgetd.wire.history import Fields
from budgetd.wire.media import might_hold_media, walk_media
from budgetd.wire.streaming import EncodedTap
from budgetd.wire.whole import WholeTap

MESSAGES = Operation("messages", "POST", "/v1/messages", history=Fields(system="system"))
COUNT = Operation("count_tokens", "POST", "/v1/messages/count_tokens", spends=False)

_IMAGES = frozenset({"image"})
_DOCUMENTS = frozenset({"document"})
TEMPLATE_TOKENS = 64  # around a request so short that its JSON is no longer than its template
TOOL_PROMPT_TOKENS = 1_000  # added by the provider where tools are offered, and for each of its own
_NOTHING = frozenset({b"", b"null", b"[]"})
_UNBOUNDED = {
    "mcp_servers": "tools that run at the provider",
    "fallbacks": "another model may answer, at another price",
}
_LATE_TOOLS = re.compile(rb'"tool_(?:addition|definition)"')
_COMPACTS = re.compile(rb'"compact')
_CACHE_MARKS = re.compile(rb'"(?:cache_control|ttl)"')
_HOUR = re.compile(rb'"1h"')
MOST_SEARCHES = 10_000  # an offer of more is no bound, only a number too large to reckon with
_SEARCHES = ("web_search_", "web_fetch_")
_CLIENT_SIDE = (
    "bash_",
    "text_editor_",
    "computer_",
    "memory_",
    "tool_search_",
    "browser_",
)  # run by the client, or for nothing
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class _Tool(msgspec.Struct):
    type: str | None = None
    max_uses: Any = None


_TOOLS = msgspec.json.Decoder(list[_Tool])


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
        thinking = members(body.get("thinking"))
        budget = thinking.get("budget_tokens")
        tools = _own_tools(body)
        searches, unbounded = _server_side(body, tools)
        media, linked = _media(body)
        return Facts(
            model,
            body.size,
            streamed=body.flag("stream"),
            output=bound,
            output_fields=("max_tokens",),
            least_output=budget + 1
            if isinstance(budget, int) and not isinstance(budget, bool)
            else 0,
            media=media,
            linked=linked,
            searches=searches,
            rounds=_rounds(body) + searches,
            overhead=_overhead(body, tools),
            unbounded=unbounded,
            traits=Traits(
                body.text("service_tier"), body.text("speed"), body.text("inference_geo")
            ),
            cache_writes=_cache_writes(body),
            hidden_output=thinking.get("type", "disabled") != "disabled",
            account=_account(body),
        )

    def limit_output(self, facts: Facts, bound: int, field: str) -> dict[str, Any]:
        """See `Dialect.limit_output`. The protocol has one name for it."""
        return {"max_tokens": bound}

    def ask_usage(self, body: Body) -> dict[str, Any]:
        """Streams of this dialect always report."""
        return {}

    def tap(
        self, operation: Operation, *, streamed: bool, hide_usage: bool, encoding: str = ""
    ) -> Tap:
        """See `Dialect.tap`."""
        if not operation.spends:
            return Blind()
        if not streamed:
            return WholeTap(read_answer, encoding, heard=mark_of_message)
        return EncodedTap(MessagesTap(), encoding) if is_coded(encoding) else MessagesTap()

    def error(self, complaint: Complaint) -> bytes:
        """`{"type": "error", "error": {"type", "message"}}`."""
        usual = "api_error" if complaint.status >= 500 else "invalid_request_error"
        error: dict[str, Any] = {
            "type": _ERROR_TYPES.get(complaint.status, usual),
            "message": complaint.message,
            **(complaint.members or {}),
        }
        if complaint.details:
            error["budgetd"] = complaint.details
        return json.dumps({"type": "error", "error": error}).encode()


def _media(body: Body) -> tuple[Media, Media]:
    """What the messages hold, and what of it is linked."""
    if not might_hold_media(body.words("messages")):
        return Media(), Media()
    return walk_media(body.get("messages"), images=_IMAGES, documents=_DOCUMENTS, audio=frozenset())


def _own_tools(body: Body) -> list[_Tool]:
    """The provider's own tools that the request offers: those with a type. A client's tools have a
    schema, and no type or "custom".
    """
    raw = body.raw("tools")
    if raw in _NOTHING:
        return []
    try:
        offered = _TOOLS.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        listed = body.get("tools")
        found = [members(tool) for tool in listed] if isinstance(listed, list) else []
        offered = [_Tool(text(tool.get("type")), tool.get("max_uses")) for tool in found]
    return [tool for tool in offered if tool.type not in {None, "custom"}]


def _server_side(body: Body, tools: list[_Tool]) -> tuple[int, str | None]:
    """Searches that the request allows, and what in it cannot be bounded."""
    for field, words in _UNBOUNDED.items():
        if body.raw(field) not in _NOTHING:
            return 0, f"{field} ({words})"
    if _LATE_TOOLS.search(body.words("messages")):
        return 0, "tool_addition (tools that a message brings along)"
    searches = 0
    for tool in tools:
        kind = tool.type or ""
        if kind.startswith(_SEARCHES):
            if not isinstance(tool.max_uses, int) or isinstance(tool.max_uses, bool):
                return 0, f"the server tool {kind} without max_uses"
            searches += min(max(tool.max_uses, 0), MOST_SEARCHES)
        elif not kind.startswith(_CLIENT_SIDE):
            return 0, f"the server tool {kind}"
    return searches, None


def _rounds(body: Body) -> int:
    """How often the input may be read within one call, searches aside: compaction reads it again."""
    compacts = _COMPACTS.search(body.words("context_management")) or present(body.raw("compaction"))
    return 2 if compacts else 1


def _overhead(body: Body, tools: list[_Tool]) -> int:
    """Input tokens that stand in no byte of the request."""
    if body.raw("tools") in _NOTHING:
        return TEMPLATE_TOKENS
    return TEMPLATE_TOKENS + TOOL_PROMPT_TOKENS * (1 + len(tools))


def _cache_writes(body: Body) -> Writes:
    """The dearest cache write that the request can cause."""
    places = [body.words(name) for name in ("system", "messages", "tools", "cache_control")]
    marked = [words for words in places if _CACHE_MARKS.search(words)]
    if any(_HOUR.search(words) for words in marked):
        return "1h"
    return "5m" if marked or "cache_control" in body else "none"


def _account(body: Body) -> str | None:
    """The account id that Claude Code puts, as JSON in a string, into metadata.user_id."""
    user = members(body.get("metadata")).get("user_id")
    if not isinstance(user, str) or not user.startswith("{"):
        return None
    try:
        account = json.loads(user).get("account_uuid")
    except (ValueError, AttributeError, RecursionError):
        return None
    return account if isinstance(account, str) and account else None


DIALECT = Anthropic()
