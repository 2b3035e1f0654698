"""Issued tokens: shown once, stored as a hash, looked up in memory.

A token is `bgd_` and 32 random characters; with that much randomness a plain SHA-256 is as good as
a slow hash and costs a microsecond. The rows live in the ledger; `Keyring` is their image in
memory, changed only after a change is durable.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass

from budgetd.core.windows import Instant
from budgetd.wire.identity import TOKEN_PREFIX

HINT_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of an issued token. `hint` is its first characters, for a person to tell it by."""

    hash: str
    key: str
    hint: str
    issued: Instant
    expires: Instant | None = None
    revoked: Instant | None = None

    def valid_at(self, now: Instant) -> bool:
        """Neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def digest(token: str) -> str:
    """What is stored in place of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue(
    db: sqlite3.Connection, key: str, now: Instant, expires: Instant | None
) -> tuple[str, Token]:
    """Make a token for a key. The text is returned this once and never stored."""
    text = TOKEN_PREFIX + secrets.token_urlsafe(24)
    token = Token(digest(text), key, text[:HINT_LENGTH], now, expires)
    db.execute(
        "INSERT INTO token (hash, key, hint, issued, expires) VALUES (?, ?, ?, ?, ?)",
        (token.hash, key, token.hint, now, expires),
    )
    return text, token


def revoke(db: sqlite3.Connection, key: str, now: Instant, hint: str | None) -> int:
    """Revoke a key's tokens, or the one whose hint is given. Returns how many were still valid."""
    cursor = db.execute(
        "UPDATE token SET revoked = ? WHERE key = ? AND revoked IS NULL AND (expires IS NULL OR expires > ?)"
        " AND (? IS NULL OR hint = ?)",
        (now, key, now, hint, hint),
    )
    return cursor.rowcount


def load(db: sqlite3.Connection) -> dict[str, Token]:
    """Every token by its hash."""
    rows = db.execute("SELECT hash, key, hint, issued, expires, revoked FROM token")
    return {row[0]: Token(*row) for row in rows}


class Keyring:
    """The tokens in memory."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def replace(self, tokens: dict[str, Token]) -> None:
        """Take over what the ledger holds."""
        self._tokens = tokens

    def find(self, text: str) -> Token | None:
        """The token with this text, whatever its state; None if there never was one."""
        return self._tokens.get(digest(text))

    def of(self, key: str) -> list[Token]:
        """A key's tokens, oldest first."""
        return sorted((t for t in self._tokens.values() if t.key == key), key=lambda t: t.issued)

    def keys(self) -> set[str]:
        """The names that tokens were issued for."""
        return {token.key for token in self._tokens.values()}
