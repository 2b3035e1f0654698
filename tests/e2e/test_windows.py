"""Limits over time, on a clock that the test moves: resets, clock steps, and who pays what when."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp

from budgetd.config.load import load
from budgetd.daemon import Daemon
from budgetd.simulator import Script
from tests.e2e.books import drawers, newest
from tests.e2e.playing import KINDS, PLENTY, Pair, read_events, reconcile, settled_up
from tests.rig import START, House, house

HOURS = 3600
# One call of 2,000 tokens of output: most of a cent and a half, and no room for a second.
TIGHT = "default_key: {budgets: [0.025 per 5h]}"
SPEND = Script(tokens=2000)
# START is 11:06:40 UTC. Windows of five hours are counted from 1970: this one ends at 15:00.
LEFT = 3 * HOURS + 53 * 60 + 20


async def spend(home: House) -> aiohttp.ClientResponse:
    """A call that takes most of the tight budget."""
    async with home.chat(max_tokens=2000) as answer:
        await answer.read()
        return answer


async def detail(home: House) -> dict[str, Any]:
    """A refusal's own account of itself."""
    async with home.chat(max_tokens=2000) as answer:
        assert answer.status == 429
        told: dict[str, Any] = (await answer.json())["error"]["budgetd"]
        return told


async def test_the_next_window_begins_at_the_stated_instant(tmp_path):
    async with house(tmp_path, TIGHT, script=SPEND) as home:
        assert (await spend(home)).status == 200
        told = await detail(home)
        assert told["resets_at"] == "2026-11-18T15:00:00Z"
        home.clock.advance(LEFT - 0.001)
        assert (await detail(home))["reason"] == "spent"
        home.clock.advance(0.001)
        assert (await spend(home)).status == 200
        home.clock.advance(30 * 24 * HOURS)  # nobody was there for a month: no window was needed
        assert (await spend(home)).status == 200
        await settled_up(home)
        first, second, third = drawers(home.state)
        assert second.start - first.start == 5 * HOURS * 1000
        assert (third.start - first.start) % (5 * HOURS * 1000) == 0
        assert first.settled == second.settled == third.settled > 0


async def test_two_budgets_at_once_name_both_and_the_later_reset(tmp_path):
    extra = "default_key: {budgets: [0.025 per 5h, 0.024 per day]}\nbudgets: [0.0235 per month]"
    async with house(tmp_path, extra, script=SPEND) as home:
        assert (await spend(home)).status == 200
        async with home.chat(max_tokens=2000) as answer:
            body = await answer.json()
        told = body["error"]["budgetd"]
        assert set(told["violated"]) == {"5h", "day", "month"}
        assert told["resets_at"] == "2026-12-01T00:00:00Z"
        for name in told["violated"]:
            assert f"budget {name}" in body["error"]["message"]
        home.clock.advance(LEFT)  # one of the three has been reset
        told = await detail(home)
        assert (set(told["violated"]), told["resets_at"]) == (
            {"day", "month"},
            "2026-12-01T00:00:00Z",
        )
        home.clock.advance(13 * 24 * HOURS)
        assert (await spend(home)).status == 200


async def test_a_late_settlement_belongs_to_the_window_of_its_reservation(tmp_path):
    async with house(tmp_path, PLENTY) as home:
        kind = KINDS["message text"]
        async with kind.post(home, script={"pace": 0.01, "tokens": 200}) as answer:
            pair = Pair.of(answer)
            await read_events(answer, 2)
            home.clock.advance(LEFT + 60)
            async with home.chat() as other:
                assert other.status == 200
            await answer.read()
        books = await settled_up(home)
        reconcile(home, books, [pair])
        before, after = drawers(home.state)
        assert before.settled == books[pair.call].cost
        assert after.settled == newest(home.state).cost
        assert before.start < START < after.start


