"""The pages of sessions, from a daemon whose ledger has tales in it."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from budgetd.core.sessions import session_id
from budgetd.status import crowd, prospects, stories
from tests.ledger.entries import HOUR
from tests.ledger.tales import SECOND, Tale, work
from tests.rig import START, House
from tests.status.manor import bound, family, manor


async def page(home: House, path: str = "", **query: str) -> tuple[int, Any]:
    """(status, JSON) of a page of sessions."""
    url = f"{home.url}/status/sessions{path}"
    async with home.http.get(url, params=query) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_the_list_of_trees(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        status, told = await page(home)
        assert status == 200
        assert told["active"] == 1
        nightly, old = told["sessions"]
        assert (nightly["ref"], nightly["key"], nightly["client"]) == (
            "nightly",
            "research",
            "claude_code",
        )
        assert (nightly["source"], nightly["label"], nightly["state"]) == ("client", "ci", "active")
        assert (nightly["calls"], nightly["turns"], nightly["parent"]) == (15, 14, None)
        assert nightly["agents"]["count"] == 2
        assert nightly["agents"]["calls"] == 6
        assert nightly["agents"]["looping"] == 1
        own, agents = Decimal(nightly["own_cost_usd"]), Decimal(nightly["agents"]["cost_usd"])
        assert Decimal(nightly["cost_usd"]) == own + agents
        assert own > 0 < agents
        assert (nightly["notional_usd"], nightly["money"], nightly["loop"]) == ("0", "real", None)
        assert nightly["growth_tokens_per_turn"] == 800
        assert 0.7 < nightly["cached_share"] < 1
        assert nightly["forecast"]["kind"] == "budget"
        assert nightly["forecast"]["turns"] > 10
        assert "children" not in nightly
        assert (old["ref"], old["state"]) == ("old", "idle")
        assert old["forecast"] == {
            "kind": None,
            "name": None,
            "turns": None,
            "minutes": None,
            "unknown": "too few turns",
        }


async def test_the_list_with_sub_agents(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        _, told = await page(home, tree="1")
        nightly, old = told["sessions"]
        assert [child["ref"] for child in nightly["children"]] == ["nightly/a1", "nightly/a2"]
        first, second = nightly["children"]
        assert first["parent"] == second["root"] == nightly["id"]
        assert first["growth_tokens_per_turn"] == 800
        assert first["forecast"] is None
        assert second["loop"]["words"].startswith("a cycle of 2 steps (Bash, Read)")
        assert (nightly["more"], old["children"], old["more"]) == (None, [], None)
        spent = sum(Decimal(child["cost_usd"]) for child in nightly["children"])
        assert Decimal(nightly["agents"]["cost_usd"]) == spent


async def test_the_list_by_key_since_and_limit(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        for number, key in enumerate(("research", "laptop", "research")):
            Tale(db, f"s{number}", key=key, at=START + number * HOUR).turn()

    async with manor(tmp_path, write) as home:

        async def refs(**query: str) -> list[str]:
            status, told = await page(home, **query)
            assert status == 200, told
            return [one["ref"] for one in told["sessions"]]

        assert await refs() == ["s2", "s1", "s0"]
        assert await refs(limit="2") == ["s2", "s1"]
        assert await refs(key="research") == ["s2", "s0"]
        assert await refs(key="nobody") == []
        half = "2026-11-18T11:30:00"
        assert await refs(since=f"{half}Z") == ["s2", "s1"]
        assert await refs(since=f"{half}+01:00") == ["s2", "s1", "s0"]
        assert await refs(tree="0") == await refs(tree="1") == ["s2", "s1", "s0"]
        for query in ({"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"limit": "٣"}):
            assert (await page(home, **query))[0] == 400
        for since in ("yesterday", half, "12"):
            status, told = await page(home, since=since)
            assert (status, told["title"]) == (400, "bad_parameter")


async def test_no_sessions_yet(tmp_path: Path) -> None:
    async with manor(tmp_path, lambda _: None) as home:
        assert (await page(home, tree="1"))[1]["sessions"] == []
        assert (await home.status())["sessions"] == {"active": 0, "looping": []}


async def test_one_session_in_every_detail(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        _, told = await page(home, "/nightly", turns="4")
        assert told["id"] == session_id("research", "nightly")
        assert (told["above"], len(told["children"])) == ([], 2)
        assert "growth_tokens_per_turn" not in told["children"][0]
        causes = told["causes"]["real"]
        for kind, cost in (("tree", told["cost_usd"]), ("own", told["own_cost_usd"])):
            assert sum(map(Decimal, causes[kind].values())) == Decimal(cost)
        assert list(causes["own"]) == [
            f"{cause}_usd"
            for cause in ("loop", "retry", "side", "agents", "cold", "reread", "fresh")
        ]
        for cause in ("retry", "side", "cold", "reread", "fresh"):
            assert Decimal(causes["own"][f"{cause}_usd"]) > 0, cause
        assert Decimal(causes["own"]["loop_usd"]) == 0 == Decimal(causes["own"]["agents_usd"])
        assert Decimal(causes["tree"]["loop_usd"]) > 0 < Decimal(causes["tree"]["agents_usd"])
        assert set(told["causes"]["notional"]["tree"].values()) == {"0"}

        tokens = told["tokens"]
        assert tokens["calls"] == told["calls"] == 15
        parts = [tokens[name] for name in ("system", "history", "results", "user")]
        assert tokens["input"] == sum(parts) > tokens["cached"] > 0
        assert (tokens["system"], tokens["results"], tokens["unreported_calls"]) == (
            15 * 4_000,
            12 * 500,
            0,
        )
        assert told["next_turn"]["warm_until"] is not None
        assert Decimal(told["next_turn"]["cold_usd"]) > 2 * Decimal(told["next_turn"]["warm_usd"])
        assert told["context_window"]["tokens"] == 200_000
        assert told["context_window"]["turns"] > 100
        assert told["caps"] == []

        steps = told["steps"]
        assert [step["number"] for step in steps] == [14, 13, 12, 11]
        assert (steps[0]["cause"], steps[1]["cause"], steps[1]["retry_of"]) == (
            "work",
            "retry",
            steps[2]["call"],
        )
        assert steps[0]["tokens"]["user"] == 500
        assert steps[0]["cached_tokens"] == 0 < steps[1]["cached_tokens"]
        assert Decimal(steps[0]["cold_usd"]) > 0
        parted = ("cold_usd", "reread_usd", "fresh_usd")
        assert sum(Decimal(steps[0][name]) for name in parted) == Decimal(steps[0]["cost_usd"])
        assert [steps[1][name] for name in parted] == ["0", "0", "0"]
        (first, *_) = told["results"]
        assert (first["tool"], first["turn"], first["tokens"], first["resent_times"]) == (
            "Read",
            1,
            500,
            13,
        )
        assert (first["resent_tokens"], first["dropped"]) == (6_500, False)


async def test_the_budgets_that_bind_it(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        _, told = await page(home, "/nightly")
        budgets = {one["name"]: one for one in told["budgets"]}
        assert list(budgets) == ["session", "agent", "5h"]
        assert Decimal(budgets["session"]["spent_usd"]) == Decimal(told["cost_usd"])
        assert Decimal(budgets["agent"]["spent_usd"]) == Decimal(told["own_cost_usd"])
        assert budgets["5h"]["subject"] == "key:research"
        turns = {name: one["forecast"]["turns"] for name, one in budgets.items()}
        assert all(turns.values())
        assert told["forecast"]["turns"] == min(turns.values())
        assert told["forecast"]["name"] == "5h"
        _, listed = await page(home)
        assert listed["sessions"][0]["forecast"] == told["forecast"]


async def test_a_list_does_not_look_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with manor(tmp_path, family) as home:

        async def listed() -> Any:
            return (await page(home))[1]["sessions"][0]["forecast"]

        known = (await page(home, "/nightly"))[1]["forecast"]
        assert await listed() == known
        monkeypatch.setattr(stories, "HORIZON", 5)
        # Not the context window: a budget that was not looked through may end before.
        assert await listed() == {
            "kind": None,
            "name": None,
            "turns": None,
            "minutes": None,
            "unknown": "none near",
        }
        assert (await page(home, "/nightly"))[1]["forecast"] == known


async def test_what_sub_agents_spend_is_not_the_agents(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        root = bound(Tale(db, "root"))
        for number in range(12):
            root.turn(user=200)
            child = bound(Tale(db, f"a{number}", above=root, at=root.at))
            child.turn(output=4_000)

    async with manor(tmp_path, write) as home:
        _, told = await page(home, "/root")
        budgets = {one["name"]: one["forecast"]["turns"] for one in told["budgets"]}
        # Of both $5.00 are left at first; a turn costs a tenth of what its sub-agent does.
        assert budgets["agent"] > 4 * budgets["session"]
        assert Decimal(told["cost_per_turn_usd"]) > Decimal("0.06")
        _, child = await page(home, "/a7")
        assert child["forecast"]["unknown"] == "too few turns"


async def test_a_cap_is_a_limit_too(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        work(Tale(db, "short", key="laptop"), 35)
        Tale(db, "of nobody", key="gone").turn()

    async with manor(tmp_path, write) as home:
        _, told = await page(home, "/short")
        cap = {"name": "40 turns", "turns": 5, "minutes": None, "unknown": None}
        assert told["caps"][0] == cap
        size = told["caps"][1]
        assert size["name"] == "90,000 tokens"
        assert size["turns"] == (90_000 - told["context_tokens"]) // 800
        assert told["forecast"] == {"kind": "cap", **cap}
        _, told = await page(home, "/of nobody")  # its key was taken out of the configuration
        assert (told["budgets"], told["caps"]) == ([], [])


async def test_pages_of_turns(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        numbers: list[int | None] = []
        before: dict[str, str] = {}
        for _ in range(9):
            _, told = await page(home, "/nightly", turns="4", **before)
            numbers += [step["number"] for step in told["steps"]]
            if told["steps_before"] is None:
                break
            before = {"before": told["steps_before"]}
        assert numbers == [14, 13, 12, 11, 10, 9, 8, 7, None, 6, 5, 4, 3, 2, 1]
        assert (await page(home, "/nightly", turns="0"))[0] == 400


async def test_a_sub_agents_page(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        _, told = await page(home, "/nightly%2Fa2")
        assert told["ref"] == "nightly/a2"
        assert [one["ref"] for one in told["above"]] == ["nightly"]
        assert (told["children"], told["agents"]["count"]) == ([], 0)
        assert told["cost_usd"] == told["own_cost_usd"]
        assert told["loop"]["kind"] == "cycle"
        assert told["steps"][0]["cause"] == "loop"
        assert {one["subject"] for one in told["budgets"]} == {
            f"session:{told['root']}",
            f"agent:{told['id']}",
            "key:research",
        }


async def test_names_that_fit_several_or_nobody(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        status, told = await page(home, "/nightly%2F")
        assert (status, told["title"]) == (409, "ambiguous_session")
        assert {one["ref"] for one in told["candidates"]} == {"nightly/a1", "nightly/a2"}
        assert all(one["key"] == "research" and one["id"] for one in told["candidates"])
        status, told = await page(home, "/nobody")
        assert (status, told["title"]) == (404, "unknown_session")
        ids = session_id("research", "nightly")
        for name in (
            "nightl",
            ids,
            ids[:12],
        ):  # a root comes before those whose names begin with its own
            status, told = await page(home, f"/{name}")
            assert (status, told["ref"]) == (200, "nightly")


async def test_the_overview_names_who_goes_in_circles(tmp_path: Path) -> None:
    async with manor(tmp_path, family) as home:
        told = (await home.status())["sessions"]
        assert told["active"] == 1
        (one,) = told["looping"]
        assert (one["ref"], one["key"], one["loop"]["times"]) == ("nightly/a2", "research", 3)
        home.clock.advance(600)
        told = (await home.status())["sessions"]
        assert told == {"active": 0, "looping": []}
        nightly = (await page(home))[1]["sessions"][0]
        assert (nightly["agents"]["looping"], nightly["state"]) == (0, "idle")


async def test_a_tree_is_cut_to_what_a_page_holds(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        db.execute("BEGIN")
        root = Tale(db, "root")
        root.turn()
        for number in range(230):
            Tale(db, f"a{number:03}", above=root, at=root.at + number).turn(output=300 + number)
        db.execute("COMMIT")

    async with manor(tmp_path, write) as home:
        _, told = await page(home, "/root")
        assert told["agents"]["count"] == 230
        assert len(told["children"]) == 200
        assert told["more"]["agents"] == 30
        assert {one["ref"] for one in told["children"]} == {f"a{n:03}" for n in range(30, 230)}
        _, listed = await page(home, tree="1")
        (root,) = listed["sessions"]
        assert (len(root["children"]), root["more"]["agents"]) == (12, 218)
        shown = sum(Decimal(one["cost_usd"]) for one in root["children"])
        hidden = Decimal(root["more"]["cost_usd"])
        assert shown + hidden == Decimal(root["agents"]["cost_usd"])


async def test_what_others_take_from_a_shared_budget_is_foreseen(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        mine = bound(Tale(db, "mine"))
        other = bound(Tale(db, "other"))
        for _ in range(12):
            mine.turn(after=30 * SECOND)
            other.turn(after=30 * SECOND, output=2_000)

    async with manor(tmp_path, write) as home:
        _, told = await page(home, "/mine")
        budgets = {one["name"]: one["forecast"]["turns"] for one in told["budgets"]}
        assert budgets["5h"] < budgets["agent"] / 2  # $2 shared with one that spends far more
        home.clock.advance(700)  # idle: nobody knows when it goes on, nor what others do then
        _, told = await page(home, "/mine")
        alone = {one["name"]: one["forecast"]["turns"] for one in told["budgets"]}
        assert alone["agent"] == budgets["agent"]
        assert alone["5h"] > 2 * budgets["5h"]


async def test_of_a_busy_ledger_the_newest_calls_tell_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(db: sqlite3.Connection) -> None:
        mine, other = bound(Tale(db, "mine")), bound(Tale(db, "other"))
        for _ in range(30):
            mine.turn(after=30 * SECOND)
            other.turn(after=30 * SECOND, results=(), output=2_000, compacted=0)

    async with manor(tmp_path, write) as home:

        async def shared() -> int:
            budgets = (await page(home, "/mine"))[1]["budgets"]
            turns: int = next(one for one in budgets if one["name"] == "5h")["forecast"]["turns"]
            return turns

        whole = await shared()
        monkeypatch.setattr(crowd, "MOST_TRAFFIC", 16)
        assert abs(await shared() - whole) <= whole * 0.15
        monkeypatch.setattr(crowd, "MOST_TRAFFIC", 61)
        assert await shared() == whole


async def test_a_swarm_is_put_beside_the_turns_in_equal_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(db: sqlite3.Connection) -> None:
        root = bound(Tale(db, "root"))
        for number in range(12):
            root.turn()
            root.turn(kind="side", after=SECOND)
            bound(Tale(db, f"a{number}", above=root, at=root.at)).turn()

    async with manor(tmp_path, write) as home:
        _, exact = await page(home, "/root")
        monkeypatch.setattr(prospects, "MOST_BESIDE", 1)
        monkeypatch.setattr(prospects, "LEAST_BESIDE", 30)
        _, about = await page(home, "/root")
        told = Decimal(exact["cost_per_turn_usd"])
        assert Decimal(about["cost_per_turn_usd"]) == pytest.approx(told, rel=Decimal("0.2"))
        assert Decimal(about["cost_per_turn_usd"]) != told


async def test_an_agent_may_know_its_own_session(tmp_path: Path) -> None:
    def write(db: sqlite3.Connection) -> None:
        work(bound(Tale(db, "mine")), 12)
        Tale(db, "theirs", key="laptop").turn()

    async with manor(tmp_path, write) as home:

        async def ask(path: str, **headers: str) -> Any:
            async with home.http.get(f"{home.url}{path}/v1/usage", headers=headers) as answer:
                return json.loads(await answer.text(), parse_float=Decimal)

        told = (await ask("/k/research/s/mine"))["session"]
        _, known = await page(home, "/mine")
        assert told["id"] == known["id"]
        assert told["spent"] == Decimal(known["cost_usd"])
        assert told["left"] == known["forecast"]
        assert (told["turns"], told["loop"]) == (12, None)
        named = {"X-Budgetd-Session": "mine"}
        assert (await ask("/k/research", **named))["session"]["id"] == known["id"]
        assert (await ask("/k/laptop", **named))["session"] is None
        assert (await ask("/k/research/s/theirs"))["session"] is None
        assert (await ask("/k/research"))["session"] is None


async def test_no_words_and_no_secrets(tmp_path: Path) -> None:
    async with manor(tmp_path, lambda _: None) as home:
        async with home.chat(label="/s/private", messages=[{"role": "user", "content": "WORDS"}]):
            pass
        await home.quiet()
        texts = [json.dumps((await page(home, path))[1]) for path in ("", "/private")]
        assert '"private"' in texts[0]
        for text in texts:
            assert "WORDS" not in text
            assert "sk-" not in text


@pytest.mark.parametrize("host", ["evil.example"])
async def test_hosts_are_checked_here_too(tmp_path: Path, host: str) -> None:
    async with manor(tmp_path, family) as home:
        for path in ("", "/nightly"):
            url = f"{home.url}/status/sessions{path}"
            async with home.http.get(url, headers={"host": host}) as answer:
                assert answer.status == 403
