"""Agents that go in circles, whole way through: found at the very call, told or refused as their key's
owner wants, let go on by new words; and work that only looks like it, which nobody is bothered for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.e2e.books import ask, entries
from tests.e2e.line import ANTHROPIC, OPENAI
from tests.e2e.playing import settled_up
from tests.e2e.talking import DIALECTS, Json, Reply, Talk, billed, page_of, tools_of
from tests.e2e.test_sessions import pico
from tests.rig import House, house

MODES = "keys: {o: {budgets: [9 per day], loops: observe}, t: 9 per day, "
MODES += "r: {budgets: [9 per day], loops: refuse}, w: {budgets: [9 per day], loops: refuse, observe: true}}"
OBSERVE, TELL, REFUSE, WATCH = "/k/o", "/k/t", "/k/r", "/k/w"


@dataclass(frozen=True)
class Move:
    """A step of an agent: what it calls, and what that brings."""

    tool: str
    arguments: Json
    result: str


def move(letter: str, result: str | None = None) -> Move:
    """A step that is known by a letter."""
    return Move("Bash", {"command": f"make {letter}"}, result or f"{letter} is up to date")


def round_of(period: int) -> Iterator[Move]:
    """A cycle of so many different steps, for ever."""
    return cycle(move(letter) for letter in "abcd"[:period])


def searches() -> Iterator[Move]:
    """Looking for something else each time, and never finding it."""
    number = 0
    while True:
        number += 1
        yield Move("Grep", {"pattern": f"needle_{number}"}, "No matches found")


def talk_of(home: House, dialect: str, key: str, **headers: str) -> Talk:
    talk = Talk(home, dialect, label=key, headers=headers, fields={"tools": tools_of(dialect)})
    talk.messages.append({"role": "user", "content": "Do it."})
    return talk


async def play(talk: Talk, moves: Iterable[Move], *, stream: bool = True) -> list[Reply]:
    """The calls of a task, one for each step, until one is refused. The last step is done, too."""
    replies = []
    for number, one in enumerate(moves):
        reply = await talk.work(one.tool, one.arguments, stream=stream and number % 2 == 0)
        replies.append(reply)
        if reply.status != 200:
            break
        talk.bring(one.result)
    return replies


def told(replies: Iterable[Reply]) -> list[str | None]:
    """What the headers say of a loop, call by call."""
    return [reply.headers.get("x-budgetd-loop") for reply in replies]


def check_refused(talk: Talk, reply: Reply) -> None:
    """In the dialect's own form, with a code of its own, and not to be tried again."""
    error = reply.body["error"]
    assert (reply.status, reply.headers["x-should-retry"]) == (429, "false")
    assert "retry-after" not in reply.headers
    assert error["budgetd"]["reason"] == reply.headers["x-budgetd-reason"] == "loop"
    assert "goes in circles" in error["message"]
    if talk.dialect == OPENAI:
        assert error["code"] == "loop_detected"
    else:
        assert reply.body["type"] == "error"
        assert error["type"] == "rate_limit_error"


