"""What views may ask of sessions: the right trees and turns, from few rows, in one snapshot."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from budgetd.core.context import Makeup
from budgetd.core.settlement import Settlement
from budgetd.core.usage import Usage
from budgetd.errors import StoreFault
from budgetd.ledger import book, breakdown, desk, histories, steps
from budgetd.ledger.histories import CANDIDATES, Histories, Wanted
from tests.ledger.entries import NOW, opened
from tests.ledger.tales import MINUTE, SECOND, SONNET, Tale, looping, work


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "ledger.db") as connection:
        yield connection


def names(found: list[histories.Profile]) -> list[str]:
    return [one.session.ref for one in found]


def test_trees_come_newest_first_and_by_key_and_since(db: sqlite3.Connection) -> None:
    old, busy, other = Tale(db, "old"), Tale(db, "busy"), Tale(db, "other", key="b")
    for number, tale in enumerate((busy, old, other)):
        tale.at = NOW + number * MINUTE
        tale.turn()
    child = Tale(db, "child", above=busy, at=NOW + 5 * MINUTE)
    child.turn()
    assert names(histories.trees(db, Wanted())) == ["busy", "other", "old"]  # its child was
    assert names(histories.trees(db, Wanted(limit=2))) == ["busy", "other"]
    assert names(histories.trees(db, Wanted(key="b"))) == ["other"]
    assert names(histories.trees(db, Wanted(key="research"))) == ["busy", "old"]
    since = other.ended
    assert names(histories.trees(db, Wanted(since=since))) == ["busy", "other"]
    assert names(histories.trees(db, Wanted("research", since))) == ["busy"]
    assert histories.active(db, since) == 2
    assert histories.active(db, child.ended + 1) == 0


def test_a_profile_has_the_sums_of_its_own_and_of_its_tree(db: sqlite3.Connection) -> None:
    root = Tale(db, "root")
    first = root.turn(user=100, output=200)
    child = Tale(db, "child", above=root, at=NOW + MINUTE)
    child.money = "notional"
    child.turn()
    desk.adjust(db, first, 7, "", NOW)
    (found,) = histories.trees(db, Wanted())
    cost = (4_000 + 100) * 3_750_000 + 200 * 15_000_000 + 7
    assert (found.cost, found.notional, found.calls, found.turns) == (cost, 0, 1, 1)
    assert (found.tree_cost, found.tree_calls, found.tree_last) == (cost, 2, child.ended)
    assert found.tree_notional == histories.profiles(db, [child.id])[child.id].notional > 0
    assert (found.context, found.model, found.suspicion) == (4_300, "claude-sonnet-4-5", None)
    members = histories.kin(db, [root.id])
    assert {(one.id, one.parent, one.cost, one.calls) for one in members} == {
        (root.id, None, cost, 1),
        (child.id, root.id, 0, 1),
    }


def test_sessions_that_go_in_circles(db: sqlite3.Connection) -> None:
    fine, stuck, over = Tale(db, "fine"), Tale(db, "stuck"), Tale(db, "over")
    for tale in (fine, stuck, over):
        tale.turn(suspicion=None if tale is fine else looping())
    over.turn()
    (found,) = histories.looping(db, NOW)
    assert (found.session.ref, found.suspicion) == ("stuck", looping())
    assert histories.looping(db, stuck.ended + 1) == []
    assert [one.suspected for one in histories.kin(db, [stuck.id, over.id])].count(1) == 1


def test_a_session_is_found_by_id_by_name_and_by_the_beginning_of_either(
    db: sqlite3.Connection,
) -> None:
    tales = {
        (key, ref): Tale(db, ref, key=key)
        for key, ref in (("a", "nightly"), ("a", "nightly-2"), ("b", "weekly"), ("a", "weekly"))
    }
    for tale in tales.values():
        tale.turn()
    nightly = tales["a", "nightly"]
    assert names(histories.find(db, "nightly")) == ["nightly"]  # the whole name comes first
    assert names(histories.find(db, nightly.id)) == ["nightly"]
    assert names(histories.find(db, "nightly-")) == ["nightly-2"]
    assert sorted(names(histories.find(db, "night"))) == ["nightly", "nightly-2"]
    assert [one.session.key for one in histories.find(db, "weekly")] in (["a", "b"], ["b", "a"])
    unique = nightly.id[: max(1, len(nightly.id) - 1)]
    assert names(histories.find(db, unique)) == ["nightly"]
    assert histories.find(db, "nightly-3") == []
    assert histories.find(db, "%") == []


def test_no_more_candidates_are_named_than_a_person_reads(db: sqlite3.Connection) -> None:
    for number in range(CANDIDATES + 3):
        Tale(db, f"run-{number:02}").turn()
    assert len(histories.find(db, "run-")) == CANDIDATES
    assert len(histories.find(db, "run-0")) == CANDIDATES


def test_steps_say_what_each_call_was(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    first = tale.turn(user=100, output=200)
    second = tale.turn(results=[("Read", 500)], user=0, output=300, suspicion=looping())
    side = tale.turn(kind="side")
    unseen = tale.call(5_000)
    found = steps.steps(db, tale.id, 10)
    assert [step.call for step in found] == [unseen, side, second, first]
    last, _, step, begin = found
    assert (last.number, last.state, last.estimated, last.makeup, last.input) == (
        0, "uncertain", True, None, None,
    )  # fmt: skip  # a row of figures
    assert (step.number, step.kind, step.cause, step.state) == (2, "turn", "loop", "settled")
    assert step.makeup == Makeup(4_000, 300, 500, 0, 300)
    assert (step.input, step.cached, step.resent, step.writes) == (4_800, 4_300, 4_300, "5m")
    assert step.cost == 4_300 * 300_000 + 500 * 3_750_000 + 300 * 15_000_000
    assert (step.provider, step.model, step.money) == ("anthropic", "claude-sonnet-4-5", "real")
    assert step.suspicion == looping()
    assert step.at == begin.at + 20 * SECOND
    assert steps.cards(db, [step.price]) == {step.price: SONNET}
    assert [one.call for one in steps.steps(db, tale.id, 10, before=second)] == [first]
    assert [one.call for one in steps.steps(db, tale.id, 1)] == [unseen]
    turns = steps.newest(db, tale.id, 10)
    assert [one.call for one in turns] == [unseen, second, first]
    assert [one.call for one in steps.newest(db, tale.id, 2)] == [unseen, second]


def test_a_calls_cost_is_that_of_its_attempts_with_their_corrections(
    db: sqlite3.Connection,
) -> None:
    tale = Tale(db, "s")
    call = tale.turn()
    (before,) = steps.steps(db, tale.id, 1)
    desk.adjust(db, call, 11, "", NOW)
    desk.adjust(db, call, -4, "", NOW)
    (after,) = steps.steps(db, tale.id, 1)
    assert after.cost == before.cost + 7


def test_what_was_spent_after_a_call(db: sqlite3.Connection) -> None:
    mine, child = Tale(db, "mine"), Tale(db, "other")
    mine.label = "thesis"
    calls = [mine.turn(user=number) for number in range(3)]
    child.at = mine.at
    child.turn()
    costs = {step.call: step.cost for step in steps.steps(db, mine.id, 9)}
    found = steps.spending(db, [(mine.id, calls[0])], 9)
    assert {(one.call, one.cost) for one in found} == {(at, costs[at]) for at in calls[1:]}
    assert len(steps.spending(db, [(mine.id, calls[0]), (child.id, "")], 9)) == 3
    assert len(steps.spending(db, [(mine.id, "")], 2)) == 2
    seen = steps.traffic(db, calls[0], 9)
    assert [(one.session, one.label) for one in seen] == [
        (child.id, None),
        (mine.id, "thesis"),
        (mine.id, "thesis"),
    ]
    assert [one.call for one in steps.traffic(db, calls[0], 1)] == [child.calls[0]]
    assert seen[0].key == "research"
    assert seen[0].cost > 0


async def test_a_view_sees_one_moment(tmp_path: Path, db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn()
    written, asked = asyncio.Event(), asyncio.get_running_loop()

    def question(reading: sqlite3.Connection) -> tuple[int, int]:
        (before,) = histories.trees(reading, Wanted())
        asyncio.run_coroutine_threadsafe(more(), asked).result(10)
        (after,) = histories.trees(reading, Wanted())
        return before.calls, after.calls

    async def more() -> None:
        tale.turn()
        written.set()

    view = Histories(tmp_path / "ledger.db")
    assert await view.ask(question) == (1, 1)
    assert written.is_set()
    (now,) = await view.ask(lambda reading: histories.trees(reading, Wanted()))
    assert now.calls == 2


async def test_a_view_cannot_write_and_says_what_is_wrong(
    tmp_path: Path, db: sqlite3.Connection
) -> None:
    view = Histories(tmp_path / "ledger.db")
    for statement in ("DELETE FROM turn", "SELECT nonsense"):
        with pytest.raises(StoreFault, match="cannot be read"):
            await view.ask(lambda reading, sql=statement: reading.execute(sql))  # type: ignore[misc]  # bound at once
    with pytest.raises(StoreFault, match="cannot be read"):
        await Histories(tmp_path / "nowhere.db").ask(lambda reading: reading.execute("SELECT 1"))


def test_no_question_reads_a_whole_table(db: sqlite3.Connection) -> None:
    root = Tale(db, "root")
    work(root, 3)
    child = Tale(db, "child", above=root, at=root.at)
    child.turn(suspicion=looping())
    seen: dict[str, None] = {}
    db.set_trace_callback(seen.setdefault)
    for key in (None, "research"):
        for since in (None, NOW):
            histories.trees(db, Wanted(key, since, 5))
    members = histories.kin(db, [root.id])
    histories.profiles(db, [root.id, child.id])
    histories.active(db, NOW)
    histories.looping(db, NOW)
    histories.find(db, "nobody")
    steps.steps(db, root.id, 5)
    steps.steps(db, root.id, 5, "x")
    (found, *_) = steps.newest(db, root.id, 5)
    steps.cards(db, [found.price])
    steps.spending(db, [(root.id, "")], 5)
    steps.traffic(db, "", 5)
    breakdown.causes(db, members[0], members[1:])
    breakdown.tokens(db, root.id)
    breakdown.carried(db, root.id, 5)
    db.set_trace_callback(None)
    asked = [text for text in seen if text.lstrip().startswith("SELECT")]
    assert len(asked) == 25
    for sql in asked:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        scans = [step for step in plan if step.startswith("SCAN") and not bounded(step, sql)]
        assert not scans, f"{sql}: {plan}"


def bounded(step: str, sql: str) -> bool:
    """A walk over what was given, over rows that were found, or along an index up to a limit."""
    given = "VIRTUAL TABLE" in step or step.startswith("SCAN (subquery")
    along = re.search(r"USING INDEX tree_\w*by_last$", step) is not None and "LIMIT" in sql
    return given or along


def test_the_plan_check_sees_a_scan(db: sqlite3.Connection) -> None:
    sql = "SELECT * FROM turn WHERE call = 'x'"
    (plan,) = db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
    assert plan[3].startswith("SCAN")
    assert not bounded(plan[3], sql)


def test_an_attempt_that_came_to_nothing_is_no_turn(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    call = tale.turn()
    wanted = f"{call}.1"
    assert not book.settle(db, wanted, Settlement("settled", 1, usage=Usage(input=1)), NOW)
    assert len(steps.steps(db, tale.id, 9)) == 1
