"""Sessions in the ledger: who is below whom, what each has cost, and what each call was there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from budgetd.core.budgets import Admit
from budgetd.core.causes import Split
from budgetd.core.context import Makeup
from budgetd.core.loops import Suspicion
from budgetd.core.sessions import Kind, Session, session_id
from budgetd.core.settlement import Settlement
from budgetd.core.transcript import Checkpoint, Head
from budgetd.core.turns import Carried, Turn
from budgetd.core.usage import Usage
from budgetd.ledger import book, desk, sessions
from budgetd.ledger.sessions import Result
from tests.ledger.entries import CARD, NOW, budget, opened, path, reservation, settled

Row = dict[str, object]
Path_ = tuple[Session, ...]

LOOP = Suspicion("cycle", 2, 3, "Bash, Read")
WORK, PARTS = Split("work"), Makeup(100, 200, 30, 4, 50)
HEAD = Head((2**63 - 1, 4_000), (7, 9_000), (0, 0))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "ledger.db") as connection:
        yield connection
        assert desk.audit(connection) == []


def rows(db: sqlite3.Connection, table: str, where: str = "1") -> list[Row]:
    found = db.execute(f"SELECT * FROM {table} WHERE {where}")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def session(db: sqlite3.Connection, ref: str, key: str = "a") -> Row:
    (row,) = rows(db, "session", f"id = '{session_id(key, ref)}'")
    return row


def turn_of(db: sqlite3.Connection, call: str) -> Row:
    (row,) = rows(db, "turn", f"call = '{call}'")
    return row


def picked(row: Row, *names: str) -> tuple[object, ...]:
    return tuple(row[name] for name in names)


def tree(db: sqlite3.Connection) -> dict[str, tuple[object, ...]]:
    """By ref: the refs of parent and root, own cost, and of roots the tree's calls and cost."""
    ref = {row["id"]: row["ref"] for row in rows(db, "session")}
    return {
        str(row["ref"]): (
            ref.get(row["parent"]),
            ref[row["root"]],
            row["cost"],
            row["tree_calls"],
            row["tree_cost"],
        )
        for row in rows(db, "session")
    }


def admit(db: sqlite3.Connection, *refs: str, at: int = NOW, **more: object) -> str:
    """Admit a call of the first of these sessions, said to be below the others."""
    wanted = reservation(budget(10**9), path=path(*refs), **more)  # type: ignore[arg-type]  # as it takes them
    assert isinstance(book.admit(db, wanted, at), Admit)
    return wanted.call.id


def spend(db: sqlite3.Connection, cost: int, *refs: str, at: int = NOW, **more: object) -> str:
    call = admit(db, *refs, at=at, **more)
    assert book.settle(db, f"{call}.1", settled(cost), at)
    return call


def turn(
    number: int = 1,
    *,
    ref: str = "s",
    kind: Kind = "turn",
    split: Split = WORK,
    makeup: Makeup | None = PARTS,
    checkpoint: Checkpoint | None = None,
    results: tuple[Carried, ...] = (),
    kept: int = 10**6,
    suspicion: Suspicion | None = None,
) -> Turn:
    """A turn of a session without ancestors."""
    made = path(ref)[0]
    return Turn(made, kind, number, split, makeup, 180, checkpoint, results, kept, suspicion)


def point(items: int, *, answer: int = 9) -> Checkpoint:
    return Checkpoint(bytes([items] * 16), items, "openai", "gpt-4o", HEAD, 334, 50, NOW, answer)


# ------------------------------------------------------------------------------------------- who is whose


def test_the_first_call_of_a_session_makes_its_row(db: sqlite3.Connection) -> None:
    admit(db, "s", label="blue", at=NOW + 5)
    made = path("s")[0]
    row = session(db, "s")
    who = "id", "key", "ref", "source", "client", "parent", "root", "label", "model"
    assert picked(row, *who) == (
        made.id,
        "a",
        "s",
        "client",
        "sdk",
        None,
        made.id,
        "blue",
        "gpt-4o",
    )
    times = "started", "last", "tree_last"
    assert picked(row, *times) == (NOW + 5,) * 3
    assert {row[name] for name in row if name not in {*who, *times}} == {0, None}
    assert rows(db, "call")[0]["session"] == made.id
    assert rows(db, "turn") == []  # nothing has happened yet