# Steps that are done when it must be known: two full repetitions, or four fruitless searches.
LOOPS = {
    "the same step": (lambda: round_of(1), 3, "repeat", 1),
    "a cycle of two": (lambda: round_of(2), 6, "cycle", 2),
    "a cycle of three": (lambda: round_of(3), 9, "cycle", 3),
    "a cycle of four": (lambda: round_of(4), 12, "cycle", 4),
    "stagnation": (searches, 4, "stagnation", 1),
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_loop_is_told_at_the_very_call(tmp_path: Path, dialect: str, name: str) -> None:
    moves, steps, kind, period = LOOPS[name]
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, dialect, TELL)
        with capture_logs() as logs:
            replies = await play(talk, islice(moves(), steps + 2))
            await home.quiet()
        # The call that brings the last result of the second repetition is the first that is told.
        assert [words is not None for words in told(replies)] == [False] * steps + [True] * 2
        session = talk.sessions[0]
        warnings = [one for one in logs if one["event"] == "goes in circles"]
        assert [(one["log_level"], one["session"], one["key"]) for one in warnings] == [
            ("warning", session, "t")
        ] * 2
        assert [one["loop"] for one in warnings] == told(replies)[-2:]
        (looping,) = (await home.status())["sessions"]["looping"]
        assert looping["id"] == session
        page = await page_of(home, session)
        assert (page["loop"]["kind"], page["loop"]["period"]) == (kind, period)
        assert page["loop"]["words"] == told(replies)[-1]
        steps_told = [one["loop"] is not None for one in reversed(page["steps"])]
        assert steps_told == [False] * steps + [True] * 2
        # And what it costs has its place.
        assert pico(page["causes"]["real"]["tree"]["loop_usd"]) == billed(home, talk.pairs[-2:])
        assert pico(page["cost_usd"]) == home.sim.bill.total_pico
        # The request itself is not changed by it.
        assert "circles" not in home.sim.requests[-1].body.decode()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_is_only_observed_is_in_the_ledger_and_nowhere_else(tmp_path, dialect):
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, dialect, OBSERVE)
        with capture_logs() as logs:
            replies = await play(talk, islice(round_of(2), 9))
            await home.quiet()
        assert [reply.status for reply in replies] == [200] * 9
        assert told(replies) == [None] * 9
        assert [one for one in logs if one["log_level"] != "info"] == []
        assert "circles" not in str(logs)
        found = ask(home.state, "SELECT number FROM turn WHERE suspicion IS NOT NULL")
        assert sorted(found) == [(7,), (8,), (9,)]
        assert (await page_of(home, talk.sessions[0]))["loop"]["kind"] == "cycle"


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_loop_is_refused_at_the_very_call(tmp_path: Path, dialect: str, name: str) -> None:
    moves, steps, kind, _ = LOOPS[name]
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, dialect, REFUSE)
        replies = await play(talk, islice(moves(), steps + 2))
        assert [reply.status for reply in replies] == [200] * steps + [429]
        check_refused(talk, replies[-1])
        assert replies[-1].told["loop"] == kind
        for stream in (True, False):  # asked again it is refused again
            check_refused(talk, await talk.ask(stream=stream))
        await settled_up(home)
        assert len(home.sim.requests) == len(entries(home.state)) == steps
        refused = ask(home.state, "SELECT reason, key FROM refusal")
        assert refused == [("loop", "r")] * 3
        (row,) = ask(home.state, "SELECT calls, cost FROM session")
        assert row == (steps, billed(home, talk.pairs))
        # The owner sees why nothing moves any more.
        assert (await page_of(home, talk.sessions[0]))["loop"]["kind"] == kind
        (looping,) = (await home.status())["sessions"]["looping"]
        assert looping["id"] == talk.sessions[0]


def beside(talk: Talk, words: str) -> None:
    """What the user says stands where the result does, as Anthropic's clients write it."""
    talk.messages[-1]["content"].append({"type": "text", "text": words})


def behind(talk: Talk, words: str) -> None:
    talk.messages.append({"role": "user", "content": words})


@pytest.mark.parametrize(
    ("dialect", "speak"), [(OPENAI, behind), (ANTHROPIC, behind), (ANTHROPIC, beside)]
)
async def test_new_words_let_a_refused_session_go_on(tmp_path, dialect, speak):
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, dialect, REFUSE)
        replies = await play(talk, islice(round_of(1), 9))
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        speak(talk, "It is up to date: run the tests instead.")
        with capture_logs() as logs:
            replies = await play(talk, islice(round_of(1), 9))
            await home.quiet()
        # Nothing is held against it, and if it goes in the same circle again it has as many steps.
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert told(replies) == [None] * 4
        assert [one for one in logs if one["event"] == "goes in circles"] == []
        assert len(set(talk.sessions)) == 1
        assert len(home.sim.requests) == 6


