"""A manor: a daemon whose ledger has tales in it before it starts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from budgetd.core.budgets import Budget
from budgetd.core.windows import Fixed, Total
from budgetd.ledger.store import LEDGER
from tests.ledger.entries import HOUR, opened
from tests.ledger.tales import MINUTE, USD, Tale, looping, work
from tests.rig import START, HandClock, House, house

Write = Callable[[sqlite3.Connection], Any]

CONFIG = """
keys:
  research: [2.00 per 5h, 5.00 per session, 5.00 per agent]
  laptop: {budgets: 3.00 per day, caps: {turns_per_session: 40, context_tokens: 90000}}
"""
FIVE_HOURS = Budget("5h", "key:research", 2 * USD, Fixed(5 * HOUR))


def bound(tale: Tale) -> Tale:
    """A tale whose calls are in the windows of research's budgets."""
    root = tale.path[-1].id
    tale.budgets = (
        FIVE_HOURS,
        Budget("session", f"session:{root}", 5 * USD, Total()),
        Budget("agent", f"agent:{tale.id}", 5 * USD, Total()),
    )
    return tale


@asynccontextmanager
async def manor(folder: Path, write: Write, extra: str = CONFIG) -> AsyncIterator[House]:
    """A house whose ledger was written before it starts, a minute after the last of it."""
    (folder / "state").mkdir(mode=0o700)
    with opened(folder / "state" / LEDGER) as db:
        write(db)
        (last,) = db.execute("SELECT max(last) FROM session").fetchone()
    clock = HandClock((last or START) + MINUTE)
    async with house(folder, extra, clock=clock) as home:
        yield home


def family(db: sqlite3.Connection) -> dict[str, Tale]:
    """A session with two sub-agents, one of which goes in circles; and another one, long ago."""
    old = bound(Tale(db, "old", client="codex", at=START - 9 * HOUR))
    work(old, 2)
    root = bound(Tale(db, "nightly", at=START))
    root.label = "ci"
    work(root, 6)
    root.turn(kind="side")
    first = bound(Tale(db, "nightly/a1", above=root, at=root.at))
    work(first, 3)
    second = bound(Tale(db, "nightly/a2", above=root, at=root.at + MINUTE))
    work(second, 2)
    second.turn(suspicion=looping())
    work(root, 6)
    root.turn(retry=True)
    root.turn(cached=False, user=500)
    return {"old": old, "nightly": root, "a1": first, "a2": second}
