"""Refusals in words: what was refused, for which budgets, until when, and what the owner can do.

Turns the ledger's outcomes into a `Notice` that `wire.clients` dresses for each client. Every
budget that is violated is named, and the reset time is the latest of theirs, told in the machine's
own time zone because that is where the reader sits.
"""

from __future__ import annotations

from datetime import UTC, datetime

from budgetd.core.budgets import Balance, Busy, Refuse
from budgetd.core.money import usd_display, usd_text
from budgetd.core.windows import Instant, describe
from budgetd.ledger.book import Stopped
from budgetd.wire.clients import LEAD, Notice


def notice_of(outcome: Refuse | Busy | Stopped, call: str, key: str, now: Instant) -> Notice:
    """The notice for an outcome that is no admission."""
    match outcome:
        case Refuse():
            return _spent(outcome, call, key, now)
        case Busy():
            return _busy(outcome, call, key)
        case Stopped():
            return _stopped(outcome, call, key)


def _spent(refusal: Refuse, call: str, key: str, now: Instant) -> Notice:
    until = reset_words(refusal.resets_at, now)
    figures = "; ".join(_figures(balance, refusal.needs) for balance in refusal.budgets)
    names = " and ".join(f"budget {balance.budget.name}" for balance in refusal.budgets)
    if refusal.hopeless:
        advice = (
            f"this call alone may cost {usd_display(refusal.needs)}, more than the whole limit:"
            " send less, or raise the limit"
        )
        message = f"{LEAD}: {figures}. Waiting will not help: {advice}."
    else:
        advice = f"wait, or run: budgetd topup {key} AMOUNT"
        message = f"{LEAD}: {figures}. {until}"
    return Notice(
        "spent",
        message,
        f"{LEAD}: {names}. {until}",
        refusal.resets_at,
        _details(call, "spent", refusal.budgets, refusal.resets_at)
        | {"needs_usd": usd_text(refusal.needs), "advice": advice},
        until,
    )


def _busy(busy: Busy, call: str, key: str) -> Notice:
    names = ", ".join(balance.budget.name for balance in busy.budgets)
    message = f"Busy: other calls hold the money of budget {names} just now; the same call may pass in a moment."
    details = _details(call, "busy", busy.budgets, None) | {"advice": "repeat the call shortly"}
    return Notice("busy", message, message, None, details)


def _stopped(stop: Stopped, call: str, key: str) -> Notice:
    what = "all keys" if stop.subject == "all" else f"key {key}"
    why = f" ({stop.note})" if stop.note else ""
    target = "--all" if stop.subject == "all" else key
    details = {
        "origin": "budgetd",
        "decision": call,
        "reason": "stopped",
        "budget": stop.subject,
        "resets_at": None,
        "advice": f"the owner can lift it: budgetd stop {target} --lift",
    }
    message = f"{LEAD}: the owner has stopped {what}{why}."
    return Notice("stopped", message, f"{LEAD}: stopped by the owner.", None, details)


def _figures(balance: Balance, needs: int) -> str:
    spent = f"{usd_display(balance.settled)} of {usd_display(balance.limit)} spent"
    name, window = balance.budget.name, describe(balance.budget.window)
    words = f"budget {name}: {spent}" if name == window else f"budget {name} ({window}): {spent}"
    if balance.unspent > 0:
        words += f", and this call may need {usd_display(needs)}"
    return words


def _details(
    call: str, reason: str, budgets: tuple[Balance, ...], resets_at: Instant | None
) -> dict[str, object]:
    """What `error.budgetd` holds. The single figures are those of the budget that resets last."""
    last = max(budgets, key=lambda balance: balance.span.end or 2**62)
    return {
        "origin": "budgetd",
        "decision": call,
        "reason": reason,
        "budget": last.budget.name,
        "window": describe(last.budget.window),
        "limit_usd": usd_text(last.limit),
        "spent_usd": usd_text(last.settled),
        "held_usd": usd_text(last.held),
        "resets_at": iso(resets_at),
        "violated": [balance.budget.name for balance in budgets],
    }


def iso(instant: Instant | None) -> str | None:
    """An instant as RFC 3339 in UTC, whole seconds rounded up; None stays None."""
    if instant is None:
        return None
    return datetime.fromtimestamp(-(-instant // 1000), UTC).isoformat().replace("+00:00", "Z")


def reset_words(resets_at: Instant | None, now: Instant) -> str:
    """ "Resets at 14:05 (in 37 min)." in local time, with the date if it is another day."""
    if resets_at is None:
        return "It never resets."
    local = datetime.fromtimestamp(-(-resets_at // 1000)).astimezone()
    today = datetime.fromtimestamp(now // 1000).astimezone()
    clock = local.strftime("%H:%M:%S" if resets_at - now < 120_000 else "%H:%M")
    when = clock if local.date() == today.date() else f"{clock} on {local.strftime('%a %d %b')}"
    return f"Resets at {when} (in {span_words(resets_at - now)})."


def span_words(ms: int) -> str:
    """A span of time for a person: "45 s", "37 min", "4 h 10 min", "6 d 3 h"."""
    seconds = max(-(-ms // 1000), 0)
    if seconds < 120:
        return f"{seconds} s"
    minutes = -(-seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
