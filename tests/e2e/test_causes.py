"""Where a session's money went: seven causes that sum to its cost exactly, whatever happened to its
calls. What each call was is known here from having made it, and what it cost from the ledger's rows.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.books import ask, entries
from tests.e2e.line import ANTHROPIC, OPENAI
from tests.e2e.playing import PLENTY
from tests.e2e.talking import Json, Marking, Talk, billed, call_ids, page_of, tools_of
from tests.e2e.test_sessions import pico
from tests.rig import House, house

SYSTEM = "You are an agent, and this is what you know. " * 120
SEVEN = ("loop", "retry", "side", "agents", "cold", "reread", "fresh")
IDLE = 700.0  # seconds: longer than any cache lives that is not asked to
MONEY = ("real", "notional")


@dataclass
class Play:
    """A day of agents. `was` is what each call was, by the label that it was made with."""

    home: House
    chance: random.Random
    numbers: Iterator[int] = field(default_factory=count)
    was: dict[str, str] = field(default_factory=dict)

    async def ask(self, talk: Talk, was: str, **script: Any) -> int | None:
        """A call that is something, under a label of its own. Returns its status, None if its
        answer broke off.
        """
        label = f"n{next(self.numbers)}"
        self.was[label] = was
        talk.headers["X-Budgetd-Label"] = label
        try:
            stream = len(talk.messages) % 2 == 0  # the same when it is repeated
            reply = await talk.ask(stream=stream, **script)
        except (aiohttp.ClientError, ValueError):
            return None
        return reply.status

    async def turn(self, talk: Talk) -> None:
        """Plain work: the user says something, or a tool brings something."""
        if self.chance.random() < 0.5:
            words = f"{self.chance.random()} " * self.chance.randrange(1, 80)
            talk.messages.append({"role": "user", "content": words})
            await self.ask(talk, "work", tokens=self.chance.randrange(1, 100))
        else:
            path = {"path": f"{self.chance.random()}.py"}
            talk.messages.append({"role": "user", "content": "Look."})
            await self.ask(talk, "work", tool="Read", arguments=path, tool_rounds=99)
            self.bring(talk, f"line {self.chance.random()}\n" * self.chance.randrange(1, 99))
            await self.ask(talk, "work", tokens=30)

    def bring(self, talk: Talk, text: str) -> None:
        """The result of the call in the last answer."""
        talk.bring(*[text] * len(call_ids(talk.dialect, talk.messages[-1])))

    async def failure(self, talk: Talk) -> None:
        """A provider that breaks once or twice, charges for it, and then answers."""
        talk.messages.append({"role": "user", "content": f"Again, {self.chance.random()}."})
        bill = {"status": 500, "bill_failed_input": True}
        await self.ask(talk, "work", **bill)
        if self.chance.random() < 0.4:
            await self.ask(talk, "retry", **bill)
        await self.ask(talk, "retry", tokens=20)

    async def cut(self, talk: Talk) -> None:
        """An answer that breaks off; the user goes on with other words."""
        talk.messages.append({"role": "user", "content": f"Cut, {self.chance.random()}."})
        assert await self.ask(talk, "work", tokens=60, cut_after_event=5) in {200, None}
        del talk.messages[-1 if talk.messages[-1]["role"] == "assistant" else len(talk.messages) :]
        talk.messages[-1] = {"role": "user", "content": "Never mind."}
        await self.ask(talk, "work")

    async def side(self, talk: Talk) -> None:
        """A title, beside the conversation."""
        other = type(talk)(**{**vars(talk), "messages": []})
        other.headers = {**talk.headers, "X-Budgetd-Kind": "side"}
        other.messages.append({"role": "user", "content": f"A title for {self.chance.random()}"})
        await self.ask(other, "side", tokens=5)

    async def circle(self, talk: Talk) -> None:
        """The same step four times: the last is known to be one too many."""
        talk.messages.append({"role": "user", "content": f"Wait, {self.chance.random()}."})
        command = {"command": f"make {self.chance.random()}"}
        for number in range(4):
            was = "work" if number < 3 else "loop"
            await self.ask(talk, was, tool="Bash", arguments=command, tool_rounds=99)
            self.bring(talk, "nothing to be done")
        await self.ask(talk, "loop", text="There is nothing to be done.")


def cast(home: House) -> list[list[Talk]]:
    """Three generations of conversations: agents come after who spawns them."""

    def talk(dialect: str, headers: dict[str, str], kind: type[Talk] = Talk) -> Talk:
        return kind(home, dialect, SYSTEM, headers=headers, fields={"tools": tools_of(dialect)})

    code = {"x-claude-code-session-id": "code"}
    one = code | {"x-claude-code-agent-id": "one"}
    two = code | {"x-claude-code-agent-id": "two", "x-claude-code-parent-agent-id": "one"}
    open_code = {"x-session-id": "open"}
    kid = {"x-session-id": "kid", "x-parent-session-id": "open"}
    plan = {"x-api-key": "sk-ant-oat01-test"}  # dollars of a flat-rate plan are not real
    return [
        [
            talk(ANTHROPIC, {**code}, Marking),
            talk(OPENAI, {**open_code}),
            talk(OPENAI, {}),
            talk(ANTHROPIC, {}, Marking),
            talk(ANTHROPIC, code | plan, Marking),
            talk(ANTHROPIC, {**plan}),
        ],
        [talk(ANTHROPIC, {**one}, Marking), talk(OPENAI, {**kid}), talk(ANTHROPIC, kid | plan)],
        [talk(ANTHROPIC, {**two}), talk(OPENAI, {"X-Budgetd-Parent": "kid"})],
    ]


@dataclass(frozen=True)
class Row:
    """A session of the ledger."""

    id: str
    parent: str | None
    root: str
    cost: dict[str, int]
    tree: dict[str, int]


def rows(state: Path) -> dict[str, Row]:
    sql = "SELECT id, parent, root, cost, notional, tree_cost, tree_notional FROM session"
    return {
        at: Row(at, parent, root, dict(zip(MONEY, own, strict=True)), dict(zip(MONEY, tree, strict=True)))
        for at, parent, root, *sums in ask(state, sql)
        for own, tree in [(sums[:2], sums[2:])]
    }  # fmt: skip  # one a line says no more


def below(at: str, found: dict[str, Row]) -> set[str]:
    """Everybody below a session."""
    children = {one.id for one in found.values() if one.parent == at}
    return children.union(*(below(one, found) for one in children))


def spent(state: Path) -> dict[tuple[str, str, str], int]:
    """By session, money and label: what the calls cost, from their attempts and corrections."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for session, money, label, cost in ask(
        state,
        "SELECT c.session, a.money, c.label, a.cost + coalesce("
        " (SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0)"
        " FROM attempt a JOIN call c ON c.id = a.call WHERE c.session IS NOT NULL",
    ):
        sums[session, money, label] += cost
    return sums


