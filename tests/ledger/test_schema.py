"""The tables: what they refuse to hold, and how an older file becomes a newer one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from budgetd.errors import StoreFault
from budgetd.ledger import schema
from budgetd.ledger.schema import MIGRATIONS, Migration, migrate
from tests.ledger.entries import opened


def tables(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def version(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found


def test_a_new_file_gets_every_table_once() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    assert migrate(db) == version(db) == len(MIGRATIONS)
    before = tables(db)
    assert {"window", "call", "attempt", "charge", "price", "tally", "token"} <= before
    assert migrate(db) == len(MIGRATIONS)
    assert tables(db) == before
    db.close()


def test_only_the_migrations_that_are_missing_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "ledger.db"):
        pass

    def fill(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO later SELECT x + 1 FROM later")

    script = "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO later VALUES (7);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, Migration(script, fill)))
    for _ in range(2):
        with opened(tmp_path / "ledger.db") as db:
            assert version(db) == len(MIGRATIONS) + 1
            assert db.execute("SELECT x FROM later").fetchall() == [(7,), (8,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "ledger.db") as db:
        db.execute("INSERT INTO stop VALUES ('all', 1, 'kept')")
        before = tables(db)

    def fail(db: sqlite3.Connection) -> None:
        raise LookupError("nowhere")

    begun = "CREATE TABLE later (x INTEGER); DELETE FROM stop;"
    for error, broken in (
        (LookupError, Migration(begun, fail)),
        (sqlite3.OperationalError, Migration(f"{begun} SELECT nonsense FROM nowhere;")),
    ):
        monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(error, match="nowhere"), opened(tmp_path / "ledger.db"):
            pass
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as bare:
            with pytest.raises(error, match="nowhere"):
                migrate(bare)
            assert not bare.in_transaction
    monkeypatch.undo()
    with opened(tmp_path / "ledger.db") as db:
        assert tables(db) == before
        assert version(db) == len(MIGRATIONS)
        assert db.execute("SELECT note FROM stop").fetchall() == [("kept",)]


def test_a_migration_that_cannot_begin_raises(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with opened(tmp_path / "ledger.db") as db, opened(tmp_path / "ledger.db") as second:
        db.execute("BEGIN IMMEDIATE")
        second.execute("PRAGMA busy_timeout = 0")
        monkeypatch.setattr(
            schema, "MIGRATIONS", (*MIGRATIONS, Migration("CREATE TABLE later (x);"))
        )
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            migrate(second)


def test_a_file_of_a_newer_budgetd_is_refused_and_untouched(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        before = tables(db)
    told = f"version {len(MIGRATIONS) + 1} and this budgetd knows {len(MIGRATIONS)}"
    with pytest.raises(StoreFault, match=told), opened(tmp_path / "ledger.db"):
        pass
    plain = sqlite3.connect(tmp_path / "ledger.db")
    assert version(plain) == len(MIGRATIONS) + 1
    assert tables(plain) == before
    plain.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO window (subject, budget, kind, start, settled) VALUES ('a', 'b', 'c', 0, 1.5)",
        "INSERT INTO window (subject, budget, kind, start, settled) VALUES ('a', 'b', 'c', 0, '1x')",
        "INSERT INTO window (subject, budget, kind, start, held) VALUES ('a', 'b', 'c', 0, -1)",
        "INSERT INTO topup (at, window, amount, note) VALUES (0, 1, 0, '')",
        "INSERT INTO clock VALUES (2, 0)",
        "UPDATE window SET settled = 9223372036854775807 + 1 WHERE id = 1",
        "INSERT INTO window (subject, budget, kind, start) VALUES ('s', 'b', 'k', 0)",
    ],
)
def test_what_no_row_may_hold(tmp_path: Path, statement: str) -> None:
    with opened(tmp_path / "ledger.db") as db:
        db.execute("INSERT INTO window (subject, budget, kind, start) VALUES ('s', 'b', 'k', 0)")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)


def test_a_sum_that_overflows_raises(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as db:
        for start in (1, 2):
            db.execute(
                "INSERT INTO window (subject, budget, kind, start, settled) VALUES ('s', 'b', 'k', ?, ?)",
                (start, 2**63 - 1),
            )
        with pytest.raises(sqlite3.OperationalError, match="overflow"):
            db.execute("SELECT sum(settled) FROM window").fetchone()
