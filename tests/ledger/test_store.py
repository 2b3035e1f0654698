"""The ledger as a whole: one daemon to a directory, private files, a clean failure, an audit that holds nobody up."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from budgetd.core.budgets import Admit
from budgetd.errors import StateInUse, StoreFault
from budgetd.ledger import book, keyring
from budgetd.ledger.store import Ledger
from tests.ledger.entries import NOW, budget, reservation, settled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = Ledger(tmp_path / "state")
    await made.open()
    yield made
    await made.close()


async def test_a_new_ledger_knows_no_instant_and_an_old_one_its_last(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "state")
    assert await first.open() == 0
    assert await first.recover(NOW) == 0
    work = partial(book.admit, wanted=reservation(budget()), now=NOW)
    assert isinstance(await first.writer.submit(work), Admit)
    text, token = await first.change_tokens(partial(keyring.issue, key="a", now=NOW, expires=None))
    await first.close()

    second = Ledger(tmp_path / "state")
    assert await second.open() == NOW
    assert second.keyring.find(text) == token
    assert await second.reader.open_holds() == (1, 100)
    assert await second.recover(NOW + 1) == 1
    assert await second.reader.orphans(NOW) == (1, 100)
    await second.close()


async def test_everything_it_makes_is_private(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "state")
    before = os.umask(0)
    try:
        await ledger.open()
    finally:
        os.umask(before)
    state = tmp_path / "deep" / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for file in state.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    await ledger.close()


async def test_a_directory_with_marks_in_its_name(tmp_path: Path) -> None:
    """Readers open the file by an address, in which these would mean something."""
    ledger = Ledger(tmp_path / "50% of #1?mode=rw&x")
    await ledger.open()
    assert await ledger.reader.open_holds() == (0, 0)
    assert await ledger.audit() == []
    await ledger.close()


async def test_a_second_daemon_is_told_who_was_first(ledger: Ledger, tmp_path: Path) -> None:
    second = Ledger(tmp_path / "state")
    with pytest.raises(StateInUse, match=rf"process {os.getpid()}\) is running on .*state"):
        await second.open()
    assert await ledger.writer.submit(book.last_instant) == 0  # the first goes on
    await ledger.close()
    await second.open()
    await second.close()


HOLDER = """
import asyncio, sys
from pathlib import Path
from budgetd.ledger.store import Ledger

async def main():
    ledger = Ledger(Path(sys.argv[1]))
    await ledger.open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_lock_of_a_killed_daemon_is_free(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(tmp_path / "state")),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    ledger = Ledger(tmp_path / "state")
    with pytest.raises(StateInUse, match=f"process {holder.pid}"):
        await ledger.open()
    holder.kill()
    await holder.wait()
    await ledger.open()
    assert (tmp_path / "state" / "lock").read_text() == str(os.getpid())
    await ledger.close()


async def test_a_lock_without_a_name_in_it(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "state" / "lock").write_text("")
    with pytest.raises(StateInUse, match="process unknown"):
        await Ledger(tmp_path / "state").open()


async def test_what_fails_to_open_leaves_nothing_open(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "ledger.db").write_bytes(b"no database at all, and quite long enough" * 30)
    ledger = Ledger(state)
    with pytest.raises(StoreFault, match="not a database"):
        await ledger.open()
    (state / "ledger.db").unlink()
    again = Ledger(state)
    await again.open()  # the lock was given back
    await again.close()


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreFault, match="cannot use the state directory"):
        await Ledger(tmp_path / "file" / "state").open()


async def test_a_token_works_and_stops_working_with_its_row(ledger: Ledger) -> None:
    text, token = await ledger.change_tokens(partial(keyring.issue, key="a", now=NOW, expires=None))
    assert ledger.keyring.find(text) == token
    assert await ledger.change_tokens(partial(keyring.revoke, key="a", now=NOW, hint=None)) == 1
    found = ledger.keyring.find(text)
    assert found is not None
    assert not found.valid_at(NOW)


async def test_a_change_that_fails_changes_nothing_in_memory(ledger: Ledger) -> None:
    def fail(db: sqlite3.Connection) -> None:
        keyring.issue(db, "a", NOW, None)
        raise LookupError("half way")

    with pytest.raises(LookupError):
        await ledger.change_tokens(fail)
    assert ledger.keyring.of("a") == []


async def test_the_audit_waits_for_no_writer_and_holds_none_up(
    ledger: Ledger, tmp_path: Path
) -> None:
    wanted = reservation(budget())
    await ledger.writer.submit(partial(book.admit, wanted=wanted, now=NOW))
    held, gate = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def busy(db: sqlite3.Connection) -> None:
        book.settle(db, wanted.attempt, settled(40), NOW)
        loop.call_soon_threadsafe(held.set)
        assert gate.wait(60)

    writing = ledger.writer.submit(busy)
    await held.wait()
    assert await ledger.audit() == []  # while the writer is inside a transaction
    gate.set()
    await writing
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as db, db:
        db.execute("UPDATE window SET settled = 41")
    assert await ledger.audit() == ["window 1 (key:a, 5h): settled is 41, its rows sum to 40"]


async def test_an_audit_of_a_file_that_is_gone_is_a_fault(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "state" / "ledger.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreFault, match="cannot be read"):
        await ledger.audit()


SPENDER = """
import asyncio, sys
from functools import partial
from pathlib import Path
from budgetd.ledger import book
from budgetd.ledger.store import Ledger
from tests.ledger.entries import NOW, path, reservation, settled

async def main(state, first):
    ledger = Ledger(Path(state))
    await ledger.open()
    for number in range(int(first), 10**9):
        made = path(f"child-{number % 3}", "top") if number % 4 else path(f"late-{number % 5}")
        if number % 7 == 0:
            made = path(f"late-{number % 5}", "top")  # one that finds its parent, with all it spent
        wanted = reservation(call=f"{number:020d}", path=made, hold=50)
        await ledger.writer.submit(partial(book.admit, wanted=wanted, now=NOW))
        work = partial(book.settle, attempt=wanted.attempt, done=settled(number), now=NOW)
        await ledger.writer.submit(work)
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_no_kill_comes_between_a_call_and_its_session(tmp_path: Path) -> None:
    first = 0
    for cycle in range(6):
        spender = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SPENDER, str(tmp_path), str(first)),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert spender.stdout is not None
        async with asyncio.timeout(60):
            for _ in range(3 + 5 * cycle):
                assert await spender.stdout.readline()
            spender.kill()
            await spender.stdout.read()
            await spender.wait()
        ledger = Ledger(tmp_path)
        await ledger.open()
        assert await ledger.audit() == []
        await ledger.recover(NOW + 1)
        assert await ledger.audit() == []
        made, cost = await ledger.writer.submit(_booked)
        assert cost == await ledger.writer.submit(_in_trees)
        assert cost > 0
        first = made
        await ledger.close()


def _booked(db: sqlite3.Connection) -> tuple[int, int]:
    found: tuple[int, int] = db.execute("SELECT count(*), sum(cost) FROM attempt").fetchone()
    return found


def _in_trees(db: sqlite3.Connection) -> int:
    found: tuple[int] = db.execute("SELECT sum(tree_cost) FROM session").fetchone()
    return found[0]
