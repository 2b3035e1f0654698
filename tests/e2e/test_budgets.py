"""Budgets on models, labels and sessions, whole way through: what counts is spent to the
pico-dollar, what does not is not.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from budgetd.core.sessions import session_id
from budgetd.simulator import Script
from tests.e2e.books import Drawer, drawers, entries
from tests.e2e.playing import Pair, settled_up
from tests.rig import OPENAI_KEY, House, house

# One call to gpt-4o with 2,000 tokens of output costs 2 cents and a little.
SPEND = Script(tokens=2000)
CENT = 10**10


async def ask(
    home: House, label: str = "", model: str = "gpt-4o", **session: str
) -> Pair | dict[str, Any]:
    """A call of 2,000 tokens, or what is said of its refusal. `session` and `parent` are what an
    agent says of its conversation.
    """
    body = {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]}
    headers = {f"x-budgetd-{name}": value for name, value in session.items()}
    headers["authorization"] = f"Bearer {OPENAI_KEY}"
    url = f"{home.url}{label}/v1/chat/completions"
    async with home.http.post(url, json=body, headers=headers) as answer:
        body = await answer.json()
        return Pair.of(answer) if answer.status == 200 else _told(answer, body)


def _told(answer: aiohttp.ClientResponse, body: Any) -> dict[str, Any]:
    assert answer.status == 429, body
    told: dict[str, Any] = body["error"]["budgetd"]
    return told | {"message": body["error"]["message"]}


def billed(home: House, *pairs: Pair | dict[str, Any]) -> int:
    """What the provider's own bill has for these calls."""
    assert all(isinstance(pair, Pair) for pair in pairs), pairs
    return sum(home.sim.bill.line(pair.request).pico for pair in pairs if isinstance(pair, Pair))


def spent(home: House, subject: str) -> dict[str, int]:
    """Budget -> what its one window has settled."""
    found: list[Drawer] = drawers(home.state, subject)
    assert len({one.budget for one in found}) == len(found)
    return {one.budget: one.settled for one in found}


async def test_a_budget_on_models_counts_those_and_no_others(tmp_path):
    extra = "default_key: {budgets: [1.00 per day, {limit: 0.045, every: 5h, models: gpt-4o*}]}"
    async with house(tmp_path, extra, script=SPEND) as home:
        first = await ask(home)
        mini = await ask(home, model="gpt-4o-mini")  # the pattern's too
        other = await ask(home, model="gpt-4.1")
        second = await ask(home)
        told = await ask(home)
        assert isinstance(told, dict)
        assert told["violated"] == ["5h of gpt-4o*"]
        assert "budget 5h of gpt-4o*: $0.04" in told["message"]
        more = await ask(home, model="gpt-4.1")
        plan = await ask(home, model="openai/gpt-4o")  # as written: not what the owner named
        await settled_up(home)
        few, all_of_them = (first, mini, second), (first, mini, second, other, more, plan)
        assert spent(home, "key:default") == {
            "day": billed(home, *all_of_them),
            "5h of gpt-4o*": billed(home, *few),
        }
        assert billed(home, *all_of_them) == home.sim.bill.total_pico
        assert 4 * CENT < billed(home, *few) < 5 * CENT
        home.clock.advance(5 * 3600)
        assert isinstance(await ask(home), Pair)


async def test_a_budget_on_everybodys_models_is_shared(tmp_path):
    extra = """
budgets: [{limit: 0.03, every: day, models: [gpt-4o]}]
keys: {a: 1 per day, b: 1 per day}
"""
    async with house(tmp_path, extra, script=SPEND) as home:
        one = await ask(home, "/k/a")
        told = await ask(home, "/k/b")
        assert isinstance(told, dict)
        assert (told["budget"], told["subject"]) == ("day of gpt-4o", "all")
        other = await ask(home, "/k/b", "gpt-4o-mini")
        await settled_up(home)
        assert spent(home, "all") == {"day of gpt-4o": billed(home, one)}
        assert spent(home, "key:b") == {"day": billed(home, other)}


LABELS = """
labels: {thesis: 0.03 per week, "ci-*": [0.03 per day, 0.05 total], ci-main: }
keys: {a: {budgets: 1 per day, label: thesis}, b: 1 per day}
default_key: 1 per day
"""


