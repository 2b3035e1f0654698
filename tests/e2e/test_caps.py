"""Caps on how an agent behaves, whole way through and in both dialects: they close at the number that
was written, nothing is sent while they do, and those that are brakes let go again by the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from budgetd.simulator import Script
from tests.e2e.books import ask, entries
from tests.e2e.line import OPENAI
from tests.e2e.playing import Door, settled_up
from tests.e2e.talking import DIALECTS, Reply, Talk, billed
from tests.e2e.test_prefixes import town
from tests.rig import House, house


def capped(**caps: object) -> str:
    """A key with these caps, and one that only watches what they would do."""
    said = ", ".join(f"{name}: {value}" for name, value in caps.items())
    rest = f"budgets: [90 per day], caps: {{{said}}}"
    return f"keys: {{c: {{{rest}}}, w: {{{rest}, observe: true}}}}"


def talk_of(home: House | Door, dialect: str, key: str = "c", name: str = "one") -> Talk:
    return Talk(home, dialect, label=f"/k/{key}/s/{name}")


def check_capped(talk: Talk, reply: Reply, cap: str, wait: int | None = None) -> None:
    """The dialect's own error with a code of its own; `wait` seconds are to be sat out, or nothing
    that the client could do helps.
    """
    assert reply.status == 429, reply
    error = reply.body["error"]
    assert error["budgetd"]["cap"] == cap
    assert error["budgetd"]["reason"] == reply.headers["x-budgetd-reason"] == "cap"
    assert error["message"].startswith("Usage limit reached: ")
    if talk.dialect == OPENAI:
        assert error["code"] == "cap_reached"
    else:
        assert reply.body["type"] == "error"
        assert error["type"] == "rate_limit_error"
    if wait is None:
        assert "retry-after" not in reply.headers
        assert reply.headers["x-should-retry"] == "false"
    else:
        assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == (
            str(wait),
            "true",
        )


@contextmanager
def watched() -> Iterator[list[str]]:
    """What the log says would have been refused."""
    words: list[str] = []
    with capture_logs() as logs:
        yield words
    words += [one["why"] for one in logs if one["event"] == "would have been refused"]


async def untouched(home: House, reached: int, refused: int) -> None:
    """So many calls have reached the provider and the ledger, and so many were turned away."""
    await settled_up(home)
    assert len(home.sim.requests) == len(entries(home.state)) == reached
    found = ask(home.state, "SELECT reason, count(*) FROM refusal GROUP BY reason")
    assert found == ([("cap", refused)] if refused else [])


# -------------------------------------------------------------------------- calls, turns, context


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_calls_of_a_session_end_at_their_number(tmp_path: Path, dialect: str) -> None:
    async with house(tmp_path, capped(calls_per_session=4)) as home:
        talk, side = talk_of(home, dialect), talk_of(home, dialect)
        side.headers = {"X-Budgetd-Kind": "side"}
        for _ in range(3):
            assert (await talk.say("More.")).status == 200
        assert (await side.say("A title, please.")).status == 200  # a side call is a call
        for one in (talk, side, talk):
            check_capped(one, await one.say("More."), "calls")
        assert (await talk_of(home, dialect, name="two").say("More.")).status == 200
        await untouched(home, 5, 3)
        with watched() as would:
            for number in range(6):
                reply = await talk_of(home, dialect, "w").say(f"{number}.")
                assert reply.status == 200
        assert would == [
            "this would be call 5 of the session; the cap is 4",
            "this would be call 6 of the session; the cap is 4",
        ]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_turns_of_a_session_end_at_their_number(tmp_path: Path, dialect: str) -> None:
    async with house(tmp_path, capped(turns_per_session=3)) as home:
        talk, side = talk_of(home, dialect), talk_of(home, dialect)
        side.headers = {"X-Budgetd-Kind": "side"}
        assert (await talk.say("More.", stream=True)).status == 200
        assert (await talk.say("More.", status=500)).status == 500
        assert (await talk.ask()).status == 200  # the same turn, repeated
        assert (await talk.say("More.")).status == 200
        assert (await side.say("A title, please.")).status == 200  # and this is none
        check_capped(talk, await talk.say("More."), "turns")
        child = Talk(home, dialect, label="/k/c")
        child.headers = {"X-Budgetd-Session": "kid", "X-Budgetd-Parent": "one"}
        assert (await child.say("More.")).status == 200  # agents have turns of their own
        await untouched(home, 6, 1)
        with watched() as would:
            watch = talk_of(home, dialect, "w")
            for _ in range(4):
                assert (await watch.say("More.")).status == 200
        assert would == ["this would be turn 4 of the session; the cap is 3"]


async def test_the_turns_of_a_session_are_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    async with town(tmp_path, capped(turns_per_session=3, calls_per_session=4)) as it:
        for life in range(3):
            for dialect in DIALECTS:
                reply = await talk_of(it.door, dialect, name=dialect).say(f"{life}.")
                assert reply.status == 200
            await it.kill_and_restart()
        for dialect in DIALECTS:
            talk = talk_of(it.door, dialect, name=dialect)
            check_capped(talk, await talk.say("More."), "turns")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_context_grows_as_far_as_it_may_and_a_compacted_one_goes_on(tmp_path, dialect):
    async with house(tmp_path, capped(context_tokens=3000)) as home:
        talk = talk_of(home, dialect)
        sizes = []
        while (reply := await talk.say("What next? " * 60, text="That. " * 40)).status == 200:
            sizes.append(home.sim.bill.line(talk.pairs[-1].request).tokens.prompt)
            assert len(sizes) < 40
        check_capped(talk, reply, "context")
        assert 2500 < max(sizes) <= 3000
        check_capped(talk, await talk.ask(), "context")
        talk.messages = [{"role": "user", "content": "So far so good. " * 20}]
        assert (await talk.ask()).status == 200
        # A first request that is too large is turned away as well.
        large = talk_of(home, dialect, name="large")
        check_capped(large, await large.say("What next? " * 1500), "context")
        await untouched(home, len(sizes) + 1, 3)
        with watched() as would:
            assert (await talk_of(home, dialect, "w").say("What next? " * 1500)).status == 200
        assert len(would) == 1
        assert would[0].endswith("tokens of context; the cap is 3,000")


# --------------------------------------------------------------------------------- failures in a row


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_session_that_only_fails_rests_and_is_let_go_by_an_answer(tmp_path, dialect):
    async with house(tmp_path, capped(consecutive_errors=3)) as home:
        talk = talk_of(home, dialect)
        for number, stream in enumerate((True, False, True)):
            assert (await talk.say(f"{number}.", stream=stream, status=500)).status == 500
        check_capped(talk, await talk.say("Now?"), "errors", wait=30)
        assert (await talk_of(home, dialect, name="two").say("Now?")).status == 200
        home.clock.advance(29)
        check_capped(talk, await talk.ask(), "errors", wait=1)
        home.clock.advance(1)
        assert (await talk.ask(status=503)).status == 503  # one try, and it fails: twice the rest
        check_capped(talk, await talk.ask(), "errors", wait=60)
        home.clock.advance(60)
        assert (await talk.ask(status=500)).status == 500
        check_capped(talk, await talk.ask(), "errors")  # two minutes: too long to be sat out
        home.clock.advance(120)
        assert (await talk.ask()).status == 200  # an answer, and all is well
        for number in range(2):
            assert (await talk.say(f"{number}.", status=500)).status == 500
        assert (await talk.say("Now?")).status == 200
        await untouched(home, 10, 4)
        with watched() as would:
            for number in range(5):
                reply = await talk_of(home, dialect, "w").say(f"{number}.", status=500)
                assert reply.status == 500
        assert [one.split(";")[0] for one in would] == [
            f"{count} calls in a row have failed" for count in (3, 4)
        ]


@pytest.mark.parametrize("fault", ["cut_after_event", "drop_before_headers"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_breaks_off_is_a_failure_too(tmp_path: Path, dialect: str, fault: str) -> None:
    value: object = 2 if fault == "cut_after_event" else True
    async with house(tmp_path, capped(consecutive_errors=2)) as home:
        talk = talk_of(home, dialect)
        for number in range(2):
            await broken(talk, f"{number}.", **{fault: value})
        check_capped(talk, await talk.say("Now?"), "errors", wait=30)


async def broken(talk: Talk, words: str, **script: object) -> None:
    """A call whose answer does not come to its end."""
    try:
        reply = await talk.say(words, stream=True, **script)
        assert reply.status in {502, 504}
    except (aiohttp.ClientError, ValueError):
        pass


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_same_failure_is_not_repeated_for_ever(tmp_path: Path, dialect: str) -> None:
    async with house(tmp_path, capped(identical_failures=2)) as home:
        talk = talk_of(home, dialect)
        assert (await talk.say("Do it.", status=400)).status == 400
        assert (await talk.ask(status=400)).status == 400
        check_capped(talk, await talk.ask(), "failures", wait=30)
        # Another request is heard at once, and if it fails it has its own two tries.
        assert (await talk.say("Do it otherwise.", status=400)).status == 400
        assert (await talk.ask(status=400)).status == 400
        check_capped(talk, await talk.ask(), "failures", wait=30)
        home.clock.advance(30)
        assert (await talk.ask()).status == 200
        await untouched(home, 5, 2)
        with watched() as would:
            watch = talk_of(home, dialect, "w")
            watch.messages.append({"role": "user", "content": "Do it."})
            for _ in range(3):
                assert (await watch.ask(status=400)).status == 400
        assert would == ["the same request has failed 2 times in a row; the cap is 2"]


# ------------------------------------------------------------------------------- dollars per minute


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_who_spends_too_fast_waits_for_less_than_a_minute(tmp_path, dialect):
    """The key's sessions share it; each second's money counts for a minute and a second at most."""
    async with house(tmp_path, capped(dollars_per_minute=0.05), script=Script(tokens=390)) as home:
        talks = [talk_of(home, dialect, name=f"n{number}") for number in range(4)]
        spent, turn = 0, 0
        began = home.clock.wall()
        while spent < 5 * 10**10:
            talk = talks[turn % 4]
            assert (await talk.say("More.")).status == 200
            await home.quiet()
            spent = sum(billed(home, one.pairs) for one in talks)
            home.clock.advance(2)
            turn += 1
        assert turn > 4
        refused = await talks[0].say("More.")
        wait = int(refused.headers["retry-after"])
        assert 0 < wait <= 61
        check_capped(talks[0], refused, "dollars_per_minute", wait)
        check_capped(talks[3], await talks[3].say("More."), "dollars_per_minute", wait)
        assert 60_000 <= home.clock.wall() + 1000 * wait - began <= 62_000  # when the first is past
        home.clock.advance(wait - 1.5)
        check_capped(talks[0], await talks[0].ask(), "dollars_per_minute", 2)
        home.clock.advance(1.5)
        assert (await talks[0].ask()).status == 200
        await untouched(home, turn + 1, 3)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_haste_that_is_only_observed_is_told(tmp_path: Path, dialect: str) -> None:
    async with house(tmp_path, capped(dollars_per_minute=0.005), script=Script(tokens=390)) as home:
        talk = talk_of(home, dialect, "w")
        with watched() as would:
            for _ in range(4):
                assert (await talk.say("More.")).status == 200
                await home.quiet()
        assert would
        assert all(words.endswith("in the last minute; the cap is $0.005") for words in would)
        await untouched(home, 4, 0)


@pytest.mark.parametrize("cap", ["calls", "turns"])
async def test_calls_at_the_same_moment_do_not_slip_past_a_cap(tmp_path: Path, cap: str) -> None:
    """More at once than are allowed; what was turned away takes no place."""
    extra = capped(**{f"{cap}_per_session": 5})
    async with house(tmp_path, extra, script=Script(pace=0.005)) as home:
        talks = [talk_of(home, DIALECTS[number % 2]) for number in range(42)]

        async def speak(number: int) -> int:
            return (await talks[number].say(f"{number}.", stream=True)).status

        first = await asyncio.gather(*(speak(number) for number in range(2)))
        others = await asyncio.gather(*(speak(number) for number in range(2, 42)))
        assert first == [200, 200]
        assert others.count(200) == 3
        check_capped(talks[0], await talks[0].say("More."), cap)
        await untouched(home, 5, 38)
