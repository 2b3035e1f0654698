"""`budgetd run`: what it says when it serves, and when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from budgetd.cli.run import _cannot_start
from budgetd.config.load import load
from budgetd.errors import StoreFault
from budgetd.simulator import Script, Simulator
from tests.cli.town import BARE, SECRET, command, town
from tests.rig import DaemonProcess, config_text, until

KEYS = """
keys:
  research: [2.00 per 5h, 40.00 per week]
  writer: 10 total
  agent-*: [1.00 per 5h, 20.00 per week]
"""


async def banner(config: Path, **env: str) -> tuple[str, str]:
    """What `run` prints, and its URL; it is stopped as soon as it has said it all."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "budgetd",
        "run",
        "--config",
        str(config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**BARE, **env},
    )
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    assert first.startswith("budgetd serves http://"), first
    process.send_signal(signal.SIGTERM)
    rest = (await process.stdout.read()).decode()
    assert await process.wait() == 0
    return first + rest, first.split()[-1]


async def test_it_says_how_to_wrap_an_agent(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config_text("http://127.0.0.1:9", tmp_path / "state", KEYS))
    text, url = await banner(config)
    lines = text.splitlines()
    assert f"  export ANTHROPIC_BASE_URL={url}" in lines
    assert f"  export OPENAI_BASE_URL={url}/v1" in lines
    assert f"    export ANTHROPIC_BASE_URL={url}/k/research" in lines
    assert f"    export OPENAI_BASE_URL={url}/k/writer/v1" in lines
    assert "Callers that no key claims share: $5.00 per 5h." in lines
    assert "  research: $2.00 per 5h and $40.00 per week from Monday (UTC)" in lines
    assert "  writer: $10.00 in total" in lines
    assert any("agent-*: $1.00 per 5h and $20.00 per week" in line for line in lines)
    assert f"Config  {config}" in lines
    assert any(line.startswith("Prices  genai-prices ") for line in lines)
    assert f"Status  {url}/status" in lines
    assert f"        or: budgetd status --url {url}" in lines
    words = [line for line in lines if not line.startswith(("Config", "State"))]
    assert max(map(len, words)) <= 80


async def test_a_token_key_says_how_to_get_one(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"listen: 127.0.0.1:0\nstate: {tmp_path / 'state'}\n"
        "keys: {bot: {custody: issued, budgets: 3 per day}}\n"
        "providers: {openai: {credential: {env: PK}}, anthropic: {credential: {env: PK}}}\n"
    )
    text, _ = await banner(config, PK=SECRET)
    assert "budgetd keys issue bot" in text
    assert SECRET not in text


