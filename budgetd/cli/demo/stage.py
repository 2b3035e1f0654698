"""The stage: a simulated provider, a real daemon with windows of seconds, and the agents.

Everything lives in a temporary directory and on free loopback ports, and is gone afterwards. The
demo is well (exit code 0) only if the provider's own bill equals the ledger.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import aiohttp

from budgetd.cli import logs, paper
from budgetd.cli.demo.agents import Agent, Role
from budgetd.cli.demo.screen import ledger, screen_for, summary
from budgetd.cli.demo.story import Part, Story
from budgetd.cli.fault import CommandFault
from budgetd.config.load import Loaded, load
from budgetd.core.policy import KeyPolicy, Rules
from budgetd.core.windows import Fixed
from budgetd.daemon import Daemon
from budgetd.runtime import SystemClock
from budgetd.simulator import Script, Simulator

WINDOW = 15  # seconds
LOOK = 0.12  # seconds between two looks at the daemon
ROLES = (
    Role("writer", "claude-sonnet-4-5", "anthropic", "0.25", pause=0.05),
    Role("coder", "gpt-4o", "openai", "0.12", pause=0.15),
)
SCRIPT = Script(chunk_tokens=40, pace=0.018)


@dataclass(frozen=True, slots=True)
class ShortWindows(Loaded):
    """A configuration whose keys have windows of seconds: shorter than a file may ask for."""

    anchor: int = 0  # when the first window begins, an Instant

    def rules(self, *, fingerprint: Callable[[str], str], generation: int = 0) -> Rules:
        """The rules with every window shortened."""
        rules = Loaded.rules(self, fingerprint=fingerprint, generation=generation)
        return replace(rules, keys={name: self._short(key) for name, key in rules.keys.items()})

    def _short(self, key: KeyPolicy) -> KeyPolicy:
        window = Fixed(WINDOW * 1000, self.anchor)
        budgets = tuple(replace(b, window=window, name=f"{WINDOW}s") for b in key.budgets)
        return replace(key, budgets=budgets)


def perform() -> int:
    """Play it. Returns the exit code."""
    # Nothing here leaves the machine: a proxy of the environment must not be asked.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="budgetd-demo-") as name:
        folder = Path(name)
        with (folder / "log").open("wb") as log:
            logs.configure("info", "json", log)
            try:
                return asyncio.run(_perform(folder))
            except ExceptionGroup as group:
                faults = group.subgroup(CommandFault)
                if faults is None:
                    raise
                raise _first(faults) from None


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


async def _perform(folder: Path) -> int:
    out = paper.console()
    out.print(
        f"[bold]budgetd demo[/]: two simulated agents and a simulated provider; the budgetd between"
        f"\nthem is real. Each agent has a budget that resets every {WINDOW} seconds."
    )
    out.print()
    story = Story([Part(role.name, role.model) for role in ROLES], WINDOW)
    clock = SystemClock()
    async with (
        _provider_and_daemon(folder, clock.wall()) as (sim, url),
        aiohttp.ClientSession() as http,
    ):
        watcher = Watcher(sim, url, http, story)
        with screen_for(story, out) as screen:
            async with asyncio.TaskGroup() as group:
                agents = [Agent(role, story.part(role.name), url, clock) for role in ROLES]
                playing = [group.create_task(agent.play(http, screen.update)) for agent in agents]
                while not all(task.done() for task in playing):
                    await watcher.look()
                    screen.update()
                    await asyncio.sleep(LOOK)  # the picture's pace
            await watcher.settled()
    summary(story, out)
    return verdict(story)


def verdict(story: Story) -> int:
    """The exit code: well only if the provider's bill is the ledger, to the pico-dollar."""
    return 0 if 0 < story.bill == ledger(story) else 1


@asynccontextmanager
async def _provider_and_daemon(folder: Path, now: int) -> AsyncIterator[tuple[Simulator, str]]:
    async with Simulator(SCRIPT) as sim:
        daemon = Daemon(_configuration(folder, sim.url, now), {})
        try:
            await daemon.start()
            yield sim, daemon.url
        finally:
            await daemon.stop()


def _configuration(folder: Path, provider: str, now: int) -> Loaded:
    path = folder / "config.yaml"
    keys = "".join(f"  {role.name}: {role.limit} per 1m\n" for role in ROLES)
    path.write_text(
        f"listen: 127.0.0.1:0\nstate: {folder / 'state'}\nkeys:\n{keys}"
        f"providers:\n  openai: {{base_url: {provider}}}\n  anthropic: {{base_url: {provider}}}\n"
        "patience: {stop: 1s}\n"
    )
    loaded = load(path, {})
    same = {each.name: getattr(loaded, each.name) for each in fields(loaded)}
    return ShortWindows(**same, anchor=now)


class Watcher:
    """Looks at the daemon through its status API, and at the provider's bill."""

    def __init__(self, sim: Simulator, url: str, http: aiohttp.ClientSession, story: Story) -> None:
        self._sim = sim
        self._url = url
        self._http = http
        self._story = story

    async def look(self) -> int:
        """Bring the story up to date. Returns how many calls are open."""
        story = self._story
        calls: list[dict[str, Any]] = []
        for part in story.parts:
            calls += (await self._page(f"/status/keys/{part.name}"))["calls"]
        story.calls = sorted(calls, key=lambda row: str(row["call"]), reverse=True)
        story.status = await self._page("/status")
        story.bill = self._sim.bill.total_pico
        return int(story.status["calls"]["open"]) + int(story.status["calls"]["holds"])

    async def settled(self) -> None:
        """Until the last call is in the ledger."""
        while await self.look():  # noqa: ASYNC110  it is asked over HTTP, as by any stranger
            await asyncio.sleep(LOOK)  # the same pace

    async def _page(self, path: str) -> dict[str, Any]:
        async with self._http.get(self._url + path) as answer:
            if answer.status != 200:
                raise CommandFault(f"{path} answered {answer.status}")
            page: dict[str, Any] = await answer.json()
            return page
