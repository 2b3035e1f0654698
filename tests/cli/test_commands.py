"""The commands that talk to a running daemon, as a user types them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from budgetd.cli import overview
from budgetd.cli.app import app
from budgetd.cli.launcher import checkout_state, start_command
from tests.cli.town import SECRET, command, town

CONFIG = """
keys:
  research: [2.00 per 5h, 40.00 per week]
  tiny: 0.0001 per 5h
  a-key-with-a-very-long-name-that-nobody-would-choose: 123456.00 per month
  agent-*: 1.00 per 5h
  watched: {budgets: 1 total, observe: true}
"""
ISSUED = """
keys:
  bot: {custody: issued, budgets: 3.00 per day}
"""


async def test_status_shows_where_the_money_stands(tmp_path: Path) -> None:
    async with town(tmp_path, CONFIG) as it:
        for label in ("/k/research", "/k/agent-7", "/k/agent-7", ""):
            assert (await it.chat(label))[0] == 200
        assert (await it.chat("/k/tiny"))[0] == 429
        await it.good("stop", "tiny", "--note", "a loop")

        text = await it.good("status")
        rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
        assert "$2.00" in rows["research"]
        assert "░" in rows["research"]
        assert "■ tiny" in text
        assert "a-key-with-a-very-l" in text
        assert "agent-7" in rows
        assert "4 calls" in rows["Last"]
        assert "key tiny is stopped" in text
        assert "(a loop)" in text
        assert (
            "spent, budget 5h: $0.00 of $0.0001; needed $" in text
        )  # the refusal, with its figures

        page = json.loads(await it.good("status", "--json"))
        spent = page["last_24h"]["real"]["spent_usd"]
        assert int(it.sim.bill.total_pico) == round(float(spent) * 1e12)

        detail = await it.good("status", "research")
        assert "openai/gpt-4o" in detail
        call = json.loads(await it.good("status", "research", "--json"))["calls"][0]
        assert call["call"] in detail
        unknown = await it.run("status", "nobody")
        assert unknown.code == 1
        assert "no key named 'nobody'" in unknown.err
        for said in (text, detail):
            assert SECRET not in said


SCOPED = """
labels: {thesis: 10.00 per week, ci-*: 1.00 per day}
keys:
  wide: [2.00 per session, {limit: 5.00, every: 5h, models: [claude-opus-*, "*/claude-opus-*"]}]
  agent-*: [1.00 per day, {limit: 0.50, every: day, per: agent, models: [gpt-4o]}]
  lone: 0.002 per session