async def test_a_clients_reminder_is_no_new_word(tmp_path: Path) -> None:
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, ANTHROPIC, REFUSE)
        statuses = []
        for number, one in enumerate(islice(round_of(1), 4)):
            reply = await talk.work(one.tool, one.arguments)
            statuses.append(reply.status)
            if reply.status == 200:
                talk.bring(one.result)
                beside(talk, f"<system-reminder>\nIt is {number} o'clock.\n</system-reminder>")
        assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_key_that_only_observes_says_what_it_would_have_refused(tmp_path, dialect):
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, dialect, WATCH)
        with capture_logs() as logs:
            replies = await play(talk, islice(round_of(1), 5))
        assert [reply.status for reply in replies] == [200] * 5
        would = [one for one in logs if one["event"] == "would have been refused"]
        assert [(one["key"], "Bash was run" in one["why"]) for one in would] == [("w", True)] * 2


async def test_a_client_that_looks_for_digits_is_told_in_headers(tmp_path: Path) -> None:
    async with house(tmp_path, MODES) as home:
        agent = {"x-session-id": "ses_0123456789", "user-agent": "opencode/1.18.33"}
        talk = talk_of(home, OPENAI, REFUSE, **agent)
        reply = (await play(talk, islice(round_of(1), 9)))[-1]
        assert (reply.status, reply.body["error"]["code"]) == (402, "loop_detected")
        assert reply.headers["x-budgetd-reason"] == "loop"
        assert reply.headers["x-budgetd-loop"] == "repeat"


@pytest.mark.parametrize("named", ["", "/s/batch"], ids=["by their prefixes", "under one name"])
async def test_conversations_side_by_side_neither_hide_nor_lend_a_loop(tmp_path, named):
    """One goes in circles while another works, turn by turn, in one session or in two."""
    async with house(tmp_path, MODES) as home:
        stuck, busy = (talk_of(home, dialect, TELL + named) for dialect in DIALECTS)
        seen: dict[str, list[str | None]] = {"stuck": [], "busy": []}
        for number, one in enumerate(islice(round_of(2), 9)):
            seen["stuck"] += told(await play(stuck, [one]))
            seen["busy"] += told(await play(busy, [move(f"n{number}")]))
        assert [words is not None for words in seen["stuck"]] == [False] * 6 + [True] * 3
        assert seen["busy"] == [None] * 9
        assert len({*stuck.sessions, *busy.sessions}) == (1 if named else 2)


# ------------------------------------------------------------------------------------- no loops


def polling() -> Iterator[Move]:
    """Waiting for something: the same question, and each time it is a little further."""
    for number in range(15):
        yield Move("Bash", {"command": "gh run view 7"}, f"in progress, {number} of 15 done")


def edits_and_tests() -> Iterator[Move]:
    """Edit and test, edit and test: the edits all say the same, and the tests say what is left."""
    for number in range(6):
        change: dict[str, Any] = {"path": "a.py", "old": f"x{number}", "new": f"y{number}"}
        yield Move("Edit", change, "The file was updated.")
        yield Move("Bash", {"command": "pytest -q"}, f"{6 - number} failed")


def two_rounds() -> Iterator[Move]:
    """Twice the same round, as people work, and then another one."""
    for letters in ("abab", "cdcd", "abab"):
        yield from (move(letter) for letter in letters)


@pytest.mark.parametrize("work", [polling, edits_and_tests, two_rounds])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_work_that_looks_alike_is_left_alone(tmp_path, dialect, work):
    async with house(tmp_path, MODES) as home:
        for key in (TELL, REFUSE):
            replies = await play(talk_of(home, dialect, key), work())
            assert {reply.status for reply in replies} == {200}
            assert set(told(replies)) == {None}
        await home.quiet()
        assert ask(home.state, "SELECT count(*) FROM turn WHERE suspicion IS NOT NULL") == [(0,)]
        assert (await home.status())["sessions"]["looping"] == []


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_loop_that_was_left_is_over_in_the_status_too(tmp_path, dialect):
    async with house(tmp_path, MODES) as home:
        talk = talk_of(home, dialect, TELL)
        moves = [*islice(round_of(1), 5), move("x"), move("y")]
        replies = await play(talk, moves)
        # The call that is answered with something else is still the loop's: its results are.
        looped = [False] * 3 + [True] * 3 + [False]
        assert [words is not None for words in told(replies)] == looped
        await home.quiet()
        assert (await home.status())["sessions"]["looping"] == []
        assert (await page_of(home, talk.sessions[0]))["loop"] is None
