"""`budgetd sessions` and `budgetd session`, as a user sees them in eighty columns and in fewer."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from budgetd.cli import paper, session_tables, sessions
from budgetd.cli.fault import CommandFault
from budgetd.cli.grid import Column, Grid, fitted
from tests.cli.town import Said, command
from tests.ledger.entries import HOUR
from tests.ledger.tales import Tale, looping, work
from tests.rig import START, House
from tests.status.manor import family, manor


async def run(home: House, *arguments: str, columns: int = 80) -> Said:
    """A command on this house's daemon."""
    return await command(*arguments, env={"BUDGETD_URL": home.url, "COLUMNS": str(columns)})


async def good(home: House, *arguments: str, columns: int = 80) -> str:
    said = await run(home, *arguments, columns=columns)
    assert said.code == 0, said
    assert said.widest <= columns or "--json" in arguments, said.out
    return said.out


def rows(text: str) -> dict[str, list[str]]:
    """The lines of a table by their first word, the tree's lines left out."""
    found = {}
    for line in text.splitlines():
        words = line.replace("├", " ").replace("└", " ").split()
        if words:
            found[words[0]] = words[1:]
    return found


async def test_the_list_says_it_all_in_a_line_each(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        text = await good(home, "sessions")
        lines = text.splitlines()
        assert lines[0].split() == [
            *("SESSION", "CLIENT", "LAST", "TURNS", "CONTEXT", "GROWTH", "COST", "$/TURN", "LEFT")
        ]
        told = rows(text)
        client, last, turns, context, growth, cost, each, *left = told["nightly"]
        assert (client, last, turns, growth) == ("claude_code", "1m", "14", "+800")
        page = json.loads(await good(home, "sessions", "--json"))
        nightly = page["sessions"][0]
        assert context == paper.count(nightly["context_tokens"])
        assert cost == paper.brief(nightly["cost_usd"])
        assert each == paper.brief(nightly["cost_per_turn_usd"])
        assert left == [str(nightly["forecast"]["turns"]), "turns"]
        assert told["nightly/a1"][0] == "claude_code"
        assert "├ nightly/a1" in text
        assert "└ nightly/a2" in text
        assert "! goes in circles: a cycle of 2 steps (Bash, Read) was run 3 times" in text
        assert told["old"][-2:] == ["too", "early"]
        assert "1 active" in text


async def test_the_list_in_narrow_and_wide_terminals(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        for columns in (44, 60, 80, 132):
            text = await good(home, "sessions", columns=columns)
            for word in ("SESSION", "TURNS", "COST", "LEFT", "nightly/a2", "goes in circles"):
                assert word in text, columns
            assert ("CLIENT" in text) is (columns >= 80)
            text = await good(home, "session", "nightly", columns=columns)
            for word in ("Next turn", "suspected loop", "history, sent again", "HISTORY"):
                assert word in text, columns


async def test_filters_of_the_list(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        for number, key in enumerate(("research", "laptop", "research")):
            Tale(db, f"s{number}", key=key, at=START + number * HOUR).turn()

    async with manor(tmp_path, write) as home:

        async def listed(*arguments: str) -> list[str]:
            page = json.loads(await good(home, "sessions", "--json", *arguments))
            return [one["ref"] for one in page["sessions"]]

        assert await listed() == ["s2", "s1", "s0"]
        assert await listed("--key", "laptop") == ["s1"]
        assert await listed("--since", "90m") == ["s2", "s1"]
        assert await listed("--limit", "1") == ["s2"]
        assert await listed("--limit", "1", "--all") == ["s2", "s1", "s0"]
        assert "more with --limit or --all" in await good(home, "sessions", "--limit", "1")
        assert "--all" not in await good(home, "sessions")
        text = await good(home, "sessions", "--key", "nobody")
        assert text == "no sessions of key nobody yet\n"
        assert "no sessions since then" in await good(home, "sessions", "--since", "30s")
        said = await run(home, "sessions", "--since", "soon")
        assert said.code == 2
        assert "22:00" in said.err
        assert (await run(home, "sessions", "--limit", "0")).code == 2


async def test_no_sessions_yet(tmp_path: Path) -> None:
    async with manor(tmp_path, lambda _: None) as home:
        text = await good(home, "sessions")
        assert text.startswith("no sessions yet\n")
        assert home.url in text


async def test_one_session_at_a_glance_and_in_detail(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        text = await good(home, "session", "nightly", "--turns", "3")
        page = json.loads(await good(home, "session", "nightly", "--json"))
        assert text.startswith("session nightly (claude_code, key research, label ci)\n")
        assert "! a sub-agent goes in circles" in text
        own, agents = paper.brief(page["own_cost_usd"]), paper.brief(page["agents"]["cost_usd"])
        assert f"{own} its own, {agents} in 2 sub-agents" in text
        assert "14 in 15 calls" in text
        assert "of 200.0k, +800 a turn" in text
        warm, cold = (paper.dollars(page["next_turn"][f"{how}_usd"]) for how in ("warm", "cold"))
        assert f"about {warm}, or {cold} once the cache is cold (in 3m55s)" in text
        assert f"{page['forecast']['turns']} turns, " in text
        assert "of work, to budget 5h" in text
        assert f"{page['id']} (named by its client)" in text
        loop = page["causes"]["real"]["tree"]["loop_usd"]
        assert rows(text)["suspected"][1] == paper.dollars(loop)
        assert "$0.00 its own" in text
        assert rows(text)["written"][3] == paper.count(page["tokens"]["output"])
        assert "this session" in text
        assert "key research" in text
        assert "Read at turn 1: 500 tokens, re-sent 13 times = 6,500 tokens, $" in text
        table = text[text.index("TURN ") : text.index("DEAREST")]
        numbers = [line.split()[0] for line in table.splitlines()[1:4]]
        assert numbers == ["12", "13", "14"]
        assert "retry" in table
        assert "cold $" in table
        assert "the newest 3 of 15 calls" in table
        assert "nightly/a2" in text[text.index("SUB-AGENTS") :]


async def test_a_sub_agent_that_goes_in_circles(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        text = await good(home, "session", "nightly/a2")
        assert "! goes in circles: a cycle of 2 steps" in text
        assert "Part of    nightly" in text
        assert "in circles" in text[text.index("TURN ") :]
        assert "SUB-AGENTS" not in text
        assert "its tree" not in text  # the tree's budget is named by the root
        assert rows(text)["session"][0] == "nightly"


async def test_an_unknown_name_and_one_that_fits_several(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        said = await run(home, "session", "nobody")
        assert said.code == 1
        assert said.err == "budgetd: there is no session 'nobody'\n"
        said = await run(home, "session", "nightly/")
        assert said.code == 1
        assert "fits several sessions" in said.err
        assert "nightly/a1 (key research)" in said.err
        assert "nightly/a2 (key research)" in said.err
        # What the list shows of a name that is too long for its column is understood.
        assert "session old" in await good(home, "session", "ol…")


async def test_a_plan_is_marked_and_never_added(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        plan = Tale(db, "plan")
        plan.money = "notional"
        work(plan, 4)
        plan.money = "real"
        plan.turn()
        Tale(db, "flat", above=plan, at=plan.at)

    async with manor(tmp_path, write) as home:
        page = json.loads(await good(home, "session", "plan", "--json"))
        real, plan = paper.brief(page["cost_usd"]), f"~{paper.brief(page['notional_usd'])}"
        text = await good(home, "session", "plan")
        assert f"Cost       {real} {plan}" in text
        assert text.count("WHERE THE MONEY WENT") == 2
        assert f"~{paper.dollars(page['causes']['notional']['tree']['fresh_usd'])}" in text


async def test_the_overview_tells_of_sessions(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        text = await good(home, "status")
        assert "1 active; see them with: budgetd sessions" in text
        assert "! session nightly/a2 goes in circles" in text
        assert "budgetd session " in text


# --------------------------------------------------------------------------------------- small things


def session(at: str, ref: str, *children: dict[str, Any]) -> dict[str, Any]:
    return {"id": at, "ref": ref, "children": list(children)}


def test_names_are_shortened_so_that_they_still_name_one() -> None:
    trees = [
        session("1" * 16, "nightly", session("2" * 16, "nightly/explore-the-tests")),
        session("3" * 16, "0198c5f2-7a3b-7e1c-8000-5f2a9d3c1b77"),
        session("4" * 16, "0198c5f2-7a3b-7e1c-8000-aaaa9d3c1b77"),
        session("5" * 16, "0198ffff-7a3b-7e1c-8000-aaaa9d3c1b77"),
        session("6" * 16, "twice"),
        session("7" * 16, "twice"),
    ]
    found = sessions.handles(trees, 15)
    assert found["1" * 16] == "nightly"
    assert found["2" * 16] == "nightly/explore-the-tests"  # what is seen of it is nobody else's
    assert found["3" * 16] == "33333333"  # fourteen characters of it are another's too
    assert found["4" * 16] == "44444444"
    assert found["5" * 16].startswith("0198ffff")
    assert found["6" * 16] == "66666666"
    wide = sessions.handles(trees, 40)
    assert wide["3" * 16] == "0198c5f2-7a3b-7e1c-8000-5f2a9d3c1b77"
    assert wide["7" * 16] == "77777777"


def test_since_is_understood_as_a_person_means_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    import time

    time.tzset()
    try:
        now = "2026-11-18T10:00:00Z"  # 11:00 in Berlin
        for text, meant in {
            "2h": "2026-11-18T08:00:00Z",
            "90m": "2026-11-18T08:30:00Z",
            "10:30": "2026-11-18T09:30:00Z",
            "22:00": "2026-11-17T21:00:00Z",  # last night
            "2026-11-18": "2026-11-17T23:00:00Z",
            "2026-11-18T01:00:00Z": "2026-11-18T01:00:00Z",
        }.items():
            assert sessions.instant(text, now) == meant
        for text in ("soon", "25:00", "10:75", "2026-13-01", "", "-2h"):
            with pytest.raises(CommandFault):
                sessions.instant(text, now)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_how_long_ago() -> None:
    now = "2026-11-18T10:00:00Z"
    for then, words in {
        "2026-11-18T09:59:30Z": "now",
        "2026-11-18T09:58:59Z": "1m",
        "2026-11-18T08:30:00Z": "1h",
        "2026-11-11T09:00:00Z": "7d",
        "2026-11-18T10:00:09Z": "now",
    }.items():
        assert sessions.ago(then, now) == words
    assert sessions.ago(None, now) == "-"


def test_how_far_it_still_goes() -> None:
    def left(turns: int | None, unknown: str | None = None) -> str:
        return str(sessions.left({"turns": turns, "unknown": unknown}))

    assert [left(12), left(1), left(0)] == ["12 turns", "1 turn", "0 turns"]
    assert left(None, "none near") == "far off"
    assert left(None, "no limit") == "no limit"
    assert left(None, "too few turns") == "too early"
    assert str(sessions.left(None)) == ""
    assert sessions.left({"turns": 3, "unknown": None}).style == "red"
    assert [sessions.growth_words(n) for n in (612, -40, 0, None)] == ["+612", "-40", "+0", "-"]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("14.02", "$14.02"),
        ("0.8797", "$0.88"),
        ("0.03149", "$0.031"),
        ("0.00924", "$0.0092"),
        ("0.0999", "$0.10"),
        ("0.000923", "$0.0009"),
        ("0.0001", "$0.0001"),
        ("0.00009999", "<$0.0001"),  # it has to fit
        ("0", "$0.00"),
        ("-0.0314", "-$0.031"),
        ("1234.567", "$1,234.57"),
        (None, "-"),
    ],
)
def test_money_in_brief(amount: str | None, text: str) -> None:
    assert paper.brief(amount) == text


def paper_of(width: int) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, highlight=False), out


COLUMNS = (
    Column("NAME", 6, right=False, grow=10),
    Column("FIRST", 5, spare=1),
    Column("SECOND", 6, spare=2),
    Column("LAST", 4),
)


def test_columns_make_room_for_one_another() -> None:
    def seen(room: int) -> list[tuple[str, int]]:
        return [(column.name, column.width) for column in fitted(COLUMNS, room)]

    assert seen(24) == [("NAME", 6), ("FIRST", 5), ("SECOND", 6), ("LAST", 4)]
    assert seen(23) == [("NAME", 12), ("FIRST", 5), ("LAST", 4)]
    assert seen(16) == [("NAME", 11), ("LAST", 4)]
    assert seen(3) == [("NAME", 6), ("LAST", 4)]
    assert seen(99)[0] == ("NAME", 16)


def test_a_grid_prints_rows_and_notes() -> None:
    out, text = paper_of(24)
    grid = Grid(out, COLUMNS)
    grid.head({"NAME": "WHO"})
    grid.row({"NAME": "a-very-long-name", "FIRST": "1", "LAST": "end", "NOWHERE": "x"})
    grid.note("words that go over more than one line", 4)
    assert text.getvalue().splitlines() == [
        "WHO    FIRST SECOND LAST",
        "a-ver…     1         end",
        "    words that go over",
        "    more than one line",
    ]
    assert (grid.width("FIRST"), grid.width("NOWHERE")) == (5, 0)


def test_markup_of_others_does_nothing() -> None:
    out, text = paper_of(80)
    one: dict[str, Any] = {
        "id": "1" * 16,
        "ref": "[red]x[/]",
        "client": "[b]c",
        "state": "active",
        "last_at": None,
        "turns": 1,
        "context_tokens": 0,
        "cost_usd": "0",
        "notional_usd": "0",
        "loop": {"words": "[i]Bash[/i]"},
        "children": [],
        "more": {"agents": 1, "cost_usd": "0.5", "notional_usd": "0"},
    }
    sessions.listing(out, [one], "2026-11-18T10:00:00Z")
    shown = text.getvalue()
    assert "[red]x[/]" in shown
    assert "[i]Bash[/i]" in shown
    assert "1 more agent" in shown


def test_what_is_said_of_a_call() -> None:
    step = {
        "loop": None,
        "cause": "work",
        "kind": "turn",
        "cold_usd": "0",
        "state": "settled",
    }
    assert session_tables._what(step) == ("", "dim")
    assert session_tables._what(step | {"cause": "retry"}) == ("retry", "dim")
    assert session_tables._what(step | {"kind": "side"}) == ("side call", "dim")
    assert session_tables._what(step | {"cold_usd": "0.125"}) == ("cold $0.13", "yellow")
    assert session_tables._what(step | {"state": "known_zero"}) == ("known zero", "dim")
    loop = {"loop": {"words": looping().words}, "cause": "loop"}
    assert session_tables._what(step | loop) == ("in circles", "red")