async def check_causes(play: Play) -> Counter[str]:
    """Every session's page against its rows. Returns what there was of each cause."""
    state, seen = play.home.state, Counter[str]()
    found, sums = rows(state), spent(state)
    for at, row in found.items():
        page = await page_of(play.home, at)
        tree = {at} | below(at, found)
        for money in MONEY:
            own = {name: pico(page["causes"][money]["own"][f"{name}_usd"]) for name in SEVEN}
            whole = {name: pico(page["causes"][money]["tree"][f"{name}_usd"]) for name in SEVEN}
            expected: Counter[str] = Counter()
            work = 0
            for (session, kind, label), cost in sums.items():
                if session not in tree or kind != money:
                    continue
                was = play.was[label]
                if was != "work":
                    expected[was] += cost
                elif session == at:
                    work += cost
                else:
                    expected["agents"] += cost
            for cause in SEVEN[:4]:
                assert whole[cause] == expected[cause], (page["ref"], money, cause)
                seen[cause] += whole[cause]
            assert whole["cold"] + whole["reread"] + whole["fresh"] == work
            assert min(whole.values()) >= 0
            assert sum(own.values()) == row.cost[money]
            total = sum(found[one].cost[money] for one in tree)
            assert sum(whole.values()) == total
            assert pico(page["cost_usd" if money == "real" else "notional_usd"]) == total
            if row.parent is None:
                assert row.tree[money] == total
            seen.update({name: whole[name] for name in SEVEN[4:]})
    for money in MONEY:
        everything = sum(cost for (_, kind, _), cost in sums.items() if kind == money)
        assert sum(row.tree[money] for row in found.values() if row.parent is None) == everything
        assert sum(row.cost[money] for row in found.values()) == everything
    return seen


