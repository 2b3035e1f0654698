"""Balances, keys and calls as JSON: the one place that says how a figure looks from outside.

Dollars are exact decimal strings, instants RFC 3339 in UTC, unknown things null. No secrets, no
texts of requests.
"""

from __future__ import annotations

import json
from typing import Any

from budgetd.core.budgets import Balance, Budget
from budgetd.core.money import usd_text
from budgetd.core.policy import KeyPolicy
from budgetd.core.windows import describe
from budgetd.ledger.keyring import Token
from budgetd.ledger.reads import Spend, Stop
from budgetd.proxy.notices import iso


def balance(found: Balance) -> dict[str, Any]:
    """A budget and its current window."""
    budget = found.budget
    return {
        "name": budget.name,
        "subject": budget.subject,
        "window": describe(budget.window),
        "per": budget.per or None,
        "models": list(budget.models),
        "limit_usd": usd_text(found.limit),
        "topped_up_usd": usd_text(found.topped_up),
        "spent_usd": usd_text(found.settled),
        "held_usd": usd_text(found.held),
        "remaining_usd": usd_text(max(found.unspent, 0)),
        "counts": budget.counts,
        "observe": budget.observe,
        "opened_at": iso(found.span.start) if found.span.end is not None else None,
        "resets_at": iso(found.span.end),
    }


def key(name: str, policy: KeyPolicy, balances: list[Balance], stops: list[Stop]) -> dict[str, Any]:
    """A key and its budgets."""
    stopped = next((stop for stop in stops if stop.subject in {"all", f"key:{name}"}), None)
    return {
        "name": name,
        "pattern": policy.name if policy.name != name else None,
        "custody": policy.custody,
        "provider": policy.provider,
        "observe": policy.observe,
        "expires_at": iso(policy.expires),
        "stopped": {"since": iso(stopped.at), "note": stopped.note} if stopped else None,
        "budgets": [balance(found) for found in balances],
        "each": [terms(budget) for budget in policy.budgets if budget.per],
    }


def terms(budget: Budget) -> dict[str, Any]:
    """What a budget allows, without a window that it has come to."""
    return {
        "name": budget.name,
        "window": describe(budget.window),
        "per": budget.per or None,
        "models": list(budget.models),
        "limit_usd": usd_text(budget.limit),
        "counts": budget.counts,
        "observe": budget.observe,
    }


def label(name: str, balances: list[Balance]) -> dict[str, Any]:
    """A label and its budgets."""
    return {"name": name, "budgets": [balance(found) for found in balances]}


def pattern(policy: KeyPolicy) -> dict[str, Any]:
    """A key pattern and the budgets that each name under it gets."""
    return {
        "name": policy.name,
        "custody": policy.custody,
        "provider": policy.provider,
        "observe": policy.observe,
        "budgets": [terms(budget) for budget in policy.budgets],
    }


def token(found: Token) -> dict[str, Any]:
    """An issued token, by its hint."""
    return {
        "hint": found.hint + "...",
        "issued_at": iso(found.issued),
        "expires_at": iso(found.expires),
        "revoked_at": iso(found.revoked),
    }


def spend(sums: Spend) -> dict[str, Any]:
    """Sums of one kind of money."""
    return {
        "calls": sums.calls,
        "spent_usd": usd_text(sums.cost),
        "estimated_usd": usd_text(sums.estimated),
        "retried_usd": usd_text(sums.retried),
        "input_tokens": sums.input,
        "cached_tokens": sums.cached,
        "output_tokens": sums.output,
    }


def number(pico: int) -> Any:
    """Dollars as a JSON number with all their digits: shown, never summed."""
    return json.loads(usd_text(pico))


def call(row: dict[str, Any]) -> dict[str, Any]:
    """A call with its last attempt."""
    shown = {
        name: row[name]
        for name in (
            "call",
            "key",
            "client",
            "provider",
            "model",
            "state",
            "cause",
            "status",
            "money",
        )
    }
    shown |= {
        "at": iso(row["at"]),
        "estimated": bool(row["estimated"]),
        "retry_of": row["retry_of"],
    }
    return shown | {"cost_usd": usd_text(row["cost"]), "hold_usd": usd_text(row["hold"])}
