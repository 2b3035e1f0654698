"""What tests start: a daemon on real sockets and a real ledger, against the provider simulator.

`house` runs both in this process, on a clock that the test moves; `DaemonProcess` runs the daemon as
a user would, in a process of its own that can be killed. Neither sleeps: they wait for what they
are told (a line, an answer, an empty list).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from budgetd.config.load import load
from budgetd.daemon import Daemon
from budgetd.simulator import Clocks, Script, Simulator

START = 1_795_000_000_000  # an instant in November 2026, ms
OPENAI_KEY = "sk-proj-test"
ANTHROPIC_KEY = "sk-ant-test"


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self, wall: int = START, boot: int = 1_000_000) -> None:
        self._wall = wall
        self._boot = boot

    def wall(self) -> int:
        """Milliseconds since 1970."""
        return self._wall

    def boot(self) -> int:
        """Milliseconds since boot."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._wall += round(seconds * 1000)
        self._boot += round(seconds * 1000)

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock; no time passes."""
        self._wall += round(seconds * 1000)


def config_text(sim_url: str, state: Path, extra: str = "", listen: str = "127.0.0.1:0") -> str:
    """A configuration whose providers are the simulator. `extra` is more YAML (no providers)."""
    return (
        f"listen: {listen}\nstate: {state}\ntimezone: UTC\n"
        f"providers:\n  openai: {{base_url: {sim_url}}}\n  anthropic: {{base_url: {sim_url}}}\n{extra}\n"
    )


@dataclass
class House:
    """A daemon and its provider."""

    daemon: Daemon
    sim: Simulator
    http: aiohttp.ClientSession
    clock: HandClock
    config: Path
    state: Path

    @property
    def url(self) -> str:
        """The daemon's base URL."""
        return self.daemon.url

    def chat(self, *, label: str = "", stream: bool = False, **fields: Any) -> Any:
        """POST a chat completion; an async context manager of the response."""
        body = {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
        }
        headers = {"authorization": f"Bearer {OPENAI_KEY}"}
        return self.http.post(
            f"{self.url}{label}/v1/chat/completions", json=body | fields, headers=headers
        )

    def messages(self, *, label: str = "", stream: bool = False, **fields: Any) -> Any:
        """POST an Anthropic message; an async context manager of the response."""
        body = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
        }
        headers = {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
        return self.http.post(f"{self.url}{label}/v1/messages", json=body | fields, headers=headers)

    async def status(self, path: str = "/status") -> Any:
        """A page of the status API."""
        async with self.http.get(f"{self.url}{path}") as answer:
            return await answer.json()

    async def control(self, verb: str, **arguments: Any) -> tuple[int, Any]:
        """A state-changing request with the admin token: (status, JSON)."""
        token = (self.state / "admin.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        url = f"{self.url}/control/{verb}"
        async with self.http.post(url, json=arguments, headers=headers) as answer:
            return answer.status, await answer.json()

    async def quiet(self) -> None:
        """Until no call is open, here or at the provider."""
        await until(lambda: self.daemon.gateway.open_calls == 0 and self.sim.open_requests == 0)


@asynccontextmanager
async def house(
    directory: Path,
    extra: str = "",
    *,
    script: Script | None = None,
    clock: HandClock | None = None,
) -> AsyncIterator[House]:
    """Start a simulator and a daemon in this process; stop both at the end."""
    clock = clock or HandClock()
    state, config = directory / "state", directory / "config.yaml"
    clocks = Clocks(monotonic=lambda: clock.boot() / 1000)  # its cache grows cold by ours
    async with Simulator(script=script or Script(), clocks=clocks) as sim:
        config.write_text(config_text(sim.url, state, extra))
        daemon = Daemon(load(config, {}), {}, clock)
        await daemon.start()
        try:
            # Without a limit: aiohttp's own is a hundred connections, and storms are larger.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                yield House(daemon, sim, http, clock, config, state)
        finally:
            await daemon.stop()


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Let the loop run until something holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  the sockets that make it true set no event
            await asyncio.sleep(0.001)  # yields to them


class DaemonProcess:
    """`budgetd run` in a process of its own."""

    def __init__(self, config: Path, env: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Future[Any] | None = None
        self.url = ""
        self.errors: list[str] = []

    async def start(self) -> None:
        """Start it and wait until it says that it serves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "budgetd",
            "run",
            "--config",
            str(self._config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while line := (await self._process.stdout.readline()).decode():
                if "budgetd serves " in line:
                    self.url = line.split("budgetd serves ")[1].split()[0]
                    self._drain = asyncio.gather(self._read(), self._read_errors())
                    return
        assert self._process.stderr is not None
        raise AssertionError((await self._process.stderr.read()).decode())

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while await self._process.stdout.readline():
            pass

    async def _read_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.errors.append(line.decode())

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal (by process id) and wait; returns the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        if self._drain is None:  # it never came to serve
            await self._process.communicate()
        code = await self._process.wait()
        if self._drain is not None:
            await self._drain
        return code

    async def kill(self) -> None:
        """kill -9."""
        await self.end(signal.SIGKILL)


def events(data: bytes) -> list[Any]:
    """The JSON payloads of a stream, without the end marker."""
    lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]
