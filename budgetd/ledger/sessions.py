"""The rows of sessions: entered when a call is admitted, added to when an attempt of it ends.

Functions of a connection, parts of the operations in `ledger.book` and `ledger.desk` and of their
transactions. A tree is what its rows say, not what a call claims of it: a claim that is new moves a
session, with everybody below it and all they have spent, under its parent once and for good; one
that contradicts what is known, or would close a circle, changes nothing. A call of a session that is
known, and is what it was, costs one look when it comes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, NamedTuple

from budgetd.core.causes import cause_of, whole
from budgetd.core.context import Makeup
from budgetd.core.loops import Suspicion
from budgetd.core.sessions import Kind, Session
from budgetd.core.transcript import Checkpoint
from budgetd.core.turns import Carried, Turn
from budgetd.core.windows import Instant
from budgetd.ledger.recall import packed

KNOWN = "SELECT parent, root, source, client, label, model FROM session WHERE id = ?"
_OWN = """
    last = coalesce(?, last), calls = calls + ?, cost = cost + ?, notional = notional + ?,
    turns = max(turns, ?), model = coalesce(?, model), cached = max(cached, ?),
    context = coalesce(?, context), system = coalesce(?, system), suspicion = iif(?, ?, suspicion)
"""
_TREE = """
    tree_last = coalesce(?, tree_last), tree_calls = tree_calls + ?,
    tree_cost = tree_cost + ?, tree_notional = tree_notional + ?
"""
OWN = f"UPDATE session SET {_OWN} WHERE id = ?"  # noqa: S608  our own words
TREE = f"UPDATE session SET {_TREE} WHERE id = ?"  # noqa: S608  our own words
BOTH = f"UPDATE session SET {_OWN}, {_TREE} WHERE id = ?"  # noqa: S608  our own words
_TURN = (
    "session", "call", "at", "number", "kind", "cause", "cold", "reread",
    "system", "history", "results", "user", "output", "resent", "kept",
    "provider", "model", "chain", "items", "head", "answer", "suspicion", "brought",
)  # fmt: skip  # one a line is half a screen
_VALUES = f"INTO turn ({', '.join(_TURN)}) VALUES ({', '.join('?' * len(_TURN))})"
ADD_TURN = f"INSERT OR IGNORE {_VALUES}"
REPLACE_TURN = f"INSERT OR REPLACE {_VALUES}"

# Of a call `c`: what `member` wants to know, and where it stands.
MEMBER = "c.id, c.kind, c.model, c.retry_of IS NOT NULL, s.id, s.root"
OF_CALL = "LEFT JOIN session s ON s.id = c.session"


@dataclass(frozen=True, slots=True)
class Member:
    """A call as one of its session's: what the rows of both say. `model` is as asked for."""

    call: str
    kind: Kind
    model: str
    retried: bool
    session: str
    root: str


class Result(NamedTuple):  # no dataclass: a session may have brought tens of thousands
    """A tool result: the call that brought it, its item's number in the history, the tool's name,
    its tokens, and the call in which it was not there any more.
    """

    call: str
    place: int
    tool: str
    tokens: int
    dropped: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What an attempt cost, or a correction changed, in pico-dollars of one kind of money."""

    money: str
    cost: int
    at: Instant
    by_hand: bool = False  # a correction: the session was not active for it
    cached: bool = False  # the provider's cache was read or written


def member(row: Sequence[Any]) -> Member | None:
    """What the columns of MEMBER say; None: the call has no session."""
    call, kind, model, retried, session, root = row
    if session is None:
        return None
    return Member(call, kind, model, bool(retried), session, root)


def enter(
    db: sqlite3.Connection, path: Sequence[Session], label: str | None, model: str, now: Instant
) -> None:
    """A call of a session was admitted: the session is there, and so are those above it. `path` is
    the session and its ancestors as far as they are claimed, the root last.
    """
    me = path[0]
    row = db.execute(KNOWN, (me.id,)).fetchone()
    if row is None or row[:2] != (path[1].id if len(path) > 1 else None, path[-1].id):
        above: tuple[str, str] | None = None
        for one in reversed(path):
            above = one.id, _place(db, one, above, now)
    told = me.source, me.client, label, model  # known second hand to those who came from below it
    if row is None or told[:2] != row[2:4] or label not in {None, row[4]} or not row[5]:
        db.execute(
            "UPDATE session SET source = ?, client = ?, label = coalesce(?, label),"
            " model = iif(model = '', ?, model) WHERE id = ?",
            (*told, me.id),
        )


def _place(
    db: sqlite3.Connection, one: Session, above: tuple[str, str] | None, now: Instant
) -> str:
    """See to it that a session has a row, under the one above it, whose id and root are given.
    Returns the root that it really has.
    """
    row = db.execute("SELECT parent, root FROM session WHERE id = ?", (one.id,)).fetchone()
    if row is None:
        parent, root = above if above is not None else (None, one.id)
        who = one.id, one.key, one.ref, one.source, one.client
        db.execute(
            "INSERT INTO session (id, key, ref, source, client, parent, root, model, started, last, tree_last)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?)",
            (*who, parent, root, now, now, now if parent is None else 0),
        )
        return root
    parent, root = row
    if above is None or parent is not None or above[1] == one.id:
        return str(root)
    _move(db, one.id, *above)
    return above[1]


def _move(db: sqlite3.Connection, one: str, parent: str, root: str) -> None:
    """Put a root, with its tree, under a parent in another tree."""
    last, *sums = db.execute(
        "SELECT tree_last, tree_calls, tree_cost, tree_notional FROM session WHERE id = ?", (one,)
    ).fetchone()
    db.execute(TREE, (None, *sums, root))
    db.execute("UPDATE session SET tree_last = max(tree_last, ?) WHERE id = ?", (last, root))
    db.execute(
        "UPDATE session SET parent = ?, tree_last = 0, tree_calls = 0, tree_cost = 0, tree_notional = 0"
        " WHERE id = ?",
        (parent, one),
    )
    db.execute("UPDATE session SET root = ? WHERE root = ?", (root, one))


def leave(db: sqlite3.Connection, one: Member, spent: Spent, turn: Turn | None = None) -> None:
    """Add to a session what was spent on one of its calls, and what the call was there. Without a
    `turn` nothing is known of that but its kind; what was known of it before stays.
    """
    fresh = _write_turn(db, _turn_row(one, spent.at, turn), later=turn is not None)
    real = spent.money == "real"
    costs = (spent.cost, 0) if real else (0, spent.cost)
    sums = None if spent.by_hand else spent.at, int(fresh), *costs
    news = _news(one, turn, cached=spent.cached)
    if one.root == one.session:
        db.execute(BOTH, (*sums, *news, *sums, one.session))
    else:
        db.execute(OWN, (*sums, *news, one.session))
        db.execute(TREE, (*sums, one.root))


def suspect(db: sqlite3.Connection, session: str, suspicion: Suspicion) -> None:
    """A session was refused because it goes in circles: no turn will tell."""
    db.execute("UPDATE session SET suspicion = ? WHERE id = ?", (_suspected(suspicion), session))


def _news(one: Member, turn: Turn | None, *, cached: bool) -> tuple[object, ...]:
    """What a turn changes in its session's row, from `turns` on in the order of OWN."""
    if turn is None or turn.kind != "turn":
        return 0, None, 0, None, None, 0, None
    parts = turn.makeup
    return (
        turn.number,
        one.model,
        int(cached),
        parts.input + parts.output if parts is not None else None,
        parts.system if parts is not None else None,
        1,
        _suspected(turn.suspicion),
    )


