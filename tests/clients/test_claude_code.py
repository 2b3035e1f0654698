"""Claude Code through budgetd: it works, it is billed, it is refused once, and it goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from budgetd.simulator import Script, Simulator
from tests.clients.claude_code import ClaudeCode
from tests.e2e.books import ask, charged, entries
from tests.e2e.playing import with_provider
from tests.rig import DaemonProcess, config_text, house

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]  # the first of them installs

ECHO = {"command": "echo hello-from-the-tool", "description": "say hello"}
TOOL = Script(tool="Bash", arguments=json.dumps(ECHO), text="All done.")
LEFT_OF_MINUTE = 25  # seconds of a real window that are left when its test starts


def exact(state: Path, sim: Simulator, calls: int) -> None:
    """So many calls were made, each is settled, and the ledger is the provider's bill."""
    assert [entry.state for entry in entries(state)] == ["settled"] * calls
    assert len(sim.bill.lines) == calls
    assert charged(state) == sim.bill.total_pico > 0


def refusals(state: Path) -> list[str]:
    """The reasons of all refusals, one for each request that was turned away."""
    return [reason for (reason,) in ask(state, "SELECT reason FROM refusal ORDER BY at")]


def asked(sim: Simulator) -> list[dict[str, Any]]:
    """The bodies of the messages requests that reached the provider."""
    return [r.json() for r in sim.requests if r.path.startswith("/v1/messages?")]


@pytest.mark.parametrize("label", ["", "/k/builder/l/ci"])
async def test_a_task_with_a_tool_is_done_and_billed(claude_program, tmp_path, label):
    async with house(tmp_path, "keys: {builder: 5.00 per 5h}", script=TOOL) as home:
        claude = ClaudeCode.of(claude_program, tmp_path / "user")
        reply = await claude.ask(home.url + label, "say hello with a tool")
        assert (reply.code, reply.result) == (0, "All done.")
        await home.quiet()
        exact(home.state, home.sim, calls=2)
        assert "hello-from-the-tool" in json.dumps(asked(home.sim)[1]["messages"][-1])
        assert {entry.key for entry in entries(home.state)} == {"builder" if label else "default"}
        assert ask(home.state, "SELECT DISTINCT client FROM call") == [("claude_code",)]
        assert refusals(home.state) == []


async def test_a_token_as_its_api_key(claude_program, tmp_path):
    async with house(tmp_path, script=TOOL) as home:
        secret = tmp_path / "credential"
        secret.write_text("sk-ant-the-owners")
        secret.chmod(0o600)
        await with_provider(home, "anthropic", "credential: {file: credential}")
        keys = "keys: {team: {budgets: [5.00 per 5h], custody: issued}}"
        home.config.write_text(home.config.read_text() + keys)
        await home.daemon.reload()
        token = (await home.control("keys/issue", key="team"))[1]["token"]
        claude = ClaudeCode.of(claude_program, tmp_path / "user", ANTHROPIC_AUTH_TOKEN=token)
        assert (await claude.ask(home.url, "say hello with a tool")).code == 0
        await home.quiet()
        exact(home.state, home.sim, calls=2)
        assert {entry.key for entry in entries(home.state)} == {"team"}
        assert {r.header("x-api-key") for r in home.sim.requests} >= {"sk-ant-the-owners"}
        assert not any(token in str(request) for request in home.sim.requests)


