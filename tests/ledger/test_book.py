"""Admit, settle, recover: what each writes, to the row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from budgetd.core.budgets import Admit, Balance, Busy, Refuse
from budgetd.core.settlement import Settlement
from budgetd.core.windows import Calendar, Total
from budgetd.ledger import book, desk, refusals, rows
from tests.ledger.entries import (
    CARD,
    HOUR,
    NOW,
    budget,
    opened,
    reservation,
    settled,
    windows,
)

DAY = Calendar("day", "UTC")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "ledger.db") as connection:
        yield connection


def refused(db: sqlite3.Connection) -> list[tuple[str, str, dict[str, object]]]:
    found = db.execute("SELECT id, reason, detail FROM refusal ORDER BY id")
    return [(call, reason, json.loads(detail)) for call, reason, detail in found]


def tallied(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute(
        "SELECT model, calls, cost, estimated_cost, retry_cost, input, cached, output FROM tally"
    ).fetchall()


# ------------------------------------------------------------------------------------------------ admit


def test_a_hold_is_in_every_window_that_counts_it(db: sqlite3.Connection) -> None:
    all_keys = budget(subject="all", name="day", window=DAY)
    wanted = reservation(budget(), all_keys, budget(name="watch", limit=1, observe=True))
    assert book.admit(db, wanted, NOW) == Admit(100, 100, _observed(db, wanted))
    assert windows(db) == [
        ("all", "day", 0, 100, 0),
        ("key:a", "5h", 0, 100, 0),
        ("key:a", "watch", 0, 100, 0),
    ]
    assert db.execute(
        "SELECT id, call, state, hold, output_bound, input_bound FROM attempt"
    ).fetchall() == [(wanted.attempt, wanted.call.id, "open", 100, 100, 50)]
    assert book.last_instant(db) == NOW


def _observed(db: sqlite3.Connection, wanted: book.Reservation) -> tuple[Balance, ...]:
    """What the watching budget saw: its window before the hold was in it."""
    watch = wanted.budgets[-1]
    _, found = rows.find_window(db, watch, NOW)
    return (replace(found, held=found.held - 100),)


def test_a_bound_that_was_lowered_is_what_is_held_and_written(db: sqlite3.Connection) -> None:
    wanted = reservation(budget(60), hold=100, least=10)
    assert book.admit(db, wanted, NOW) == Admit(60, 60)
    assert db.execute("SELECT hold, output_bound FROM attempt").fetchall() == [(60, 60)]


def test_what_does_not_fit_leaves_a_refusal_and_nothing_else(db: sqlite3.Connection) -> None:
    first, busy, poor = (reservation(budget(150)) for _ in range(3))
    book.admit(db, first, NOW)
    assert isinstance(book.admit(db, busy, NOW), Busy)
    book.settle(db, first.attempt, settled(90), NOW)
    assert isinstance(book.admit(db, poor, NOW), Refuse)
    assert windows(db) == [("key:a", "5h", 90, 0, 0)]
    assert db.execute("SELECT count(*) FROM attempt").fetchone() == (1,)
    figures = {
        "budget": "5h",
        "subject": "key:a",
        "limit": "0.00000000015",
        "resets_at": NOW + 5 * HOUR,
    }
    assert refused(db) == [
        (
            busy.call.id,
            "busy",
            {"budgets": [figures | {"settled": "0", "held": "0.0000000001"}]},
        ),
        (
            poor.call.id,
            "spent",
            {
                "budgets": [figures | {"settled": "0.00000000009", "held": "0"}],
                "needs": "0.0000000001",
                "resets_at": NOW + 5 * HOUR,
            },
        ),
    ]


def test_observing_admits_and_writes_down_what_it_would_have_refused(
    db: sqlite3.Connection,
) -> None:
    watching = budget(150, observe=True)
    for _ in range(3):
        wanted = reservation(watching)
        assert isinstance(book.admit(db, wanted, NOW), Admit)
        book.settle(db, wanted.attempt, settled(100), NOW)
    assert windows(db) == [("key:a", "5h", 300, 0, 0)]
    assert [reason for _, reason, _ in refused(db)] == ["observed", "observed"]


@pytest.mark.parametrize("subject", ["all", "key:a"])
def test_a_stop_refuses_before_any_budget_is_read(db: sqlite3.Connection, subject: str) -> None:
    desk.stop(db, subject, "enough", NOW - 1)
    wanted = reservation(budget())
    assert book.admit(db, wanted, NOW) == book.Stopped(subject, NOW - 1, "enough")
    assert refused(db) == [(wanted.call.id, "stopped", {"subject": subject, "note": "enough"})]
    assert windows(db) == []
    assert isinstance(book.admit(db, reservation(key="b"), NOW), Admit) == (subject != "all")


def test_a_second_attempt_hangs_on_the_same_call(db: sqlite3.Connection) -> None:
    first = reservation(budget())
    book.admit(db, first, NOW)
    book.settle(db, first.attempt, Settlement("known_zero", 0, status=503), NOW)
    second = replace(first, number=2)
    book.admit(db, second, NOW)
    assert db.execute("SELECT count(*) FROM call").fetchone() == (1,)
    assert [row[0] for row in db.execute("SELECT id FROM attempt ORDER BY id")] == [
        f"{first.call.id}.1",
        f"{first.call.id}.2",
    ]


# ----------------------------------------------------------------------------------------------- settle


def test_a_settlement_replaces_the_hold_exactly_once(db: sqlite3.Connection) -> None:
    wanted = reservation(budget())
    book.admit(db, wanted, NOW)
    assert book.settle(db, wanted.attempt, settled(70), NOW + 5)
    assert not book.settle(db, wanted.attempt, settled(99), NOW + 6)
    assert not book.settle(db, "never-made.1", settled(99), NOW)
    assert windows(db) == [("key:a", "5h", 70, 0, 0)]
    assert tallied(db) == [("gpt-4o", 1, 70, 0, 0, 50, 20, 5)]
    columns = "state, ended, cost, estimated, status, input, cache_read, output, reasoning, other"
    assert db.execute(f"SELECT {columns} FROM attempt").fetchall() == [
        ("settled", NOW + 5, 70, 0, 200, 30, 20, 5, 0, '{"web_searches": 2}')
    ]


def test_it_is_booked_to_the_window_of_its_reservation(db: sqlite3.Connection) -> None:
    late = reservation(budget())
    book.admit(db, late, NOW + 5 * HOUR - 1)
    young = reservation(budget())
    book.admit(db, young, NOW + 5 * HOUR)
    book.settle(db, late.attempt, settled(70), NOW + 6 * HOUR)
    assert windows(db) == [("key:a", "5h", 70, 0, 0), ("key:a", "5h", 0, 100, 0)]


def test_a_clock_that_was_set_back_changes_no_window(db: sqlite3.Connection) -> None:
    wanted = reservation(budget())
    book.admit(db, wanted, NOW)
    assert book.settle(db, wanted.attempt, settled(70), NOW - 9 * HOUR)
    assert windows(db) == [("key:a", "5h", 70, 0, 0)]
    assert desk.audit(db) == []
    # The last instant is taken as it comes: after a confirmed correction the lower one is true.
    book.admit(db, reservation(budget()), NOW - 9 * HOUR)
    assert book.last_instant(db) == NOW - 9 * HOUR


def test_the_price_row_is_that_of_the_settlement(db: sqlite3.Connection) -> None:
    wanted, other = reservation(budget()), replace(CARD, model="gpt-4o-2026")
    book.admit(db, wanted, NOW)
    book.settle(db, wanted.attempt, replace(settled(70, model="gpt-4o-2026"), card=other), NOW)
    card, model = db.execute(
        "SELECT p.card, a.model FROM attempt a JOIN price p ON p.id = a.price"
    ).fetchone()
    assert json.loads(card) == other.row()
    assert model == "gpt-4o-2026"
    assert tallied(db)[0][0] == "gpt-4o-2026"


def test_without_a_card_that_of_the_hold_stays(db: sqlite3.Connection) -> None:
    wanted = reservation(budget())
    book.admit(db, wanted, NOW)
    book.settle(db, wanted.attempt, Settlement("uncertain", 70, estimated=True, cause="x"), NOW)
    card, usage = db.execute(
        "SELECT p.card, a.input FROM attempt a JOIN price p ON p.id = a.price"
    ).fetchone()
    assert json.loads(card) == CARD.row()
    assert usage is None


def test_the_tally_counts_what_was_sent(db: sqlite3.Connection) -> None:
    endings = [
        (Settlement("not_sent", 0), None),
        (Settlement("known_zero", 0, status=429), None),
        (settled(30, estimated=True), None),
        (settled(20), "the-failed-one"),
    ]
    for done, retry_of in endings:
        wanted = reservation(budget(), retry_of=retry_of)
        book.admit(db, wanted, NOW)
        book.settle(db, wanted.attempt, done, NOW)
    assert tallied(db) == [("gpt-4o", 3, 50, 30, 20, 100, 40, 10)]
    assert windows(db) == [("key:a", "5h", 50, 0, 0)]


# ---------------------------------------------------------------------------------------------- recover


def test_what_a_crash_left_open_is_charged_in_full_and_flagged(db: sqlite3.Connection) -> None:
    done, lost, free = reservation(budget()), reservation(budget()), reservation(budget(), hold=0)
    for wanted in (done, lost, free):
        book.admit(db, wanted, NOW)
    book.settle(db, done.attempt, settled(70), NOW)
    assert book.recover(db, NOW + 9) == 2
    assert book.recover(db, NOW + 9) == 0
    found = db.execute("SELECT state, cost, estimated, cause, ended FROM attempt ORDER BY id")
    assert found.fetchall()[1:] == [
        ("uncertain", 100, 1, "orphaned", NOW + 9),
        ("uncertain", 0, 1, "orphaned", NOW + 9),
    ]
    assert windows(db) == [("key:a", "5h", 170, 0, 0)]


# ------------------------------------------------------------------------------------------ rows, refusals


def test_a_changed_limit_keeps_the_spend_and_a_changed_window_begins_anew(
    db: sqlite3.Connection,
) -> None:
    book.admit(db, reservation(budget()), NOW)
    assert rows.find_window(db, budget(5), NOW)[1].held == 100
    assert rows.find_window(db, budget(window=Total()), NOW)[0] is None
    assert rows.find_window(db, budget(name="other"), NOW)[0] is None
    assert rows.find_window(db, budget(subject="key:b"), NOW)[0] is None


def test_a_card_is_written_once_and_not_remembered_past_a_rollback(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    first = rows.price_row(db, CARD)
    assert rows.price_row(db, CARD) == first
    db.execute("ROLLBACK")
    other = rows.price_row(db, replace(CARD, model="other"))  # takes the number that was given back
    assert other == first
    again = rows.price_row(db, CARD)
    assert again != other
    assert db.execute("SELECT card FROM price WHERE id = ?", (again,)).fetchone() == (
        CARD.row_text(),
    )


def test_the_memory_for_cards_is_bounded(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MEMO", 3)
    monkeypatch.setattr(rows, "_texts", {})
    cards = [replace(CARD, model=str(number)) for number in range(10)]
    assert len({rows.price_row(db, card) for card in cards * 2}) == 10
    assert len(rows._texts) <= 3


def test_refusals_are_bounded_for_each_key_and_in_all(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "KEPT_OF_KEY", 20)
    monkeypatch.setattr(refusals, "KEPT_OF_ALL", 90)

    def refuse(number: int, key: str) -> None:
        refusals.write(db, f"{number:020d}", key, NOW, ("spent", {}))

    def kept(key: str) -> list[str]:
        found = db.execute("SELECT id FROM refusal WHERE key = ? ORDER BY id", (key,))
        return [row[0] for row in found]

    refuse(0, "quiet")
    for number in range(1, 61):
        refuse(number, "loop")
    # The newest 20 at the last number that ends in a 0: no newer one is lost, and no other key's.
    assert kept("loop") == [f"{number:020d}" for number in range(41, 61)]
    assert kept("quiet") == [f"{0:020d}"]
    for number in range(61, 201):  # every key a new one
        refuse(number, f"invented-{number}")
    assert db.execute("SELECT count(*) FROM refusal").fetchone() == (90,)
    assert kept("quiet") == []


def test_a_refusal_is_written_once(db: sqlite3.Connection) -> None:
    refusals.write(db, "x", "a", NOW, ("busy", {}))
    refusals.write(db, "x", "a", NOW, ("spent", {}))
    assert refused(db) == [("x", "busy", {})]