def test_a_call_without_a_session_leaves_no_trace_of_one(db: sqlite3.Connection) -> None:
    wanted = reservation(budget())
    book.admit(db, wanted, NOW)
    book.settle(db, wanted.attempt, settled(5), NOW, turn())
    desk.adjust(db, wanted.call.id, 5, "", NOW)
    assert rows(db, "session") == rows(db, "turn") == []
    assert rows(db, "call")[0]["session"] is None


def test_what_was_not_admitted_is_no_session(db: sqlite3.Connection) -> None:
    book.admit(db, reservation(budget(5), path=path("s", "above")), NOW)
    desk.stop(db, "all", "", NOW)
    book.admit(db, reservation(budget(), path=path("s")), NOW)
    assert rows(db, "session") == []


def test_the_kind_of_a_call_is_kept(db: sqlite3.Connection) -> None:
    admit(db, "s", kind="side")
    admit(db, "s")
    assert [row["kind"] for row in rows(db, "call")] == ["side", "turn"]


def test_those_above_a_session_are_there_before_they_have_called(db: sqlite3.Connection) -> None:
    admit(db, "child", "middle", "top", at=NOW + 5)
    assert tree(db) == {
        "child": ("middle", "top", 0, 0, 0),
        "middle": ("top", "top", 0, 0, 0),
        "top": (None, "top", 0, 0, 0),
    }
    for ref in ("middle", "top"):
        assert picked(session(db, ref), "model", "label", "calls", "started") == (
            "",
            None,
            0,
            NOW + 5,
        )
    assert [session(db, ref)["tree_last"] for ref in ("child", "middle", "top")] == [0, 0, NOW + 5]


def test_a_session_that_was_first_named_by_its_child_keeps_what_it_has(
    db: sqlite3.Connection,
) -> None:
    spend(db, 40, "child", "top", at=NOW)
    own = replace(path("top")[0], source="header", client="claude-code")
    wanted = reservation(budget(), path=(own,), label="blue", model="opus")
    book.admit(db, wanted, NOW + 9)
    row = session(db, "top")
    assert picked(row, "source", "client", "label", "model") == (
        "header",
        "claude-code",
        "blue",
        "opus",
    )
    assert picked(row, "started", "tree_cost", "tree_calls") == (NOW, 40, 1)
    assert picked(session(db, "child"), "source", "client", "label") == ("client", "sdk", None)
    # and what its child says of it second hand changes nothing again
    spend(db, 2, "child", "top", at=NOW + 10)
    row = session(db, "top")
    assert picked(row, "source", "client", "label", "model") == (
        "header",
        "claude-code",
        "blue",
        "opus",
    )
    assert picked(row, "cost", "tree_cost", "last", "tree_last") == (0, 42, NOW, NOW + 10)


def test_who_calls_is_what_the_newest_call_says_and_nothing_else_follows_it(
    db: sqlite3.Connection,
) -> None:
    admit(db, "s", label="blue", model="opus")
    for source, client in (("header", "sdk"), ("header", "codex")):
        own = replace(path("s")[0], source=source, client=client)  # type: ignore[arg-type]  # one of the literals
        book.admit(db, reservation(budget(), path=(own,), model="haiku"), NOW)
        row = session(db, "s")
        assert picked(row, "source", "client", "label", "model") == (source, client, "blue", "opus")


def test_the_first_call_of_one_that_was_only_named_tells_its_model(db: sqlite3.Connection) -> None:
    admit(db, "child", "top", model="haiku")
    admit(db, "top", model="opus")
    admit(db, "top", model="sonnet")
    assert session(db, "top")["model"] == "opus"


