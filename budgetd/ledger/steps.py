"""The turns of sessions, as views ask for them: what each call was and cost, and what it was paid by.

Functions of a connection, asked in one snapshot with `ledger.histories`. A call's cost is that of
its attempts with their adjustments; everything else of it is its last attempt's. Every question
says how many rows it reads at most.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from budgetd.core.budgets import Money
from budgetd.core.context import Makeup
from budgetd.core.loops import Suspicion
from budgetd.core.prices import RateCard, Writes
from budgetd.core.windows import Instant
from budgetd.ledger.histories import suspicion_of


@dataclass(frozen=True, slots=True)
class Step:
    """A settled call of a session, with what it cost in pico-dollars. `input` and `cached` are
    tokens as reported, None where nothing was.
    """

    session: str
    call: str
    at: Instant  # when it was sent
    number: int  # 0 for what is no turn
    kind: str
    provider: str
    model: str
    money: Money
    state: str
    cost: int
    cause: str
    cold: int
    reread: int
    resent: int
    cached: int | None
    retry_of: str | None
    price: int  # row of the card that it was priced at
    estimated: bool
    makeup: Makeup | None
    input: int | None
    writes: Writes
    suspicion: Suspicion | None


class Spending(NamedTuple):  # no dataclass: a page can need thousands of them
    """An attempt of a session: pico-dollars, and the model that was asked for."""

    session: str
    call: str
    model: str
    money: Money
    cost: int


class Traffic(NamedTuple):  # the same
    """An attempt of anybody's, in pico-dollars; `session` is empty where there is none."""

    session: str
    call: str
    at: Instant
    model: str
    money: Money
    cost: int
    key: str
    label: str | None


def newest(db: sqlite3.Connection, session: str, most: int) -> list[Step]:
    """A session's newest turns, the newest first: what forecasts are made from."""
    rows = db.execute(
        f"{_STEPS} WHERE t.session = ? AND t.kind = 'turn' ORDER BY t.call DESC LIMIT ?",
        (session, most),
    )
    return [_step(row) for row in rows]


def steps(db: sqlite3.Connection, session: str, most: int, before: str | None = None) -> list[Step]:
    """A session's calls of every kind, the newest first; only those before a call, where one is
    given.
    """
    earlier, values = ("AND t.call < ?", (before,)) if before is not None else ("", ())
    rows = db.execute(
        f"{_STEPS} WHERE t.session = ? {earlier} ORDER BY t.call DESC LIMIT ?",
        (session, *values, most),
    )
    return [_step(row) for row in rows]


def spending(
    db: sqlite3.Connection, sessions: Iterable[tuple[str, str]], most: int
) -> list[Spending]:
    """What sessions, each given with one of its calls, have spent after it: at most so many calls."""
    rows = db.execute(
        "SELECT t.session, t.call, c.model, a.money, a.cost + coalesce("
        " (SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0)"
        " FROM json_each(?) s JOIN turn t ON t.session = json_extract(s.value, '$[0]')"
        " AND t.call > json_extract(s.value, '$[1]')"
        " JOIN call c ON c.id = t.call"
        " JOIN attempt a ON a.id > t.call || '.' AND a.id < t.call || '/' LIMIT ?",
        (json.dumps(list(sessions)), most),
    )
    return [Spending._make(row) for row in rows]


def traffic(db: sqlite3.Connection, after: str, most: int) -> list[Traffic]:
    """What everybody has spent after a call: the newest, at most so many attempts of it."""
    rows = db.execute(
        "SELECT coalesce(c.session, ''), c.id, c.at, c.model, a.money, a.cost, c.key, c.label"
        " FROM call c JOIN attempt a ON a.id > c.id || '.' AND a.id < c.id || '/'"
        " WHERE c.id > ? ORDER BY c.id DESC LIMIT ?",
        (after, most),
    )
    return [Traffic._make(row) for row in rows]


def cards(db: sqlite3.Connection, prices: Iterable[int]) -> dict[int, RateCard]:
    """Rate cards by their rows."""
    rows = db.execute(
        "SELECT id, card FROM price WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(prices)),),
    )
    return {number: RateCard.from_row_text(text) for number, text in rows}


_STEPS = (
    "SELECT t.session, t.call, c.at, t.number, t.kind, a.provider, a.model, a.money, a.state,"
    " (SELECT sum(x.cost + coalesce((SELECT sum(amount) FROM adjustment WHERE attempt = x.id), 0))"
    "  FROM attempt x WHERE x.id > t.call || '.' AND x.id < t.call || '/'),"
    " t.cause, t.cold, t.reread, t.resent, a.cache_read, c.retry_of, a.price,"
    " a.estimated, t.system, t.history, t.results, t.user, t.output,"
    " a.input + a.cache_read + a.cache_write_5m + a.cache_write_1h,"
    " iif(a.cache_write_1h > 0, '1h', iif(a.cache_write_5m > 0, '5m', 'none')), t.suspicion"
    " FROM turn t JOIN call c ON c.id = t.call JOIN attempt a ON a.id ="
    " (SELECT max(id) FROM attempt WHERE id > t.call || '.' AND id < t.call || '/')"
)


def _step(row: tuple) -> Step:  # type: ignore[type-arg]  # SQL knows the types
    makeup = Makeup(*row[18:23]) if row[18] is not None else None
    read = makeup.input if makeup is not None else row[23]
    return Step(*(*row[:17], bool(row[17]), makeup, read, row[24], suspicion_of(row[25])))
