"""Issued tokens: shown once, kept as a hash, revoked at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from budgetd.ledger import keyring
from budgetd.ledger.keyring import HINT_LENGTH, Keyring
from budgetd.wire.identity import TOKEN_PREFIX
from tests.ledger.entries import NOW, opened


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "ledger.db") as connection:
        yield connection


def ring(db: sqlite3.Connection) -> Keyring:
    tokens = Keyring()
    tokens.replace(keyring.load(db))
    return tokens


def test_a_token_is_found_by_its_text_alone(db: sqlite3.Connection) -> None:
    text, token = keyring.issue(db, "a", NOW, None)
    other, _ = keyring.issue(db, "a", NOW + 1, None)
    assert text.startswith(TOKEN_PREFIX)
    assert len(text) == len(TOKEN_PREFIX) + 32
    assert text != other
    tokens = ring(db)
    assert tokens.find(text) == token
    assert tokens.find(text[:-1]) is None
    assert tokens.find("") is None


def test_the_text_is_nowhere_in_the_file(db: sqlite3.Connection, tmp_path: Path) -> None:
    text, token = keyring.issue(db, "a", NOW, None)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (tmp_path / "ledger.db").read_bytes()
    assert token.hash.encode() in data
    assert text[HINT_LENGTH:].encode() not in data


def test_a_token_expires(db: sqlite3.Connection) -> None:
    _, forever = keyring.issue(db, "a", NOW, None)
    _, short = keyring.issue(db, "a", NOW, NOW + 10)
    assert forever.valid_at(NOW + 10**12)
    assert short.valid_at(NOW + 9)
    assert not short.valid_at(NOW + 10)


def test_revoking_counts_what_was_still_valid(db: sqlite3.Connection) -> None:
    one, _ = keyring.issue(db, "a", NOW, None)
    two, _ = keyring.issue(db, "a", NOW + 1, NOW + 50)
    keyring.issue(db, "a", NOW, NOW + 5)
    keyring.issue(db, "b", NOW, None)
    assert keyring.revoke(db, "a", NOW + 5, one[:HINT_LENGTH]) == 1
    assert keyring.revoke(db, "a", NOW + 6, None) == 1
    assert keyring.revoke(db, "a", NOW + 7, None) == 0
    tokens = ring(db)
    first, second = tokens.find(one), tokens.find(two)
    assert first is not None
    assert second is not None
    assert (first.revoked, second.revoked) == (NOW + 5, NOW + 6)
    assert not first.valid_at(NOW + 5)
    assert [token.revoked for token in tokens.of("b")] == [None]


def test_the_tokens_of_a_key_in_the_order_they_were_issued(db: sqlite3.Connection) -> None:
    issued = [keyring.issue(db, "a", NOW + at, None)[1] for at in (3, 1, 2)]
    keyring.issue(db, "b", NOW, None)
    tokens = ring(db)
    assert [token.issued for token in tokens.of("a")] == [NOW + 1, NOW + 2, NOW + 3]
    assert set(tokens.of("a")) == set(issued)
    assert tokens.of("nobody") == []
    assert tokens.keys() == {"a", "b"}