async def test_a_label_has_its_budget_whoever_uses_it(tmp_path):
    async with house(tmp_path, LABELS, script=SPEND) as home:
        by_url = await ask(home, "/k/b/l/thesis")
        told = await ask(home, "/k/a")  # this key's calls have that label by themselves
        assert isinstance(told, dict)
        assert (told["budget"], told["subject"]) == ("week", "label:thesis")
        assert "spent under thesis" in told["message"]
        assert "in the configuration" in told["advice"]  # a top-up of the key would not help
        elsewhere = await ask(home, "/k/a/l/other")
        unlabelled = await ask(home, "/k/b")
        await settled_up(home)
        assert spent(home, "label:thesis") == {"week": billed(home, by_url)}
        assert spent(home, "label:other") == {}
        assert spent(home, "key:b") == {"day": billed(home, by_url, unlabelled)}
        assert spent(home, "key:a") == {"day": billed(home, elsewhere)}
        labels = {one["name"]: one["budgets"] for one in (await home.status())["labels"]}
        assert list(labels) == ["thesis"]  # nobody has used another
        assert labels["thesis"][0]["spent_usd"].startswith("0.02")


async def test_each_label_of_a_pattern_has_a_budget_to_itself(tmp_path):
    async with house(tmp_path, LABELS, script=SPEND) as home:
        one, other = await ask(home, "/l/ci-1"), await ask(home, "/l/ci-2")
        told = await ask(home, "/l/ci-1")
        assert isinstance(told, dict)
        assert told["violated"] == ["day"]
        free = [await ask(home, "/l/ci-main") for _ in range(3)]  # let off by its own name
        home.clock.advance(24 * 3600)
        again = await ask(home, "/l/ci-1")
        told = await ask(home, "/l/ci-1")
        assert isinstance(told, dict)
        assert told["violated"] == ["day", "total"]
        await settled_up(home)
        total = [drawer for drawer in drawers(home.state, "label:ci-1") if drawer.budget == "total"]
        assert [drawer.settled for drawer in total] == [billed(home, one, again)]
        assert spent(home, "label:ci-2") == dict.fromkeys(("day", "total"), billed(home, other))
        assert spent(home, "label:ci-main") == {}
        assert len(free) == 3
        shown = {one["name"] for one in (await home.status())["labels"]}
        assert shown == {"thesis", "ci-1", "ci-2"}


async def test_a_labels_limit_holds_when_many_keys_use_it_at_once(tmp_path):
    extra = "labels: {storm: 0.10 per day}\nkeys: {agent-*: 9 per day}"
    async with house(tmp_path, extra, script=Script(tokens=2000, pace=0.001)) as home:
        labels = [f"/k/agent-{number}/l/storm" for number in range(40)]
        answers = await asyncio.gather(*(ask(home, label) for label in labels))
        passed = [one for one in answers if isinstance(one, Pair)]
        assert 1 <= len(passed) <= 4
        assert {one["reason"] for one in answers if isinstance(one, dict)} <= {"busy", "spent"}
        await settled_up(home)
        assert spent(home, "label:storm") == {"day": billed(home, *passed)}
        assert billed(home, *passed) <= 10 * CENT
        assert len(entries(home.state)) == len(passed)


async def test_a_changed_amount_keeps_what_a_label_has_spent(tmp_path):
    async with house(tmp_path, LABELS, script=SPEND) as home:
        first = await ask(home, "/l/thesis")
        assert isinstance(await ask(home, "/l/thesis"), dict)
        await home.quiet()
        text = home.config.read_text()
        home.config.write_text(text.replace("0.03 per week", "0.05 per week"))
        assert await home.daemon.reload() == [
            "labels.thesis.week.limit: 0.03 -> 0.05 (what was spent stays)"
        ]
        second = await ask(home, "/l/thesis")
        told = await ask(home, "/l/thesis")
        assert isinstance(told, dict)
        await settled_up(home)
        assert spent(home, "label:thesis") == {"week": billed(home, first, second)}


