"""Claude Code as a headless user runs it: installed from npm by its name, in a home of its own.

Everything it keeps lies under one directory that the caller throws away. It is given an address
and an API key and nothing else of budgetd's; what it prints and how it exits is what a user sees.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "@anthropic-ai/claude-code@latest"  # without the tag npm takes what suits the node here
INSTALL_SECONDS = 240
TASK_SECONDS = 90
QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}


class NotInstalled(Exception):
    """It could not be installed, and why."""


def install(directory: Path) -> Path:
    """Install it under a directory; returns the program. Raises NotInstalled."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("npm is missing: install Node.js 20 or newer, and run these tests again")
    cache = directory / "npm-cache"
    command = [npm, "install", "--no-fund", "--no-audit", "--no-update-notifier"]
    command += ["--prefix", str(directory), "--cache", str(cache), PACKAGE]
    program = directory / "node_modules" / ".bin" / "claude"
    try:
        subprocess.run(
            command, cwd=directory, check=True, capture_output=True, timeout=INSTALL_SECONDS
        )
        subprocess.run([program, "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or b""
        raise NotInstalled(f"{error}\n{output.decode(errors='replace')[-2000:]}") from error
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    return program


@dataclass(frozen=True)
class Reply:
    """What a run came to: its exit code, and what it printed."""

    code: int
    result: str
    session: str


@dataclass
class ClaudeCode:
    """One user of it: `home` and `work` are directories of theirs."""

    program: Path
    home: Path
    work: Path
    credential: Mapping[str, str]  # the environment variable that holds its API key

    @classmethod
    def of(cls, program: Path, directory: Path, **credential: str) -> ClaudeCode:
        """A new user with empty directories under `directory`."""
        home, work = directory / "home", directory / "work"
        for place in (home, work):
            place.mkdir(parents=True)
        return cls(program, home, work, credential or {"ANTHROPIC_API_KEY": "sk-ant-test"})

    async def ask(self, url: str, prompt: str, *options: str) -> Reply:
        """Run `claude -p`; it may use `echo` without asking. Fails after TASK_SECONDS."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *("-p", prompt, "--output-format", "json", "--allowedTools", "Bash(echo:*)"),
            *options,
            cwd=self.work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "ANTHROPIC_BASE_URL": url,
                **QUIET,
                **self.credential,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(TASK_SECONDS):
                out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert out, errors.decode()
        said = json.loads(out)
        return Reply(process.returncode or 0, said["result"], said["session_id"])
