"""A ledger of the first version, with calls that URLs had named sessions for, becomes one of today."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from budgetd.core.budgets import Admit
from budgetd.core.sessions import session_id
from budgetd.ledger import book, desk, schema, upgrades
from budgetd.ledger.schema import MIGRATIONS
from budgetd.ledger.writer import connect
from tests.ledger.entries import NOW, budget, opened, path, reservation, settled

# call, key, session, label, client, model, retry_of
CALLS = [
    ("01", "a", "job", "blue", "codex", "gpt-4o", None),
    ("02", "a", None, None, "sdk", "gpt-4o", None),
    ("03", "b", "job", None, "sdk", "o4-mini", None),
    ("04", "a", "job", "red", "claude-code", "opus", "01"),
    ("05", "a", "night ☾", None, "sdk", "gpt-4o", None),
    ("06", "a", "job", None, "pi", "haiku", None),
    ("07", "b", "unsent", None, "sdk", "gpt-4o", None),
    ("08", "b", "crashed", None, "sdk", "gpt-4o", None),
    ("09", "b", "unsent", None, "sdk", "gpt-4o", None),
]
# attempt, state, cost, money
ATTEMPTS = [
    ("01.1", "uncertain", 5, "real"),
    ("01.2", "settled", 10, "real"),
    ("02.1", "settled", 1_000, "real"),
    ("03.1", "settled", 100, "notional"),
    ("04.1", "known_zero", 0, "real"),
    ("05.1", "settled", 7, "real"),
    ("06.1", "settled", 30, "notional"),
    ("07.1", "not_sent", 0, "real"),
    ("08.1", "open", 0, "real"),
    ("09.1", "not_sent", 0, "real"),
]
ADJUSTED = [("01.2", -4), ("06.1", 3), ("09.1", 2), ("02.1", 5)]


@contextmanager
def first_version(path: Path) -> Iterator[sqlite3.Connection]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", MIGRATIONS[:1])
        with opened(path) as db:
            yield db


def at(call: str) -> int:
    return NOW + int(call[:2])


def fill(db: sqlite3.Connection) -> None:
    db.executemany(
        "INSERT INTO call VALUES (?, ?, ?, ?, ?, 'openai_chat', 'chat', ?, ?, ?)",
        [(call, at(call), *rest) for call, *rest in CALLS],
    )
    db.executemany(
        "INSERT INTO attempt (id, call, at, provider, model, money, state, hold, input_bound, output_bound,"
        " price, ended, cost) VALUES (?, ?, ?, 'openai', 'm', ?, ?, 50, 1, 1, 1, ?, ?)",
        [
            (one, one[:2], at(one), money, state, None if state == "open" else at(one) + 100, cost)
            for one, state, cost, money in ATTEMPTS
        ],
    )
    db.executemany(
        "INSERT INTO adjustment (at, attempt, amount, note) VALUES (0, ?, ?, '')", ADJUSTED
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.db"
    with first_version(made) as db:
        fill(db)
    return made


def test_each_name_under_a_key_becomes_a_session_with_its_sums(file: Path) -> None:
    with opened(file) as db:
        found = db.execute(
            "SELECT ref, key, id, source, client, parent, root, label, model, started, last, tree_last,"
            " calls, turns, cost, notional, tree_calls, tree_cost, tree_notional FROM session ORDER BY ref, key"
        ).fetchall()
        assert desk.audit(db) == []

    def made(
        ref: str, key: str, client: str, model: str, span: tuple[int, int], *sums: int
    ) -> tuple[object, ...]:
        own, (first, last) = session_id(key, ref), span
        calls, *money = sums
        return (
            *(ref, key, own, "url", client, None, own, None, model),
            *(NOW + first, NOW + last, NOW + last, calls, 0, *money, calls, *money),
        )

    assert found == [
        made("crashed", "b", "sdk", "gpt-4o", (8, 8), 0, 0, 0),
        made("job", "a", "pi", "haiku", (1, 6), 3, 11, 33),
        made("job", "b", "sdk", "o4-mini", (3, 3), 1, 0, 100),
        made("night ☾", "a", "sdk", "gpt-4o", (5, 5), 1, 7, 0),
        made("unsent", "b", "sdk", "gpt-4o", (7, 9), 1, 2, 0),
    ]


def test_its_calls_name_it_and_have_their_rows_in_it(file: Path) -> None:
    with opened(file) as db:
        calls = db.execute("SELECT id, session, kind FROM call ORDER BY id").fetchall()
        turns = db.execute(
            "SELECT call, session, at, number, kind, cause, cold, reread, system FROM turn ORDER BY call"
        ).fetchall()
    ids = {call: session_id(key, ref) for call, key, ref, *_ in CALLS if ref is not None}
    assert calls == [(call, ids.get(call), "turn") for call, *_ in CALLS]
    assert turns == [
        (call, ids[call], at(call) + 100, 0, "turn", cause, 0, 0, None)
        for call, cause in (
            ("01", "work"),
            ("03", "work"),
            ("04", "retry"),
            ("05", "work"),
            ("06", "work"),
            ("09", "work"),  # never sent, but it was charged for by hand
        )
    ]


def test_life_goes_on_in_an_old_session(file: Path) -> None:
    with opened(file) as db:
        assert book.recover(db, NOW + 500) == 1
        wanted = reservation(budget(), path=path("job", source="url"), label="green")
        assert isinstance(book.admit(db, wanted, NOW + 600), Admit)
        assert book.settle(db, wanted.attempt, settled(70), NOW + 700)
        assert db.execute(
            "SELECT cost, calls, label, last, tree_cost FROM session WHERE id = ?",
            (session_id("a", "job"),),
        ).fetchall() == [(81, 4, "green", NOW + 700, 81)]
        assert db.execute("SELECT cost FROM session WHERE ref = 'crashed'").fetchone() == (50,)
        assert desk.audit(db) == []


def schema_of(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute(
        "SELECT type, name, sql FROM sqlite_schema UNION ALL"
        " SELECT type, name, sql FROM sqlite_temp_schema ORDER BY 1, 2"
    ).fetchall()


def test_an_old_file_has_the_tables_and_indexes_of_a_new_one(file: Path, tmp_path: Path) -> None:
    with opened(file) as old, opened(tmp_path / "new.db") as new:
        assert schema_of(old) == schema_of(new)


def test_an_old_file_without_sessions_gets_none(tmp_path: Path) -> None:
    with first_version(tmp_path / "ledger.db") as db:
        fill(db)
        db.execute("UPDATE call SET session = NULL")
    with opened(tmp_path / "ledger.db") as db, opened(tmp_path / "new.db") as new:
        assert db.execute("SELECT count(*) FROM session").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM turn").fetchone() == (0,)
        assert schema_of(db) == schema_of(new)


def test_a_migration_that_is_cut_short_changes_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = upgrades.NAME_SESSIONS
    for count in range(1, len(steps) + 1):
        monkeypatch.setattr(upgrades, "NAME_SESSIONS", (*steps[:count], "SELECT nonsense"))
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            connect(file)
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (1,)
            found = db.execute("SELECT session FROM call ORDER BY id").fetchall()
            assert found == [(ref,) for _, _, ref, *_ in CALLS]
            assert not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'turn'").fetchall()
    monkeypatch.undo()
    with opened(file) as db:
        assert desk.audit(db) == []
