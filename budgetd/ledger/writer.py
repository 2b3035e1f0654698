"""The one writer: a thread that owns the connection and commits in groups.

Every change to the ledger is a function of a connection, put on a queue. The thread takes what has
gathered, runs each function under its own savepoint (one that fails harms no neighbour), commits
once with `synchronous=FULL`, and only then answers the callers. So an answer means durable, and a
hundred callers share one fsync. It knows nothing of what the functions do.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from budgetd.errors import StoreFault
from budgetd.ledger.schema import migrate

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], Any]

GROUP = 256  # most operations in one commit: bounds how long the first of them waits


def connect(path: Path) -> sqlite3.Connection:
    """The writing connection: WAL, every commit synced. Creates the file (private) and brings its
    tables up to date.
    """
    path.touch(mode=0o600, exist_ok=True)
    if path.stat().st_mode & 0o077:  # it came from elsewhere: a copy, a backup
        path.chmod(0o600)
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class _Job:
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Runs operations on the ledger one after another. `start` before use; `close` finishes what is
    queued.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def start(self) -> None:
        """Open the file and start the thread. Raises StoreFault if the file cannot be opened or
        migrated.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name="ledger-writer", daemon=True
        )
        self._thread.start()
        try:
            await opened
        except StoreFault:
            self._closed = True
            raise

    def submit(self, work: Callable[[sqlite3.Connection], _T]) -> asyncio.Future[_T]:
        """Queue an operation at once, without a turn of the loop; what is submitted first is done
        first.

        The future ends when the operation is durable: with its result, with the exception it
        raised, or with StoreFault when the ledger could not be written. Cancelling the future does
        not take the operation back.
        """
        if self._loop is None or self._closed:
            raise StoreFault("the ledger is closed")
        future: asyncio.Future[_T] = self._loop.create_future()
        self._queue.put(_Job(work, future))
        return future

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        if self._thread is None or self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _serve(self, opened: asyncio.Future[None]) -> None:
        assert self._loop is not None
        try:
            connection = connect(self._path)
        except (sqlite3.Error, OSError, StoreFault) as error:
            fault = StoreFault(f"cannot open the ledger {self._path}: {error}")
            self._loop.call_soon_threadsafe(_tell, opened, fault)
            return
        self._loop.call_soon_threadsafe(_tell, opened, None)
        more = True
        while more:
            jobs, more = self._gather()
            if jobs:
                _commit(connection, jobs)
                self._answer(jobs)
        connection.close()

    def _gather(self) -> tuple[list[_Job], bool]:
        """What is queued now, at least one; False when the end mark was among it."""
        jobs: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == GROUP:
                return jobs, True
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _answer(self, jobs: list[_Job]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_deliver, jobs)
        except RuntimeError:  # the loop is closed: nobody is left to hear it, and it is on disk
            return


def _commit(connection: sqlite3.Connection, jobs: list[_Job]) -> None:
    """Run the jobs in one transaction. Each job ends with its result or an error."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            _run_one(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        for job in jobs:
            job.error = _unwritten(error)
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the next group tries again
                connection.execute("ROLLBACK")


def _run_one(connection: sqlite3.Connection, job: _Job) -> None:
    """Run one job; what it raises undoes its own changes and no others. Raises sqlite3.Error where
    SQLite itself has given up the whole transaction (disk full, I/O error).
    """
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise sqlite3.OperationalError(str(error)) from error
        job.error = _unwritten(error) if isinstance(error, sqlite3.Error) else error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _unwritten(error: sqlite3.Error) -> StoreFault:
    fault = StoreFault(f"the ledger cannot be written: {error}")
    fault.__cause__ = error
    return fault


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():  # its caller went away; what was done stays done
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _tell(opened: asyncio.Future[None], fault: StoreFault | None) -> None:
    if opened.done():  # whoever was starting it has given up
        return
    if fault is not None:
        opened.set_exception(fault)
    else:
        opened.set_result(None)