async def test_a_jump_ahead_opens_no_window_until_a_provider_confirms_it(tmp_path):
    async with house(tmp_path, TIGHT, script=Script(tokens=40, headers=_date(0))) as home:
        home.sim.script = Script(tokens=2000, headers=_date(0))
        assert (await spend(home)).status == 200
        home.clock.step(6 * HOURS)
        assert (await detail(home))["resets_at"] == "2026-11-18T15:00:00Z"
        status = await home.status()
        assert "ahead" in status["clock_in_doubt"]
        assert status["now"] == "2026-11-18T11:06:40Z"
        # Provider says: it is not so late. Then another day's Date, which sides with neither.
        for wrong in (0, 100 * HOURS):
            home.sim.script = Script(tokens=40, headers=_date(wrong))
            async with home.chat(max_tokens=40) as answer:
                assert answer.status == 200
            assert (await detail(home))["reason"] == "spent"
        home.sim.script = Script(tokens=2000, headers=_date(6 * HOURS))
        async with home.chat(max_tokens=40) as answer:  # passes on what is left, and brings a Date
            assert answer.status == 200
        assert (await home.status())["clock_in_doubt"] is None
        assert (await spend(home)).status == 200  # a new window
        assert len(drawers(home.state)) == 2


async def test_a_jump_ahead_that_stays_is_believed_in_the_end(tmp_path):
    async with house(tmp_path, TIGHT, script=SPEND) as home:
        home.sim.script = Script(tokens=2000, headers=_date(100 * HOURS))  # no help
        assert (await spend(home)).status == 200
        home.clock.step(6 * HOURS)
        assert (await detail(home))["reason"] == "spent"
        home.clock.advance(14 * 60)
        assert (await detail(home))["reason"] == "spent"
        home.clock.advance(60)
        assert (await spend(home)).status == 200
        assert (await home.status())["now"] == "2026-11-18T17:21:40Z"


async def test_a_step_back_reopens_no_window(tmp_path):
    async with house(tmp_path, TIGHT, script=SPEND) as home:
        home.sim.script = Script(tokens=2000, headers=_date(100 * HOURS))
        home.clock.advance(LEFT)  # 15:00: a fresh window
        assert (await spend(home)).status == 200
        home.clock.step(-2 * HOURS)
        assert (await detail(home))["resets_at"] == "2026-11-18T20:00:00Z"
        home.clock.advance(HOURS)  # and time goes on from where it was
        status = await home.status()
        assert (status["now"], "behind" in status["clock_in_doubt"]) == (
            "2026-11-18T16:00:00Z",
            True,
        )
        assert (await detail(home))["reason"] == "spent"
        assert len(drawers(home.state)) == 1


async def test_small_steps_are_no_event(tmp_path):
    async with house(tmp_path, TIGHT, script=SPEND) as home:
        assert (await spend(home)).status == 200
        for step in (20, -15, 9):
            home.clock.step(step)
            assert (await detail(home))["resets_at"] == "2026-11-18T15:00:00Z"
            assert (await home.status())["clock_in_doubt"] is None


async def test_a_suspend_is_time_that_has_passed(tmp_path):
    async with house(tmp_path, TIGHT, script=SPEND) as home:
        assert (await spend(home)).status == 200
        home.clock.advance(9 * HOURS)  # both clocks run through it
        assert (await home.status())["clock_in_doubt"] is None
        assert (await spend(home)).status == 200


async def test_a_start_with_a_clock_that_is_behind_does_not_go_back(tmp_path):
    async with house(tmp_path, TIGHT, script=SPEND) as home:
        home.sim.script = Script(tokens=2000, headers=_date(100 * HOURS))
        home.clock.advance(LEFT)
        assert (await spend(home)).status == 200
        await home.quiet()
        await home.daemon.stop()
        home.clock.step(-4 * HOURS)
        again = Daemon(load(home.config, {}), {}, home.clock)
        await again.start()
        try:
            home.daemon = again
            assert (await detail(home))["resets_at"] == "2026-11-18T20:00:00Z"
        finally:
            await again.stop()


def _date(seconds: float) -> tuple[tuple[str, str], ...]:
    """A provider's Date header, so long after START."""
    at = datetime.fromtimestamp(START / 1000 + seconds, UTC)
    return (("Date", format_datetime(at, usegmt=True)),)
