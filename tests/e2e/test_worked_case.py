"""The worked case, whole way through: 38 calls of a coding task, about 525,000 tokens, of which the
status tells where they went; and what one file that was read at step 5 has cost since.

The requests are real ones whose texts have the sizes of the case by the simulator's tokenizer; the
price of the file is worked out here from the ledger's rows and the simulator's price list.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from budgetd.simulator import MODELS, Script
from tests.e2e.books import ask
from tests.e2e.line import ANTHROPIC
from tests.e2e.playing import PLENTY
from tests.e2e.talking import Json, Talk, billed, page_of
from tests.e2e.test_sessions import pico
from tests.rig import House, house
from tests.worked_case import (
    CALLS,
    HISTORY,
    OUTPUT,
    READ,
    READ_AT,
    RESULTS,
    SYSTEM,
    TOOL,
    Case,
    arguments,
    exchange,
    frame_of,
    opening,
    worked_case,
)

MODEL = "claude-sonnet-4-5"
LATER = CALLS - READ_AT  # calls that send the file again
TOOLS = [{"name": TOOL, "input_schema": {}}]  # ten tokens of each call's system part
CLOSE = 0.02  # what the figures may be off


class Marked(Talk):
    """A client that keeps its whole prefix in the provider's cache, or does not care."""

    caching = True

    def body(self, *, stream: bool) -> Json:
        body = super().body(stream=stream) | {"max_tokens": 64_000}
        if not self.caching:
            return body
        last = body["messages"][-1]
        blocks = [{"type": "text", "text": last["content"]}]
        if isinstance(last["content"], list):
            blocks = [dict(block) for block in last["content"]]
        blocks[-1] |= {"cache_control": {"type": "ephemeral"}}
        return body | {"messages": [*body["messages"][:-1], last | {"content": blocks}]}


async def replay(home: House, talk: Talk) -> Case:
    """All of it, call by call; the answers are the provider's, as long as the case has them."""
    talk.system, task = opening()
    talk.messages.append({"role": "user", "content": task})
    call_id = f"toolu_{await _an_id(home)}"
    case = worked_case(frame_of(call_id))
    before = len(home.sim.bill.lines)
    for number, step in enumerate(case.steps):
        if number:
            # The answer comes back as it was given, and the result is as long as the case has it.
            answer = talk.messages[-1]["content"][0]
            _, result = exchange(case.steps[number - 1], step, answer["id"])
            ours: Json = dict(result)
            ours["content"][0]["content"] = numbered(number, ours["content"][0]["content"])
            talk.messages.append(ours)
        home.clock.advance(7)
        asked = {name: numbered(number, text) for name, text in arguments(step).items()}
        given = json.dumps(asked, separators=(",", ":"))
        home.sim.script = Script(tool=TOOL, arguments=given, tool_rounds=99)
        reply = await talk.ask(stream=number % 2 == 0)
        assert reply.status == 200, reply.body
    await home.quiet()
    lines = home.sim.bill.lines[before:]
    extra = {line.tokens.prompt - size for line, size in zip(lines, case.inputs, strict=True)}
    assert extra == {lines[0].tokens.prompt - case.inputs[0]}  # the tools, and nothing else
    assert [line.tokens.output for line in lines] == [step.output for step in case.steps]
    return case


def numbered(number: int, text: str) -> str:
    """A text of the same length that no other step has: this is work, and no loop."""
    return f"{number:03}{text[3:]}"


async def _an_id(home: House) -> str:
    """The id of a request at this provider: all are as long."""
    other = Talk(home, ANTHROPIC, label="/s/other")
    assert (await other.say("Hello.")).status == 200
    return other.pairs[0].request


@pytest.mark.parametrize("caching", [True, False], ids=["cached", "not cached"])
async def test_the_worked_case_is_told_as_it_is_quoted(tmp_path: Path, caching: bool) -> None:
    async with house(tmp_path, PLENTY) as home:
        talk = Marked(home, ANTHROPIC, fields={"tools": TOOLS})
        talk.caching = caching
        await replay(home, talk)
        page = await page_of(home, talk.sessions[0])
        assert (page["turns"], page["calls"]) == (CALLS, CALLS)
        tokens = page["tokens"]
        assert tokens["history"] == pytest.approx(HISTORY, rel=CLOSE)
        assert tokens["system"] == pytest.approx(156_000, rel=CLOSE)
        assert tokens["results"] == pytest.approx(RESULTS, rel=CLOSE)
        assert tokens["output"] == pytest.approx(OUTPUT, rel=CLOSE)
        assert tokens["user"] < 150
        lines = [home.sim.bill.line(pair.request) for pair in talk.pairs]
        assert tokens["input"] == sum(line.tokens.prompt for line in lines)
        assert tokens["input"] + tokens["output"] == pytest.approx(525_000, rel=CLOSE)
        assert pico(page["cost_usd"]) == billed(home, talk.pairs)
        causes = {name: pico(usd) for name, usd in page["causes"]["real"]["tree"].items()}
        assert sum(causes.values()) == billed(home, talk.pairs)
        assert {name for name, cost in causes.items() if cost} == {"reread_usd", "fresh_usd"}
        check_file(home, talk, page)
        check_every_turn(page)


def check_file(home: House, talk: Talk, page: Json) -> None:
    """The file is re-sent by each later call, and costs each time what such tokens cost there."""
    (file,) = [one for one in page["results"] if one["turn"] == READ_AT]
    assert (file["tool"], file["dropped"], file["resent_times"]) == (TOOL, False, LATER)
    assert file["tokens"] == pytest.approx(READ, rel=CLOSE)
    assert file["resent_tokens"] == LATER * file["tokens"]
    assert file["resent_tokens"] == pytest.approx(66_000, rel=CLOSE)
    # By the ledger's attempts: with a cache all that was re-sent came from it, else none of it.
    rows = ask(
        home.state,
        "SELECT a.input, a.cache_read, a.cache_write_5m, t.resent FROM turn t"
        " JOIN attempt a ON a.call = t.call WHERE t.session = ? ORDER BY t.number",
        talk.sessions[0],
    )
    rate = MODELS[MODEL].rate
    paid = []
    for (*_, resent), before in zip(rows[1:], rows, strict=False):
        assert resent == sum(before[:3])
    for _, read, written, resent in rows[READ_AT:]:
        assert (read, written > 0) in {(resent, True), (0, False)}
        paid.append(rate.cache_read if read else rate.input)
    assert len(set(paid)) == 1  # the same in each call: 0.30 a million, or 3.00
    assert pico(file["cost_usd"]) == file["tokens"] * sum(paid)
    exact = READ * LATER * paid[0]
    assert pico(file["cost_usd"]) == pytest.approx(exact, rel=CLOSE)
    dearest = max(page["results"], key=lambda one: pico(one["cost_usd"]))
    assert page["results"][0] == dearest


def check_every_turn(page: Json) -> None:
    """Each call's parts are its input, and grow as the history does."""
    steps: list[Any] = page["steps"][::-1]
    assert [step["number"] for step in steps] == [*range(1, CALLS + 1)]
    parts = ("system", "history", "results", "user")
    for step in steps:
        assert sum(step["tokens"][part] for part in parts) == step["input_tokens"]
        assert step["tokens"]["system"] == pytest.approx(SYSTEM, rel=CLOSE)
    told = [step["tokens"]["history"] for step in steps]
    assert told == sorted(told)
    assert steps[READ_AT - 1]["tokens"]["results"] == pytest.approx(READ, rel=CLOSE)
