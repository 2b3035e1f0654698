"""The ledger as the rest of the daemon holds it: one directory, one lock, one writer, one reader.

Opening takes the directory's lock (two daemons on one ledger would each believe its own balances),
migrates, and reads the tokens into memory; `recover` then charges what a crash left open, once it is
known what time it is. Everything that is made here is private to its user.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from budgetd.core.windows import Instant
from budgetd.errors import StateInUse, StoreFault
from budgetd.ledger import book, desk, keyring, recall
from budgetd.ledger.histories import Histories
from budgetd.ledger.keyring import Keyring, Token
from budgetd.ledger.reads import Reader, read_only
from budgetd.ledger.recall import Recalled
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
        self.histories = Histories(directory / LEDGER)
        self.keyring = Keyring()

    async def open(self) -> Instant:
        """Take the lock and open the file. Returns the instant of the last reservation. Raises
        StateInUse, StoreFault; nothing is left open then.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _take_lock(self._directory / LOCK)
            await self.writer.start()
            await self.reader.open()
            self.keyring.replace(await self.writer.submit(keyring.load))
            return await self.writer.submit(book.last_instant)
        except OSError as error:
            await self.close()
            raise StoreFault(
                f"cannot use the state directory {self._directory}: {error}"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def recover(self, now: Instant) -> int:
        """Charge the holds that a crash left open; returns how many."""
        return await self.writer.submit(partial(book.recover, now=now))

    async def recall(self, sessions: int, checkpoints: int) -> list[Recalled]:
        """The sessions that were active last, the newest first, with at most so many checkpoints
        of each.
        """
        work = partial(recall.load, sessions=sessions, checkpoints=checkpoints)
        return await self.writer.submit(work)

    async def change_tokens(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Make a change to the tokens, and show it in the keyring once it is durable."""

        def work(db: sqlite3.Connection) -> tuple[_T, dict[str, Token]]:
            return change(db), keyring.load(db)  # in one: a revoked token must not linger in memory

        result, tokens = await self.writer.submit(work)
        self.keyring.replace(tokens)
        return result

    async def audit(self) -> list[str]:
        """Compare every window with its rows: the differences in words. Takes seconds on a large
        ledger, on a connection of its own that holds nobody up.
        """
        path = self._directory / LEDGER
        return await asyncio.get_running_loop().run_in_executor(None, _audit, path)

    async def close(self) -> None:
        """Finish what is queued, close the file, give the lock back."""
        await self.reader.close()
        await self.writer.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _audit(path: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(read_only(path), uri=True)) as db:
            return desk.audit(db)
    except sqlite3.Error as error:
        raise StoreFault(f"the ledger cannot be read: {error}") from error


def _take_lock(path: Path) -> IO[str]:
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = file.read().strip() or "unknown"
        file.close()
        raise StateInUse(
            f"another budgetd (process {owner}) is running on {path.parent}"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