def test_the_newest_label_counts_and_none_takes_it_away(db: sqlite3.Connection) -> None:
    for label in ("blue", None, "red", None):
        admit(db, "s", label=label)
    assert session(db, "s")["label"] == "red"


def test_the_same_name_under_two_keys_is_two_sessions(db: sqlite3.Connection) -> None:
    for key, cost in (("a", 5), ("b", 7)):
        wanted = reservation(budget(), path=path("s", key=key))
        book.admit(db, wanted, NOW)
        book.settle(db, wanted.attempt, settled(cost), NOW)
    assert (session(db, "s", "a")["cost"], session(db, "s", "b")["cost"]) == (5, 7)


def test_a_session_that_turns_out_to_have_a_parent_moves_with_all_it_spent(
    db: sqlite3.Connection,
) -> None:
    spend(db, 100, "top", at=NOW + 30)
    spend(db, 7, "top", at=NOW + 30, money="notional")
    spend(db, 20, "child", at=NOW + 40)
    spend(db, 9, "child", at=NOW + 40, money="notional")
    spend(db, 3, "grandchild", "child", at=NOW + 50)
    assert tree(db)["child"] == (None, "child", 20, 3, 23)
    admit(db, "child", "top", at=NOW + 60)
    moved = {
        "grandchild": ("child", "top", 3, 0, 0),
        "child": ("top", "top", 20, 0, 0),
        "top": (None, "top", 100, 5, 123),
    }
    assert tree(db) == moved
    assert [session(db, ref)["tree_notional"] for ref in ("top", "child")] == [16, 0]
    assert picked(session(db, "top"), "last", "tree_last") == (NOW + 30, NOW + 50)
    assert session(db, "child")["tree_last"] == 0
    desk.adjust(db, spend(db, 1, "grandchild", "child", "top"), 5, "", NOW)
    assert tree(db)["top"] == (None, "top", 100, 6, 129)


def test_a_tree_that_moves_below_an_older_one_makes_it_no_older(db: sqlite3.Connection) -> None:
    admit(db, "child", at=NOW)
    admit(db, "top", at=NOW + 9)
    admit(db, "child", "top", at=NOW + 10)
    assert session(db, "top")["tree_last"] == NOW + 9


def test_a_grandchild_may_tell_who_is_above_its_parent(db: sqlite3.Connection) -> None:
    spend(db, 3, "child", "middle")
    spend(db, 4, "child", "middle", "top")
    assert tree(db) == {
        "child": ("middle", "top", 7, 0, 0),
        "middle": ("top", "top", 0, 0, 0),
        "top": (None, "top", 0, 2, 7),
    }


def test_a_parent_is_set_once(db: sqlite3.Connection) -> None:
    admit(db, "child", "top")
    spend(db, 5, "child", "other")
    spend(db, 6, "child")
    assert tree(db) == {
        "child": ("top", "top", 11, 0, 0),
        "top": (None, "top", 0, 2, 11),
        "other": (None, "other", 0, 0, 0),
    }


def test_a_parent_between_two_that_are_known_changes_neither(db: sqlite3.Connection) -> None:
    admit(db, "child", "top")
    admit(db, "child", "middle", "top")
    assert {ref: row[:2] for ref, row in tree(db).items()} == {
        "child": ("top", "top"),
        "middle": ("top", "top"),
        "top": (None, "top"),
    }


def test_what_is_known_above_the_claimed_root_stays(db: sqlite3.Connection) -> None:
    admit(db, "middle", "top")
    spend(db, 5, "child", "middle")
    assert tree(db)["child"] == ("middle", "top", 5, 0, 0)
    assert tree(db)["top"] == (None, "top", 0, 1, 5)