async def test_a_service_prints_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config_text("http://127.0.0.1:9", tmp_path / "state"))
    text, _ = await banner(config, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    assert len(text.splitlines()) == 1


async def test_a_bad_file_is_told_with_every_line(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("listen: nowhere\nkeys:\n  a: 1 per fortnight\n")
    said = await command("run", "--config", str(config))
    assert said.code == 1
    assert f"{config}:1: listen" in said.err
    assert f"{config}:3: keys.a" in said.err
    assert said.out == ""


async def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        said = await command("run", "--config", str(it.config))
        assert said.code == 1
        assert "another budgetd" in said.err
        assert "--state" in said.err

        listen = it.daemon.url.removeprefix("http://")
        env = {"BUDGETD_LISTEN": listen, "BUDGETD_CONFIG": str(it.config)}
        said = await command("run", "--state", str(tmp_path / "other"), env=env)
        assert said.code == 1
        assert f"{listen} is in use by another budgetd" in said.err
        assert str(it.state) in said.err

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        env = {"BUDGETD_LISTEN": listen, "BUDGETD_STATE": str(tmp_path / "third")}
        # It takes the connection and says nothing: whoever asks who is there must not wait long.
        said = await command("run", env=env)
        assert said.code == 1
        assert f"{listen} is in use by" in said.err
        if Path("/proc/net/tcp").exists():
            assert f"process {os.getpid()}" in said.err


async def test_a_ledger_that_cannot_be_opened(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "ledger.db").write_bytes(b"this is no database" * 100)
    env = {"BUDGETD_LISTEN": "127.0.0.1:0"}
    said = await command("run", "--state", str(state), env=env)
    assert said.code == 1
    assert "ledger.db" in said.err
    assert "budgetd doctor" in said.err

    (state / "ledger.db").unlink()
    with sqlite3.connect(state / "ledger.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    said = await command("run", "--state", str(state), env=env)
    assert said.code == 1
    assert "newer" in said.err


async def test_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    said = await command(
        "run", "--state", str(tmp_path / "state"), env={"BUDGETD_LISTEN": "127.0.0.1:0"}
    )
    assert said.code == 1
    assert "state directory" in said.err
    assert "--state DIR" in said.err


async def test_the_log_has_a_line_for_a_call_and_no_secret(tmp_path: Path) -> None:
    async with town(tmp_path, "keys: {tiny: 0.0001 per 5h}") as it:
        assert (await it.chat())[0] == 200
        assert (await it.chat("/k/tiny"))[0] == 429
        assert (await it.chat(model=SECRET))[0] in {200, 400, 404}
        # A header that no server takes: the library quotes it in its complaint.
        with socket.create_connection(("127.0.0.1", int(it.daemon.url.rpartition(":")[2]))) as raw:
            raw.sendall(f"GET / HTTP/1.1\r\nAuthorization: Bearer {SECRET}\x01\r\n\r\n".encode())
            raw.settimeout(10)
            assert raw.recv(65536)
        lines = it.daemon.errors
        await until(lambda: sum('"event":"call"' in line for line in lines) >= 1)
    calls = [json.loads(line) for line in lines if '"event":"call"' in line]
    assert calls[0]["key"] == "default"
    assert calls[0]["level"] == "info"
    first = next(line for line in it.sim.bill.lines)
    assert round(float(calls[0]["cost_usd"]) * 1e12) == first.pico
    refused = [json.loads(line) for line in lines if '"event":"refused"' in line]
    assert refused[0]["key"] == "tiny"
    assert SECRET not in "".join(lines)


async def test_level_and_format_are_the_owners(tmp_path: Path) -> None:
    async with town(tmp_path, "log: {level: warning, format: text}") as it:
        assert (await it.chat())[0] == 200
    assert it.daemon.errors == []


async def test_hangup_reloads_and_interrupt_stops(tmp_path: Path) -> None:
    state, config = tmp_path / "state", tmp_path / "config.yaml"
    async with Simulator() as sim:
        config.write_text(config_text(sim.url, state))
        daemon = DaemonProcess(config, BARE)
        await daemon.start()
        config.write_text(config_text(sim.url, state, "keys: {fresh: 1 total}"))
        assert daemon._process is not None
        daemon._process.send_signal(signal.SIGHUP)
        await until(lambda: any("keys.fresh: added" in line for line in daemon.errors))
        assert await daemon.end(signal.SIGINT) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_state_directory_that_is_not_ours(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    said = await command("run", "--state", str(locked / "state"))
    assert said.code == 1
    assert "no permission for" in said.err


def test_no_permission_is_said_in_plain_words(tmp_path: Path) -> None:
    loaded = load(None, {"BUDGETD_STATE": str(tmp_path), "HOME": str(tmp_path)})
    fault = StoreFault("words of the store: [Errno 13] Permission denied")
    fault.__cause__ = PermissionError(13, "Permission denied", str(tmp_path / "lock"))
    told = _cannot_start(fault, loaded)
    assert "Errno" not in told.message
    assert f"no permission for {tmp_path / 'lock'}" in told.message
    assert "run this as the user that owns it" in told.advice[0]


async def test_it_says_what_it_waits_for(tmp_path: Path) -> None:
    state, config = tmp_path / "state", tmp_path / "config.yaml"
    async with (
        Simulator(script=Script(tokens=400, pace=0.5)) as sim,
        aiohttp.ClientSession() as http,
    ):
        config.write_text(config_text(sim.url, state))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "budgetd", "run", "--config", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=BARE,
        )
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[-1]
        body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {SECRET}"}
        chat = f"{url}/v1/chat/completions"
        async with asyncio.timeout(60), http.post(chat, json=body, headers=headers) as answer:
            assert await answer.content.readline()
            process.send_signal(signal.SIGINT)
            while b"waits for 1 open call, at most" not in (
                line := await process.stdout.readline()
            ):
                assert line
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0


def test_the_checkouts_state_is_made_private(tmp_path: Path) -> None:
    scripts, state = tmp_path / "scripts", tmp_path / "state"
    for folder in (scripts, state, tmp_path / "bin"):
        folder.mkdir(mode=0o755)
    (state / "README.md").write_text("kept")
    script = Path(__file__).resolve().parents[2] / "scripts" / "run"
    (scripts / "run").write_text(script.read_text())
    (scripts / "_python.sh").write_text("venv=$root\nensure_venv() { :; }\n")
    (tmp_path / "bin" / "budgetd").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "bin" / "budgetd").chmod(0o755)
    other = ["bash", str(scripts / "run"), "--state", str(tmp_path / "other")]
    said = subprocess.run(other, capture_output=True, text=True, check=True)
    assert said.stdout == f"run --state {tmp_path / 'other'}\n"
    assert state.stat().st_mode & 0o777 == 0o755
    said = subprocess.run(
        ["bash", str(scripts / "run")], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"run --state {state}\n"
    assert said.stderr == ""
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "README.md").read_text() == "kept"
