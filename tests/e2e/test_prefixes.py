"""What is known of a conversation when its next call comes: whatever real clients do to a history, it
stays in its session, is bounded by what was reported of it and the bytes that are new, and is never
bounded too low. The truth is the provider's own count.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from budgetd.core.sessions import session_id
from budgetd.simulator import Script, Simulator
from tests.e2e.books import ask
from tests.e2e.line import ANTHROPIC
from tests.e2e.playing import PLENTY, Door
from tests.e2e.talking import DIALECTS, Json, Marking, Talk, blocks_of, page_of, tools_of
from tests.rig import DaemonProcess, config_text, house, until

SYSTEM = "You are an agent, and this is what you know. " * 120
SLACK = 16  # bytes around an element, and of "true" and "false"


@dataclass(frozen=True)
class Bound:
    """A call's input: what it was bounded by before it was sent, and what the provider counted."""

    bound: int
    truth: int
    session: str
    number: int
    kept: int


def bounds(state: Path, sim: Simulator, talk: Talk) -> list[Bound]:
    """Of each answered call of a conversation, in their order; fails for one that was too low."""
    found = []
    for pair in talk.pairs:
        ((bound, session, number, kept),) = ask(
            state,
            "SELECT a.input_bound, t.session, t.number, t.kept FROM attempt a"
            " JOIN turn t ON t.call = a.call WHERE a.call = ?",
            pair.call,
        )
        found.append(Bound(bound, sim.bill.line(pair.request).tokens.prompt, session, number, kept))
    assert all(one.bound >= one.truth for one in found)
    return found


def size_of(messages: list[Json]) -> int:
    """Bytes of these messages in a request."""
    return sum(len(json.dumps(one, ensure_ascii=False)) + 2 for one in messages)


async def read_file(talk: Talk, turn: int) -> None:
    """A turn of an agent that reads something, streamed or not."""
    await talk.work("Read", {"path": f"src/module_{turn}.py"}, stream=turn % 2 == 0)
    talk.bring(f"line {turn} of it\n" * 40)


def talk_of(home: Any, dialect: str, **options: Any) -> Talk:
    """A conversation with tools, in which the user has asked for something."""
    talk = Talk(home, dialect, SYSTEM, fields={"tools": tools_of(dialect)}, **options)
    talk.messages.append({"role": "user", "content": "Read it all, please: “ünïcödé” as well."})
    return talk


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_only_what_is_new_is_bounded_by_its_bytes(tmp_path, dialect):
    async with house(tmp_path, PLENTY) as home:
        talk = talk_of(home, dialect)
        for turn in range(8):
            await read_file(talk, turn)
        await home.quiet()
        found = bounds(home.state, home.sim, talk)
        assert len({one.session for one in found}) == 1
        assert [one.number for one in found] == [*range(1, 9)]
        assert found[0].bound >= talk.sizes[0]
        for turn in range(1, 8):
            new = talk.sizes[turn] - talk.sizes[turn - 1]
            assert abs(found[turn].bound - (found[turn - 1].truth + new)) <= SLACK
        truth = sum(one.truth for one in found[1:])
        assert sum(one.bound for one in found[1:]) < 1.4 * truth  # four bytes are a token here


# ----------------------------------------------------------------------- what clients do to histories


