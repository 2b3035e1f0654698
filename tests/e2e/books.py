"""The ledger as an auditor reads it: a connection of its own, straight from the file.

What these tests compare with the provider's bill is what is on disk, not what the daemon says of
itself. Amounts are pico-dollars.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

PICO = 10**12  # one dollar


@dataclass(frozen=True)
class Entry:
    """One attempt as it is written down."""

    id: str
    call: str
    key: str
    provider: str
    model: str
    state: str
    hold: int
    cost: int
    estimated: int
    cause: str | None
    status: int | None
    retry_of: str | None


@dataclass(frozen=True)
class Drawer:
    """One window of a budget."""

    subject: str
    budget: str
    start: int
    settled: int
    held: int
    topped_up: int


def entries(state: Path) -> list[Entry]:
    """Every attempt, oldest first."""
    return [
        Entry(*row)
        for row in ask(
            state,
            "SELECT a.id, a.call, c.key, a.provider, a.model, a.state, a.hold, a.cost, a.estimated,"
            " a.cause, a.status, c.retry_of FROM attempt a JOIN call c ON c.id = a.call ORDER BY a.id",
        )
    ]


def newest(state: Path) -> Entry:
    """The last attempt."""
    return entries(state)[-1]


def charged(state: Path) -> int:
    """What all attempts come to."""
    total: int = ask(state, "SELECT coalesce(sum(cost), 0) FROM attempt")[0][0]
    return total


def held(state: Path) -> int:
    """What open attempts hold, by the attempts themselves."""
    total: int = ask(state, "SELECT coalesce(sum(hold), 0) FROM attempt WHERE state = 'open'")[0][0]
    return total


def drawers(state: Path, subject: str = "key:default") -> list[Drawer]:
    """The windows of a subject, oldest first."""
    return [
        Drawer(*row)
        for row in ask(
            state,
            "SELECT subject, budget, start, settled, held, topped_up FROM window"
            " WHERE subject = ? ORDER BY start, id",
            subject,
        )
    ]


def ask(state: Path, sql: str, *values: object) -> list[tuple]:
    """Any question."""
    with closing(sqlite3.connect(f"file:{state / 'ledger.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()
