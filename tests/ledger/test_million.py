"""A ledger of a million attempts: right to the last row, and no question that reads them all.

Times are for `python -m bench.ledger`; a busy machine is no bug. What is asserted here is that the
figures are right and that the steps SQLite takes for a question do not grow with the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from bench.past import (
    COST,
    FAMILY,
    HOLD,
    LEFT_OPEN,
    NOW,
    REFUSED,
    STEP,
    budgets_of,
    fill,
    lineage,
    reservation,
    turn_of,
)
from budgetd.core.budgets import Admit
from budgetd.core.settlement import Settlement
from budgetd.ledger import book, desk, recall, rows
from budgetd.ledger.store import LEDGER, Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MILLION = 1_000_000
ENDED = 80  # calls that `a_call` settles, and corrects by one pico-dollar each
OPS = 100  # of SQLite's virtual machine, between two calls of a progress handler


def steps(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], object]) -> int:
    """How many steps of its virtual machine (in hundreds) SQLite takes."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(step, OPS)
    try:
        work(db)
    finally:
        db.set_progress_handler(None, OPS)
    return taken


def a_call(db: sqlite3.Connection) -> None:
    """Everything the writer does for calls, and for their owner."""
    for number in range(20):
        wanted = reservation(f"agent-{number}")
        assert isinstance(book.admit(db, wanted, NOW), Admit)
        assert book.settle(db, wanted.attempt, Settlement("settled", COST), NOW)
        assert desk.adjust(db, wanted.call.id, 1, "", NOW) is not None
        desk.top_up(db, budgets_of("agent-1"), 1, "", NOW)
    a_turn(db)


def a_turn(db: sqlite3.Connection) -> None:
    """The same for sessions: known ones, new ones, and one that finds its parent late."""
    for number in range(20):
        key = f"agent-{number}"
        for path in (lineage(key, 0), lineage(key, 1), lineage(key, 10**6 + number)):
            wanted = reservation(key, path)
            assert isinstance(book.admit(db, wanted, NOW), Admit)
            turn = turn_of(path[0], 10**6, NOW)
            assert book.settle(db, wanted.attempt, Settlement("settled", COST), NOW, turn)
            assert desk.adjust(db, wanted.call.id, 1, "", NOW) is not None
        late, above = lineage(key, 10**6 + 3 * FAMILY), lineage(key, 0)
        book.admit(db, reservation(key, late), NOW)
        book.admit(db, reservation(key, (*late, *above)), NOW)
    assert len(recall.load(db, 20, 8)) >= 20


async def test_a_million_attempts(tmp_path: Path) -> None:
    taken = []
    for attempts in (1_000, MILLION):
        state = tmp_path / str(attempts)
        state.mkdir()
        fill(state / LEDGER, attempts)
        async with opened(state) as ledger:
            taken.append(await lived_through(ledger, attempts))
    small, large = taken
    assert large <= small * 1.2


@asynccontextmanager
async def opened(state: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger(state)
    assert await ledger.open() == NOW - STEP
    try:
        yield ledger
    finally:
        await ledger.close()


async def lived_through(ledger: Ledger, attempts: int) -> int:
    """Everything that is asked of a ledger, once; the steps that a call takes in it."""
    assert await ledger.reader.open_holds() == (LEFT_OPEN, LEFT_OPEN * HOLD)
    assert await ledger.audit() == []
    assert await ledger.recover(NOW) == LEFT_OPEN
    assert await ledger.reader.orphans(NOW) == (LEFT_OPEN, LEFT_OPEN * HOLD)
    taken = await ledger.writer.submit(partial(steps, work=a_call))
    spent = await ledger.reader.spend(0)
    assert spent["real"].calls == attempts + ENDED
    ended = attempts - LEFT_OPEN + ENDED
    assert spent["real"].cost == ended * COST + LEFT_OPEN * HOLD + ENDED
    newest = await ledger.reader.calls("agent-7", 3)
    assert newest[0]["call"] > newest[1]["call"] > newest[2]["call"]  # type: ignore[operator]  # texts
    assert len(await ledger.reader.refusals(None, 30_000)) == min(attempts, REFUSED)
    assert (await ledger.reader.balances(budgets_of("agent-7"), NOW))[0].settled >= COST
    assert await ledger.audit() == []
    hour = NOW // rows.MS_PER_HOUR
    assert (await ledger.reader.spend(hour - 1, "agent-7"))["real"].calls > 0
    return taken
