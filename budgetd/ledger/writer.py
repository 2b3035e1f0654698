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
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA temp_store = MEMORY")
    migrate(connection)
    return connection


class _Job:
    __slots__ = ("future", "outcome", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.outcome: Any = None


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
        await opened

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
        except (sqlite3.Error, OSError, RuntimeError) as error:
            fault = StoreFault(f"cannot open the ledger {self._path}: {error}")
            self._loop.call_soon_threadsafe(opened.set_exception, fault)
            return
        self._loop.call_soon_threadsafe(opened.set_result, None)
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
    """Run the jobs in one transaction. Each job's outcome is its result or an exception."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            _run_one(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for job in jobs:
            job.outcome = StoreFault(f"the ledger cannot be written: {error}")


def _run_one(connection: sqlite3.Connection, job: _Job) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.outcome = job.work(connection)
    except Exception as error:
        if (
            not connection.in_transaction
        ):  # SQLite itself gave up the whole transaction (disk full, I/O error)
            raise sqlite3.OperationalError(str(error)) from error
        connection.execute("ROLLBACK TO job")
        job.outcome = error
    connection.execute("RELEASE job")


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():  # its caller went away; what was done stays done
            continue
        if isinstance(job.outcome, Exception):
            job.future.set_exception(job.outcome)
        else:
            job.future.set_result(job.outcome)