def _write_turn(db: sqlite3.Connection, row: tuple[object, ...], *, later: bool) -> bool:
    """The row of a call; True if it had none. If it has one and this is `later`, of another attempt
    that shows more of it, then this is what the call was, and both were paid for.
    """
    if db.execute(ADD_TURN, row).rowcount:
        return True
    if later:
        place = row[:2]
        cold, reread = db.execute(
            "SELECT cold, reread FROM turn WHERE session = ? AND call = ?", place
        ).fetchone()
        db.execute(REPLACE_TURN, row)
        db.execute(
            "UPDATE turn SET cold = cold + ?, reread = reread + ? WHERE session = ? AND call = ?",
            (cold, reread, *place),
        )
    return False


def _turn_row(one: Member, at: Instant, turn: Turn | None) -> tuple[object, ...]:
    """A row, in the order of _TURN."""
    place = one.session, one.call, at
    if turn is None:
        split = whole(cause_of(loop=False, retry=one.retried, side=one.kind != "turn"))
        was = 0, one.kind, split.cause, split.cold, split.reread
        return *place, *was, *_tokens(None), 0, 0, *_point(None), None, None
    was = turn.number, turn.kind, turn.split.cause, turn.split.cold, turn.split.reread
    point = turn.checkpoint if turn.makeup is not None else None
    told = _suspected(turn.suspicion), _brought(turn.results)
    return *place, *was, *_tokens(turn.makeup), turn.resent, turn.kept, *_point(point), *told


def _tokens(makeup: Makeup | None) -> tuple[int | None, ...]:
    if makeup is None:
        return (None,) * 5
    return makeup.system, makeup.history, makeup.results, makeup.user, makeup.output


def _point(point: Checkpoint | None) -> tuple[object, ...]:
    if point is None:
        return (None,) * 6
    return point.provider, point.model, point.chain, point.items, *packed(point)


def _suspected(suspicion: Suspicion | None) -> str | None:
    if suspicion is None:
        return None
    names = ("kind", "period", "times", "what")
    return json.dumps({name: getattr(suspicion, name) for name in names})


def _brought(results: Sequence[Carried]) -> str | None:
    if not results:
        return None
    return json.dumps([(one.place, one.tool, one.tokens) for one in results])


def results(db: sqlite3.Connection, session: str) -> list[Result]:
    """The tool results that a session's calls brought, in their order. One is gone in the first
    later turn in which its place in the history is not as it was.
    """
    found: list[Result] = []
    carried: list[tuple[int, int]] = []  # a heap: the last place first, and which result it is
    rows = db.execute(
        "SELECT call, number, kept, brought FROM turn WHERE session = ? ORDER BY call", (session,)
    )
    for call, number, kept, brought in rows:
        while number and carried and -carried[0][0] >= kept:
            which = heappop(carried)[1]
            found[which] = found[which]._replace(dropped=call)
        for place, tool, tokens in json.loads(brought) if brought is not None else ():
            heappush(carried, (-place, len(found)))
            found.append(Result(call, place, tool, tokens))
    return found