@pytest.mark.parametrize("order", list(permutations([("a", "b"), ("b", "c"), ("c", "a")])))
def test_claims_that_close_a_circle_are_cut_where_they_would(
    db: sqlite3.Connection, order: tuple[tuple[str, str], ...]
) -> None:
    for refs in (*order, *order):
        spend(db, 1, *refs)
    made = {ref: (parent, root) for ref, (parent, root, *_) in tree(db).items()}
    roots = [ref for ref, (parent, _) in made.items() if parent is None]
    assert roots == [order[-1][0]]  # the last that was said was not believed
    assert {root for _, root in made.values()} == set(roots)
    assert tree(db)[roots[0]][3:] == (6, 6)


def test_a_session_is_not_its_own_ancestor_by_way_of_a_long_claim(db: sqlite3.Connection) -> None:
    admit(db, "c", "a")
    spend(db, 1, "a", "b", "c")
    assert {ref: row[:2] for ref, row in tree(db).items()} == {
        "a": (None, "a"),
        "b": ("c", "a"),
        "c": ("a", "a"),
    }


def test_a_second_attempt_enters_nothing_again(db: sqlite3.Connection) -> None:
    call = admit(db, "s", at=NOW)
    again = reservation(budget(), call=call, number=2, path=path("s", "top"), label="late")
    book.admit(db, again, NOW + 9)
    assert tree(db) == {"s": (None, "s", 0, 0, 0)}
    assert session(db, "s")["label"] is None


# ------------------------------------------------------------------------------------------ what it cost


def test_a_settlement_is_added_to_the_session_and_to_its_root(db: sqlite3.Connection) -> None:
    spend(db, 5, "top", at=NOW + 1)
    spend(db, 7, "child", "top", at=NOW + 2)
    spend(db, 9, "child", "top", at=NOW + 3)
    assert tree(db) == {"top": (None, "top", 5, 3, 21), "child": ("top", "top", 16, 0, 0)}
    assert [session(db, ref)["calls"] for ref in ("top", "child")] == [1, 2]
    assert picked(session(db, "top"), "last", "tree_last") == (NOW + 1, NOW + 3)
    assert picked(session(db, "child"), "last", "tree_last") == (NOW + 3, 0)


def test_a_settlement_counts_once(db: sqlite3.Connection) -> None:
    call = spend(db, 5, "s")
    assert not book.settle(db, f"{call}.1", settled(5), NOW, turn())
    assert picked(session(db, "s"), "cost", "calls", "turns") == (5, 1, 0)


def test_the_two_kinds_of_money_are_never_added(db: sqlite3.Connection) -> None:
    spend(db, 5, "child", "top")
    desk.adjust(db, spend(db, 7, "child", "top", money="notional"), 2, "", NOW)
    assert picked(session(db, "child"), "cost", "notional", "calls") == (5, 9, 2)
    assert picked(session(db, "top"), "tree_cost", "tree_notional", "tree_calls") == (5, 9, 2)


def test_an_adjustment_reaches_the_root_and_is_no_activity(db: sqlite3.Connection) -> None:
    call = spend(db, 70, "child", "top", at=NOW)
    desk.adjust(db, call, 25, "invoice", NOW + 9)
    desk.adjust(db, call, -500, "credit", NOW + 9)
    desk.adjust(db, call, 3, "invoice", NOW + 9)
    assert tree(db) == {"child": ("top", "top", 3, 0, 0), "top": (None, "top", 0, 1, 3)}
    assert picked(session(db, "child"), "last", "calls") == (NOW, 1)
    assert session(db, "top")["tree_last"] == NOW
    assert turn_of(db, call)["at"] == NOW


def test_what_was_never_sent_is_no_part_of_the_session(db: sqlite3.Connection) -> None:
    call = admit(db, "s", at=NOW)
    book.settle(db, f"{call}.1", Settlement("not_sent", 0), NOW + 9, turn())
    assert picked(session(db, "s"), "cost", "calls", "turns", "last") == (0, 0, 0, NOW)
    assert rows(db, "turn") == []
    desk.adjust(db, call, 4, "it was sent after all", NOW + 10)
    assert picked(session(db, "s"), "cost", "calls", "last", "tree_calls") == (4, 1, NOW, 1)
    assert picked(turn_of(db, call), "at", "number", "cause") == (NOW + 10, 0, "work")


