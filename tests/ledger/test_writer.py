"""The one writer: nothing lost, nothing out of order, no neighbour harmed, and what it says is on disk."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from budgetd.core.budgets import Admit, Busy
from budgetd.errors import StoreFault
from budgetd.ledger import book, desk
from budgetd.ledger.schema import MIGRATIONS
from budgetd.ledger.writer import GROUP, Writer
from tests.ledger.entries import NOW, budget, reservation, settled

ROOT = Path(__file__).resolve().parents[2]

Work = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    made = Writer(path)
    await made.start()
    await made.submit(make_log)
    yield made
    await made.close()


def make_log(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE log (n INTEGER)")


def note(number: int) -> Work:
    return lambda db: db.execute("INSERT INTO log VALUES (?)", (number,)).lastrowid


def on_disk(path: Path, sql: str = "SELECT n FROM log ORDER BY rowid") -> list[int]:
    """What another process would read."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute(sql)]


class Gate:
    """A job that holds the writer up until it is let go."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, db: sqlite3.Connection) -> None:
        assert self._open.wait(60)

    def open(self) -> None:
        self._open.set()


# ------------------------------------------------------------------------------------- many at once


async def test_1536_reserves_of_64_tasks_are_all_kept_in_the_order_they_were_asked(
    writer: Writer, path: Path
) -> None:
    asked: list[int] = []

    def reserve(number: int, db: sqlite3.Connection) -> object:
        note(number)(db)
        return book.admit(db, reservation(budget(10**9), call=f"c{number:05d}"), NOW)

    async def agent(first: int) -> None:
        for number in range(first, 1536, 64):
            asked.append(number)
            assert isinstance(await writer.submit(partial(reserve, number)), Admit)

    async with asyncio.TaskGroup() as group:
        for first in range(64):
            group.create_task(agent(first))
    assert len(asked) == 1536
    assert on_disk(path) == asked
    assert len(on_disk(path, "SELECT 1 FROM attempt WHERE state = 'open'")) == 1536
    assert on_disk(path, "SELECT held FROM window") == [153_600]


async def test_1500_at_once_never_hold_more_than_the_limit(writer: Writer, path: Path) -> None:
    tight = budget(50_000)
    asked = [
        writer.submit(partial(book.admit, wanted=reservation(tight), now=NOW)) for _ in range(1500)
    ]
    outcomes = await asyncio.gather(*asked)
    assert [type(outcome) for outcome in outcomes] == [Admit] * 500 + [Busy] * 1000
    assert on_disk(path, "SELECT held FROM window") == [50_000]


async def test_an_answer_means_that_it_is_on_disk(writer: Writer, path: Path) -> None:
    for number in range(20):
        await writer.submit(note(number))
        assert on_disk(path)[-1] == number


async def test_more_than_a_group_at_once(writer: Writer, path: Path) -> None:
    gate = Gate()
    held = writer.submit(gate)
    asked = [writer.submit(note(number)) for number in range(2 * GROUP + 5)]
    gate.open()
    await asyncio.gather(held, *asked)
    assert on_disk(path) == list(range(2 * GROUP + 5))


# ------------------------------------------------------------------------------------- one that fails


async def test_a_job_that_fails_undoes_itself_and_harms_no_neighbour(
    writer: Writer, path: Path
) -> None:
    def fail(db: sqlite3.Connection) -> None:
        note(99)(db)
        raise LookupError("no such thing")

    gate = Gate()
    held = writer.submit(gate)  # so that all three are in one transaction
    jobs = [writer.submit(work) for work in (note(1), fail, note(2))]
    gate.open()
    await held
    found = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(found[1], LookupError)
    assert on_disk(path) == [1, 2]


async def test_a_statement_that_fails_is_a_fault_of_the_store(writer: Writer, path: Path) -> None:
    with pytest.raises(StoreFault, match="no such table: nowhere") as caught:
        await writer.submit(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    await writer.submit(note(1))
    assert on_disk(path) == [1]


def give_up(db: sqlite3.Connection) -> None:
    db.execute("ROLLBACK")
    raise OSError("as SQLite does by itself on some faults")


def break_out(db: sqlite3.Connection) -> None:
    db.execute("RELEASE job")


@pytest.mark.parametrize("ruin", [give_up, break_out])
async def test_a_transaction_that_is_broken_fails_the_whole_group_and_not_the_next(
    writer: Writer, path: Path, ruin: Work
) -> None:
    gate = Gate()
    held = writer.submit(gate)
    jobs = [writer.submit(work) for work in (note(1), ruin, note(2))]
    gate.open()
    found = await asyncio.gather(held, *jobs, return_exceptions=True)
    assert [type(outcome) for outcome in found[1:]] == [StoreFault] * 3
    assert on_disk(path) == []
    await writer.submit(note(3))
    assert on_disk(path) == [3]


async def test_an_exception_may_be_a_result(writer: Writer) -> None:
    given = ValueError("kept, not raised")
    assert await writer.submit(lambda _: given) is given


async def test_a_caller_that_goes_away_takes_nothing_back(writer: Writer, path: Path) -> None:
    gate = Gate()
    held = writer.submit(gate)

    async def wait(number: int) -> object:
        return await writer.submit(note(number))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(number)) for number in range(300)]
        await asyncio.sleep(0)  # one turn of the loop: each has submitted
        for task in tasks[::3]:
            task.cancel()
        gate.open()
    await held
    assert all(task.cancelled() == (index % 3 == 0) for index, task in enumerate(tasks))
    await writer.submit(note(300))
    assert on_disk(path) == list(range(301))


# ---------------------------------------------------------------------------------------- start, close


async def test_closing_finishes_what_is_queued(path: Path) -> None:
    writer = Writer(path)
    await writer.start()
    await writer.submit(make_log)
    gate = Gate()
    held = writer.submit(gate)
    asked = [writer.submit(note(number)) for number in range(1000)]
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.close())
        await asyncio.sleep(0)  # one turn of the loop: it is closing
        with pytest.raises(StoreFault, match="closed"):
            writer.submit(note(1000))
        gate.open()
    await asyncio.gather(held, *asked)
    assert on_disk(path) == list(range(1000))
    await writer.close()  # again: nothing to do


async def test_an_empty_close(path: Path) -> None:
    writer = Writer(path)
    with pytest.raises(StoreFault, match="closed"):
        writer.submit(note(1))
    await writer.close()  # never started
    await writer.start()
    await writer.close()


def test_a_loop_that_is_gone_before_the_answer(path: Path) -> None:
    writer, gate = Writer(path), Gate()

    async def leave() -> None:
        await writer.start()
        writer.submit(gate)
        writer.submit(make_log)

    asyncio.run(leave())
    gate.open()
    writer._queue.put(None)  # close() needs a loop
    assert writer._thread is not None
    writer._thread.join(60)
    assert on_disk(path) == []


async def test_a_start_that_is_given_up(path: Path) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    writer = Writer(path)
    starting = asyncio.get_running_loop().create_task(writer.start())
    await asyncio.sleep(0)  # one turn of the loop: the thread is on its way
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await writer.close()
    await asyncio.sleep(0)  # and one for what the thread had to say
    assert faults == []


def damaged(path: Path) -> None:
    path.write_bytes(b"this is no database, and longer than a header of one would be" * 20)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def absent(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "told"),
    [(damaged, "not a database"), (newer, "run a newer budgetd"), (absent, "unable to open")],
)
async def test_a_file_that_cannot_be_opened(
    path: Path, harm: Callable[[Path], None], told: str
) -> None:
    harm(path)
    writer = Writer(path)
    with pytest.raises(StoreFault, match=f"cannot open the ledger .*{told}"):
        await writer.start()
    with pytest.raises(StoreFault, match="closed"):
        writer.submit(note(1))
    await writer.close()


async def test_the_file_is_private_and_every_commit_is_synced(path: Path) -> None:
    path.touch(0o644)
    path.chmod(0o644)  # whatever the umask said
    writer = Writer(path)
    await writer.start()
    await writer.submit(make_log)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["ledger.db", "ledger.db-wal", "ledger.db-shm"], 0o600)

    def pragmas(db: sqlite3.Connection) -> list[object]:
        return [
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]

    assert await writer.submit(pragmas) == ["wal", 2]
    await writer.close()


# --------------------------------------------------------------------------------------- a full disk


async def test_a_full_disk_is_a_store_fault_and_passes(writer: Writer, path: Path) -> None:
    """SQLITE_FULL for real: the file may not grow by another page."""
    open_hold = reservation(budget(10**9))
    await writer.submit(partial(book.admit, wanted=open_hold, now=NOW))

    def limit(pages: int, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    await writer.submit(partial(limit, 1))  # SQLite takes it as: no more than there are
    asked = [
        writer.submit(partial(book.admit, wanted=reservation(budget(10**9)), now=NOW))
        for _ in range(600)
    ]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    faults = [outcome for outcome in outcomes if isinstance(outcome, StoreFault)]
    admitted = sum(isinstance(outcome, Admit) for outcome in outcomes)
    assert len(faults) + admitted == 600
    assert faults
    assert all("disk is full" in str(fault) for fault in faults)
    held = on_disk(path, "SELECT hold FROM attempt WHERE state = 'open'")
    assert len(held) == admitted + 1
    assert on_disk(path, "SELECT held FROM window") == [sum(held)]
    await writer.submit(partial(limit, 2**30))
    assert await writer.submit(
        partial(book.settle, attempt=open_hold.attempt, done=settled(5), now=NOW)
    )
    assert await writer.submit(desk.audit) == []


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores the signal: EFBIG
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_commit_that_cannot_be_written_is_a_store_fault_and_passes(
    writer: Writer, path: Path
) -> None:
    """The write ahead log hits a limit of the file system, in the commit itself."""
    await writer.submit(note(1))
    wal = path.with_name("ledger.db-wal")
    with no_file_may_grow_beyond(wal.stat().st_size):
        gate = Gate()
        held = writer.submit(gate)
        jobs = [writer.submit(note(number)) for number in (2, 3)]
        gate.open()
        found = await asyncio.gather(held, *jobs, return_exceptions=True)
    assert [type(outcome) for outcome in found[1:]] == [StoreFault] * 2
    assert "cannot be written" in str(found[1])
    assert on_disk(path) == [1]
    await writer.submit(note(4))
    assert on_disk(path) == [1, 4]


# -------------------------------------------------------------------------------------------- kill -9

VICTIM = """
import asyncio, sys
from pathlib import Path
from budgetd.ledger.writer import Writer

async def main(path, first):
    writer = Writer(Path(path))
    await writer.start()
    for number in range(int(first), 10**9):
        await writer.submit(lambda db: db.execute("INSERT INTO log VALUES (?)", (number,)) and None)
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_was_acknowledged_survives_kill_9_twenty_times(
    writer: Writer, path: Path
) -> None:
    await writer.close()
    first = 0
    for cycle in range(20):
        victim = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-c", VICTIM, str(path), str(first)),  # -S: starts faster
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert victim.stdout is not None
        async with asyncio.timeout(60):
            last = first - 1
            for _ in range(1 + cycle % 5):
                last = int(await victim.stdout.readline())
            victim.send_signal(signal.SIGKILL)
            for line in (await victim.stdout.read()).splitlines():  # said before it died
                last = int(line)
            await victim.wait()
        found = on_disk(path)
        # All that was acknowledged, and at most one more that was not.
        assert found[: last + 1] == list(range(last + 1))
        assert len(found) <= last + 2
        first = len(found)
