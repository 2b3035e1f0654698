"""How each client is told no: one table.

The status and headers that make *that* client stop after the fewest requests, show our words and
disable nothing; measured, not guessed. A client that scans an error for words or digits to retry on
gets a text without them, and the figures in headers. What was refused and why is decided elsewhere;
this turns it into a status, headers and a complaint for the dialect to write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from budgetd.wire.dialect import Complaint

Reason = Literal["spent", "busy", "stopped", "revoked"]

BUSY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Notice:
    """A refusal in words and figures. `details` is for `error.budgetd`: JSON values, dollars as
    decimal strings.
    """

    reason: Reason
    message: str  # "Usage limit reached: ..."
    plain: str  # the same without figures
    resets_at: int | None  # ms since 1970, None: never
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client family is refused for good."""

    status: int = 429
    scans: bool = (
        False  # it looks for numbers and words in the body: no details there, and no trap words
    )
    code: str = "rate_limit_exceeded"
    headers: Mapping[str, str] | None = None  # None: x-should-retry: false


_TERMINAL = {"x-should-retry": "false"}

MANNERS: Mapping[str, Manner] = {
    "claude_code": Manner(),
    "python_sdk": Manner(),
    "js_sdk": Manner(),  # never 402: OpenClaw sends this user agent and would disable the key
    "openclaw": Manner(),
    "unknown": Manner(),
    "opencode": Manner(402, scans=True, code="usage_limit_reached"),
    "pi": Manner(402, scans=True, code="usage_limit_reached"),
    "qwen_code": Manner(402, code="usage_limit_reached"),
    "goose": Manner(402, scans=True, code="usage_limit_reached"),
    "gemini_cli": Manner(),
    "aider": Manner(400, code="usage_limit_reached"),
    "codex": Manner(code="usage_limit_reached"),
}

_TRAPS = re.compile(
    r"429|50[0234]|524|rate.?limit|too many|try again|again (later|in)|exhausted|time.?out|timed out|overload|unavailable"
    r"|capacity|quota|retry",
    re.IGNORECASE,
)
_HARMLESS = "Usage limit reached: this budget is spent. Ask budgetd for its status."


def refuse(notice: Notice, family: str) -> tuple[Complaint, dict[str, str]]:
    """The complaint and the extra headers that answer a refused call of this client family."""
    if notice.reason == "busy":
        headers = {
            "retry-after": str(BUSY_SECONDS),
            "x-should-retry": "true",
            "x-budgetd-reason": "busy",
        }
        return Complaint(429, "busy", notice.message, notice.details), headers
    manner = MANNERS.get(family, MANNERS["unknown"])
    headers = {"x-budgetd-reason": notice.reason, **(manner.headers or _TERMINAL)}
    if manner.scans:
        return Complaint(manner.status, manner.code, _without_traps(notice)), headers | _as_headers(
            notice.details
        )
    if family == "codex":
        headers["x-codex-promo-message"] = _ascii(notice.message)
    return Complaint(manner.status, manner.code, notice.message, notice.details), headers


def _without_traps(notice: Notice) -> str:
    for text in (notice.message, notice.plain):
        if not _TRAPS.search(text):
            return text
    return _HARMLESS


def _as_headers(details: Mapping[str, Any]) -> dict[str, str]:
    """The details that are single values, as X-Budgetd-* headers."""
    return {
        f"x-budgetd-{name.replace('_', '-')}": _ascii(str(value))
        for name, value in details.items()
        if isinstance(value, (str, int)) and not isinstance(value, bool)
    }


def _ascii(text: str) -> str:
    """A header value: printable ASCII, anything else as a question mark."""
    return "".join(mark if " " <= mark <= "~" else "?" for mark in text)