def test_what_a_crash_left_open_is_charged_to_its_session(db: sqlite3.Connection) -> None:
    open_call = admit(db, "child", "top", hold=100)
    side = admit(db, "child", "top", hold=10, kind="side")
    assert book.recover(db, NOW + 9) == 2
    assert tree(db) == {"child": ("top", "top", 110, 0, 0), "top": (None, "top", 0, 2, 110)}
    assert picked(turn_of(db, open_call), "at", "number", "kind", "cause") == (
        NOW + 9,
        0,
        "turn",
        "work",
    )
    assert turn_of(db, side)["cause"] == "side"


# ------------------------------------------------------------------------------------- what each call was


@pytest.mark.parametrize(
    ("kind", "retry_of", "cause"),
    [
        ("turn", None, "work"),
        ("turn", "unknown", "retry"),
        ("side", None, "side"),
        ("heartbeat", None, "side"),
        ("cron", None, "side"),
        ("side", "unknown", "retry"),
    ],
)
def test_without_a_turn_a_call_is_what_its_row_says(
    db: sqlite3.Connection, kind: Kind, retry_of: str | None, cause: str
) -> None:
    call = spend(db, 5, "s", kind=kind, retry_of=retry_of, at=NOW + 4)
    row = turn_of(db, call)
    given = {"session": path("s")[0].id, "call": call, "at": NOW + 4, "kind": kind, "cause": cause}
    zero = dict.fromkeys(("number", "cold", "reread", "resent", "kept"), 0)
    assert {name: value for name, value in row.items() if value is not None} == given | zero
    assert picked(session(db, "s"), "turns", "context", "calls") == (0, 0, 1)


def test_a_turn_is_written_as_it_was(db: sqlite3.Connection) -> None:
    call = admit(db, "s")
    results = (Carried(3, "Bash", 20), Carried(3, "Read", 10))
    made = turn(
        split=Split("work", cold=11, reread=22), checkpoint=point(4), results=results, kept=2,
        suspicion=LOOP,
    )  # fmt: skip  # a line for each is half a screen
    book.settle(db, f"{call}.1", settled(70), NOW + 5, made)
    row = turn_of(db, call)
    assert picked(row, "at", "number", "kind", "cause", "cold", "reread") == (
        NOW + 5, 1, "turn", "work", 11, 22,
    )  # fmt: skip  # as above
    assert picked(row, "system", "history", "results", "user", "output") == (100, 200, 30, 4, 50)
    assert picked(row, "resent", "kept", "items", "chain") == (180, 2, 4, bytes([4] * 16))
    assert picked(row, "provider", "model", "answer") == ("openai", "gpt-4o", 9)
    assert json.loads(str(row["suspicion"])) == {
        "kind": "cycle",
        "period": 2,
        "times": 3,
        "what": "Bash, Read",
    }
    own = session(db, "s")
    assert picked(own, "turns", "context", "system", "model", "cached") == (
        1,
        384,
        100,
        "gpt-4o",
        1,
    )
    assert own["suspicion"] == row["suspicion"]
    assert sessions.results(db, str(row["session"])) == [
        Result(call, 3, "Bash", 20),
        Result(call, 3, "Read", 10),
    ]


def test_a_session_is_what_its_newest_turn_was(db: sqlite3.Connection) -> None:
    made = [
        ("opus", turn(1, makeup=Makeup(100, 0, 0, 5, 10), suspicion=LOOP), Usage(input=105)),
        ("haiku", turn(2, makeup=Makeup(90, 100, 0, 5, 20)), Usage(input=100, cache_read=95)),
        ("sonnet", turn(3, makeup=None), None),
    ]
    seen = []
    for model, one, usage in made:
        call = admit(db, "s", model=model)
        done = Settlement("settled", 5, False, CARD, usage, f"{model}-2026", 200)
        book.settle(db, f"{call}.1", done, NOW, one)
        seen.append(picked(session(db, "s"), "model", "turns", "context", "system", "cached"))
        assert (session(db, "s")["suspicion"] is None) == (one.suspicion is None)
    assert seen == [
        ("opus", 1, 115, 100, 0),
        ("haiku", 2, 215, 90, 1),
        ("sonnet", 3, 215, 90, 1),  # what was not reported is as it was
    ]


