"""How each client is told no: one table.

The status and headers that make *that* client stop after the fewest requests, show our words and
disable nothing; measured, not guessed. A client that scans an error for words or digits (to retry
on, or to disable a key for) gets a text without them, and the figures in headers. What was refused
and why is decided elsewhere; this turns it into a status, headers and a complaint for the dialect
to write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from budgetd.wire.dialect import Complaint

Reason = Literal["spent", "busy", "stopped", "cap", "loop"]

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
    until: str = ""  # "Resets at 14:05 (in 37 min)."
    retry_after: int | None = None  # seconds, for a wait that the client is to sit out


# What OpenCode and Pi look for in an error to repeat the call, digits included, wherever they stand.
_RETRIED = re.compile(
    r"429|50[0234]|524|rate.?limit|too many|try again|again (later|in)|exhausted|time.?out|timed out"
    r"|overload|unavailable|capacity|quota|retry",
    re.IGNORECASE,
)
# What OpenClaw takes for an unpaid bill, and disables the key, or for a limit per minute, and goes on.
_BILLING = re.compile(
    r"out of budget|insufficient|quota|billing|credit|payment|balance|subscription|overload"
    r"|per[ _-]?min|\b[rt]pm\b|try again|again (later|in)",
    re.IGNORECASE,
)
_OVERLOAD = re.compile(r"overloaded_error|credits_required|usage credits", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client family is refused for good. `traps` must not stand in the body; `bare`: no
    details there at all, for a client that looks for digits.
    """

    status: int = 429
    code: str = "rate_limit_exceeded"
    kind: str | None = None
    traps: re.Pattern[str] | None = None
    bare: bool = False


_LIMIT = "usage_limit_reached"
_TERMINAL = {"x-should-retry": "false"}

MANNERS: Mapping[str, Manner] = {
    "claude_code": Manner(traps=_OVERLOAD),
    "python_sdk": Manner(),
    "js_sdk": Manner(traps=_BILLING),  # never 402: OpenClaw sends this user agent, and its key...
    "openclaw": Manner(traps=_BILLING),  # ...would be disabled
    "unknown": Manner(traps=_BILLING),
    "opencode": Manner(402, _LIMIT, traps=_RETRIED, bare=True),
    "pi": Manner(402, _LIMIT, traps=_RETRIED, bare=True),
    "qwen_code": Manner(402, _LIMIT),
    "goose": Manner(403, _LIMIT),  # for a 402 it shows words of its own, without ours
    "gemini_cli": Manner(),
    "aider": Manner(400, _LIMIT),
    "codex": Manner(code=_LIMIT, kind=_LIMIT),
}

# What is not about money has a code of its own, whatever else the client needs to be told by.
_CODES: Mapping[Reason, str] = {"cap": "cap_reached", "loop": "loop_detected"}

LEAD = "Usage limit reached"  # OpenClaw gives up at once on these words; nobody retries on them
_HARMLESS = f"{LEAD}: this budget is spent. Ask budgetd for its status."


def refuse(notice: Notice, family: str) -> tuple[Complaint, dict[str, str]]:
    """The complaint and the extra headers that answer a refused call of this client family."""
    if notice.retry_after is not None:
        headers = {
            "retry-after": str(notice.retry_after),
            "x-should-retry": "true",
            "x-budgetd-reason": notice.reason,
        }
        code = _CODES.get(notice.reason, notice.reason)
        return Complaint(429, code, notice.message, notice.details), headers
    manner = MANNERS.get(family, MANNERS["unknown"])
    headers = {"x-budgetd-reason": notice.reason, **_TERMINAL}
    message, members = notice.message, None
    if family == "codex":
        headers["x-codex-promo-message"] = header_text(message)
        if notice.resets_at is not None:
            members = {"resets_at": -(-notice.resets_at // 1000)}
    details: Mapping[str, Any] | None = notice.details
    if manner.traps is not None:
        message = _without(manner.traps, notice)
    if manner.bare or (manner.traps is not None and manner.traps.search(json.dumps(details))):
        headers |= _as_headers(notice.details)
        details = None
    code = _CODES.get(notice.reason, manner.code)
    return Complaint(manner.status, code, message, details, members, manner.kind), headers


def _without(traps: re.Pattern[str], notice: Notice) -> str:
    """The fullest text that holds none of the traps."""
    texts = [notice.message, notice.plain]
    if notice.until:
        texts.append(f"{LEAD}. {notice.until}")
    return next((text for text in texts if not traps.search(text)), _HARMLESS)


def _as_headers(details: Mapping[str, Any]) -> dict[str, str]:
    """The details that are single values, as X-Budgetd-* headers."""
    return {
        f"x-budgetd-{name.replace('_', '-')}": header_text(str(value))
        for name, value in details.items()
        if isinstance(value, (str, int)) and not isinstance(value, bool)
    }


def header_text(text: str) -> str:
    """A header's value: printable ASCII, anything else as a question mark."""
    return "".join(mark if " " <= mark <= "~" else "?" for mark in text)
