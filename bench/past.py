"""A ledger with a past: as many calls as asked for, of agents with sessions, whose books are right.

Written in bulk, row by row as the operations of `ledger.book` would have left them, so that a million
take half a minute; its audit finds nothing. `reservation`, `lineage` and `turn_of` make what comes
after it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import count
from pathlib import Path

from budgetd.core.budgets import Budget, Quote
from budgetd.core.causes import Split
from budgetd.core.context import Makeup
from budgetd.core.prices import RateCard
from budgetd.core.sessions import Session, session_id
from budgetd.core.transcript import Checkpoint, Head
from budgetd.core.turns import Carried, Turn
from budgetd.core.usage import BUCKETS
from budgetd.core.windows import Calendar, Fixed, Instant, identity, span_at
from budgetd.ledger import recall, rows
from budgetd.ledger.book import Call, Reservation
from budgetd.ledger.writer import connect

NOW = 1_795_000_000_000  # an instant in November 2026, ms
STEP = 5_000  # ms between two calls: a million of them are 58 days
KEYS = 20
MODELS = ("gpt-4o", "gpt-4o-mini", "o4-mini")
LEFT_OPEN = 100  # calls that a crash left open
REFUSED = 20_000
HOLD, COST = 5_000_000_000, 1_000_000_000
TURNS = 40  # of each session; a million calls are 25,000 sessions
FAMILY = 5  # sessions in a tree: a root and its sub-agents

CARDS = tuple(
    RateCard("openai", name, dict.fromkeys(BUCKETS, 2_500_000), source="a list", as_of="2026-11-09")
    for name in MODELS
)
FIVE_HOURS, MONTH, DAY = Fixed(18_000_000), Calendar("month", "UTC"), Calendar("day", "UTC")

Row = tuple[object, ...]

_calls = count(1)


def budgets_of(key: str) -> tuple[Budget, ...]:
    """Two of a key's own and one over everything, none of them near its limit."""
    much = 10**17
    return (
        Budget("5h", f"key:{key}", much, FIVE_HOURS),
        Budget("month", f"key:{key}", much, MONTH),
        Budget("day", "all", much, DAY),
    )


def lineage(key: str, number: int) -> tuple[Session, ...]:
    """One of a key's sessions, and the one above it where it is a sub-agent's."""
    root = session_id(key, f"s-{number - number % FAMILY}")
    top = Session(root, key, f"s-{number - number % FAMILY}", "client", "sdk", root)
    if number % FAMILY == 0:
        return (top,)
    own = session_id(key, f"s-{number}")
    return Session(own, key, f"s-{number}", "client", "sdk", root, root), top


def turn_of(session: Session, number: int, at: Instant) -> Turn:
    """A turn with all that a turn can have."""
    head = Head((7 * 10**17, 9_000), (8 * 10**17, 20_000), (0, 0))
    chain = number.to_bytes(16, "little")
    point = Checkpoint(chain, 2 * number, "openai", "gpt-4o", head, 200, 200, at, number)
    brought = (Carried(2 * number, "Bash", 40),)
    parts = Makeup(100, 40, 40, 20, 200)
    return Turn(
        session, "turn", number, Split("work", 5, 9), parts, 120, point, brought, 2 * number, None
    )


