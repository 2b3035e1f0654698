"""What views may ask about sessions: which there are, and how they are related.

Questions are functions of a connection, and one view's questions run together in one snapshot of
the ledger, in a thread: the sums that a page shows belong to the same moment, and a large session
holds up neither a call nor a hold. Every question reads rows of the sessions that it is asked about
and no others, and says where it stops. A session's turns are asked for in `ledger.steps`, where its
money went in `ledger.breakdown`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from budgetd.core.loops import Suspicion
from budgetd.core.sessions import Session
from budgetd.core.windows import Instant
from budgetd.errors import StoreFault
from budgetd.ledger.reads import read_only

AT_ONCE = 2  # views that are gathered at a time: others have work for threads too
MOST_KIN = 20_000  # sessions of one page whose places in their trees are worked out
CANDIDATES = 8  # sessions that are named when a beginning fits several
LOOPING = 10  # suspected sessions that are told at once
LAST_CHARACTER = "\U0010ffff"  # after a beginning: what no text that begins so comes after

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Profile:
    """A session and its figures: money in pico-dollars, tokens. `tree` figures are of a root's
    whole tree, and 0 for others. `context` is what its newest turn read and wrote.
    """

    session: Session
    label: str | None
    model: str  # of its newest turn
    started: Instant
    last: Instant
    calls: int
    turns: int
    cost: int
    notional: int
    tree_last: Instant
    tree_calls: int
    tree_cost: int
    tree_notional: int
    context: int
    suspicion: Suspicion | None


class Kin(NamedTuple):  # no dataclass: a page can need 20,000 of them
    """What places a session in its tree, and what it adds there: its own calls and pico-dollars.
    `suspected`: its newest turn seems to go in circles (0 or 1).
    """

    id: str
    root: str
    parent: str | None
    started: Instant
    last: Instant
    calls: int
    cost: int
    notional: int
    suspected: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which trees a list shows: the newest first, of one key or of all, not older than `since`."""

    key: str | None = None
    since: Instant | None = None
    limit: int = 50


class Histories:
    """Runs a view's questions, a few at a time. There is nothing to open or to close."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places = asyncio.Semaphore(AT_ONCE)

    async def ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        """The answer, from one snapshot. Raises StoreFault."""
        async with self._places:
            return await asyncio.to_thread(self._ask, question)

    def _ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            with closing(
                sqlite3.connect(read_only(self._path), uri=True, isolation_level=None)
            ) as db:
                db.execute("BEGIN")
                return question(db)
        except sqlite3.Error as error:
            raise StoreFault(f"the ledger cannot be read: {error}") from error


def trees(db: sqlite3.Connection, wanted: Wanted) -> list[Profile]:
    """The roots, those whose trees were busy last first."""
    conditions, values = ["parent IS NULL"], list[object]()
    if wanted.key is not None:
        conditions.append("key = ?")
        values.append(wanted.key)
    if wanted.since is not None:
        conditions.append("tree_last >= ?")
        values.append(wanted.since)
    return _profiles(
        db,
        f"WHERE {' AND '.join(conditions)} ORDER BY tree_last DESC LIMIT ?",
        (*values, wanted.limit),
    )


def active(db: sqlite3.Connection, since: Instant) -> int:
    """How many trees were busy since an instant."""
    (number,) = db.execute(
        "SELECT count(*) FROM session WHERE parent IS NULL AND tree_last >= ?", (since,)
    ).fetchone()
    return int(number)


def looping(db: sqlite3.Connection, since: Instant) -> list[Profile]:
    """Sessions that were busy since an instant and seem to go in circles, the newest first."""
    return _profiles(
        db, "WHERE last >= ? AND suspicion IS NOT NULL ORDER BY last DESC LIMIT ?", (since, LOOPING)
    )


def find(db: sqlite3.Connection, name: str) -> list[Profile]:
    """The session that is meant by our id, by the client's own, or by the beginning of either. []:
    nobody; several: it fits all of these, and perhaps more. A beginning means a root, where it fits
    one: its sub-agents' names often begin with its own.
    """
    for column in ("id", "ref"):
        found = _profiles(db, f"WHERE {column} = ? LIMIT ?", (name, CANDIDATES))
        if found:
            return found
    between = (name, name + LAST_CHARACTER, CANDIDATES)
    for which in ("AND parent IS NULL", ""):
        fitting = {
            one.session.id: one
            for column in ("id", "ref")
            for one in _profiles(
                db,
                f"WHERE {column} >= ? AND {column} < ? {which} ORDER BY {column} LIMIT ?",
                between,
            )
        }
        if fitting:
            return list(fitting.values())[:CANDIDATES]
    return []


def kin(db: sqlite3.Connection, roots: Iterable[str]) -> list[Kin]:
    """Everybody in the trees of these roots, the roots among them: at most MOST_KIN."""
    rows = db.execute(
        "SELECT id, root, parent, started, last, calls, cost, notional, suspicion IS NOT NULL"
        " FROM session"
        " WHERE root IN (SELECT value FROM json_each(?)) LIMIT ?",
        (json.dumps(list(roots)), MOST_KIN),
    )
    return [Kin._make(row) for row in rows]


def profiles(db: sqlite3.Connection, sessions: Iterable[str]) -> dict[str, Profile]:
    """Sessions by our ids; those that are not known are left out."""
    wanted = (json.dumps(list(sessions)),)
    found = _profiles(db, "WHERE id IN (SELECT value FROM json_each(?))", wanted)
    return {one.session.id: one for one in found}


def suspicion_of(text: str | None) -> Suspicion | None:
    """A suspicion as the ledger keeps it."""
    return Suspicion(**json.loads(text)) if text is not None else None


_PROFILE = (
    "SELECT id, key, ref, source, client, root, parent, label, model, started, last, calls, turns,"
    " cost, notional, tree_last, tree_calls, tree_cost, tree_notional, context, suspicion"
    " FROM session"
)


def _profiles(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[Profile]:
    return [
        Profile(*(Session(*row[:7]), *row[7:-1], suspicion_of(row[-1])))
        for row in db.execute(f"{_PROFILE} {where}", values)
    ]
