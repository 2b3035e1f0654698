"""The agents of the benchmark: a process that asks, waits for the whole answer, and asks again.

`python -m bench.load`: reads jobs as JSON lines from stdin, answers each with one line of figures.
Raw protocols on kept-alive connections, so that it costs less than what it measures. An answer that
is not a 200, or that breaks off, fails the job: figures of failures are worth nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

import uvloop

from bench.canned import MARK, request

WARM_SHARE = 0.15  # of a job's time, not counted
OPENING_AT_ONCE = 16  # streams on their way while many are opened: bounds the bodies in memory
_TAIL = len(MARK) - 1
_LAST_CHUNK = b"0\r\n\r\n"


class BrokenAnswer(Exception):
    """An answer that is no use to measure."""


@dataclass(slots=True)
class Tally:
    """What a job counts. Times in seconds."""

    calls: int = 0  # in the counted time
    events: int = 0
    all_calls: int = 0  # the warm-up's too: for CPU figures
    all_events: int = 0
    waits: list[float] = field(default_factory=list)  # until the whole answer
    first: list[float] = field(default_factory=list)  # until the first event
    fault: str | None = None


class Agent(asyncio.Protocol):
    """One connection of a job."""

    def __init__(self, sending: bytes, tally: Tally) -> None:
        self._sending = sending
        self._tally = tally
        self._tail = b""
        self._missing: int | None = None  # of a body with a length; None: the head is not there yet
        self.counting = False
        self.going = True
        self.began = asyncio.Event()  # the first event of the current answer
        self.over = asyncio.Event()  # finished for good
        self._first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self.over.is_set() and self.going:
            self._fail("connection lost")
        self.over.set()
        self.began.set()

    def _ask(self) -> None:
        self._tail = b""
        self._missing = None
        self._first = True
        self._asked = perf_counter()
        self.transport.write(self._sending)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._missing is None:
            data = self._head(self._tail + data)
        if self._missing is None:
            return
        joined = self._tail + data
        events = joined.count(MARK)
        if events:
            self._note_events(events)
        if self._missing >= 0:
            self._missing -= len(data)
            done = self._missing <= 0
        else:
            done = joined.endswith(_LAST_CHUNK)
            self._tail = joined[-_TAIL:]
        if done:
            self._done()

    def _head(self, data: bytes) -> bytes:
        """Read an answer's head once it is whole; returns the body's part."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._tail = data
            return b""
        head = data[:end].lower()
        self._tail = b""
        if head[9:12] != b"200":
            self._fail(data[: end + 400].decode("latin-1"))
        at = head.find(b"\r\ncontent-length:")
        self._missing = -1 if at < 0 else int(head[at + 17 :].split(b"\r\n", 1)[0])
        return data[end + 4 :]

    def _note_events(self, count: int) -> None:
        self._tally.all_events += count
        if self.counting:
            self._tally.events += count
        if self._first:
            self._first = False
            self.began.set()
            if self.counting:
                self._tally.first.append(perf_counter() - self._asked)

    def _done(self) -> None:
        self._tally.all_calls += 1
        if self.counting:
            self._tally.calls += 1
            self._tally.waits.append(perf_counter() - self._asked)
        if self.going:
            self._ask()
        else:
            self.over.set()
            self.transport.close()

    def _fail(self, why: str) -> None:
        self._tally.fault = self._tally.fault or why
        self.going = False
        self.over.set()
        self.began.set()
        self.transport.close()


class Load:
    """Runs jobs, one at a time; keeps the streams that one of them left open."""

    def __init__(self) -> None:
        self._open: list[Agent] = []

    async def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job's figures. Raises BrokenAnswer."""
        match job["do"]:
            case "ask":
                return await self._ask(job)
            case "open":
                return await self._open_streams(job)
            case _:
                for agent in self._open:
                    agent.going = False
                    agent.transport.abort()
                self._open.clear()
                return {}

    async def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        tally = Tally()
        sending = request(job["kind"], job["dialect"], job["size"])
        agents = [await _connect(job["port"], sending, tally) for _ in range(job["clients"])]
        # The length of the measurement: there is nothing to wait for but time.
        await asyncio.sleep(job["seconds"] * WARM_SHARE)
        for agent in agents:
            agent.counting = True
        began = perf_counter()
        await asyncio.sleep(job["seconds"])  # the same
        took = perf_counter() - began
        for agent in agents:
            agent.counting = agent.going = False
        for agent in agents:
            await agent.over.wait()
        if tally.fault is not None:
            raise BrokenAnswer(tally.fault)
        return {
            "calls_s": tally.calls / took,
            "events_s": tally.events / took,
            "all_calls": tally.all_calls,
            "all_events": tally.all_events,
            "p50": quantile(tally.waits, 0.5),
            "p99": quantile(tally.waits, 0.99),
            "first_p50": quantile(tally.first, 0.5),
        }

    async def _open_streams(self, job: dict[str, Any]) -> dict[str, Any]:
        tally = Tally()
        sending = request("hold", job["dialect"], job["size"])
        for start in range(0, job["clients"], OPENING_AT_ONCE):
            count = min(OPENING_AT_ONCE, job["clients"] - start)
            batch = [await _connect(job["port"], sending, tally) for _ in range(count)]
            for agent in batch:
                await agent.began.wait()
            self._open += batch
        if tally.fault is not None:
            raise BrokenAnswer(tally.fault)
        return {"open": len(self._open)}


async def _connect(port: int, sending: bytes, tally: Tally) -> Agent:
    _, agent = await asyncio.get_running_loop().create_connection(
        lambda: Agent(sending, tally), "127.0.0.1", port
    )
    return agent


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of them lies; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def main() -> None:
    """Jobs from stdin, figures to stdout, until stdin ends."""
    load = Load()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            figures = await load.run(json.loads(line))
        except (BrokenAnswer, OSError) as error:
            figures = {"fault": str(error)}
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
