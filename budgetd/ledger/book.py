"""Admit, settle, recover: the operations that move money, each one transaction.

Functions of a connection, run by the writer. `admit` reads the balances, runs the pure decision and
writes the hold without a gap between; `settle` replaces a hold exactly once, in the windows it was
reserved in; `recover` charges what a crash left open. No operation here takes money off a window
except by its own row.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from budgetd.core.budgets import Admit, Balance, Budget, Busy, Quote, Refuse, decide
from budgetd.core.money import usd_text
from budgetd.core.prices import RateCard
from budgetd.core.settlement import Settlement
from budgetd.core.usage import BUCKETS, Usage
from budgetd.core.windows import Instant, Span, identity, span_at

PLAIN_BUCKETS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
RARE_BUCKETS = tuple(name for name in BUCKETS if name not in PLAIN_BUCKETS)
MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Call:
    """What an agent asked: the row that its attempts hang on."""

    id: str
    key: str
    dialect: str
    operation: str
    client: str
    model: str
    session: str | None = None
    label: str | None = None
    retry_of: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A hold that is asked for. `budgets` are those that bind this call and count its kind of
    money.
    """

    call: Call
    number: int  # of the attempt, from 1
    provider: str
    model: str
    money: str
    budgets: tuple[Budget, ...]
    quote: Quote
    input_bound: int
    card: RateCard
    observe: bool = False  # decide and write down, but admit all the same

    @property
    def attempt(self) -> str:
        """The hold's identifier, known before it exists."""
        return f"{self.call.id}.{self.number}"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The kill switch is on for this key, or for all."""

    subject: str
    at: Instant
    note: str


Outcome = Admit | Busy | Refuse | Stopped


def admit(db: sqlite3.Connection, wanted: Reservation, now: Instant) -> Outcome:
    """Reserve money for an attempt, or say why not. An admitted hold is in every window that binds
    it.
    """
    subject = f"key:{wanted.call.key}"
    stop = db.execute(
        "SELECT subject, at, note FROM stop WHERE subject IN ('all', ?) LIMIT 1", (subject,)
    ).fetchone()
    if stop is not None:
        outcome: Outcome = Stopped(*stop)
        _write_refusal(db, wanted, now, "stopped", {"subject": stop[0], "note": stop[2]})
        return outcome
    windows = [find_window(db, budget, now) for budget in wanted.budgets]
    verdict = decide(wanted.quote, tuple(balance for _, balance in windows))
    if not isinstance(verdict, Admit):
        _write_refusal(db, wanted, now, *_reason(verdict))
        if not wanted.observe:
            return verdict
        verdict = Admit(
            wanted.quote.hold(wanted.quote.output), wanted.quote.output, verdict.budgets
        )
    elif verdict.observed:
        _write_refusal(db, wanted, now, "observed", _figures(verdict.observed))
    _write_hold(db, wanted, verdict, now)
    db.execute("UPDATE clock SET last = ?", (now,))
    for (window, balance), budget in zip(windows, wanted.budgets, strict=True):
        row = window if window is not None else open_window(db, budget, balance.span)
        db.execute("UPDATE window SET held = held + ? WHERE id = ?", (verdict.hold, row))
        db.execute("INSERT INTO charge VALUES (?, ?)", (wanted.attempt, row))
    return verdict


def settle(db: sqlite3.Connection, attempt: str, done: Settlement, now: Instant) -> bool:
    """Replace a hold by what it cost. False, and no change, if it was settled before or never made."""
    row = db.execute(
        "SELECT a.hold, a.provider, a.model, a.money, a.call, c.key, c.retry_of FROM attempt a JOIN call c ON c.id = a.call"
        " WHERE a.id = ? AND a.state = 'open'",
        (attempt,),
    ).fetchone()
    if row is None:
        return False
    hold, provider, model, money, _, key, retry_of = row
    model = done.model or model
    db.execute(
        "UPDATE attempt SET state = ?, ended = ?, cost = ?, estimated = ?, cause = ?, status = ?, model = ?,"
        " price = coalesce(?, price),"
        " input = ?, cache_read = ?, cache_write_5m = ?, cache_write_1h = ?, output = ?, reasoning = ?, other = ?"
        " WHERE id = ?",
        (
            done.state,
            now,
            done.cost,
            int(done.estimated),
            done.cause,
            done.status,
            model,
            price_row(db, done.card) if done.card is not None else None,
            *_bucket_columns(done.usage),
            attempt,
        ),
    )
    db.execute(
        "UPDATE window SET held = held - ?, settled = settled + ? WHERE id IN (SELECT window FROM charge WHERE attempt = ?)",
        (hold, done.cost, attempt),
    )
    _add_to_tally(
        db, (key, now // MS_PER_HOUR, provider, model, money), done, retried=retry_of is not None
    )
    return True


def recover(db: sqlite3.Connection, now: Instant) -> int:
    """Charge every hold that a crash left open, in full. Returns how many there were."""
    orphans = db.execute("SELECT id, hold FROM attempt WHERE state = 'open'").fetchall()
    for attempt, hold in orphans:
        settle(db, attempt, Settlement("uncertain", hold, estimated=True, cause="orphaned"), now)
    return len(orphans)


def last_instant(db: sqlite3.Connection) -> Instant:
    """The instant of the last reservation, 0 if there was none: what a start must not go back
    behind.
    """
    return int(db.execute("SELECT last FROM clock").fetchone()[0])


def find_window(db: sqlite3.Connection, budget: Budget, now: Instant) -> tuple[int | None, Balance]:
    """The row of a budget's window at an instant (None: nothing was reserved in it yet) and its
    balance.
    """
    span = span_at(budget.window, now)
    row = db.execute(
        "SELECT id, settled, held, topped_up FROM window WHERE subject = ? AND budget = ? AND kind = ? AND start = ?",
        (budget.subject, budget.name, identity(budget.window), span.start),
    ).fetchone()
    if row is None:
        return None, Balance(budget, span)
    return row[0], Balance(budget, span, row[1], row[2], row[3])


def open_window(db: sqlite3.Connection, budget: Budget, span: Span) -> int:
    """Write the row of a window that has none yet."""
    cursor = db.execute(
        "INSERT INTO window (subject, budget, kind, start, end) VALUES (?, ?, ?, ?, ?)",
        (budget.subject, budget.name, identity(budget.window), span.start, span.end),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def price_row(db: sqlite3.Connection, card: RateCard) -> int:
    """The row that keeps this card for good: written once, shared by every attempt priced by it."""
    text = card.row_text()
    row = db.execute("SELECT id FROM price WHERE card = ?", (text,)).fetchone()
    if row is None:
        row = db.execute("INSERT INTO price (card) VALUES (?) RETURNING id", (text,)).fetchone()
    return int(row[0])


def _write_hold(db: sqlite3.Connection, wanted: Reservation, verdict: Admit, now: Instant) -> None:
    call = wanted.call
    if wanted.number == 1:
        db.execute(
            "INSERT INTO call (id, at, key, session, label, dialect, operation, client, model, retry_of)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                call.id,
                now,
                call.key,
                call.session,
                call.label,
                call.dialect,
                call.operation,
                call.client,
                call.model,
                call.retry_of,
            ),
        )
    db.execute(
        "INSERT INTO attempt (id, call, at, provider, model, money, state, hold, input_bound, output_bound, price)"
        " VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?)",
        (
            wanted.attempt,
            call.id,
            now,
            wanted.provider,
            wanted.model,
            wanted.money,
            verdict.hold,
            wanted.input_bound,
            verdict.output,
            price_row(db, wanted.card),
        ),
    )


def _write_refusal(
    db: sqlite3.Connection,
    wanted: Reservation,
    now: Instant,
    reason: str,
    detail: dict[str, object],
) -> None:
    db.execute(
        "INSERT OR IGNORE INTO refusal VALUES (?, ?, ?, ?, ?)",
        (wanted.call.id, now, wanted.call.key, reason, json.dumps(detail)),
    )


def _reason(verdict: Busy | Refuse) -> tuple[str, dict[str, object]]:
    if isinstance(verdict, Busy):
        return "busy", _figures(verdict.budgets)
    return "spent", _figures(verdict.budgets) | {
        "needs": usd_text(verdict.needs),
        "resets_at": verdict.resets_at,
    }


def _figures(balances: tuple[Balance, ...]) -> dict[str, object]:
    return {
        "budgets": [
            {
                "budget": b.budget.name,
                "limit": usd_text(b.limit),
                "settled": usd_text(b.settled),
                "held": usd_text(b.held),
                "resets_at": b.span.end,
            }
            for b in balances
        ]
    }


def _bucket_columns(usage: Usage | None) -> tuple[int | str | None, ...]:
    if usage is None:
        return (None,) * (len(PLAIN_BUCKETS) + 1)
    rare = {name: count for name in RARE_BUCKETS if (count := getattr(usage, name))}
    return (*(getattr(usage, name) for name in PLAIN_BUCKETS), json.dumps(rare) if rare else None)


def _add_to_tally(
    db: sqlite3.Connection,
    where: tuple[str, int, str, str, str],
    done: Settlement,
    *,
    retried: bool,
) -> None:
    usage = done.usage or Usage()
    db.execute(
        "INSERT INTO tally VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET calls = calls + 1, cost = cost + excluded.cost,"
        " estimated_cost = estimated_cost + excluded.estimated_cost, retry_cost = retry_cost + excluded.retry_cost,"
        " input = input + excluded.input, cached = cached + excluded.cached, output = output + excluded.output",
        (
            *where,
            done.cost,
            done.cost if done.estimated else 0,
            done.cost if retried else 0,
            usage.total_input,
            usage.cache_read,
            usage.total_output,
        ),
    )
