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

from budgetd.core.budgets import Admit, Budget, Busy, Quote, Refuse, decide
from budgetd.core.prices import RateCard
from budgetd.core.sessions import Kind, Session
from budgetd.core.settlement import Settlement
from budgetd.core.turns import Turn
from budgetd.core.usage import BUCKETS, Usage
from budgetd.core.windows import Instant
from budgetd.ledger import refusals, sessions
from budgetd.ledger.rows import MS_PER_HOUR, find_window, open_window, price_row
from budgetd.ledger.sessions import MEMBER, OF_CALL, Spent, member

PLAIN_BUCKETS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
RARE_BUCKETS = tuple(name for name in BUCKETS if name not in PLAIN_BUCKETS)


@dataclass(frozen=True, slots=True)
class Call:
    """What an agent asked: the row that its attempts hang on."""

    id: str
    key: str
    dialect: str
    operation: str
    client: str
    model: str
    path: tuple[Session, ...] = ()  # its session and those above it, the root last; (): it has none
    kind: Kind = "turn"
    label: str | None = None
    retry_of: str | None = None

    @property
    def session(self) -> str | None:
        """The identifier of its session."""
        return self.path[0].id if self.path else None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A hold that is asked for. `budgets` are those that count this call and its kind of money, no
    two with the same subject, name and window.
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
    """Reserve money for an attempt, or say why not. An admitted hold is in every window that counts
    it, observing ones too.
    """
    call, key = wanted.call.id, wanted.call.key
    stop = db.execute(
        "SELECT subject, at, note FROM stop WHERE subject IN ('all', ?) ORDER BY subject LIMIT 1",
        (f"key:{key}",),
    ).fetchone()
    if stop is not None:
        told: refusals.Figures = {"subject": stop[0], "note": stop[2]}
        refusals.write(db, call, key, now, ("stopped", told))
        return Stopped(*stop)
    windows = [find_window(db, budget, now) for budget in wanted.budgets]
    verdict = decide(wanted.quote, tuple(balance for _, balance in windows))
    if not isinstance(verdict, Admit):
        refusals.write(db, call, key, now, refusals.of_verdict(verdict))
        return verdict
    if verdict.observed:
        refusals.write(db, call, key, now, ("observed", refusals.figures(verdict.observed)))
    _write_hold(db, wanted, verdict, now)
    if wanted.call.path and wanted.number == 1:
        sessions.enter(db, wanted.call.path, wanted.call.label, wanted.call.model, now)
    db.execute("UPDATE clock SET last = ?", (now,))
    for (window, balance), budget in zip(windows, wanted.budgets, strict=True):
        row = window if window is not None else open_window(db, budget, balance.span)
        db.execute("UPDATE window SET held = held + ? WHERE id = ?", (verdict.hold, row))
        db.execute("INSERT INTO charge VALUES (?, ?)", (wanted.attempt, row))
    return verdict


def settle(
    db: sqlite3.Connection,
    attempt: str,
    done: Settlement,
    now: Instant,
    turn: Turn | None = None,
) -> bool:
    """Replace a hold by what it cost, and add that to its call's session; `turn` is what the call
    was there. False, and no change, if it was settled before or never made.
    """
    row = db.execute(
        f"SELECT a.hold, a.provider, a.model, a.money, c.key, c.retry_of, {MEMBER}"  # noqa: S608  our own words
        f" FROM attempt a JOIN call c ON c.id = a.call {OF_CALL} WHERE a.id = ? AND a.state = 'open'",
        (attempt,),
    ).fetchone()
    if row is None:
        return False
    hold, provider, model, money, key, retry_of = row[:6]
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
        "UPDATE window SET held = held - ?, settled = settled + ?"
        " WHERE id IN (SELECT window FROM charge WHERE attempt = ?)",
        (hold, done.cost, attempt),
    )
    if done.state != "not_sent":
        where = (key, now // MS_PER_HOUR, provider, model, money)
        _add_to_tally(db, where, done, retried=retry_of is not None)
        one = member(row[6:])
        if one is not None:
            sessions.leave(db, one, Spent(money, done.cost, now, cached=_cached(done.usage)), turn)
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


def _write_hold(db: sqlite3.Connection, wanted: Reservation, verdict: Admit, now: Instant) -> None:
    call = wanted.call
    if wanted.number == 1:
        db.execute(
            "INSERT INTO call (id, at, key, session, kind, label, dialect, operation, client, model, retry_of)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                call.id,
                now,
                call.key,
                call.session,
                call.kind,
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


def _cached(usage: Usage | None) -> bool:
    """Whether a provider's cache was read or written."""
    return usage is not None and usage.cache_read + usage.cache_write_5m + usage.cache_write_1h > 0


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
