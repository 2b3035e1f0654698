"""What views may ask of the ledger. A read-only connection of its own, so that no question ever
waits for, or holds up, a hold.

Every query reads few rows however long the ledger is: windows that are open now, tallies of the
last hours, the newest of a kind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from budgetd.core.budgets import Balance, Budget
from budgetd.core.windows import Instant, identity, span_at
from budgetd.errors import StoreFault


@dataclass(frozen=True, slots=True)
class Stop:
    """A kill switch that is on."""

    subject: str
    at: Instant
    note: str


@dataclass(frozen=True, slots=True)
class Spend:
    """Sums over tallies, in pico-dollars and tokens."""

    calls: int = 0
    cost: int = 0
    estimated: int = 0
    retried: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0


class Reader:
    """Asks the questions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Connect, read-only."""
        self._db = await aiosqlite.connect(read_only(self._path), uri=True, isolation_level=None)

    async def close(self) -> None:
        """Disconnect."""
        if self._db is not None:
            await self._db.close()
            self._db = None

    async def _all(self, sql: str, values: Iterable[object] = ()) -> list[tuple]:  # type: ignore[type-arg]  # SQL knows the types
        if self._db is None:
            raise StoreFault("the ledger is closed")
        try:
            async with self._db.execute(sql, tuple(values)) as cursor:
                return [tuple(row) for row in await cursor.fetchall()]
        except sqlite3.Error as error:
            raise StoreFault(f"the ledger cannot be read: {error}") from error

    async def balances(self, budgets: Iterable[Budget], now: Instant) -> list[Balance]:
        """The balance of each budget's current window."""
        found = []
        for budget in budgets:
            span = span_at(budget.window, now)
            rows = await self._all(
                "SELECT settled, held, topped_up FROM window"
                " WHERE subject = ? AND budget = ? AND kind = ? AND start = ?",
                (budget.subject, budget.name, identity(budget.window), span.start),
            )
            found.append(Balance(budget, span, *rows[0]) if rows else Balance(budget, span))
        return found

    async def active_keys(self, now: Instant) -> list[str]:
        """Names of keys with a window that is open now: what a pattern has come to stand for."""
        return await self._active("key:", now)

    async def active_labels(self, now: Instant) -> list[str]:
        """Names of labels with a window that is open now."""
        return await self._active("label:", now)

    async def _active(self, kind: str, now: Instant) -> list[str]:
        # Two searches: windows without an end may be millions, of sessions, and only a range of
        # subjects finds these among them; of those that end few are open.
        rows = await self._all(
            "SELECT substr(subject, ?1) FROM window WHERE end IS NULL AND subject >= ?2 AND subject < ?3"
            " UNION SELECT substr(subject, ?1) FROM window WHERE end > ?4"
            " AND substr(subject, 1, ?1 - 1) = ?2",
            (len(kind) + 1, kind, kind[:-1] + ";", now),
        )
        return [row[0] for row in rows]

    async def stops(self) -> list[Stop]:
        """The kill switches that are on."""
        return [
            Stop(*row)
            for row in await self._all("SELECT subject, at, note FROM stop ORDER BY subject")
        ]

    async def spend(self, since_hour: int, key: str | None = None) -> dict[str, Spend]:
        """What was spent since an hour (hours since 1970), by kind of money; of one key or of all."""
        one_key, values = _of_key(key)
        rows = await self._all(
            f"SELECT money, {_SUMS} FROM tally WHERE hour >= ?{one_key} GROUP BY money",  # noqa: S608  our own words
            (since_hour, *values),
        )
        return {row[0]: Spend(*row[1:]) for row in rows}

    async def spend_by_model(self, since_hour: int, key: str) -> list[tuple[str, str, str, Spend]]:
        """A key's spend by (provider, model, money), dearest first."""
        rows = await self._all(
            f"SELECT provider, model, money, {_SUMS} FROM tally WHERE key = ? AND hour >= ?"  # noqa: S608  our own words
            " GROUP BY 1, 2, 3 ORDER BY 5 DESC LIMIT 100",
            (key, since_hour),
        )
        return [(row[0], row[1], row[2], Spend(*row[3:])) for row in rows]

    async def open_holds(self) -> tuple[int, int]:
        """How many attempts are open, and what they hold."""
        rows = await self._all(
            "SELECT count(*), coalesce(sum(hold), 0) FROM attempt WHERE state = 'open'"
        )
        return rows[0][0], rows[0][1]

    async def orphans(self, since: Instant) -> tuple[int, int]:
        """How many calls a crash left open and were charged in full since an instant, and for how
        much.
        """
        rows = await self._all(
            "SELECT count(*), coalesce(sum(cost), 0) FROM attempt WHERE cause = 'orphaned' AND ended >= ?",
            (since,),
        )
        return rows[0][0], rows[0][1]

    async def calls(self, key: str | None, limit: int) -> list[dict[str, object]]:
        """The newest calls with their last attempt, newest first."""
        one_key, values = _of_key(key)
        rows = await self._all(
            f"SELECT {', '.join(_CALL_COLUMNS.values())} FROM call c JOIN attempt a ON a.id ="  # noqa: S608  our own words
            " (SELECT max(id) FROM attempt WHERE id > c.id || '.' AND id < c.id || '/')"
            f" WHERE c.id > ''{one_key} ORDER BY c.id DESC LIMIT ?",
            (*values, limit),
        )
        return [dict(zip(_CALL_COLUMNS, row, strict=True)) for row in rows]

    async def refusals(
        self, key: str | None, limit: int
    ) -> list[tuple[str, Instant, str, str, str]]:
        """The newest refusals: (id, at, key, reason, detail as JSON)."""
        one_key, values = _of_key(key)
        rows = await self._all(
            f"SELECT id, at, key, reason, detail FROM refusal WHERE id > ''{one_key}"  # noqa: S608  our own words
            " ORDER BY id DESC LIMIT ?",
            (*values, limit),
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


# In the order of Spend's fields.
_SUMS = "sum(calls), sum(cost), sum(estimated_cost), sum(retry_cost), sum(input), sum(cached), sum(output)"

_CALL_COLUMNS = {
    "call": "c.id",
    "at": "c.at",
    "key": "c.key",
    "client": "c.client",
    "provider": "a.provider",
    "model": "a.model",
    "state": "a.state",
    "cost": "a.cost + coalesce((SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0)",
    "estimated": "a.estimated",
    "cause": "a.cause",
    "status": "a.status",
    "hold": "a.hold",
    "retry_of": "c.retry_of",
    "money": "a.money",
}


def read_only(path: Path) -> str:
    """The file as an address that SQLite opens for reading only."""
    return f"{path.absolute().as_uri()}?mode=ro"


def _of_key(key: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition on one key and its value; nothing for all of them, so that an index serves
    either.
    """
    return (" AND key = ?", (key,)) if key is not None else ("", ())