@pytest.mark.parametrize("headers", [{}, {"X-Claude-Code-Session-Id": "abc"}])
async def test_cache_marks_that_move_and_forms_that_change_cost_nothing(tmp_path, headers):
    async with house(tmp_path, PLENTY) as home:
        talk = Marking(
            home, ANTHROPIC, SYSTEM, headers=headers, fields={"tools": tools_of(ANTHROPIC)}
        )
        for turn in range(10):
            if turn % 3 == 2:
                talk.messages.append({"role": "user", "content": f"Read number {turn}."})
                await talk.work("Read", {"path": f"src/{turn}.py"}, stream=True)
                talk.bring("line\n" * 60)
            else:
                await talk.say(f"And {turn}? " * 20, stream=turn % 2 == 0, text="I see. " * 30)
        await home.quiet()
        # The same messages really were sent in both forms.
        for place in (0, 2):
            assert {form[place] for form in talk.forms if len(form) > place} == {"s", "b"}
        found = bounds(home.state, home.sim, talk)
        assert len({one.session for one in found}) == 1
        billed = [home.sim.bill.line(pair.request).tokens for pair in talk.pairs]
        for turn in range(1, 10):
            read, now = len(talk.forms[turn - 1]), len(talk.forms[turn])
            new = size_of(talk.messages[read:now])
            marks = 2 * len('[{"type": "text", "text": , "cache_control": {"type": "ephemeral"}}]')
            assert found[turn].bound <= found[turn - 1].truth + new + marks + SLACK
            assert found[turn].kept == read
        assert all(one.cache_read for one in billed[1:])
        ((resent, reread, cold),) = ask(
            home.state, "SELECT sum(resent), sum(reread), sum(cold) FROM turn"
        )
        assert resent == sum(one.truth for one in found[:-1])
        # All that was re-sent came from the cache, at a tenth of $3 a million.
        assert (reread, cold) == (sum(one.cache_read for one in billed) * 300_000, 0)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_edited_turn_and_one_taken_back_stay_in_their_session(tmp_path, dialect):
    async with house(tmp_path, PLENTY) as home:
        talk = talk_of(home, dialect)
        ends = []
        for turn in range(4):
            await read_file(talk, turn)
            ends.append(len(talk.messages))
        talk.messages.append({"role": "user", "content": "Now the second half."})
        await talk.ask(text="Fine. " * 40)
        # The user goes back to after the second turn, and says something else there.
        del talk.messages[ends[1] :]
        talk.messages.append({"role": "user", "content": "No, the tests first. " * 10})
        new = size_of(talk.messages[ends[1] - 2 :])
        await talk.ask(text="As you like. " * 20)
        await home.quiet()
        *_, before, edited = bounds(home.state, home.sim, talk)
        found = bounds(home.state, home.sim, talk)
        assert edited.session == before.session
        assert edited.number == 6
        assert edited.bound <= found[1].truth + new + SLACK  # what was read with the second turn
        assert edited.truth < before.truth


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("named", [True, False], ids=["named", "told by its prefix"])
async def test_a_compacted_conversation_goes_on(tmp_path, dialect, named):
    """A summary instead of all that was; without a name some of the last turn must still be there."""
    async with house(tmp_path, PLENTY) as home:
        talk = talk_of(home, dialect, label="/s/mine" if named else "")
        for turn in range(6):
            await read_file(talk, turn)
        await talk.ask(text="I have read it all. " * 30)
        left = [] if named else talk.messages[-3:]
        talk.messages = [{"role": "user", "content": "This is what happened. " * 60}, *left]
        await talk.say("Go on.", text="Yes. " * 40)
        size, new = talk.sizes[-1], size_of(talk.messages[:-1])
        await talk.say("And on.", text="Yes. " * 40)
        await home.quiet()
        *_, before, compacted, after = bounds(home.state, home.sim, talk)
        assert before.session == compacted.session == after.session
        assert (compacted.number, after.number) == (8, 9)
        assert compacted.truth < before.truth
        assert compacted.kept == 0  # what it had read is not there any more, ...
        assert compacted.bound >= new - SLACK  # ... and nothing of it may be counted on
        assert after.bound <= compacted.truth + talk.sizes[-1] - size + SLACK
        results = (await page_of(home, after.session))["results"]
        assert [one["dropped"] for one in results] == [True] * 6
        assert sorted(one["resent_times"] for one in results) == [*range(6)]
        assert ask(home.state, "SELECT count(*) FROM session") == [(1,)]


# ------------------------------------------------------------------------------------ after a restart


@dataclass
class Town:
    """A daemon in a process of its own that can be killed, and its provider."""

    sim: Simulator
    http: aiohttp.ClientSession
    config: Path
    state: Path
    daemon: DaemonProcess

    @property
    def door(self) -> Door:
        return Door(self.http, self.daemon.url)

    async def kill_and_restart(self) -> Door:
        """kill -9 at a quiet moment, and a new one on the same ledger."""
        await self.settle()
        await self.daemon.kill()
        self.daemon = DaemonProcess(self.config)
        await self.daemon.start()
        return self.door

    async def settle(self) -> None:
        """Until nothing is open, here or at the provider."""
        await until(lambda: self.sim.open_requests == 0)
        open_calls = -1
        while open_calls:  # the test's time-out bounds it
            async with self.http.get(f"{self.daemon.url}/status") as answer:
                open_calls = (await answer.json())["calls"]["open"]