def fill(path: Path, attempts: int) -> None:
    """Make a ledger of so many attempts, the last LEFT_OPEN of them open. Its audit finds nothing."""
    with closing(connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        _write_rows(db, attempts)
        _add_up(db)
        db.execute("COMMIT")
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what the kernel still has to write would slow the first commits


def _write_rows(db: sqlite3.Connection, attempts: int) -> None:
    prices = [rows.price_row(db, card) for card in CARDS]
    windows: dict[tuple[str, str, int], int] = {}
    calls: list[Row] = []
    made: list[Row] = []
    charges: list[Row] = []
    turns: list[Row] = []
    for number in range(attempts):
        at = NOW - (attempts - number) * STEP
        key, model = f"agent-{number % KEYS}", number % len(MODELS)
        call, name = f"{number:020d}", MODELS[model]
        own = number // KEYS
        path = lineage(key, own // TURNS)
        calls.append((call, at, key, name, path[0].id))
        is_open = number >= attempts - LEFT_OPEN
        state = ("open", 0, None) if is_open else ("settled", COST, at + 9)
        if own % TURNS == 0:
            _enter(db, path, at)
        if not is_open:
            turns.append(_turn(path[0], call, own % TURNS + 1, at + 9))
        made.append((f"{call}.1", call, at, name, HOLD, prices[model], *state))
        charges += ((f"{call}.1", _window(db, windows, b, at)) for b in budgets_of(key))
        if len(calls) == 50_000 or number == attempts - 1:
            _insert(db, calls, made, charges)
            marks = ", ".join("?" * 23)
            db.executemany(f"INSERT INTO turn VALUES ({marks})", turns)  # noqa: S608  as many as columns
            calls, made, charges, turns = [], [], [], []
    refused = ((f"{n:020d}", NOW, f"agent-{n % KEYS}") for n in range(min(attempts, REFUSED)))
    db.executemany("INSERT INTO refusal VALUES (?, ?, ?, 'spent', '{}')", refused)


def _enter(db: sqlite3.Connection, path: tuple[Session, ...], at: Instant) -> None:
    me = path[0]
    db.execute(
        "INSERT INTO session (id, key, ref, source, client, parent, root, model, started, last, cached)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'gpt-4o', ?, ?, 1)",
        (me.id, me.key, me.ref, me.source, me.client, me.parent, me.root, at, at),
    )


def _turn(session: Session, call: str, number: int, at: Instant) -> Row:
    """A row of `turn`, as `ledger.sessions` would have written it."""
    one = turn_of(session, number, at)
    point, parts = one.checkpoint, one.makeup
    assert point is not None
    assert parts is not None
    tokens = parts.system, parts.history, parts.results, parts.user, parts.output
    what = session.id, call, at, number, one.kind, "work", one.split.cold, one.split.reread
    where = point.provider, point.model, point.chain, point.items, *recall.packed(point)
    return *what, *tokens, one.resent, one.kept, *where, None, '[[1, "Bash", 40]]'


def _window(
    db: sqlite3.Connection, known: dict[tuple[str, str, int], int], budget: Budget, at: Instant
) -> int:
    span = span_at(budget.window, at)
    place = (budget.subject, identity(budget.window), span.start)
    if place not in known:
        known[place] = rows.open_window(db, budget, span)
    return known[place]


def _insert(
    db: sqlite3.Connection,
    calls: Iterable[Row],
    made: Iterable[Row],
    charges: Iterable[Row],
) -> None:
    db.executemany(
        "INSERT INTO call (id, at, key, dialect, operation, client, model, session)"
        " VALUES (?, ?, ?, 'openai_chat', 'chat', 'sdk', ?, ?)",
        calls,
    )
    db.executemany(
        "INSERT INTO attempt (id, call, at, provider, model, money, hold, input_bound, output_bound,"
        " price, state, cost, ended, input, output)"
        " VALUES (?, ?, ?, 'openai', ?, 'real', ?, 900, 1000, ?, ?, ?, ?, 200, 200)",
        made,
    )
    db.executemany("INSERT INTO charge VALUES (?, ?)", charges)


def _add_up(db: sqlite3.Connection) -> None:
    """The counters that operations would have kept."""
    db.execute(
        "UPDATE window SET settled = s.cost, held = s.held FROM (SELECT x.window AS id, sum(a.cost) AS cost,"
        " sum(iif(a.state = 'open', a.hold, 0)) AS held FROM charge x JOIN attempt a ON a.id = x.attempt"
        " GROUP BY x.window) AS s WHERE s.id = window.id"
    )
    db.execute(
        "INSERT INTO tally (key, hour, provider, model, money, calls, cost, input, output)"
        " SELECT c.key, a.ended / 3600000, a.provider, a.model, a.money, count(*), sum(a.cost),"
        " sum(a.input), sum(a.output) FROM attempt a JOIN call c ON c.id = a.call"
        " WHERE a.state <> 'open' GROUP BY 1, 2, 3, 4, 5"
    )
    db.execute(
        "UPDATE session SET calls = t.calls, turns = t.turns, last = t.last, cost = t.calls * ?,"
        " context = 400, system = 100 FROM (SELECT session, count(*) AS calls, max(number) AS turns,"
        " max(at) AS last FROM turn GROUP BY session) AS t WHERE t.session = session.id",
        (COST,),
    )
    db.execute(
        "UPDATE session SET tree_calls = t.calls, tree_cost = t.cost, tree_last = t.last FROM (SELECT root,"
        " sum(calls) AS calls, sum(cost) AS cost, max(last) AS last FROM session GROUP BY root) AS t"
        " WHERE t.root = session.id"
    )
    db.execute("UPDATE clock SET last = (SELECT coalesce(max(at), 0) FROM attempt)")


def reservation(key: str, path: tuple[Session, ...] = ()) -> Reservation:
    """A call of a key, newer than any that `fill` made."""
    call = Call(f"9{next(_calls):019d}", key, "openai_chat", "chat", "sdk", "gpt-4o", path)
    quote = Quote(0, 1, HOLD, HOLD)
    return Reservation(call, 1, "openai", "gpt-4o", "real", budgets_of(key), quote, 900, CARDS[0])
