"""What an owner does by hand: top up, stop, adjust, and check the books.

Functions of a connection, run by the writer like every other change. Nothing is overwritten: a
top-up and an adjustment are rows of their own beside what they change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from budgetd.core.budgets import Balance, Budget
from budgetd.core.windows import Instant
from budgetd.ledger import sessions
from budgetd.ledger.rows import MS_PER_HOUR, find_window, open_window
from budgetd.ledger.sessions import MEMBER, OF_CALL, Spent, member

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

# The same for sessions: what their calls cost, their turns, and what is below a root.
AUDIT_SESSIONS = """
    WITH spent AS (
        SELECT c.session AS id, sum(iif(x.money = 'real', x.cost, 0)) AS cost,
            sum(iif(x.money = 'real', 0, x.cost)) AS notional
        FROM (
            SELECT call, money, cost FROM attempt
            UNION ALL SELECT a.call, a.money, j.amount FROM adjustment j JOIN attempt a ON a.id = j.attempt
        ) x JOIN call c ON c.id = x.call WHERE c.session IS NOT NULL GROUP BY c.session
    ), been AS (
        SELECT session AS id, count(*) AS calls, max(number) AS turns FROM turn GROUP BY session
    ), tree AS (
        SELECT root AS id, sum(calls) AS calls, sum(cost) AS cost, sum(notional) AS notional
        FROM session GROUP BY root
    )
    SELECT s.id, s.ref, s.calls, s.turns, s.cost, s.notional, s.tree_calls, s.tree_cost, s.tree_notional,
        coalesce(b.calls, 0), coalesce(b.turns, 0), coalesce(x.cost, 0), coalesce(x.notional, 0),
        iif(s.parent IS NULL, t.calls, 0), iif(s.parent IS NULL, t.cost, 0),
        iif(s.parent IS NULL, t.notional, 0)
    FROM session s LEFT JOIN spent x USING (id) LEFT JOIN been b USING (id) LEFT JOIN tree t USING (id)
"""
SESSION_FIGURES = ("calls", "turns", "cost", "notional", "tree_calls", "tree_cost", "tree_notional")

# What no sum shows, each with the words for it.
AUDIT_TURNS = {
    "session {}: its root is not {}": """
        SELECT s.id, s.root FROM session s LEFT JOIN session p ON p.id = s.parent
        WHERE s.root <> iif(s.parent IS NULL, s.id, coalesce(p.root, ''))
    """,
    "call {}: there is no session {}": """
        SELECT c.id, c.session FROM call c LEFT JOIN session s ON s.id = c.session
        WHERE c.session IS NOT NULL AND s.id IS NULL
    """,
    "call {}: it has a cost and no turn in session {}": """
        SELECT c.id, c.session FROM attempt a JOIN call c ON c.id = a.call
        LEFT JOIN turn t ON t.session = c.session AND t.call = c.id
        WHERE a.cost <> 0 AND c.session IS NOT NULL AND t.call IS NULL
    """,
    "call {}: its parts in session {} are more than it cost": """
        SELECT t.call, t.session FROM turn t WHERE (t.cold <> 0 OR t.reread <> 0) AND t.cold + t.reread >
            (SELECT sum(cost) FROM attempt WHERE id > t.call || '.' AND id < t.call || '/')
    """,
}


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
        "SELECT a.id, a.cost + coalesce((SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0),"  # noqa: S608  our own words
        f" c.key, a.provider, a.model, a.money, {MEMBER}"
        f" FROM attempt a JOIN call c ON c.id = a.call {OF_CALL}"
        " WHERE a.id > ? || '.' AND a.id < ? || '/' AND a.state <> 'open'"
        " ORDER BY length(a.id) DESC, a.id DESC LIMIT 1",
        (call, call),
    ).fetchone()
    if row is None:
        return None
    attempt, before, key, provider, model, money = row[:6]
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
    one = member(row[6:])
    if one is not None:
        sessions.leave(db, one, Spent(money, amount, now, by_hand=True))
    return Adjusted(attempt, before, before + amount)


def audit(db: sqlite3.Connection) -> list[str]:
    """Windows and sessions whose counters do not equal the sum of their rows, in words. An empty
    list is what it should be. Reads every row: not for the writer's connection while calls wait.
    """
    found: list[str] = []
    for number, subject, budget, *figures in db.execute(AUDIT):
        names = "settled", "held", "topped_up"
        found += _differences(f"window {number} ({subject}, {budget})", names, figures)
    for session, ref, *figures in db.execute(AUDIT_SESSIONS):
        found += _differences(f"session {session} ({ref})", SESSION_FIGURES, figures)
    for words, question in AUDIT_TURNS.items():
        found += (words.format(*row) for row in db.execute(question))
    return found


def _differences(what: str, names: Sequence[str], figures: Sequence[int]) -> Iterator[str]:
    """Figures as stored, then the same ones as summed."""
    for name, stored, summed in zip(
        names, figures[: len(names)], figures[len(names) :], strict=True
    ):
        if stored != summed:
            yield f"{what}: {name} is {stored}, its rows sum to {summed}"
