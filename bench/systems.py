"""The systems that are compared: the upstream itself, a bare relay, and budgetd as users run it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.process import Running, free_port, pin

CONFIG = """\
listen: 127.0.0.1:{port}
state: {state}
timezone: UTC
log: {{level: {level}}}
providers:
  openai: {{base_url: "http://127.0.0.1:{upstream}"}}
  anthropic: {{base_url: "http://127.0.0.1:{upstream}"}}
default_key: {{budgets: [1000000.00 per day]}}
limits: {{open_calls: 5000}}
patience: {{drain_stream: 1s, stop: 1s}}  # the streams held for the memory figure end with their run
"""
JOB_LIMIT = 60.0  # seconds
LEVELS = {"budgetd": "warning", "budgetd, info log": "info"}  # name -> log level


class JobFault(Exception):
    """The load process could not do a job."""


class House:
    """Starts systems by name, in a directory of its own."""

    def __init__(self, directory: Path, cpus: tuple[int | None, int | None]) -> None:
        self._directory = directory
        self._own, self._shared = cpus
        self._count = 0
        self._running: list[Running] = []
        port = free_port()
        self.upstream = self._start(["-m", "bench.upstream", str(port)], port, self._shared)
        self.upstream.wait_until_ready()

    def start(self, name: str) -> Running:
        """A system, ready to be asked: "direct", "bare relay", or a name of LEVELS."""
        if name == "direct":
            return self.upstream
        port = free_port()
        if name == "bare relay":
            target = f"http://127.0.0.1:{self.upstream.port}"
            relay = self._start(["-m", "bench.relay", str(port), target], port, self._own)
            relay.wait_until_ready()
            return relay
        self._count += 1
        place = self._directory / f"budgetd-{self._count}"
        place.mkdir()
        config = place / "config.yaml"
        text = CONFIG.format(
            port=port, state=place / "state", level=LEVELS[name], upstream=self.upstream.port
        )
        config.write_text(text)
        daemon = self._start(["-m", "budgetd", "run", "--config", str(config)], port, self._own)
        daemon.wait_until_ready("/readyz")
        return daemon

    def end(self, system: Running) -> None:
        """Stop one system."""
        if system is not self.upstream and system in self._running:
            self._running.remove(system)
            system.end()

    def end_all(self) -> None:
        """Stop everything, the upstream last."""
        for system in reversed(self._running):
            system.end()
        self._running.clear()

    def _start(self, arguments: list[str], port: int, cpu: int | None) -> Running:
        log = self._directory / f"output-{port}.log"
        running = Running(arguments, port=port, log=log, cpu=cpu)
        self._running.append(running)
        return running


class Loader:
    """The load process."""

    def __init__(self, cpu: int | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        pin(self._process.pid, cpu)

    def job(self, **job: Any) -> dict[str, float]:
        """Have a job done; its figures. Raises JobFault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], JOB_LIMIT)
        if not ready:
            raise JobFault(f"no end after {JOB_LIMIT:g} s: {job}")
        line = self._process.stdout.readline()
        if not line:
            raise JobFault("the load process has ended")
        figures: dict[str, Any] = json.loads(line)
        if "fault" in figures:
            raise JobFault(figures["fault"])
        return figures

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()