@asynccontextmanager
async def town(directory: Path, extra: str = PLENTY) -> AsyncIterator[Town]:
    config, state = directory / "config.yaml", directory / "state"
    async with Simulator(script=Script()) as sim, aiohttp.ClientSession() as http:
        config.write_text(config_text(sim.url, state, extra))
        it = Town(sim, http, config, state, DaemonProcess(config))
        await it.daemon.start()
        try:
            yield it
        finally:
            await it.daemon.kill()


async def test_conversations_go_on_after_kill_9(tmp_path):
    """Each in its session, bounded by what was reported before the crash and the bytes since."""
    async with town(tmp_path) as it:
        agent = {"x-session-id": "kid", "x-parent-session-id": "top"}
        talks = [
            talk_of(it.door, dialect, **options)
            for dialect in DIALECTS
            for options in ({}, {"label": "/s/top"}, {"headers": agent})
        ]
        for life in range(3):
            for talk in talks:
                if life == 2:  # resumed by another version of its client, which writes blocks
                    talk.messages = [
                        one | {"content": blocks_of(one["content"])}
                        if one["role"] == "user" and isinstance(one["content"], str)
                        else one
                        for one in talk.messages
                    ]
                talk.home = it.door
                for turn in range(2):
                    await read_file(talk, 2 * life + turn)
            await it.kill_and_restart()
        for talk in talks:
            found = bounds(it.state, it.sim, talk)
            assert len({one.session for one in found}) == 1
            if not talk.label and not talk.headers:
                assert [one.number for one in found] == [1, 2, 3, 4, 5, 6]
            for turn in range(1, 6):
                new = talk.sizes[turn] - talk.sizes[turn - 1]
                assert found[turn].bound <= found[turn - 1].truth + new + SLACK, turn
                assert found[turn].bound < talk.sizes[turn] * 2 // 3
        kid, top = session_id("default", "kid"), session_id("default", "top")
        assert ask(it.state, "SELECT parent, root FROM session WHERE id = ?", kid) == [(top, top)]
        assert ask(it.state, "SELECT count(*) FROM session") == [(4,)]


async def test_an_agent_is_bound_by_its_tree_after_kill_9_though_it_names_nobody(tmp_path):
    async with town(tmp_path, "default_key: [9 per day, 0.05 per session]") as it:
        top = Talk(it.door, ANTHROPIC, label="/s/top")
        kid = Talk(it.door, ANTHROPIC, headers={"X-Budgetd-Session": "kid"})
        assert (await top.say("Begin.", tokens=390)).status == 200
        kid.headers["X-Budgetd-Parent"] = "top"
        assert (await kid.say("Begin.", tokens=390)).status == 200
        del kid.headers["X-Budgetd-Parent"]
        kid.home = await it.kill_and_restart()
        while (reply := await kid.say("More.", tokens=390)).status == 200:
            assert len(kid.pairs) < 20
        root = session_id("default", "top")
        assert reply.told["subject"] == f"session:{root}"
        await it.settle()
        assert 3 * 10**10 < it.sim.bill.total_pico <= 5 * 10**10


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_call_that_the_crash_cut_comes_again_in_its_session(tmp_path, dialect):
    async with town(tmp_path) as it:
        talk = talk_of(it.door, dialect)
        await read_file(talk, 0)
        await it.settle()
        before = list(talk.messages)
        call = asyncio.ensure_future(talk.ask(stream=True, stall_after_event=2))
        await until(lambda: it.sim.open_requests == 1)
        await it.daemon.kill()
        with pytest.raises(aiohttp.ClientError):
            await call
        await it.daemon.start()
        talk.home = it.door
        assert talk.messages == before
        assert (await talk.ask(text="Here it is. " * 20)).status == 200
        await it.settle()
        first, again = bounds(it.state, it.sim, talk)
        assert first.session == again.session
        assert again.bound <= first.truth + talk.sizes[1] - talk.sizes[0] + SLACK
        rows = ask(it.state, "SELECT cause, cost, hold FROM attempt ORDER BY id")
        assert [row[0] for row in rows] == [None, "orphaned", None]
        assert ask(it.state, "SELECT calls, cost FROM session") == [(3, sum(r[1] for r in rows))]