"""


async def test_budgets_of_labels_models_and_sessions_are_shown(tmp_path: Path) -> None:
    async with town(tmp_path, SCOPED) as it:
        assert (await it.chat("/k/wide/s/one"))[0] == 200
        assert (await it.chat("/k/agent-1/l/ci-7"))[0] == 200
        assert (await it.chat("/k/lone/s/two"))[0] == 200
        status, answer = await it.chat("/k/lone/s/two", max_tokens=300)
        assert status == 429
        text = await it.good("status")
        rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
        assert "$10.00" in rows["thesis"]
        assert "$1.00" in rows["ci-7"]
        assert "5h of claude-opus-*" in rows["wide"]
        assert "of its sessions only" in rows["lone"]
        told = answer["error"]["budgetd"]
        assert f"budget session of {told['subject'].replace(':', ' ')}" in " ".join(text.split())
        detail = await it.good("status", "wide")
        assert "session: $2.00 per session, to each by itself" in detail
        listed = " ".join((await it.good("keys", "list")).split())
        assert "$0.50 per day (UTC) per agent of gpt-4o" in listed
        more = await it.good("topup", told["subject"], "0.10")
        assert more.startswith(f"session {told['subject'][8:]}, budget session: the limit is $0.1")
        assert (await it.chat("/k/lone/s/two", max_tokens=300))[0] == 200


async def test_an_estimate_and_a_config_error_are_shown(tmp_path: Path) -> None:
    async with town(tmp_path, CONFIG) as it:
        await it.chat(model="gpt-4o-strange")
        it.config.write_text("listen: nonsense\nkeyz: 1\n")
        said = await it.run("reload")
        assert said.code == 1
        assert "config.yaml:1" in said.err
        text = await it.good("status")
        assert "the one before is in force" in text
        assert "config.yaml:2: keyz: unknown setting" in "".join(text.splitlines())


async def test_the_owner_changes_things(tmp_path: Path) -> None:
    async with town(tmp_path, CONFIG) as it:
        text = await it.good("topup", "research", "$1.50", "--note", "once more")
        assert "the limit is $3.50" in text
        assert "the limit is $41.50" in text
        text = await it.good("topup", "research", "1", "--budget", "week")
        assert "5h" not in text
        assert "$42.50" in text
        for amount in ("0", "-1", "much"):
            said = await it.run("topup", "research", amount)
            assert said.code == 2, said
        assert (await it.run("topup", "nobody", "1")).code == 1

        await it.good("stop", "--all")
        status, answer = await it.chat()
        assert status == 429
        assert "stopped" in answer["error"]["message"]
        await it.good("stop", "research")
        assert "all keys are still stopped" in await it.good("stop", "research", "--lift")
        await it.good("stop", "research")
        text = await it.good("stop", "--all", "--lift")
        assert "still stopped: key research" in text
        assert "still" not in await it.good("stop", "research", "--lift")
        assert (await it.run("stop", "--all", "--lift")).code == 1
        assert (await it.run("stop")).code == 2
        assert (await it.run("stop", "research", "--all")).code == 2

        assert (await it.chat("/k/research"))[0] == 200
        call = json.loads(await it.good("status", "research", "--json"))["calls"][0]["call"]
        changed = json.loads(await it.good("adjust", call, "0.25", "--json"))
        assert float(changed["after_usd"]) == pytest.approx(float(changed["before_usd"]) + 0.25)
        assert "now" in await it.good("adjust", call, "-0.20", "--note", "refunded")
        assert (await it.run("adjust", "nosuch", "1")).code == 1

        assert "nothing has changed" in await it.good("reload")


async def test_tokens(tmp_path: Path) -> None:
    env = {"PROVIDER_KEY": "sk-proj-provider"}
    credential = "openai: {credential: {env: PROVIDER_KEY}, "
    async with town(tmp_path, ISSUED, env, ("openai: {", credential)) as it:
        token = json.loads(await it.good("keys", "issue", "bot", "--json"))["token"]
        shown = await it.good("keys", "issue", "bot", "--expires", "30d")
        assert f"OPENAI_BASE_URL={it.daemon.url}/v1" in shown
        assert (await it.chat(credential=token))[0] == 200
        sent = it.sim.requests[-1].header("authorization")
        assert sent == "Bearer sk-proj-provider"

        page = await it.good("status", "bot")
        assert token[:8] in page
        assert token not in page
        assert "bot" in await it.good("keys", "list")

        assert "1 token" in await it.good("keys", "revoke", "bot", "--token", token[:8])
        assert (await it.chat(credential=token))[0] == 401
        assert "1 token" in await it.good("keys", "revoke", "bot")
        assert (await it.run("keys", "revoke", "bot")).code == 1
        assert (await it.run("keys", "issue", "default")).code == 1
        said = await it.run("keys", "issue", "bot", "--expires", "soon")
        assert said.code == 2
        assert all(token not in line for line in it.daemon.errors)


async def test_patterns_are_listed(tmp_path: Path) -> None:
    async with town(tmp_path, CONFIG) as it:
        text = await it.good("keys", "list")
        assert "agent-*" in text
        assert "$1.00 per 5h" in text
        assert "observed" in text


async def test_no_daemon_is_told_in_a_line(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    for arguments in (["status"], ["keys", "list"], ["topup", "a", "1"], ["reload"]):
        said = await command(*arguments, "--url", url)
        assert said.code == 3, said
        assert f"no budgetd is running at {url}" in said.err
        assert f"start it: {start_command()}" in said.err
    config = tmp_path / "c.yaml"
    config.write_text(f"listen: 127.0.0.1:{unused_tcp_port}\n")
    said = await command("status", env={"BUDGETD_CONFIG": str(config), "BUDGETD_URL": ""})
    assert said.code == 3
    assert url in said.err


async def test_something_else_that_answers_is_not_believed(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        said = await command("status", "--url", it.sim.url)
        assert said.code == 1
        assert "is not budgetd" in said.err
        said = await command("status", "--url", "ftp://x")
        assert said.code == 2


async def test_the_admin_token_must_be_readable(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        (it.state / "admin.token").write_text("bga_wrong")
        said = await it.run("topup", "default", "1")
        assert said.code == 1
        assert "admin token" in said.err
        assert "bga_wrong" not in said.err
        (it.state / "admin.token").unlink()
        said = await it.run("topup", "default", "1")
        assert said.code == 1
        assert "No such file" in said.err


async def test_help_fits_eighty_columns() -> None:
    for arguments in ([], ["keys"], ["prices", "set"], ["status"], ["doctor"], ["stop"]):
        said = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80"})
        assert said.exit_code == 0
        assert 70 < max(map(len, said.output.splitlines())) <= 80
    assert (await command("--version")).out.startswith("budgetd 0.")
    assert (await command("nosuch")).code == 2


async def test_a_call_is_named_whole_beside_a_long_ending() -> None:
    rows = [
        {
            "call": f"06gzm85kz9sxadj561{number:02}",
            "at": "2026-01-02T03:04:05Z",
            "model": "claude-sonnet-4-5-20250929-with-a-tail",
            "cost_usd": "0.0123456",
            "hold_usd": "0.5",
            "state": "uncertain",
            "cause": "interrupted_by_a_restart_of_budgetd_itself",
            "estimated": True,
            "retry_of": "06gzm85kz9sxadj56100",
        }
        for number in range(2)
    ]
    out = Console(width=80, record=True, file=io.StringIO())
    overview._calls(out, rows, "2026-01-02T03:05:00Z")
    text = out.export_text()
    assert all(str(row["call"]) in text for row in rows)
    assert text.count(":04:05") == 2
    assert "$0.0123" in text
    assert "retry" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_refusal_says_what_was_held_and_needed() -> None:
    budget = {"budget": "5h", "settled": "0", "limit": "1", "held": "0.95"}
    busy = {"reason": "busy", "budgets": [budget]}
    assert overview._reason(busy) == "busy, budget 5h: $0.00 of $1.00, $0.95 held by others"
    spent = {"reason": "spent", "needs": "0.05", "budgets": [budget | {"held": "0"}]}
    assert overview._reason(spent) == "spent, budget 5h: $0.00 of $1.00; needed $0.05"


def test_the_way_to_start_is_the_checkouts_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start_command(tmp_path / ".venv") == "budgetd run"
    assert checkout_state(tmp_path / ".venv") is None
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "run").write_text("")
    assert start_command(tmp_path / ".venv") == str(tmp_path / "scripts" / "run")
    assert checkout_state(tmp_path / ".venv") == tmp_path / "state"
    monkeypatch.chdir(tmp_path)
    assert start_command(tmp_path / ".venv") == "scripts/run"
