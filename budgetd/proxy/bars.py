"""What a call is refused for that is not money: a cap on how an agent behaves, or a loop.

Turns either into the word that the ledger keeps and the `Notice` that `wire.clients` dresses. A
brake that is over within a minute is told as such, so that the client waits and goes on; everything
else stops it, as a spent budget does.
"""

from __future__ import annotations

from budgetd.core.caps import Breach
from budgetd.core.loops import Suspicion
from budgetd.core.windows import Instant
from budgetd.proxy.notices import iso, reset_words
from budgetd.wire.clients import LEAD, Notice, Reason

Bar = Breach | Suspicion

SHORT_MS = 61_000  # a wait that clients are asked to sit out
_LOOP_ADVICE = (
    "say something new in the conversation, or begin a new one; the owner can let it go on"
    " with loops: tell"
)
_CAP_ADVICE = "the owner can raise the cap in the configuration"


def reason_of(bar: Bar) -> Reason:
    """The word for it: "cap" or "loop"."""
    return "cap" if isinstance(bar, Breach) else "loop"


def bar_notice(bar: Bar, call: str, key: str, now: Instant) -> Notice:
    """The notice for a call that was refused for it."""
    if isinstance(bar, Suspicion):
        message = f"{LEAD}: this session goes in circles: {bar.words}."
        details = _details(bar, call, key) | {"loop": bar.kind, "advice": _LOOP_ADVICE}
        return Notice("loop", message, f"{LEAD}: this session goes in circles.", None, details)
    until = reset_words(bar.until, now) if bar.until is not None else ""
    details = _details(bar, call, key) | {
        "cap": bar.cap,
        "resets_at": iso(bar.until),
        "advice": _CAP_ADVICE,
    }
    message = f"{LEAD}: {bar.words}. {until}".rstrip()
    wait = bar.until - now if bar.until is not None else None
    return Notice(
        "cap",
        message,
        f"{LEAD}: a cap of key {key}. {until}".rstrip(),
        bar.until,
        details,
        until,
        retry_after=-(-wait // 1000) if wait is not None and wait <= SHORT_MS else None,
    )


def _details(bar: Bar, call: str, key: str) -> dict[str, object]:
    return {
        "origin": "budgetd",
        "decision": call,
        "reason": reason_of(bar),
        "key": key,
        "what": bar.words,
        "resets_at": None,
    }
