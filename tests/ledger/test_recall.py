"""What the daemon reads at start is what it knew when it stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.budgets import Admit
from budgetd.core.causes import Split
from budgetd.core.context import Makeup
from budgetd.core.estimate import Media
from budgetd.core.sessions import Session
from budgetd.core.settlement import Settlement
from budgetd.core.transcript import Checkpoint, Head
from budgetd.core.turns import Turn
from budgetd.ledger import book, recall
from budgetd.ledger.recall import Recalled
from budgetd.ledger.store import Ledger
from tests.ledger.entries import NOW, budget, opened, path, reservation, settled

MUCH = budget(10**9)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "ledger.db") as connection:
        yield connection


def point(number: int, at: int) -> Checkpoint:
    head = Head((number, 4_000), (2**63 - number, 9_000), (0, 0))
    chain = bytes([number] * 16)
    read = 100 + number
    return Checkpoint(chain, number, "openai", "asked", head, read, 20, at, number, Media())


def live(
    db: sqlite3.Connection, made: tuple[Session, ...], number: int, at: int, *, checked: bool = True
) -> Checkpoint | None:
    """A turn of a session, with the checkpoint that it left."""
    wanted = reservation(MUCH, path=made, model="asked")
    assert isinstance(book.admit(db, wanted, at - 1), Admit)
    left = point(number, at) if checked else None
    parts = Makeup(40, number, 50, 10, 20)
    turn = Turn(made[0], "turn", number, Split("work"), parts, 0, left, (), number, None)
    assert book.settle(db, wanted.attempt, settled(5, model="answered-2026"), at, turn)
    return left


def test_a_session_comes_back_as_it_was(db: sqlite3.Connection) -> None:
    points = [live(db, path("s"), number, NOW + number) for number in (1, 2, 3)]
    assert recall.load(db, 10, 8) == [
        Recalled(path("s")[0], NOW + 3, 3, 3, 123, 40, True, tuple(p for p in points if p))
    ]


def test_only_the_newest_checkpoints_come_back_the_oldest_first(db: sqlite3.Connection) -> None:
    points = [live(db, path("s"), number, NOW + number) for number in range(1, 8)]
    for number in (8, 9):  # failures, one after the other
        live(db, path("s"), number, NOW + number, checked=False)
    (found,) = recall.load(db, 10, 3)
    assert list(found.checkpoints) == points[-3:]
    assert recall.load(db, 10, 0)[0].checkpoints == ()


def test_of_endless_failures_only_the_newest_are_looked_at(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = live(db, path("s"), 1, NOW)
    for number in range(2, 5):
        live(db, path("s"), number, NOW + number, checked=False)
    monkeypatch.setattr(recall, "LOOK_BACK", 4)
    assert recall.load(db, 10, 8)[0].checkpoints == (first,)
    monkeypatch.setattr(recall, "LOOK_BACK", 3)
    assert recall.load(db, 10, 8)[0].checkpoints == ()


def test_the_most_recently_active_come_first_and_those_above_them_behind(
    db: sqlite3.Connection,
) -> None:
    for at, refs in enumerate((["old", "top"], ["other"], ["new", "middle", "top"], ["s"])):
        live(db, path(*refs), 1, NOW + 10 * at)
    live(db, path("top"), 1, NOW + 5)
    live(db, path("middle", "top"), 1, NOW + 6)
    live(db, path("late", "top"), 1, NOW + 100)
    found = recall.load(db, 4, 8)
    assert [one.session for one in found] == [
        path("late", "top")[0],
        path("s")[0],
        path("new", "middle", "top")[0],
        path("other")[0],
        path("middle", "top")[0],
        path("top")[0],
    ]
    assert [len(one.checkpoints) for one in found] == [1] * 6
    assert [one.session.ref for one in recall.load(db, 1, 8)] == ["late", "top"]
    assert len(recall.load(db, 100, 8)) == 7
    assert recall.load(db, 0, 8) == []


def test_a_session_that_was_only_named_comes_back_empty(db: sqlite3.Connection) -> None:
    wanted = reservation(MUCH, path=path("child", "top"))
    book.admit(db, wanted, NOW)
    book.settle(db, wanted.attempt, Settlement("uncertain", 5), NOW + 1)
    child, top = recall.load(db, 10, 8)
    assert child == Recalled(path("child", "top")[0], NOW + 1, 1, 0, 0, 0, False, ())
    assert top == Recalled(path("top")[0], NOW, 0, 0, 0, 0, False, ())


digests = st.integers(0, 2**63 - 1)
parts = st.tuples(digests, st.integers(0, 2**32 - 1))
media = st.builds(
    Media,
    *[st.integers(0, 2**16 - 1)] * 3,
    st.integers(0, 2**32 - 1),
)


@given(st.builds(Head, parts, parts, parts), digests, st.none() | media)
def test_every_head_and_answer_survives_its_packing(
    head: Head, answer: int, seen: Media | None
) -> None:
    one = replace(point(1, NOW), head=head, answer=answer, media=seen)
    blob, number = recall.packed(one)
    assert recall.unpacked(blob) == (head, seen)
    assert number == answer


def test_what_does_not_fit_its_column_is_cut() -> None:
    """Never a settlement that cannot be written; what is cut only makes an estimate dearer."""
    huge = replace(
        point(1, NOW),
        head=Head((2**70 + 5, 2**40), (-1, 0), (0, 0)),
        answer=2**63 + 7,
        media=Media(10**6, 3, 0, 2**40),
    )
    blob, number = recall.packed(huge)
    assert (len(blob), number) == (46, 7)


async def test_the_ledger_recalls(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    await ledger.open()
    assert await ledger.recall(10, 8) == []
    left = await ledger.writer.submit(lambda db: live(db, path("s"), 1, NOW))
    await ledger.close()
    again = Ledger(tmp_path / "state")
    await again.open()
    (found,) = await again.recall(10, 8)
    assert found.checkpoints == (left,)
    await again.close()


def test_every_question_is_answered_by_an_index(db: sqlite3.Connection) -> None:
    def plan(statement: str, *values: object) -> list[str]:
        return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]

    assert plan(recall.NEWEST, 1) == ["SCAN session USING INDEX session_by_last"]
    assert plan(recall.ABOVE, "[]")[0] == "SEARCH session USING PRIMARY KEY (id=?)"
    assert "SEARCH turn USING PRIMARY KEY (session=?)" in plan(recall.POINTS, "s", 1, 1)
    assert not any("TEMP B-TREE" in line for line in plan(recall.POINTS, "s", 1, 1))