async def test_an_agent_sees_what_binds_all_its_calls_first(tmp_path):
    extra = "default_key: {budgets: [1.00 per day, {limit: 0.50, every: 5h, models: [gpt-4o]}]}"
    async with house(tmp_path, extra) as home:
        async with home.http.get(f"{home.url}/v1/usage") as answer:
            told = await answer.json()
        assert (told["budget"]["name"], told["budget"]["remaining"]) == ("day", 1)
        assert [one.get("models") for one in told["budgets"]] == [None, ["gpt-4o"]]


# ------------------------------------------------------------------------------------- sessions


def sits(kind: str, ref: str, key: str = "default") -> str:
    """The subject of a session."""
    return f"{kind}:{session_id(key, ref)}"


async def test_a_session_has_its_limit_together_with_its_agents(tmp_path):
    extra = "default_key: [9 per day, 0.05 per session]"
    async with house(tmp_path, extra, script=SPEND) as home:
        top = await ask(home, session="top")
        low = await ask(home, session="low", parent="top")
        other = await ask(home, session="other")  # a conversation of its own
        for who in ({"session": "deep", "parent": "top"}, {"session": "top"}):
            told = await ask(home, **who)
            assert isinstance(told, dict)
            assert (told["budget"], told["subject"]) == ("session", sits("session", "top"))
            assert "spent by this session, and this call may need" in told["message"]
            assert "A new session begins with nothing spent." in told["message"]
        await settled_up(home)
        assert spent(home, sits("session", "top")) == {"session": billed(home, top, low)}
        assert spent(home, sits("session", "low")) == {}
        assert spent(home, sits("session", "other")) == {"session": billed(home, other)}
        assert spent(home, "key:default") == {"day": billed(home, top, low, other)}


async def test_a_trees_limit_holds_under_a_hundred_agents_at_once(tmp_path):
    extra = "default_key: [9 per day, 0.30 per session, 0.03 per agent]"
    async with house(tmp_path, extra, script=Script(tokens=2000, pace=0.001)) as home:
        agents = [{"session": f"agent-{number}", "parent": "top"} for number in range(100)]
        answers = await asyncio.gather(*(ask(home, **agent) for agent in agents))
        passed = [one for one in answers if isinstance(one, Pair)]
        refused = [one for one in answers if isinstance(one, dict)]
        assert 10 <= len(passed) <= 14
        assert {one["subject"] for one in refused} == {sits("session", "top")}
        await settled_up(home)
        assert billed(home, *passed) == home.sim.bill.total_pico <= 30 * CENT
        assert spent(home, sits("session", "top")) == {"session": billed(home, *passed)}
        assert spent(home, "key:default") == {"day": billed(home, *passed)}


async def test_an_agent_has_its_limit_alone(tmp_path):
    extra = """
budgets: [0.06 per session]
default_key: [9 per day, {limit: 0.03, every: day, per: agent, models: [gpt-4o]}]
"""
    async with house(tmp_path, extra, script=SPEND) as home:
        top = await ask(home, session="top")
        low = await ask(home, session="low", parent="top")
        told = await ask(home, session="low", parent="top")
        assert isinstance(told, dict)
        assert (told["budget"], told["subject"]) == ("agent day of gpt-4o", sits("agent", "low"))
        cheap = await ask(home, session="low", parent="top", model="gpt-4.1")
        told = await ask(home, session="low", parent="top", model="gpt-4.1")
        assert isinstance(told, dict)
        assert (told["budget"], told["subject"]) == ("any session", sits("session", "top"))
        await settled_up(home)
        assert spent(home, sits("agent", "top")) == {"agent day of gpt-4o": billed(home, top)}
        assert spent(home, sits("agent", "low")) == {"agent day of gpt-4o": billed(home, low)}
        tree = {"any session": billed(home, top, low, cheap)}
        assert spent(home, sits("session", "top")) == tree


