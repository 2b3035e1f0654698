"""Where money and tokens went: every pico-dollar once, and a tool result's price of being carried."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from budgetd.core.causes import Causes
from budgetd.core.context import Makeup
from budgetd.ledger import breakdown, desk, histories
from budgetd.ledger.breakdown import Carried
from tests.ledger.entries import NOW, opened
from tests.ledger.tales import Tale, looping, work

IN, READ, WRITE, OUT = 3_000_000, 300_000, 3_750_000, 15_000_000  # a Sonnet's, as in tales


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "ledger.db") as connection:
        connection.execute("BEGIN")  # one transaction: nothing here is about disks
        yield connection


def causes(db: sqlite3.Connection, root: Tale, *below: Tale) -> tuple[Causes, Causes]:
    """The causes of the real money of a session: own, and its tree's."""
    members = {one.id: one for one in histories.kin(db, [root.path[-1].id])}
    own, tree = breakdown.causes(db, members[root.id], [members[one.id] for one in below])
    return own["real"], tree["real"]


def test_plain_work_is_fresh_reread_and_cold(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(user=1_000, output=100)  # 5,000 written, 100 out
    tale.turn(user=200, output=100)  # 5,100 read, 200 written, 100 out
    tale.turn(user=300, output=100, cached=False)  # 5,700 written, 5,400 of them not the first time
    own, tree = causes(db, tale)
    reread = 5_100 * READ + 5_400 * READ
    cold = 5_400 * (WRITE - READ)
    fresh = 5_000 * WRITE + 200 * WRITE + 300 * WRITE + 3 * 100 * OUT
    assert own == tree == Causes(cold=cold, reread=reread, fresh=fresh)


def test_whole_calls_are_side_calls_retries_or_loops(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    first = 4_050 * WRITE + 300 * OUT
    tale.turn()
    tale.turn(kind="side", user=10, output=1)
    tale.turn(retry=True, user=20, output=2)
    tale.turn(suspicion=looping(), user=30, output=3)
    own, _ = causes(db, tale)
    assert own.side == 4_010 * WRITE + OUT
    assert own.retry == 4_350 * READ + 20 * WRITE + 2 * OUT
    assert own.loop == 4_372 * READ + 30 * WRITE + 3 * OUT
    assert (own.fresh, own.cold, own.reread, own.agents) == (first, 0, 0, 0)


def test_the_work_of_sub_agents_is_theirs_but_not_their_loops(db: sqlite3.Connection) -> None:
    root = Tale(db, "root")
    root.turn()
    child = Tale(db, "child", above=root)
    grandchild = Tale(db, "grandchild", above=child)
    work(child, 3)
    child.turn(cached=False)
    grandchild.turn()
    grandchild.turn(suspicion=looping())
    grandchild.turn(kind="side")
    spent = {one.id: one.cost for one in histories.kin(db, [root.id])}
    own, tree = causes(db, root, child, grandchild)
    theirs, both = causes(db, child, grandchild)
    alone, _ = causes(db, grandchild)
    assert own.total == spent[root.id]
    assert tree.total == sum(spent.values())
    assert tree.agents == spent[child.id] + alone.fresh
    assert (tree.loop, tree.side) == (alone.loop, alone.side)
    assert alone.loop > 0 < alone.side
    assert (tree.fresh, tree.cold, tree.reread) == (own.fresh, own.cold, own.reread)
    assert theirs.cold > 0 < theirs.reread
    assert both.agents == alone.fresh
    assert both.total == spent[child.id] + spent[grandchild.id]


def test_a_correction_changes_what_was_fresh_then_reread_then_cold(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn()
    work(tale, 1)
    cold = tale.turn(cached=False, user=10, output=10)
    before, _ = causes(db, tale)
    mine = 4_350 + 800  # what stood there before, all of it written again
    desk.adjust(db, cold, 77, "", NOW)
    assert causes(db, tale)[0] == Causes(
        cold=before.cold, reread=before.reread, fresh=before.fresh + 77
    )
    fresh = 10 * WRITE + 10 * OUT + 77
    desk.adjust(db, cold, -fresh - 5, "", NOW)
    assert causes(db, tale)[0] == Causes(
        cold=before.cold, reread=before.reread - 5, fresh=before.fresh + 77 - fresh
    )
    desk.adjust(db, cold, 5 - mine * READ - 9, "", NOW)
    assert causes(db, tale)[0].cold == before.cold - 9
    desk.adjust(db, cold, -(10**15), "", NOW)  # to nothing
    own, _ = causes(db, tale)
    assert own.cold == 0
    assert own.total == histories.kin(db, [tale.id])[0].cost


def test_two_kinds_of_money_are_told_apart(db: sqlite3.Connection) -> None:
    root = Tale(db, "root")
    root.turn()
    root.money = "notional"
    root.turn(user=7)
    child = Tale(db, "child", above=root)
    child.money = "notional"
    child.turn()
    members = {one.id: one for one in histories.kin(db, [root.id])}
    own, tree = breakdown.causes(db, members[root.id], [members[child.id]])
    assert tree["real"] == own["real"] == Causes(fresh=members[root.id].cost)
    assert own["notional"].total == members[root.id].notional
    assert own["notional"].reread > 0
    assert tree["notional"].agents == members[child.id].notional > 0


def test_what_nobody_saw_end_is_fresh_work(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.call(123)
    assert causes(db, tale)[0] == Causes(fresh=123)


def test_every_dollar_once_in_any_tree(db: sqlite3.Connection) -> None:
    luck = random.Random(7)
    tales = [Tale(db, "root")]
    for number in range(6):
        tales.append(Tale(db, f"agent-{number}", above=luck.choice(tales)))
    for _ in range(150):
        tale = luck.choice(tales)
        call = tale.turn(
            results=[("Read", luck.randint(1, 900))],
            cached=luck.random() < 0.8,
            kind=luck.choice(("turn", "turn", "turn", "side")),
            retry=luck.random() < 0.1,
            suspicion=looping() if luck.random() < 0.1 else None,
        )
        if luck.random() < 0.3:
            desk.adjust(db, call, luck.randint(-(10**10), 10**10), "", NOW)
    members = {one.id: one for one in histories.kin(db, [tales[0].id])}
    for tale in tales:
        below = [members[one.id] for one in tales if tale.path[0] in one.path[1:]]
        own, tree = breakdown.causes(db, members[tale.id], below)
        assert own["real"].total == members[tale.id].cost
        assert tree["real"].total == sum(one.cost for one in (members[tale.id], *below))
        for _, amount in tree["real"]:
            assert amount >= 0


def test_tokens_by_where_they_stood(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    assert breakdown.tokens(db, tale.id) == breakdown.Tokens(Makeup(), 0, 0, 0, 0)
    tale.turn(user=100, output=10)
    tale.turn(results=[("Read", 50), ("Bash", 7)], user=0, output=20)
    tale.call(99)
    found = breakdown.tokens(db, tale.id)
    assert found.parts == Makeup(8_000, 110, 57, 100, 30)
    assert (found.cached, found.resent, found.calls, found.silent) == (4_110, 4_110, 3, 1)


# ------------------------------------------------------------------------------------ carrying along


def test_a_file_read_at_step_5_of_38(db: sqlite3.Connection) -> None:
    """The case that the field quotes: 33 times 2,000 tokens."""
    tale = Tale(db, "task")
    work(tale, 4)
    call = tale.turn(results=[("Read", 2_000)], user=0)
    work(tale, 33)
    (first, *_) = breakdown.carried(db, tale.id, 99)
    assert first == Carried(call, 5, first.place, "Read", 2_000, 33, 66_000, first.cost, False)
    assert first.cost == 66_000 * READ  # it was in the cache each time
    assert len(breakdown.carried(db, tale.id, 7)) == 7


def test_a_result_costs_more_when_the_cache_is_cold(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(results=[("Read", 1_000)])
    tale.turn()
    tale.turn(cached=False)
    (found,) = breakdown.carried(db, tale.id, 9)
    assert (found.times, found.cost) == (2, 1_000 * (READ + WRITE))


def test_a_result_that_was_compacted_away_costs_no_more(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(results=[("Read", 1_000)])
    work(tale, 2, results=())
    tale.turn(compacted=300)
    work(tale, 3, results=())
    (found,) = breakdown.carried(db, tale.id, 9)
    assert (found.times, found.resent, found.dropped) == (2, 2_000, True)
    assert found.cost == 2_000 * READ


def test_two_results_of_one_call_and_the_dearest_first(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(results=[("Grep", 10), ("Read", 900)])
    tale.turn(results=[("Bash", 100)])
    tale.turn()
    assert [(one.tool, one.turn, one.times) for one in breakdown.carried(db, tale.id, 9)] == [
        ("Read", 1, 2),
        ("Bash", 2, 1),
        ("Grep", 1, 2),
    ]


def test_in_a_loop_it_is_carried_at_the_price_of_the_turn_before(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(results=[("Read", 1_000)])
    tale.turn()
    tale.turn(suspicion=looping())
    tale.turn(retry=True)
    (found,) = breakdown.carried(db, tale.id, 9)
    assert (found.times, found.cost) == (3, 3 * 1_000 * READ)


def test_a_turn_that_failed_counts_once_with_its_retry(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(results=[("Read", 1_000)])
    tale.turn()
    tale.fails(70)
    tale.turn(retry=True, results=[("Bash", 10)])
    tale.turn()
    read, bash = breakdown.carried(db, tale.id, 9)
    assert (read.turn, read.times, read.cost) == (1, 3, 3 * 1_000 * READ)
    assert (bash.turn, bash.times) == (3, 1)
    assert breakdown.tokens(db, tale.id).silent == 1


def test_a_call_that_nobody_saw_end_carried_nothing(db: sqlite3.Connection) -> None:
    tale = Tale(db, "s")
    tale.turn(results=[("Read", 1_000)])
    tale.call(50)
    tale.turn()
    tale.turn(kind="side")
    (found,) = breakdown.carried(db, tale.id, 9)
    assert (found.times, found.cost) == (1, 1_000 * READ)
