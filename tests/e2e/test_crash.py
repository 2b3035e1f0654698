"""kill -9 at any instant: after each restart the ledger shows at least what the provider billed.

The daemon is a real process; the provider lives in the test's own and goes on counting. Every
request has a label of its own, so that each call is compared with its own line of the bill: what
one call was charged too much cannot hide what another was charged too little.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from budgetd.simulator import Script, Simulator
from tests.e2e.books import ask, charged, drawers, entries, held
from tests.e2e.playing import KINDS, PLENTY, Door
from tests.rig import DaemonProcess, config_text, until

AGENTS = 24


@dataclass
class Storm:
    """A provider, and agents that call it through whatever daemon is there."""

    directory: Path
    sim: Simulator
    http: aiohttp.ClientSession
    random: random.Random
    numbers: Iterator[int] = field(default_factory=count)
    restarts: list[float] = field(default_factory=list)  # seconds until it serves again
    lines: dict[str, str] = field(default_factory=dict)  # label -> request id at the provider

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def config(self) -> Path:
        return self.directory / "config.yaml"

    async def agent(self, door: Door) -> None:
        """Call after call, as long as anybody answers."""
        with suppress(aiohttp.ClientError):
            while True:
                kind = self.random.choice([*KINDS.values()])
                script = {"pace": self.random.choice([0, 0.001, 0.01])}
                label, stream = f"/l/n{next(self.numbers)}", self.random.random() < 0.7
                async with kind.post(door, label=label, stream=stream, script=script) as answer:
                    await answer.read()

    async def cycle(self) -> None:
        """Start, check the books, storm, kill."""
        daemon = DaemonProcess(self.config)
        began = time.monotonic()
        if self.random.random() < 0.1:  # while it starts: recovery itself is cut
            with suppress(TimeoutError):
                async with asyncio.timeout(self.random.uniform(0.0, 1.5)):
                    await daemon.start()
            await daemon.kill()
            return
        await daemon.start()
        self.restarts.append(time.monotonic() - began)
        await self.check(daemon)
        door = Door(self.http, daemon.url)
        agents = [asyncio.ensure_future(self.agent(door)) for _ in range(AGENTS)]
        await asyncio.sleep(self.random.uniform(0.0, 0.4))  # the random instant itself
        await daemon.kill()
        for agent in agents:
            agent.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
        await until(lambda: self.sim.open_requests == 0)
        self.note()

    def note(self) -> None:
        """Which request at the provider came under which label."""
        by_number = {request.header("x-test-label"): request.id for request in self.sim.requests}
        self.lines |= {label: name for label, name in by_number.items() if label is not None}

    async def check(self, daemon: DaemonProcess) -> None:
        """The books after a start, before anything else happens."""
        found = entries(self.state)
        assert all(entry.state != "open" for entry in found)
        assert held(self.state) == 0
        assert all(drawer.held == 0 for drawer in drawers(self.state))
        assert charged(self.state) >= self.sim.bill.total_pico
        assert sum(drawer.settled for drawer in drawers(self.state)) == charged(self.state)
        labelled = dict(ask(self.state, "SELECT label, id FROM call"))
        by_call = {entry.call: entry for entry in found}
        for label, request in self.lines.items():
            if self.sim.bill.knows(request):
                entry = by_call[labelled[label]]
                assert entry.cost >= self.sim.bill.line(request).pico, entry
        orphans = [entry for entry in found if entry.cause == "orphaned"]
        assert all(entry.estimated and entry.cost == entry.hold for entry in orphans)
        async with self.http.get(f"{daemon.url}/status") as answer:
            assert (await answer.json())["orphans_24h"]["calls"] == len(orphans)
        token = (self.state / "admin.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        async with self.http.post(f"{daemon.url}/control/audit", headers=headers) as answer:
            assert await answer.json() == {"differences": []}


async def storm(directory: Path, cycles: int, seed: int) -> str:
    """So many kills; returns what was seen, in words."""
    script = Script(tokens=120)
    async with Simulator(script=script) as sim, aiohttp.ClientSession() as http:
        it = Storm(directory, sim, http, random.Random(seed))
        it.config.write_text(config_text(sim.url, it.state, PLENTY))
        for _ in range(cycles):
            await it.cycle()
        last = DaemonProcess(it.config)
        await last.start()
        await it.check(last)
        assert await last.end() == 0
        found = entries(it.state)
        orphans = sum(entry.cause == "orphaned" for entry in found)
        assert orphans > 0
        assert len(it.lines) > cycles
        return (
            f"{cycles} kills (seed {seed}): {len(found)} calls, {orphans} orphans, ledger"
            f" ${charged(it.state) / 1e12:.4f} for a bill of ${sim.bill.total_pico / 1e12:.4f}, serving"
            f" again after {statistics.median(it.restarts):.2f} s (median), {max(it.restarts):.2f} s"
            " (most)"
        )


async def test_a_few_kills(tmp_path):
    await storm(tmp_path, 3, seed=3)


@pytest.mark.crash
@pytest.mark.timeout(3600)
async def test_kills_at_random_instants(tmp_path, capsys):
    cycles = int(os.environ.get("BUDGETD_CRASH_CYCLES", "30"))
    seed = int(os.environ.get("BUDGETD_CRASH_SEED", str(random.SystemRandom().randrange(10**6))))
    with capsys.disabled():
        print(f"\ncrash: seed {seed}")  # noqa: T201  the measurement
        print("crash:", await storm(tmp_path, cycles, seed))  # noqa: T201  the same