async def test_a_limit_in_mid_task_and_on_after_the_reset(claude_program, tmp_path):
    """The whole job in real time: the daemon as a process, a window that really passes."""
    endless = Script(tool="Bash", arguments=TOOL.arguments, tool_rounds=1000)
    anchor = datetime.now(UTC) + timedelta(seconds=LEFT_OF_MINUTE)
    budget = f"{{limit: 0.60, every: 1m, anchor: '{anchor.isoformat(timespec='seconds')}'}}"
    state, config = tmp_path / "state", tmp_path / "config.yaml"
    claude = ClaudeCode.of(claude_program, tmp_path / "user")
    async with Simulator(script=endless) as sim:
        config.write_text(config_text(sim.url, state, f"keys: {{agent: {{budgets: [{budget}]}}}}"))
        daemon = DaemonProcess(config)
        await daemon.start()
        try:
            stopped = await claude.ask(f"{daemon.url}/k/agent", "call me Ishmael, then echo")
            turns = len(sim.bill.lines)
            assert turns > 1  # it was in the middle of its task
            assert stopped.code == 1
            assert "Usage limit reached: budget 1m: $0." in stopped.result
            assert " of $0.60 spent, and this call may need $0." in stopped.result
            assert "Resets at " in stopped.result
            assert refusals(state) == ["spent"]  # one request, and no other
            await becomes(daemon.url, lambda budget: budget["held"] == 0)
            exact(state, sim, calls=turns)

            end = (await usage(daemon.url))["resets_at"]
            await becomes(daemon.url, lambda budget: budget["resets_at"] > end)
            assert (await usage(daemon.url))["spent"] == 0
            sim.script = Script(text="Where were we?")
            again = await claude.ask(
                f"{daemon.url}/k/agent", "what is my name?", "--resume", stopped.session
            )
            assert (again.code, again.result) == (0, "Where were we?")
            assert again.session == stopped.session
            history = json.dumps(asked(sim)[-1]["messages"])
            for earlier in ("call me Ishmael", "hello-from-the-tool", "what is my name?"):
                assert earlier in history
            assert "Usage limit reached" not in history
            assert refusals(state) == ["spent"]
            await becomes(daemon.url, lambda budget: budget["held"] == 0)
            exact(state, sim, calls=turns + 1)
        finally:
            assert await daemon.end() == 0


async def usage(url: str) -> dict[str, Any]:
    """The agent's budget, as the agent itself may ask for it."""
    headers = {"authorization": "Bearer sk-ant-test"}
    async with aiohttp.request("GET", f"{url}/k/agent/v1/usage", headers=headers) as answer:
        budget: dict[str, Any] = (await answer.json())["budget"]
        return budget


async def becomes(url: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Wait for a change of the agent's budget: real time has to pass here."""
    async with asyncio.timeout(90):
        while not wanted(await usage(url)):  # noqa: ASYNC110  the daemon is another process
            await asyncio.sleep(0.1)  # between two looks at a clock that nobody can move


async def test_the_kill_switch_and_on_after_it_is_lifted(claude_program, tmp_path):
    async with house(tmp_path, script=Script(text="hello")) as home:
        claude = ClaudeCode.of(claude_program, tmp_path / "user")
        await home.control("stop", key="default", note="maintenance")
        stopped = await claude.ask(home.url, "call me Ishmael")
        assert stopped.code == 1
        assert "Usage limit reached: the owner has stopped key default (maintenance)." in (
            stopped.result
        )
        assert refusals(home.state) == ["stopped"]
        assert not asked(home.sim)
        await home.control("stop", key="default", lift=True)
        again = await claude.ask(home.url, "what is my name?", "--resume", stopped.session)
        assert again.code == 0
        assert "call me Ishmael" in json.dumps(asked(home.sim)[0]["messages"])
        exact(home.state, home.sim, calls=1)


async def test_a_busy_answer_is_waited_out(claude_program, tmp_path):
    """Two agents on money that is enough for one call at a time: both end well."""
    slow = Script(text="hello", first_byte=1.5)
    async with house(tmp_path, "keys: {tight: 0.60 per 5h}", script=slow) as home:
        users = [ClaudeCode.of(claude_program, tmp_path / f"user{n}") for n in range(2)]
        url = f"{home.url}/k/tight"
        replies = await asyncio.gather(*(user.ask(url, "say hello") for user in users))
        assert [reply.code for reply in replies] == [0, 0]
        await home.quiet()
        assert set(refusals(home.state)) == {"busy"}
        exact(home.state, home.sim, calls=2)


async def test_three_agents_at_once_out_of_the_box(claude_program, tmp_path):
    """$5 per 5 h, as it comes. Each asks for up to 128,000 tokens of output, more than half of all
    the money: they must not lock one another out.
    """
    slow = Script(tool="Bash", arguments=TOOL.arguments, text="All done.", first_byte=1.0)
    async with house(tmp_path, script=slow) as home:
        users = [ClaudeCode.of(claude_program, tmp_path / f"user{n}") for n in range(3)]
        replies = await asyncio.gather(*(user.ask(home.url, "say hello") for user in users))
        assert [reply.code for reply in replies] == [0, 0, 0]
        await home.quiet()
        assert refusals(home.state) == []
        exact(home.state, home.sim, calls=6)