def test_a_refused_loop_is_known_of_its_session_until_its_next_turn(db: sqlite3.Connection) -> None:
    first, other = spend(db, 5, "s"), spend(db, 5, "other")
    sessions.suspect(db, path("s")[0].id, LOOP)
    sessions.suspect(db, "nobody", LOOP)
    told = session(db, "s")["suspicion"]
    assert json.loads(str(told))["what"] == LOOP.what
    assert session(db, "other")["suspicion"] is None
    assert turn_of(db, first)["suspicion"] is turn_of(db, other)["suspicion"] is None
    book.settle(db, f"{admit(db, 's', kind='side')}.1", settled(5), NOW)
    assert session(db, "s")["suspicion"] == told
    book.settle(db, f"{admit(db, 's')}.1", settled(5), NOW, turn())
    assert session(db, "s")["suspicion"] is None


@pytest.mark.parametrize(
    "usage", [Usage(cache_read=1), Usage(cache_write_5m=1), Usage(cache_write_1h=1)]
)
def test_a_cache_that_was_read_or_written_is_remembered(
    db: sqlite3.Connection, usage: Usage
) -> None:
    for one in (Usage(input=5), usage, Usage(input=5)):
        call = admit(db, "s")
        book.settle(db, f"{call}.1", replace(settled(5), usage=one), NOW, turn())
    assert session(db, "s")["cached"] == 1


def test_a_side_call_changes_nothing_but_sums(db: sqlite3.Connection) -> None:
    first = admit(db, "s", model="opus")
    brought = (Carried(7, "Bash", 20),)
    book.settle(db, f"{first}.1", settled(5), NOW, turn(1, suspicion=LOOP, results=brought))
    before = session(db, "s")
    side = admit(db, "s", model="haiku", kind="side")
    made = turn(0, kind="side", split=Split("side"), makeup=Makeup(1, 1, 0, 1, 1), kept=0)
    book.settle(db, f"{side}.1", settled(3), NOW + 1, made)
    changed = {name for name, value in session(db, "s").items() if value != before[name]}
    assert changed == {"last", "tree_last", "calls", "tree_calls", "cost", "tree_cost"}
    assert turn_of(db, side)["cause"] == "side"
    assert [one.dropped for one in sessions.results(db, path("s")[0].id)] == [None]


def test_a_checkpoint_without_its_tokens_is_not_kept(db: sqlite3.Connection) -> None:
    call = admit(db, "s")
    book.settle(db, f"{call}.1", settled(5), NOW, turn(makeup=None, checkpoint=point(3)))
    names = "provider", "model", "chain", "items", "head", "answer"
    assert picked(turn_of(db, call), *names) == (None,) * 6


def test_the_attempts_of_one_call_are_one_turn(db: sqlite3.Connection) -> None:
    """Nothing is known of the first, much of the second, and nothing of the third."""
    call = admit(db, "s")
    book.settle(db, f"{call}.1", Settlement("uncertain", 5, estimated=True), NOW)
    assert picked(turn_of(db, call), "number", "system") == (0, None)
    for number, cost, one in (
        (2, 70, turn(1, split=Split("work", 10, 20), results=(Carried(1, "Bash", 5),))),
        (3, 4, None),
        (4, 90, turn(2, split=Split("work", 1, 2), makeup=Makeup(1, 2, 3, 4, 5))),
    ):
        again = reservation(budget(10**9), call=call, number=number, path=path("s"))
        book.admit(db, again, NOW)
        book.settle(db, again.attempt, settled(cost), NOW, one)
    row = turn_of(db, call)
    assert picked(row, "number", "system", "cold", "reread") == (2, 1, 11, 22)
    assert picked(session(db, "s"), "cost", "calls", "turns", "tree_calls") == (169, 1, 2, 1)


