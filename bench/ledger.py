"""`python -m bench.ledger`: the ledger by itself, empty beside one of a million attempts.

Durable reserves a second at 1 and at 64 tasks, the CPU time of one admission with its settlement
(of a call alone, of a session's turn, of a sub-agent's), every question a view asks, what a start
recalls, the audit, and a whole start with calls to recover. Figures are medians; nothing is asserted
about time. Both are measured in turn, round after round, because a busy disk makes every commit
slow.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

from bench.past import CARDS, COST, KEYS, NOW, budgets_of, fill, lineage, reservation, turn_of
from budgetd.core.settlement import Settlement
from budgetd.core.turns import Turn
from budgetd.core.usage import Usage
from budgetd.ledger import book, rows
from budgetd.ledger.book import Reservation
from budgetd.ledger.store import LEDGER, Ledger
from budgetd.ledger.writer import connect


def cpu_of_a_call(path: Path, depth: int, calls: int = 3_000) -> float:
    """CPU microseconds of one admission and its settlement, in groups of 64, without the fsync.

    `depth` 0: of a call by itself; 1: of a turn of a root, of which each key has one; 2: of a
    sub-agent's.
    """
    done = Settlement("settled", COST, False, CARDS[0], Usage(input=200, output=200), "gpt-4o", 200)
    asked: list[tuple[Reservation, Turn | None]] = []
    for number in range(calls):
        key, nth = f"agent-{number % KEYS}", number // KEYS + 1
        own = lineage(key, 10**6 + depth - 1) if depth else ()
        turn = turn_of(own[0], nth, NOW) if own else None
        asked.append((reservation(key, own), turn))
    with closing(connect(path)) as db:
        began = time.process_time()
        for number, (wanted, turn) in enumerate(asked):
            if number % 64 == 0:
                db.execute("BEGIN IMMEDIATE")
            book.admit(db, wanted, NOW)
            book.settle(db, wanted.attempt, done, NOW + 5_000, turn)
            if number % 64 == 63:
                db.execute("COMMIT")
        spent = time.process_time() - began
        if db.in_transaction:
            db.execute("COMMIT")
    return spent / calls * 1e6


async def reserves(ledger: Ledger, tasks: int, seconds: float = 1.5) -> tuple[float, float]:
    """(durable reserves a second, median ms of one) with so many tasks at once."""
    took: list[float] = []
    over = time.perf_counter() + seconds

    async def agent(number: int) -> None:
        while (began := time.perf_counter()) < over:
            work = partial(book.admit, wanted=reservation(f"agent-{number % KEYS}"), now=NOW)
            await ledger.writer.submit(work)
            took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(agent(number))
    return len(took) / seconds, median(took) * 1e3


async def in_ms(ask: Callable[[], Awaitable[object]], times: int = 15) -> float:
    """The median of asking so many times, in ms."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    return median(took) * 1e3


START = """
import asyncio, sys
from pathlib import Path
from budgetd.ledger.store import Ledger
async def main():
    ledger = Ledger(Path(sys.argv[1]))
    now = await ledger.open()
    print(await ledger.recover(now + 1))
    await ledger.close()
asyncio.run(main())
"""


def start_ms(state: Path) -> tuple[float, int]:
    """(ms, calls recovered) of a Python that starts, opens the ledger, recovers it and closes it."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", START, str(state)], check=True, capture_output=True, text=True
    )
    return (time.perf_counter() - began) * 1e3, int(done.stdout)


async def measure(state: Path) -> dict[str, float]:
    """Every figure of one ledger."""
    found: dict[str, float] = {}
    found["start, open, close: ms"], _ = start_ms(state)
    for depth, whose in enumerate(("", ", a turn", ", a sub-agent's")):
        found[f"admit + settle{whose}: us CPU"] = cpu_of_a_call(state / LEDGER, depth)
    ledger = Ledger(state)
    await ledger.open()
    reader, hour = ledger.reader, NOW // rows.MS_PER_HOUR
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "balances of a key": lambda: reader.balances(budgets_of("agent-1"), NOW),
        "active keys": lambda: reader.active_keys(NOW),
        "open holds": reader.open_holds,
        "orphans": lambda: reader.orphans(0),
        "spend, 24 h, all keys": lambda: reader.spend(hour - 23),
        "spend, 24 h, a key": lambda: reader.spend(hour - 23, "agent-1"),
        "spend by model, 30 d": lambda: reader.spend_by_model(hour - 720, "agent-1"),
        "newest calls": lambda: reader.calls(None, 20),
        "newest calls of a key": lambda: reader.calls("agent-1", 20),
        "newest refusals": lambda: reader.refusals(None, 20),
        "newest refusals of a key": lambda: reader.refusals("agent-1", 20),
    }
    for name, ask in questions.items():
        found[f"{name}: ms"] = await in_ms(ask)
    for most in (500, 5_000):
        name = f"recall of {most:,} x 8: ms"
        found[name] = await in_ms(partial(ledger.recall, most, 8), times=3)
    for tasks in (1, 64):
        rate, ms = await reserves(ledger, tasks)
        found[f"reserves/s, {tasks} tasks"] = rate
        found[f"  ms each, {tasks} tasks"] = ms
    found["audit: ms"] = await in_ms(ledger.audit, times=1)
    await ledger.close()
    return found


def main() -> None:
    """Measure both and print them side by side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="attempts in the large ledger")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    sizes = (0, asked.rows)
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as directory:
        for size in sizes:
            state = Path(directory) / str(size)
            state.mkdir()
            began = time.perf_counter()
            fill(state / LEDGER, size)
            took, mb = time.perf_counter() - began, (state / LEDGER).stat().st_size / 1e6
            first, orphans = start_ms(state)
            print(
                f"{size:,} attempts: {mb:.0f} MB, made in {took:.0f} s; first start {first:.0f} ms,"
                f" {orphans} calls recovered"
            )
        for _ in range(asked.rounds):
            for size in sizes:
                found[size].append(asyncio.run(measure(Path(directory) / str(size))))
    print(f"\n{'':36}{'empty':>12}{f'{asked.rows:,}':>14}")
    for name in found[0][0]:
        cells = [median(one[name] for one in found[size]) for size in sizes]
        print(f"{name:36}{cells[0]:>12,.2f}{cells[1]:>14,.2f}")


if __name__ == "__main__":
    main()
