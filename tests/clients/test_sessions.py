"""Claude Code's conversations as budgetd sees them: one session, its sub-agent below it, and a hold
that follows what was read before.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from budgetd.simulator import Script, Simulator
from tests.clients.claude_code import ClaudeCode
from tests.e2e.books import ask
from tests.rig import house, until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]  # the first of them installs

ECHO = {"command": "echo hello-from-the-tool", "description": "say hello"}
LONG = Script(tool="Bash", arguments=json.dumps(ECHO), tool_rounds=6, text="All done.")
# A model of which no more is asked than it is sure to have: it hands the work on, once.
DISPATCH = {
    "description": "look around",
    "prompt": 'Say hello. SIM{"tool": null, "text": "hello from below"}',
    "subagent_type": "general-purpose",
}


async def test_a_conversation_is_one_session_and_its_holds_follow_what_was_read(
    claude_program: Path, tmp_path: Path
) -> None:
    async with house(tmp_path, "keys: {builder: 20.00 per 5h}", script=LONG) as home:
        claude = ClaudeCode.of(claude_program, tmp_path / "user")
        reply = await claude.ask(f"{home.url}/k/builder", "say hello with a tool")
        assert (reply.code, reply.result) == (0, "All done.")
        again = await claude.ask(f"{home.url}/k/builder", "again", "--resume", reply.session)
        assert again.code == 0
        await home.quiet()
        [(ref, source, client, turns)] = ask(
            home.state, "SELECT ref, source, client, turns FROM session"
        )
        assert (ref, source, client) == (reply.session, "client", "claude_code")
        calls = ask(
            home.state,
            "SELECT a.input_bound, a.input + a.cache_read + a.cache_write_5m + a.cache_write_1h, t.number,"
            " t.resent FROM turn t JOIN attempt a ON a.call = t.call WHERE t.kind = 'turn' ORDER BY t.number",
        )
        assert turns == len(calls) >= 14
        assert all(bound >= read for bound, read, _, _ in calls)
        # From the second turn of each run on: what was read before is known to the token.
        known = [(bound, read) for bound, read, _, resent in calls if resent]
        assert len(known) >= 12
        mean = sum(bound / read for bound, read in known) / len(known)
        assert mean < 1.2, calls
        page = await home.status(f"/status/sessions/{reply.session}")
        assert page["turns"] == turns
        assert page["loop"] is not None  # the same tool with the same result, six times


async def test_a_sub_agent_is_below_its_session_and_bound_by_its_budget(
    claude_program: Path, tmp_path: Path
) -> None:
    script = Script(tool="Agent", arguments=json.dumps(DISPATCH), text="All done.")
    budgets = "keys: {builder: [20.00 per 5h, 10.00 per session]}"
    async with house(tmp_path, budgets, script=script) as home:
        claude = ClaudeCode.of(claude_program, tmp_path / "user")
        asking = asyncio.ensure_future(claude.ask(f"{home.url}/k/builder", "hand it on"))
        # It is told of its agent's end as by a user, and would hand on the work again.
        await until(lambda: asking.done() or _agents(home.sim) > 0, seconds=60)
        home.sim.script = Script(text="All done.")
        reply = await asking
        assert reply.code == 0
        await home.quiet()
        [(child, parent, root)] = ask(
            home.state, "SELECT ref, parent, root FROM session WHERE parent IS NOT NULL"
        )
        [(at,)] = ask(home.state, f"SELECT id FROM session WHERE ref = '{reply.session}'")
        assert child.startswith(f"{reply.session}/")
        assert (parent, root) == (at, at)
        [(spent,)] = ask(home.state, f"SELECT settled FROM window WHERE subject = 'session:{at}'")
        assert spent == home.sim.bill.total_pico
        page = await home.status(f"/status/sessions/{at}")
        assert page["agents"]["count"] == 1
        assert page["causes"]["real"]["tree"]["agents_usd"] != "0"


def _agents(sim: Simulator) -> int:
    """Requests of sub-agents that have come."""
    return sum(bool(request.header("x-claude-code-agent-id")) for request in sim.requests)
