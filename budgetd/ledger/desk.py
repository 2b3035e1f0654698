"""What an owner does by hand: top up, stop, adjust, and check the books.

Functions of a connection, run by the writer like every other change. Nothing is overwritten: a
top-up and an adjustment are rows of their own beside what they change.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from budgetd.core.budgets import Balance, Budget
from budgetd.core.windows import Instant
from budgetd.ledger.rows import MS_PER_HOUR, find_window, open_window

ALL = "all"

# One pass over the charges: a window's share looked up by itself would read them all once for each window.
AUDIT = """
    WITH sums AS (
        SELECT x.window AS id, sum(a.cost) AS cost, sum(iif(a.state = 'open', a.hold, 0)) AS held
        FROM charge x JOIN attempt a ON a.id = x.attempt GROUP BY x.window
    ), corrected AS (
        SELECT x.window AS id, sum(j.amount) AS amount
        FROM adjustment j JOIN charge x ON x.attempt = j.attempt GROUP BY x.window
    ), added AS (
        SELECT window AS id, sum(amount) AS amount FROM topup GROUP BY window
    )
    SELECT w.id, w.subject, w.budget, w.settled, w.held, w.topped_up,
        coalesce(s.cost, 0) + coalesce(c.amount, 0), coalesce(s.held, 0), coalesce(t.amount, 0)
    FROM window w LEFT JOIN sums s USING (id) LEFT JOIN corrected c USING (id) LEFT JOIN added t USING (id)
"""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An adjustment that was made, in pico-dollars: the call's cost before and after."""

    attempt: str
    before: int
    after: int


def top_up(
    db: sqlite3.Connection, budgets: tuple[Budget, ...], amount: int, note: str, now: Instant
) -> tuple[Balance, ...]:
    """Add `amount` to the limit of each budget's current window. Returns the balances afterwards."""
    balances = []
    for budget in budgets:
        row, balance = find_window(db, budget, now)
        if row is None:
            row = open_window(db, budget, balance.span)
        db.execute(
            "INSERT INTO topup (at, window, amount, note) VALUES (?, ?, ?, ?)",
            (now, row, amount, note),
        )
        db.execute("UPDATE window SET topped_up = topped_up + ? WHERE id = ?", (amount, row))
        balances.append(find_window(db, budget, now)[1])
    return tuple(balances)


def stop(db: sqlite3.Connection, subject: str, note: str, now: Instant) -> None:
    """Refuse new calls of a subject ("key:research" or "all") until it is lifted."""
    db.execute(
        "INSERT INTO stop VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, note = excluded.note",
        (subject, now, note),
    )


def lift(db: sqlite3.Connection, subject: str) -> bool:
    """Lift a stop; True if there was one. Lifting "all" leaves stops on single keys."""
    return db.execute("DELETE FROM stop WHERE subject = ?", (subject,)).rowcount > 0


def adjust(
    db: sqlite3.Connection, call: str, amount: int, note: str, now: Instant
) -> Adjusted | None:
    """Correct a call's cost by `amount` (pico-dollars, may be negative), in the windows it was
    booked to.

    None if there is no such call, or it is still open. The amount is cut so that no cost becomes
    negative.
    """
    row = db.execute(
        "SELECT a.id, a.cost + coalesce((SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0),"
        " c.key, a.provider, a.model, a.money FROM attempt a JOIN call c ON c.id = a.call"
        " WHERE a.id > ? || '.' AND a.id < ? || '/' AND a.state <> 'open'"
        " ORDER BY length(a.id) DESC, a.id DESC LIMIT 1",
        (call, call),
    ).fetchone()
    if row is None:
        return None
    attempt, before, key, provider, model, money = row
    amount = max(amount, -before)
    db.execute(
        "INSERT INTO adjustment (at, attempt, amount, note) VALUES (?, ?, ?, ?)",
        (now, attempt, amount, note),
    )
    db.execute(
        "UPDATE window SET settled = settled + ? WHERE id IN (SELECT window FROM charge WHERE attempt = ?)",
        (amount, attempt),
    )
    db.execute(
        "INSERT INTO tally (key, hour, provider, model, money, cost) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET cost = cost + excluded.cost",
        (key, now // MS_PER_HOUR, provider, model, money, amount),
    )
    return Adjusted(attempt, before, before + amount)


def audit(db: sqlite3.Connection) -> list[str]:
    """Windows whose counters do not equal the sum of their rows, in words. An empty list is what it
    should be. Reads every row: not for the writer's connection while calls wait.
    """
    rows = db.execute(AUDIT)
    found = []
    for number, subject, budget, *figures in rows:
        for name, stored, summed in zip(
            ("settled", "held", "topped_up"), figures[:3], figures[3:], strict=True
        ):
            if stored != summed:
                found.append(
                    f"window {number} ({subject}, {budget}): {name} is {stored}, its rows sum to {summed}"
                )
    return found
