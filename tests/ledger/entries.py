"""What ledger tests write: calls, reservations and budgets with figures that a person can add up.

One card (10 pico-dollars a token), one instant to begin at, and a real SQLite file each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from budgetd.core.budgets import Budget, Quote
from budgetd.core.prices import RateCard
from budgetd.core.sessions import Kind, Session, Source, session_id
from budgetd.core.settlement import Settlement
from budgetd.core.usage import BUCKETS, Usage
from budgetd.core.windows import Fixed, Window
from budgetd.ledger.book import Call, Reservation
from budgetd.ledger.writer import connect

NOW = 1_795_000_000_000  # an instant in November 2026, ms
HOUR = 3_600_000
FIVE_HOURS = Fixed(5 * HOUR, anchor=NOW)

CARD = RateCard("openai", "gpt-4o", dict.fromkeys(BUCKETS, 10), source="a list", as_of="2026-11-09")

_numbers = count(1)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The writing connection on a file, closed at the end."""
    db = connect(path)
    try:
        yield db
    finally:
        db.close()


def budget(
    limit: int = 1_000,
    *,
    name: str = "5h",
    subject: str = "key:a",
    window: Window = FIVE_HOURS,
    observe: bool = False,
) -> Budget:
    """A budget on key a."""
    return Budget(name, subject, limit, window, observe=observe)


def reservation(
    *budgets: Budget,
    hold: int = 100,
    key: str = "a",
    call: str | None = None,
    number: int = 1,
    model: str = "gpt-4o",
    card: RateCard = CARD,
    retry_of: str | None = None,
    least: int | None = None,
    path: tuple[Session, ...] = (),
    kind: Kind = "turn",
    label: str | None = None,
    money: str = "real",
) -> Reservation:
    """A reservation of exactly `hold`, or of `least` at least where that is given."""
    made = Call(
        call or f"{next(_numbers):020d}",
        path[0].key if path else key,
        "openai_chat",
        "chat",
        "sdk",
        model,
        path=path,
        kind=kind,
        label=label,
        retry_of=retry_of,
    )
    quote = Quote(0, 1, hold, hold if least is None else least)
    return Reservation(made, number, "openai", model, money, budgets, quote, 50, card)


def path(*refs: str, key: str = "a", source: Source = "client") -> tuple[Session, ...]:
    """A session of a client and those above it, the root last."""
    ids = [session_id(key, ref) for ref in refs]
    above = [*ids, None][1:]
    return tuple(
        Session(own, key, ref, source, "sdk", ids[-1], parent)
        for own, ref, parent in zip(ids, refs, above, strict=True)
    )


def settled(cost: int, *, estimated: bool = False, model: str | None = None) -> Settlement:
    """The end of an attempt, with usage."""
    state = "uncertain" if estimated else "settled"
    usage = Usage(input=30, cache_read=20, output=5, web_searches=2)
    return Settlement(state, cost, estimated, CARD, usage, model, 200)  # type: ignore[arg-type]  # one of two literals


def windows(db: sqlite3.Connection) -> list[tuple[str, str, int, int, int]]:
    """(subject, budget, settled, held, topped_up) of every window, oldest first."""
    return db.execute(
        "SELECT subject, budget, settled, held, topped_up FROM window ORDER BY start, id"
    ).fetchall()
