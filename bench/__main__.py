"""`python -m bench`: what budgetd costs, side by side with a direct call and a bare relay.

Every figure is measured in this run, on this machine: rounds go over all systems in turn, and a
figure is the median of its rounds. Upstream, load and each system are processes of their own. The
output says what was measured; whether that is good enough is for its reader.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.canned import Dialect, Kind
from bench.process import StartFault, allow_many_files, cpus
from bench.report import Results, machine, render
from bench.systems import House, JobFault, Loader

BARE = ("direct", "bare relay", "budgetd")
LOGGING = "budgetd, info log"
SMALL, LARGE = 1_000, 400_000  # bytes of a request body
CLIENTS = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to measure: asked over and over by so many clients at once."""

    kind: Kind
    dialect: Dialect
    size: int
    clients: int

    @property
    def name(self) -> str:
        """Its name in the results."""
        return f"{self.kind} {self.dialect} {self.size} {self.clients}"


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure."""

    rounds: int
    seconds: float  # of one measurement
    streams: int  # to hold open for the memory figure


def jobs() -> list[Job]:
    """Everything that is measured by asking."""
    whole = [Job("whole", "openai_chat", size, n) for size in (SMALL, LARGE) for n in CLIENTS]
    first = [Job("short", "openai_chat", size, 1) for size in (SMALL, LARGE)]
    chunks = [Job("flood", dialect, SMALL, 64) for dialect in ("openai_chat", "anthropic")]
    return [*whole, *first, *chunks, Job("paced", "openai_chat", SMALL, 64)]


class Bench:
    """One run of the benchmark."""

    def __init__(self, plan: Plan, house: House, loader: Loader) -> None:
        self._plan = plan
        self._house = house
        self._loader = loader
        self._figures: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def run(self) -> Results:
        """Measure everything."""
        for name in BARE[1:]:
            self._memory(name)
        self._speed()
        return {key: median(values) for key, values in self._figures.items()}

    def _speed(self) -> None:
        systems = {name: self._house.start(name) for name in (*BARE, LOGGING)}
        for number in range(self._plan.rounds):
            print(f"round {number + 1} of {self._plan.rounds} ...", file=sys.stderr, flush=True)
            for job in jobs():
                for name, system in systems.items():
                    if name == LOGGING and (job.kind, job.size) != ("whole", SMALL):
                        continue
                    before = system.cpu_seconds()
                    figures = self._loader.job(
                        do="ask",
                        port=system.port,
                        kind=job.kind,
                        dialect=job.dialect,
                        size=job.size,
                        clients=job.clients,
                        seconds=self._plan.seconds,
                    )
                    cpu = system.cpu_seconds() - before
                    self._note(name, job.name, **figures)
                    if name != "direct":
                        self._note(name, job.name, cpu_per_call=cpu / figures["all_calls"])
                    if figures["all_events"]:
                        self._note(name, job.name, cpu_per_event=cpu / figures["all_events"])

    def _memory(self, name: str) -> None:
        """Start time, idle memory, and memory per open stream, each size in a fresh process."""
        for size in (SMALL, LARGE):
            system = self._house.start(name)
            self._note(name, "process", start=system.start_seconds, idle=system.memory())
            where = {"port": system.port, "dialect": "openai_chat", "size": size}
            self._loader.job(do="ask", kind="short", clients=4, seconds=0.3, **where)
            before = system.memory()
            self._loader.job(do="open", clients=self._plan.streams, **where)
            time.sleep(0.3)  # what a just opened stream still has to do happens out of sight
            grown = system.memory() - before
            self._note(name, f"hold {size}", per_stream=grown / self._plan.streams)
            self._loader.job(do="close")
            self._house.end(system)

    def _note(self, system: str, job: str, **figures: float) -> None:
        for name, value in figures.items():
            self._figures[system, job, name].append(value)


def main() -> int:
    """Run it; the exit code is 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: under 45 seconds")
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    parser.add_argument("--dir", type=Path, help="where the ledgers go (default: the system's own)")
    options = parser.parse_args()
    plan = Plan(1, 0.3, 100) if options.quick else Plan(3, 0.8, 500)
    allow_many_files()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="budgetd-bench-", dir=options.dir) as directory:
        place = Path(directory)
        print(machine(place), flush=True)
        loader = Loader(cpus()[1])
        house = None
        try:
            house = House(place, cpus())
            results = Bench(plan, house, loader).run()
        except (JobFault, StartFault) as fault:
            print(f"bench: {fault}", file=sys.stderr)
            return 1
        finally:
            loader.end()
            if house is not None:
                house.end_all()
    print(render(results, plan.streams))
    print(
        f"\n{plan.rounds} rounds of {plan.seconds:g} s; {time.perf_counter() - began:.0f} s in all"
    )
    if options.json is not None:
        rows = [
            {"system": s, "job": j, "figure": f, "value": v} for (s, j, f), v in results.items()
        ]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
