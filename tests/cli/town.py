"""A town to try the commands in: a simulator, the real daemon process, and the command as a user runs it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from budgetd.simulator import Script, Simulator
from tests.rig import DaemonProcess, config_text

SECRET = "sk-proj-0123456789abcdefSECRET"
NOWHERE = "http://127.0.0.1:1"  # where nothing listens
HOME = tempfile.TemporaryDirectory(prefix="budgetd-home-")  # removed when the tests are over
# Nothing of the developer's own settings, and the width that the output is made for.
BARE = {
    **{
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("BUDGETD_", "XDG_")) and not name.lower().endswith("_proxy")
    },
    "HOME": HOME.name,
    "COLUMNS": "80",
    "NO_PROXY": "127.0.0.1",
    "TZ": "UTC",
}
for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "STATE_DIRECTORY", "NOTIFY_SOCKET"):
    BARE.pop(name, None)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def widest(self) -> int:
        return max((len(line) for line in (self.out + self.err).splitlines()), default=0)


async def command(*arguments: str, env: Mapping[str, str] | None = None) -> Said:
    """Run `budgetd` with these arguments, to its end.

    It never finds a daemon that the tests did not start: $BUDGETD_URL leads nowhere unless `env`
    says otherwise ("": to where the configuration listens).
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "budgetd",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**BARE, "BUDGETD_URL": NOWHERE, **(env or {})},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    said = Said(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in said.out + said.err, said
    return said


@dataclass
class Town:
    """A running daemon and its provider. `env` leads commands to them."""

    sim: Simulator
    daemon: DaemonProcess
    config: Path
    state: Path
    http: aiohttp.ClientSession
    env: dict[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str) -> Said:
        return await command(*arguments, env=self.env)

    async def good(self, *arguments: str) -> str:
        """The output of a command that must succeed, within eighty columns."""
        said = await self.run(*arguments)
        assert said.code == 0, said
        assert said.widest <= 80 or "--json" in arguments, said.out
        return said.out

    async def chat(self, label: str = "", credential: str = SECRET, **fields: Any) -> Any:
        """(status, JSON) of a chat completion."""
        body = {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 100,
        }
        headers = {"authorization": f"Bearer {credential}"}
        url = f"{self.daemon.url}{label}/v1/chat/completions"
        async with self.http.post(url, json=body | fields, headers=headers) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def town(
    folder: Path,
    extra: str = "",
    env: Mapping[str, str] | None = None,
    instead: tuple[str, str] = ("", ""),
) -> AsyncIterator[Town]:
    """Start both; stop both. `instead` replaces a piece of the configuration."""
    state, config = folder / "state", folder / "config.yaml"
    async with Simulator(script=Script(tokens=40)) as sim, aiohttp.ClientSession() as http:
        config.write_text(config_text(sim.url, state, extra).replace(*instead))
        daemon = DaemonProcess(config, {**BARE, **(env or {})})
        await daemon.start()
        around = {"BUDGETD_URL": daemon.url, "BUDGETD_CONFIG": str(config)}
        try:
            yield Town(sim, daemon, config, state, http, around)
        finally:
            await daemon.end()
