"""Time, tasks and identifiers: what the rest of the daemon asks the operating system for.

The only module that reads a clock or starts a task, so that tests can move the one and count the
other. `Clock` gives wall time and boot time (which runs on through a suspend); `Tasks` keeps every
background task by name, reports the ones that fail and ends them in order; `new_id` makes
identifiers that sort by time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import sys
import time
from collections.abc import Coroutine
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import structlog

from budgetd.core.trusted_time import begin
from budgetd.core.windows import Instant

log = structlog.get_logger("budgetd.runtime")
_T = TypeVar("_T")

# Of our own: the one of the `random` module may be seeded by anybody, and then ids come twice.
_DICE = random.Random()  # noqa: S311  ids are no secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
MOST_FILES = 65_536
COLLECT_AFTER = 10_000  # new objects; Python's own 700 took 7 % of a busy daemon's time


class Clock(Protocol):
    """Two readings of time, in whole milliseconds."""

    def wall(self) -> int:
        """Since 1970 in UTC, as the system believes."""

    def boot(self) -> int:
        """Since some fixed point; never set, and runs on while the machine sleeps."""


class SystemClock:
    """The machine's clocks."""

    if sys.platform == "linux":
        _boot_id = time.CLOCK_BOOTTIME
    else:  # macOS: CLOCK_MONOTONIC counts sleep there
        _boot_id = time.CLOCK_MONOTONIC

    def wall(self) -> int:
        """Since 1970 in UTC."""
        return time.time_ns() // 1_000_000

    def boot(self) -> int:
        """Since boot, suspends included."""
        return time.clock_gettime_ns(self._boot_id) // 1_000_000


class TimeKeeper:
    """What instant it is: the clocks, under the belief that `core.trusted_time` describes."""

    def __init__(self, clock: Clock, last: Instant = 0) -> None:
        """`last` is the highest instant the ledger knows; time does not begin before it."""
        self._clock = clock
        self._belief = begin(clock.wall(), clock.boot(), last or None)

    def now(self) -> Instant:
        """The instant by which windows are chosen, in ms since 1970."""
        self._belief, now = self._belief.observe(self._clock.wall(), self._clock.boot())
        return now

    def witness(self, date: str | None) -> None:
        """Take note of a provider's `Date` header."""
        if date is None or self._belief.doubt is None:
            return
        try:
            instant = int(parsedate_to_datetime(date).timestamp()) * 1000
        except (ValueError, OverflowError):
            return
        self._belief = self._belief.witness(instant, self._clock.wall(), self._clock.boot())

    @property
    def doubt(self) -> str | None:
        """Why the wall clock is not believed just now; None if it is."""
        return self._belief.doubt


def new_id(now: int) -> str:
    """A 20-character identifier: 48 bits of milliseconds, so that it sorts by time, then 52 random
    ones.
    """
    number = ((now & 0xFFFFFFFFFFFF) << 52) | _DICE.getrandbits(52)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(90, -1, -10)])


def settle_memory() -> None:
    """Take what the start has built out of the garbage collector's rounds, and let more gather
    before each: a call makes hundreds of objects and hardly a cycle. Once, when the daemon serves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def open_more_files() -> None:
    """Raise the limit on open files to what the machine allows: a stream takes two, and shells start
    programs with 256 or 1,024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("open files stay limited", limit=soft, error=str(error))


class Tasks:
    """Background tasks by name. A task that ends with an exception is logged, not lost."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, _T], *, name: str) -> asyncio.Task[_T]:
        """Start `work`; it is kept until it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task failed", task=task.get_name(), exc_info=error)

    async def join(self, seconds: float) -> bool:
        """Wait until every task has ended, at most so long. True if they have."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        return not self._running

    async def cancel(self) -> None:
        """Cancel what still runs and wait for it."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def notify_reloading() -> None:
    """Tell the service manager that a reload begins; it wants the time on CLOCK_MONOTONIC."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def loop_time() -> float:
    """The event loop's own clock, in seconds: for deadlines, and for nothing that is written down."""
    return asyncio.get_running_loop().time()


def notify(message: str) -> None:
    """Tell the service manager, if there is one ($NOTIFY_SOCKET; sd_notify(3)). Lines like
    "READY=1".
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket  # noqa: PLC0415  only a service needs it

    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(
        socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)
    ) as sender:
        try:
            sender.sendto(message.encode(), address)
        except OSError as error:
            log.warning("service manager not reached", error=str(error))