def test_a_first_attempt_that_was_never_sent_leaves_the_turn_to_the_second(
    db: sqlite3.Connection,
) -> None:
    call = admit(db, "s")
    book.settle(db, f"{call}.1", Settlement("not_sent", 0), NOW)
    again = reservation(budget(10**9), call=call, number=2, path=path("s"))
    book.admit(db, again, NOW)
    book.settle(db, again.attempt, settled(5), NOW, turn(1))
    assert picked(session(db, "s"), "cost", "calls", "turns") == (5, 1, 1)


# ------------------------------------------------------------------------------------------- tool results


def brought(db: sqlite3.Connection, number: int, kept: int, *results: tuple[int, str]) -> str:
    """A turn that brought these results (place, tool)."""
    call = admit(db, "s")
    carried = tuple(Carried(place, tool, 100) for place, tool in results)
    book.settle(db, f"{call}.1", settled(5), NOW, turn(number, results=carried, kept=kept))
    return call


def gone(db: sqlite3.Connection) -> dict[str, str | None]:
    """By tool: the call in which its result was gone."""
    return {one.tool: one.dropped for one in sessions.results(db, path("s")[0].id)}


def test_a_result_is_carried_until_its_place_is_gone(db: sqlite3.Connection) -> None:
    brought(db, 1, 0, (2, "A"), (2, "B"), (3, "C"))
    brought(db, 2, 4, (5, "D"))
    assert gone(db) == dict.fromkeys("ABCD")
    edited = brought(db, 3, 3, (3, "E"))  # what it brings itself is there
    assert gone(db) == {"A": None, "B": None, "C": edited, "D": edited, "E": None}
    brought(db, 4, 4)
    assert gone(db)["E"] is None
    compacted = brought(db, 5, 1, (1, "F"))
    assert gone(db) == {
        "A": compacted,
        "B": compacted,
        "C": edited,
        "D": edited,
        "E": compacted,
        "F": None,
    }


def test_only_a_turn_that_was_seen_to_its_end_drops_results(db: sqlite3.Connection) -> None:
    brought(db, 1, 0, (2, "A"))
    spend(db, 5, "s")
    assert gone(db) == {"A": None}


def test_a_session_that_is_not_known_has_brought_nothing(db: sqlite3.Connection) -> None:
    assert sessions.results(db, "nobody") == []


# --------------------------------------------------------------------------------------------- every step


@pytest.mark.parametrize("statement", [sessions.KNOWN, sessions.OWN, sessions.TREE, sessions.BOTH])
def test_a_session_is_found_by_its_key(db: sqlite3.Connection, statement: str) -> None:
    found = db.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?"))
    assert [row[3] for row in found] == ["SEARCH session USING PRIMARY KEY (id=?)"]


def statements(db: sqlite3.Connection, *refs: str) -> list[str]:
    """What a call of a session adds to what one without a session does."""
    seen: list[str] = []
    found = []
    for made in ((), path(*refs)):
        wanted = reservation(budget(10**9), path=made)
        db.set_trace_callback(seen.append)
        book.admit(db, wanted, NOW)
        book.settle(db, wanted.attempt, settled(5), NOW, turn())
        db.set_trace_callback(None)
        found.append([" ".join(one.split()[:3]) for one in seen])
        seen.clear()
    plain, own = found
    return [one for one in own if own.count(one) > plain.count(one)]


def test_a_known_session_costs_few_statements(db: sqlite3.Connection) -> None:
    spend(db, 5, "child", "top")
    spend(db, 5, "top")
    read, written, sums = "SELECT parent, root,", "INSERT OR IGNORE", "UPDATE session SET"
    assert statements(db, "top") == [read, written, sums]
    assert statements(db, "child", "top") == [read, written, sums, sums]
