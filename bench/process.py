"""The processes of a benchmark: starting them, and what they use.

Memory and CPU time are read from the outside: /proc where there is one, else `ps`. Where the
system allows it, what is measured gets a CPU of its own and everything else another.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

START_LIMIT = 30.0  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_direct = build_opener(ProxyHandler({}))


class StartFault(Exception):
    """A process of the benchmark did not come up. Its text has the end of its output."""


class Running:
    """A process that serves a port. `start_seconds` is from its start to its first answer."""

    def __init__(self, arguments: Sequence[str], *, port: int, log: Path, cpu: int | None) -> None:
        self.port = port
        self._name = " ".join(arguments)
        self._log = log
        began = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], stdout=output, stderr=subprocess.STDOUT
            )
        pin(self._process.pid, cpu)
        self._began = began
        self.start_seconds = 0.0

    def wait_until_ready(self, path: str | None = None) -> None:
        """Until it takes connections and, if `path` is given, answers it well. Raises StartFault."""
        while not self._answers(path):
            if self._process.poll() is not None or time.perf_counter() - self._began > START_LIMIT:
                text = self._log.read_text(errors="replace")[-2000:]
                raise StartFault(f"{self._name} did not start:\n{text}")
            time.sleep(0.005)  # polls another process: it has no way to call us
        self.start_seconds = time.perf_counter() - self._began

    def _answers(self, path: str | None) -> bool:
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            else:
                _direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=1).close()
        except (URLError, OSError):
            return False
        return True

    def cpu_seconds(self) -> float:
        """User and system time so far, all threads."""
        return _usage(self._process.pid)[0]

    def memory(self) -> int:
        """Resident bytes."""
        return _usage(self._process.pid)[1]

    def end(self) -> None:
        """Stop it; kill it if it takes too long."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def pin(pid: int, cpu: int | None) -> None:
    """Give a process one CPU; nothing where that cannot be done."""
    if cpu is not None and sys.platform == "linux":
        os.sched_setaffinity(pid, {cpu})


def cpus() -> tuple[int | None, int | None]:
    """A CPU for what is measured and one for the rest; None, None where they cannot be chosen."""
    if sys.platform != "linux":
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[-1], allowed[0]) if len(allowed) > 1 else (None, None)


def allow_many_files() -> None:
    """Raise the limit on open files as far as it goes: hundreds of streams need two each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE
    shown = subprocess.run(
        ["/bin/ps", "-o", "time=,rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    seconds = 0.0
    for part in shown[0].replace("-", ":").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds, int(shown[1]) * 1024