async def test_a_named_session_binds_all_that_is_below_it(tmp_path):
    extra = """
default_key: {budgets: 9 per day, sessions: {nightly: 0.05 per day, "run-*": 0.03 total}}
"""
    async with house(tmp_path, extra, script=SPEND) as home:
        top = await ask(home, "/s/nightly")
        run = await ask(home, session="run-1", parent="nightly")
        told = await ask(home, session="run-1", parent="nightly")
        assert isinstance(told, dict)
        assert set(told["violated"]) == {"day", "total"}
        told = await ask(home, session="run-2", parent="nightly")
        assert isinstance(told, dict)
        assert (told["violated"], told["subject"]) == (["day"], sits("session", "nightly"))
        alone = await ask(home, session="run-3")
        free = [await ask(home, session="elsewhere") for _ in range(3)]
        await settled_up(home)
        assert spent(home, sits("session", "nightly")) == {"day": billed(home, top, run)}
        assert spent(home, sits("session", "run-1")) == {"total": billed(home, run)}
        assert spent(home, sits("session", "run-3")) == {"total": billed(home, alone)}
        assert billed(home, *free) > 5 * CENT


async def test_a_session_can_be_topped_up(tmp_path):
    extra = "default_key: [9 per day, 0.03 per session, {limit: 0.03, every: 5h, per: agent}]"
    async with house(tmp_path, extra, script=SPEND) as home:
        await ask(home, session="top")
        told = await ask(home, session="top")
        assert isinstance(told, dict)
        (ours,) = {one.partition(":")[2] for one in [told["subject"]]}
        assert f"budgetd topup session:{ours} AMOUNT" in told["advice"]
        status, done = await home.control("topup", session=ours, usd="1.00", budget="agent 5h")
        assert (status, [one["limit_usd"] for one in done["budgets"]]) == (200, ["1.03"])
        told = await ask(home, session="top")
        assert isinstance(told, dict)
        assert told["violated"] == ["session"]
        status, done = await home.control("topup", session="top", usd="1.00")  # by its own name
        assert (status, done["session"], done["key"]) == (200, ours, "default")
        assert {one["name"]: one["limit_usd"] for one in done["budgets"]} == {
            "session": "1.03",
            "agent 5h": "2.03",
        }
        assert isinstance(await ask(home, session="top"), Pair)
        await settled_up(home)
        assert {one.topped_up for one in drawers(home.state, "key:default")} == {0}


async def test_what_cannot_be_topped_up_is_told(tmp_path):
    extra = "default_key: [9 per day, 0.03 per session]"
    async with house(tmp_path, extra, script=SPEND) as home:
        for ref in ("twin-1", "twin-2"):
            await ask(home, session=ref)
        await ask(home, session="low", parent="top")
        for arguments, status, words in (
            ({"session": "nobody"}, 404, "there is no session"),
            ({"session": "twin-"}, 404, "several sessions begin so"),
            ({"session": "low"}, 404, "no budget of its own; its root may have"),
            ({"session": "twin-1", "budget": "day"}, 404, "no budget named 'day'"),
            ({"session": "twin-1", "key": "default"}, 400, "without a key"),
            ({"session": 7}, 400, "the id of a session"),
            ({"session": ""}, 400, "the id of a session"),
        ):
            found, told = await home.control("topup", usd="1.00", **arguments)
            assert (found, words in told["detail"]) == (status, True), told
        assert {one.topped_up for one in drawers(home.state, sits("session", "twin-1"))} == {0}


async def test_budgets_of_sessions_are_shown_as_what_each_may_spend(tmp_path):
    extra = """
budgets: [5 per session, 9 per day]
default_key: [1 per day, 2 per session]
keys: {agent-*: [1 per day, {limit: 1, every: 5h, per: agent, models: [gpt-4o]}]}
"""
    async with house(tmp_path, extra) as home:
        page = await home.status()
        assert [one["name"] for one in page["everything"]] == ["day"]
        assert [(one["name"], one["per"]) for one in page["each"]] == [("any session", "session")]
        (key,) = page["keys"]
        assert [one["name"] for one in key["budgets"]] == ["day"]
        assert [(one["name"], one["limit_usd"]) for one in key["each"]] == [("session", "2")]
        (pattern,) = (await home.status("/status/keys"))["patterns"]
        assert [(one["per"], one["models"]) for one in pattern["budgets"]] == [
            (None, []),
            ("agent", ["gpt-4o"]),
        ]
        status, told = await home.control("topup", key="default", usd="1.00")
        assert (status, [one["name"] for one in told["budgets"]]) == (200, ["day"])
