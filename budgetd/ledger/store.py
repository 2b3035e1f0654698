"""The ledger as the rest of the daemon holds it: one directory, one lock, one writer, one reader.

Opening takes the directory's lock (two daemons on one ledger would each believe its own balances),
migrates, charges what a crash left open and reads the tokens into memory. Everything in the
directory is private to its user.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from budgetd.core.windows import Instant
from budgetd.errors import StateInUse
from budgetd.ledger import book, keyring
from budgetd.ledger.keyring import Keyring
from budgetd.ledger.reads import Reader
from budgetd.ledger.writer import Writer

LEDGER = "ledger.db"
LOCK = "lock"

_T = TypeVar("_T")


class Ledger:
    """The ledger in a state directory. `open` before use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: IO[str] | None = None
        self.writer = Writer(directory / LEDGER)
        self.reader = Reader(directory / LEDGER)
        self.keyring = Keyring()

    async def open(self) -> Instant:
        """Take the lock and open the file. Returns the instant of the last reservation. Raises
        StateInUse, StoreFault.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _take_lock(self._directory / LOCK)
        await self.writer.start()
        await self.reader.open()
        self.keyring.replace(await self.writer.submit(keyring.load))
        return await self.writer.submit(book.last_instant)

    async def recover(self, now: Instant) -> int:
        """Charge the holds that a crash left open; returns how many."""
        return await self.writer.submit(partial(book.recover, now=now))

    async def change_tokens(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Make a change to the tokens, and show it in the keyring once it is durable."""
        result = await self.writer.submit(change)
        self.keyring.replace(await self.writer.submit(keyring.load))
        return result

    async def close(self) -> None:
        """Finish what is queued, close the file, give the lock back."""
        await self.reader.close()
        await self.writer.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _take_lock(path: Path) -> IO[str]:
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = file.read().strip() or "unknown"
        file.close()
        raise StateInUse(
            f"another budgetd (process {owner}) is running on {path.parent}"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
