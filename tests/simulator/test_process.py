"""`python -m budgetd.simulator` as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from budgetd.simulator import Simulator, Tokens, read_bill
from tests.simulator.playing import BEARER, chat_body

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def process(*words: str):
    """A running simulator and its URL."""
    command = (sys.executable, "-m", "budgetd.simulator", *words)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=ROOT)
    assert child.stdout is not None
    try:
        yield child, (await child.stdout.readline()).decode().strip()
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_it_says_where_it_is_and_stops_cleanly(tmp_path):
    path = tmp_path / "bill.jsonl"
    script = '{"tokens": 8, "stall_after_event": 2}'
    async with (
        process("--bill", str(path), "--script", script) as (child, url),
        aiohttp.ClientSession() as session,
    ):
        body = chat_body(stream=True)
        target = f"{url}/v1/chat/completions"
        async with session.post(target, json=body, headers=BEARER) as response:
            await response.content.readuntil(b"ran ")
            assert read_bill(path)[0].tokens == Tokens(input=4, output=4)
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == 0
    assert read_bill(path)[0].how == "client_left"


async def test_what_was_delivered_is_in_the_journal_after_a_kill(tmp_path):
    path = tmp_path / "bill.jsonl"
    async with (
        process("--bill", str(path), "--script", '{"tokens": 1000000}') as (child, url),
        aiohttp.ClientSession() as session,
    ):
        target = f"{url}/v1/chat/completions"
        raw = b""
        async with session.post(target, json=chat_body(stream=True), headers=BEARER) as response:
            while len(raw) < 100_000:
                raw += await response.content.readany()
            child.kill()
            with suppress(aiohttp.ClientError):
                while data := await response.content.readany():
                    raw += data
        await child.wait()
    delivered = 4 * (raw.count(b'"content":') - 1)
    assert read_bill(path)[0].tokens.output >= delivered > 1000


async def test_a_taken_port_and_a_bad_script_are_told():
    async with Simulator() as sim:
        port = sim.url.rpartition(":")[2]
        async with process("--port", port) as (child, _):
            assert await child.wait() == 1
    async with process("--script", '{"tokns": 1}') as (child, _):
        assert await child.wait() == 2
