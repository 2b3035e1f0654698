"""Rows that operations share: the windows of budgets, and the rate cards that attempts are priced at.

A window's row appears with the first hold (or top-up) in it; a card's row is written once and for
good. Only the text of a card is remembered here, never the number of its row: a number may belong
to a transaction that is rolled back.
"""

from __future__ import annotations

import sqlite3

from budgetd.core.budgets import Balance, Budget
from budgetd.core.prices import RateCard
from budgetd.core.windows import Instant, Span, identity, span_at

MS_PER_HOUR = 3_600_000
MEMO = 1_024  # cards whose text is kept ready

# By identity: a card's rates are a mapping, which has no hash. Each entry keeps its card alive, so no other can
# have its id.
_texts: dict[int, tuple[RateCard, str]] = {}


def find_window(db: sqlite3.Connection, budget: Budget, now: Instant) -> tuple[int | None, Balance]:
    """The row of a budget's window at an instant (None: nothing was reserved in it yet) and its
    balance.
    """
    span = span_at(budget.window, now)
    row = db.execute(
        "SELECT id, settled, held, topped_up FROM window WHERE subject = ? AND budget = ? AND kind = ? AND start = ?",
        (budget.subject, budget.name, identity(budget.window), span.start),
    ).fetchone()
    if row is None:
        return None, Balance(budget, span)
    return row[0], Balance(budget, span, row[1], row[2], row[3])


def open_window(db: sqlite3.Connection, budget: Budget, span: Span) -> int:
    """Write the row of a window that has none yet."""
    cursor = db.execute(
        "INSERT INTO window (subject, budget, kind, start, end) VALUES (?, ?, ?, ?, ?)",
        (budget.subject, budget.name, identity(budget.window), span.start, span.end),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def price_row(db: sqlite3.Connection, card: RateCard) -> int:
    """The row that keeps this card for good: written once, shared by every attempt priced by it."""
    text = _text(card)
    row = db.execute("SELECT id FROM price WHERE card = ?", (text,)).fetchone()
    if row is None:
        row = db.execute("INSERT INTO price (card) VALUES (?) RETURNING id", (text,)).fetchone()
    return int(row[0])


def _text(card: RateCard) -> str:
    known = _texts.get(id(card))
    if known is None:
        if len(_texts) >= MEMO:
            _texts.clear()
        known = _texts[id(card)] = (card, card.row_text())
    return known[1]
