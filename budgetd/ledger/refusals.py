"""The log of what was refused, or would have been: who, when, why, with the figures of that moment.

For `status` and for a person who asks why; no sum depends on it. It is bounded, because an agent in
a loop is refused thousands of times an hour: the newest of each key and the newest of all are kept.
Call identifiers sort by time and end in random characters, so about one write in 32 cleans up after
its key, and one in 1,024 after all of them: no counter, and nothing to pay on the others.
"""

from __future__ import annotations

import json
import sqlite3

from budgetd.core.budgets import Balance, Busy, Refuse
from budgetd.core.money import usd_text
from budgetd.core.windows import Instant

KEPT_OF_KEY = 1_000
KEPT_OF_ALL = 20_000  # key names may be invented by callers, where the owner allows a pattern

TRIM_KEY = (
    "DELETE FROM refusal WHERE key = ? AND id <"
    " (SELECT id FROM refusal WHERE key = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
)
TRIM_ALL = (
    "DELETE FROM refusal WHERE id < (SELECT id FROM refusal ORDER BY id DESC LIMIT 1 OFFSET ?)"
)

Figures = dict[str, object]


def write(
    db: sqlite3.Connection, call: str, key: str, now: Instant, cause: tuple[str, Figures]
) -> None:
    """Keep one refusal. `cause` is a word ("spent", "busy", "stopped", "observed") and its figures."""
    reason, detail = cause
    db.execute(
        "INSERT OR IGNORE INTO refusal VALUES (?, ?, ?, ?, ?)",
        (call, now, key, reason, json.dumps(detail)),
    )
    if call.endswith("0"):
        db.execute(TRIM_KEY, (key, key, KEPT_OF_KEY - 1))
    if call.endswith("00"):
        db.execute(TRIM_ALL, (KEPT_OF_ALL - 1,))


def of_verdict(verdict: Busy | Refuse) -> tuple[str, Figures]:
    """A decision's word and figures."""
    if isinstance(verdict, Busy):
        return "busy", figures(verdict.budgets)
    return "spent", figures(verdict.budgets) | {
        "needs": usd_text(verdict.needs),
        "resets_at": verdict.resets_at,
    }


def figures(balances: tuple[Balance, ...]) -> Figures:
    """The balances as they stood, in dollars."""
    return {
        "budgets": [
            {
                "budget": b.budget.name,
                "subject": b.budget.subject,
                "limit": usd_text(b.limit),
                "settled": usd_text(b.settled),
                "held": usd_text(b.held),
                "resets_at": b.span.end,
            }
            for b in balances
        ]
    }