async def adjust(play: Play) -> None:
    """Corrections of calls of every kind: dearer, cheaper, and down to nothing."""
    for entry in play.chance.sample(entries(play.home.state), 25):
        usd = play.chance.choice(["0.01", "-0.0003", "-5", "0.000000000001"])
        status, _ = await play.home.control("adjust", call=entry.call, usd=usd)
        assert status == 200


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_causes_of_every_session_sum_to_its_cost(tmp_path, seed):
    async with house(tmp_path, PLENTY) as home:
        play = Play(home, random.Random(seed))
        acts = (play.turn, play.turn, play.failure, play.cut, play.side, play.circle)
        for generation in cast(home):
            for talk in generation:
                talk.messages.append({"role": "user", "content": f"Do {play.chance.random()}."})
                await play.ask(talk, "work")
            for day in range(3):

                async def live(talk: Talk) -> None:
                    for act in play.chance.choices(acts, k=3):
                        await act(talk)
                    await play.turn(talk)

                await asyncio.gather(*(live(talk) for talk in generation))
                await home.quiet()
                home.clock.advance(IDLE if day else 1)
        await check_causes(play)
        await adjust(play)
        seen = await check_causes(play)
        # All of it really happened.
        assert all(seen[cause] > 0 for cause in SEVEN), seen
        assert (await home.control("audit"))[1] == {"differences": []}
        states = Counter(entry.state for entry in entries(home.state))
        assert states["uncertain"] > 10
        assert ask(home.state, "SELECT count(*) > 0 FROM session WHERE notional > 0") == [(1,)]


# ------------------------------------------------------------------------------------ a cold cache


async def test_what_a_cold_cache_costs_more_to_the_pico_dollar(tmp_path: Path) -> None:
    """Sonnet: reading from the cache costs 0.30 a million tokens, and to write it anew 3.75."""
    async with house(tmp_path, PLENTY) as home:
        talk = Marking(home, ANTHROPIC, SYSTEM, label="/s/one")
        for idle in (0, 60, 301, 299, 301):
            home.clock.advance(idle)
            words = f"What else after {len(talk.pairs)}? " * 30
            await talk.say(words, text="This. " * 40)
        await home.quiet()
        lines = [home.sim.bill.line(pair.request) for pair in talk.pairs]
        read = [line.tokens.prompt for line in lines]
        assert [line.tokens.cache_read > 0 for line in lines] == [False, True, False, True, False]
        page = await page_of(home, talk.sessions[0])
        causes = {name: pico(page["causes"]["real"]["tree"][f"{name}_usd"]) for name in SEVEN}
        cold = (read[1] + read[3]) * (3_750_000 - 300_000)
        assert causes["cold"] == cold
        assert causes["reread"] == sum(read[:-1]) * 300_000
        assert causes["fresh"] == billed(home, talk.pairs) - causes["cold"] - causes["reread"]
        steps: list[Json] = page["steps"][::-1]
        assert [pico(step["cold_usd"]) > 0 for step in steps] == [False, False, True, False, True]


async def test_a_provider_without_a_cache_is_never_cold(tmp_path: Path) -> None:
    async with house(tmp_path, PLENTY) as home:
        talk = Talk(home, ANTHROPIC, SYSTEM, label="/s/one")  # without marks nothing is kept
        for _ in range(4):
            home.clock.advance(400)
            await talk.say(f"What else after {len(talk.pairs)}? " * 30, text="This. " * 40)
        await home.quiet()
        read = [home.sim.bill.line(pair.request).tokens.prompt for pair in talk.pairs]
        page = await page_of(home, talk.sessions[0])
        causes = {name: pico(page["causes"]["real"]["tree"][f"{name}_usd"]) for name in SEVEN}
        assert causes["cold"] == 0
        assert causes["reread"] == sum(read[:-1]) * 3_000_000
