"""Refusals in words: what was refused, for which budgets, until when, and what the owner can do.

Turns the ledger's outcomes into a `Notice` that `wire.clients` dresses for each client. Every
budget that is violated is named with what it is for where that is not the key, and the reset time
is the latest of theirs, told in the machine's own time zone because that is where the reader sits.
"""

from __future__ import annotations

from datetime import UTC, datetime

from budgetd.core.budgets import Balance, Budget, Busy, Refuse
from budgetd.core.money import usd_display, usd_text
from budgetd.core.windows import Instant, describe
from budgetd.ledger.book import Stopped
from budgetd.wire.clients import BUSY_SECONDS, LEAD, Notice


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
    until = reset_words(refusal.resets_at, now) + _afresh(refusal)
    figures = "; ".join(_figures(balance, refusal.needs) for balance in refusal.budgets)
    names = " and ".join(f"budget {balance.budget.name}" for balance in refusal.budgets)
    if refusal.hopeless:
        advice = (
            f"this call alone may cost {usd_display(refusal.needs)}, more than the whole limit:"
            " send less, or raise the limit"
        )
        message = f"{LEAD}: {figures}. Waiting will not help: {advice}."
    else:
        advice = _advice(refusal, key)
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
    return Notice("busy", message, message, None, details, retry_after=BUSY_SECONDS)


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


def _advice(refusal: Refuse, key: str) -> str:
    """What helps: all of the budgets are in the way, so all of them must give way."""
    subjects = [balance.budget.subject for balance in refusal.budgets]
    sessions = {subject.partition(":")[2] for subject in subjects if _is_sessions(subject)}
    ways = ["wait"] if refusal.resets_at is not None else []
    only_sessions = all(map(_is_sessions, subjects))
    if only_sessions:
        ways.append("begin a new session")
    if all(subject.startswith("key:") for subject in subjects):
        ways.append(f"run: budgetd topup {key} AMOUNT")
    elif only_sessions and len(sessions) == 1:
        ways.append(f"run: budgetd topup session:{sessions.pop()} AMOUNT")
    else:
        names = ", ".join(balance.budget.name for balance in refusal.budgets)
        ways.append(f"raise budget {names} in the configuration")
    return ", or ".join(ways)


def _afresh(refusal: Refuse) -> str:
    """What is worth knowing of a budget that never resets, but is not the last of its kind."""
    last = [balance.budget for balance in refusal.budgets if balance.span.end is None]
    if refusal.hopeless or not last or not all(_is_sessions(budget.subject) for budget in last):
        return ""
    return " A new session begins with nothing spent."


def _is_sessions(subject: str) -> bool:
    return subject.startswith(("session:", "agent:"))


def _figures(balance: Balance, needs: int) -> str:
    budget, window = balance.budget, describe(balance.budget.window)
    spent = f"{usd_display(balance.settled)} of {usd_display(balance.limit)} spent"
    implied = window in budget.name or (budget.per and window == "total")
    words = f"budget {budget.name}{'' if implied else f' ({window})'}: {spent}{_by(budget)}"
    if balance.unspent > 0:
        words += f", and this call may need {usd_display(needs)}"
    return words


def _by(budget: Budget) -> str:
    """Whose spending it was, where not the key's or everybody's."""
    kind, _, name = budget.subject.partition(":")
    whose = {"session": " by this session", "agent": " by this agent", "label": f" under {name}"}
    return whose.get(kind, "")


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
        "subject": last.budget.subject,
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
