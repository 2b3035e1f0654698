"""What views may ask: the right figures, in the right order, and never by reading a whole table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from budgetd.core.settlement import Settlement
from budgetd.core.windows import Total
from budgetd.errors import StoreFault
from budgetd.ledger import book, desk, refusals
from budgetd.ledger.reads import Reader, Spend, Stop
from tests.ledger.entries import FIVE_HOURS, HOUR, NOW, budget, opened, reservation, settled

HOUR_NOW = NOW // HOUR


@dataclass
class Desk:
    """A ledger with both of its connections."""

    db: sqlite3.Connection
    reader: Reader

    def call(self, key: str, end: Settlement | None, at: int = NOW, **fields: object) -> str:
        """A call of a key, settled or left open; returns its identifier."""
        wanted = reservation(budget(10_000, subject=f"key:{key}"), key=key, **fields)  # type: ignore[arg-type]  # fields by name
        book.admit(self.db, wanted, at)
        if end is not None:
            book.settle(self.db, wanted.attempt, end, at)
        return wanted.call.id


@pytest.fixture
async def desks(tmp_path: Path) -> AsyncIterator[Desk]:
    with opened(tmp_path / "ledger.db") as db:
        reader = Reader(tmp_path / "ledger.db")
        await reader.open()
        yield Desk(db, reader)
        await reader.close()


async def test_balances_of_windows_that_are_open_and_of_those_that_are_not_yet(desks: Desk) -> None:
    desks.call("a", settled(70))
    desks.call("a", None)
    desk.top_up(desks.db, (budget(10_000),), 5, "", NOW)
    now, later, other = (
        *await desks.reader.balances([budget(10_000)], NOW),
        *await desks.reader.balances([budget(10_000)], NOW + FIVE_HOURS.every),
        *await desks.reader.balances([budget(10_000, window=Total())], NOW),
    )
    assert (now.settled, now.held, now.topped_up, now.span.start) == (70, 100, 5, NOW)
    assert (later.settled, later.held, later.topped_up) == (0, 0, 0)
    assert later.span.start == NOW + FIVE_HOURS.every
    assert other.settled == 0
    assert await desks.reader.balances([], NOW) == []


async def test_active_keys_are_those_with_a_window_that_is_open(desks: Desk) -> None:
    desks.call("a", None)
    desks.call("b", None, at=NOW - FIVE_HOURS.every)
    for subject, window in (("key:c", Total()), ("all", Total()), ("key:a", Total())):
        wanted = reservation(budget(subject=subject, window=window))
        book.admit(desks.db, wanted, NOW)
    assert sorted(await desks.reader.active_keys(NOW)) == ["a", "c"]
    assert sorted(await desks.reader.active_keys(NOW - 1)) == ["a", "b", "c"]


async def test_active_labels_are_found_among_windows_of_everything_else(desks: Desk) -> None:
    subjects = (("label:a", NOW + 1), ("label:b", NOW), ("label:c", None), ("key:d", None))
    for subject, end in (*subjects, ("session:e", None), ("agent:f", NOW + 1), ("all", None)):
        desks.db.execute(
            "INSERT INTO window (subject, budget, kind, start, end) VALUES (?, 'x', 'y', 0, ?)",
            (subject, end),
        )
    assert sorted(await desks.reader.active_labels(NOW)) == ["a", "c"]
    assert sorted(await desks.reader.active_keys(NOW)) == ["d"]


async def test_stops(desks: Desk) -> None:
    assert await desks.reader.stops() == []
    desk.stop(desks.db, "key:a", "enough", 5)
    desk.stop(desks.db, "all", "", 6)
    assert await desks.reader.stops() == [Stop("all", 6, ""), Stop("key:a", 5, "enough")]


async def test_spend_by_kind_of_money_and_by_model(desks: Desk) -> None:
    desks.call("a", settled(70))
    desks.call("a", settled(30, estimated=True), retry_of="x")
    desks.call("a", settled(500, model="dear"))
    desks.call("b", settled(9))
    desks.call("a", settled(7), at=NOW - HOUR)
    a_now = Spend(3, 600, 30, 30, 150, 60, 15)
    assert await desks.reader.spend(HOUR_NOW, "a") == {"real": a_now}
    assert (await desks.reader.spend(HOUR_NOW))["real"].cost == 609
    assert (await desks.reader.spend(HOUR_NOW - 1))["real"].cost == 616
    assert await desks.reader.spend(HOUR_NOW + 1) == {}
    assert await desks.reader.spend_by_model(HOUR_NOW, "a") == [
        ("openai", "dear", "real", Spend(1, 500, 0, 0, 50, 20, 5)),
        ("openai", "gpt-4o", "real", Spend(2, 100, 30, 30, 100, 40, 10)),
    ]


async def test_open_holds_and_orphans(desks: Desk) -> None:
    assert await desks.reader.open_holds() == (0, 0)
    assert await desks.reader.orphans(0) == (0, 0)
    desks.call("a", settled(70))
    desks.call("a", None)
    desks.call("b", None)
    assert await desks.reader.open_holds() == (2, 200)
    book.recover(desks.db, NOW)
    assert await desks.reader.open_holds() == (0, 0)
    assert await desks.reader.orphans(NOW) == (2, 200)
    assert await desks.reader.orphans(NOW + 1) == (0, 0)


async def test_the_newest_calls_with_their_last_attempt(desks: Desk) -> None:
    first = desks.call("a", settled(70, model="m2"), retry_of="x")
    second = desks.call("b", None)
    third = desks.call("a", Settlement("known_zero", 0, status=429))
    again = reservation(budget(10_000), call=third, number=2)
    book.admit(desks.db, again, NOW)
    found = await desks.reader.calls(None, 10)
    assert [row["call"] for row in found] == [third, second, first]
    assert [row["state"] for row in found] == ["open", "open", "settled"]
    assert found[2] == {
        "call": first,
        "at": NOW,
        "key": "a",
        "client": "sdk",
        "provider": "openai",
        "model": "m2",
        "state": "settled",
        "cost": 70,
        "estimated": 0,
        "cause": None,
        "status": 200,
        "hold": 100,
        "retry_of": "x",
        "money": "real",
    }
    assert [row["call"] for row in await desks.reader.calls("a", 10)] == [third, first]
    assert [row["call"] for row in await desks.reader.calls(None, 1)] == [third]


async def test_the_newest_refusals(desks: Desk) -> None:
    for number, key in enumerate(["a", "b", "a"]):
        refusals.write(desks.db, f"r{number}", key, NOW, ("spent", {"n": number}))
    assert await desks.reader.refusals(None, 2) == [
        ("r2", NOW, "a", "spent", '{"n": 2}'),
        ("r1", NOW, "b", "spent", '{"n": 1}'),
    ]
    assert [row[0] for row in await desks.reader.refusals("a", 5)] == ["r2", "r0"]


async def test_a_reader_cannot_write_and_says_what_is_wrong(desks: Desk) -> None:
    for statement in ("DELETE FROM call", "SELECT nonsense"):
        with pytest.raises(StoreFault, match="cannot be read"):
            await desks.reader._all(statement)


async def test_a_closed_reader_is_a_fault(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "ledger.db")
    await reader.close()
    with pytest.raises(StoreFault, match="closed"):
        await reader.open_holds()


# ------------------------------------------------------------------------------------------- the plans


async def test_no_question_and_no_change_reads_a_whole_table(
    desks: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement that runs for a call, a view or the desk is a search by an index."""
    seen: dict[str, None] = {}
    desks.db.set_trace_callback(seen.setdefault)
    key_calls = [desks.call("a", settled(70)), desks.call("a", Settlement("not_sent", 0))]
    desks.call("a", None)
    desks.call("a", None, hold=20_000)  # refused
    desk.adjust(desks.db, key_calls[0], 5, "", NOW)
    desk.top_up(desks.db, (budget(),), 5, "", NOW)
    desk.stop(desks.db, "key:a", "", NOW)
    desk.lift(desks.db, "key:a")
    book.recover(desks.db, NOW)
    refusals.write(desks.db, "ends in 00", "a", NOW, ("spent", {}))
    book.last_instant(desks.db)
    desks.db.set_trace_callback(None)

    read: list[tuple[str, tuple[object, ...]]] = []
    ask = desks.reader._all

    async def noted(sql: str, values: tuple[object, ...] = ()) -> list[tuple]:
        read.append((sql, tuple(values)))
        return await ask(sql, values)

    monkeypatch.setattr(desks.reader, "_all", noted)
    reader = desks.reader
    await reader.balances([budget()], NOW)
    await reader.active_keys(NOW)
    for key in (None, "a"):
        await reader.spend(HOUR_NOW, key)
        await reader.calls(key, 5)
        await reader.refusals(key, 5)
    await reader.spend_by_model(HOUR_NOW, "a")
    await reader.open_holds()
    await reader.orphans(NOW)

    statements = [(text, ()) for text in seen if re.match("SELECT|UPDATE|DELETE|INSERT", text)]
    assert len(statements) > 20
    assert len(read) == 11
    for sql, values in [*statements, *read]:
        plan = [row[3] for row in desks.db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        scans = [step for step in plan if step.startswith("SCAN") and not bounded(step)]
        assert not scans, f"{sql}: {plan}"


def bounded(step: str) -> bool:
    """A walk along an index of few rows (the open holds, the clock), or one that stops at a limit."""
    few = ("attempt_open", "clock", "stop", "CONSTANT ROW")
    return any(name in step for name in few) or step == "SCAN refusal"


async def test_the_plan_check_sees_a_scan(desks: Desk) -> None:
    plan = desks.db.execute("EXPLAIN QUERY PLAN SELECT id FROM attempt WHERE call = 'x'").fetchall()
    assert plan[0][3].startswith("SCAN")
    assert not bounded(plan[0][3])
