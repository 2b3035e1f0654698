"""`python -m bench.ledger`: the ledger by itself, empty beside one of a million attempts.

Durable reserves a second at 1 and at 64 tasks, the CPU time of one admission with its settlement,
every question a view asks, the audit, and a whole start with calls to recover. Figures are medians;
nothing is asserted about time. Both are measured in turn, round after round, because a busy disk
makes every commit slow. `fill` makes a ledger of any size whose books are right.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from budgetd.core.budgets import Budget, Quote
from budgetd.core.prices import RateCard
from budgetd.core.settlement import Settlement
from budgetd.core.usage import BUCKETS, Usage
from budgetd.core.windows import Calendar, Fixed, Instant, identity, span_at
from budgetd.ledger import book, rows
from budgetd.ledger.book import Call, Reservation
from budgetd.ledger.store import LEDGER, Ledger
from budgetd.ledger.writer import connect

NOW = 1_795_000_000_000  # an instant in November 2026, ms
STEP = 5_000  # ms between two calls: a million of them are 58 days
KEYS = 20
MODELS = ("gpt-4o", "gpt-4o-mini", "o4-mini")
LEFT_OPEN = 100  # calls that a crash left open
REFUSED = 20_000
HOLD, COST = 5_000_000_000, 1_000_000_000

CARDS = tuple(
    RateCard("openai", name, dict.fromkeys(BUCKETS, 2_500_000), source="a list", as_of="2026-11-09")
    for name in MODELS
)
FIVE_HOURS, MONTH, DAY = Fixed(18_000_000), Calendar("month", "UTC"), Calendar("day", "UTC")

Row = tuple[object, ...]

_calls = count(1)


def budgets_of(key: str) -> tuple[Budget, ...]:
    """Two of a key's own and one over everything, none of them near its limit."""
    much = 10**17
    return (
        Budget("5h", f"key:{key}", much, FIVE_HOURS),
        Budget("month", f"key:{key}", much, MONTH),
        Budget("day", "all", much, DAY),
    )


def fill(path: Path, attempts: int) -> None:
    """Make a ledger of so many attempts, the last LEFT_OPEN of them open. Its audit finds nothing."""
    with closing(connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        _write_rows(db, attempts)
        _add_up(db)
        db.execute("COMMIT")
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what the kernel still has to write would slow the first commits


def _write_rows(db: sqlite3.Connection, attempts: int) -> None:
    prices = [rows.price_row(db, card) for card in CARDS]
    windows: dict[tuple[str, str, int], int] = {}
    calls: list[Row] = []
    made: list[Row] = []
    charges: list[Row] = []
    for number in range(attempts):
        at = NOW - (attempts - number) * STEP
        key, model = f"agent-{number % KEYS}", number % len(MODELS)
        call, name = f"{number:020d}", MODELS[model]
        calls.append((call, at, key, name))
        state = ("open", 0, None) if number >= attempts - LEFT_OPEN else ("settled", COST, at + 9)
        made.append((f"{call}.1", call, at, name, HOLD, prices[model], *state))
        charges += ((f"{call}.1", _window(db, windows, b, at)) for b in budgets_of(key))
        if len(calls) == 50_000 or number == attempts - 1:
            _insert(db, calls, made, charges)
            calls, made, charges = [], [], []
    refused = ((f"{n:020d}", NOW, f"agent-{n % KEYS}") for n in range(min(attempts, REFUSED)))
    db.executemany("INSERT INTO refusal VALUES (?, ?, ?, 'spent', '{}')", refused)


def _window(
    db: sqlite3.Connection, known: dict[tuple[str, str, int], int], budget: Budget, at: Instant
) -> int:
    span = span_at(budget.window, at)
    place = (budget.subject, identity(budget.window), span.start)
    if place not in known:
        known[place] = rows.open_window(db, budget, span)
    return known[place]


def _insert(
    db: sqlite3.Connection,
    calls: Iterable[Row],
    made: Iterable[Row],
    charges: Iterable[Row],
) -> None:
    db.executemany(
        "INSERT INTO call (id, at, key, dialect, operation, client, model)"
        " VALUES (?, ?, ?, 'openai_chat', 'chat', 'sdk', ?)",
        calls,
    )
    db.executemany(
        "INSERT INTO attempt (id, call, at, provider, model, money, hold, input_bound, output_bound,"
        " price, state, cost, ended, input, output)"
        " VALUES (?, ?, ?, 'openai', ?, 'real', ?, 900, 1000, ?, ?, ?, ?, 200, 200)",
        made,
    )
    db.executemany("INSERT INTO charge VALUES (?, ?)", charges)


def _add_up(db: sqlite3.Connection) -> None:
    """The counters that operations would have kept."""
    db.execute(
        "UPDATE window SET settled = s.cost, held = s.held FROM (SELECT x.window AS id, sum(a.cost) AS cost,"
        " sum(iif(a.state = 'open', a.hold, 0)) AS held FROM charge x JOIN attempt a ON a.id = x.attempt"
        " GROUP BY x.window) AS s WHERE s.id = window.id"
    )
    db.execute(
        "INSERT INTO tally (key, hour, provider, model, money, calls, cost, input, output)"
        " SELECT c.key, a.ended / 3600000, a.provider, a.model, a.money, count(*), sum(a.cost),"
        " sum(a.input), sum(a.output) FROM attempt a JOIN call c ON c.id = a.call"
        " WHERE a.state <> 'open' GROUP BY 1, 2, 3, 4, 5"
    )
    db.execute("UPDATE clock SET last = (SELECT coalesce(max(at), 0) FROM attempt)")


def reservation(key: str) -> Reservation:
    """A call of a key, newer than any that `fill` made."""
    call = Call(f"9{next(_calls):019d}", key, "openai_chat", "chat", "sdk", "gpt-4o")
    quote = Quote(0, 1, HOLD, HOLD)
    return Reservation(call, 1, "openai", "gpt-4o", "real", budgets_of(key), quote, 900, CARDS[0])


# ---------------------------------------------------------------------------------------- measuring


def cpu_of_a_call(path: Path, calls: int = 3_000) -> float:
    """CPU microseconds of one admission and its settlement, in groups of 64, without the fsync."""
    done = Settlement("settled", COST, False, CARDS[0], Usage(input=200, output=200), "gpt-4o", 200)
    with closing(connect(path)) as db:
        began = time.process_time()
        for number in range(calls):
            if number % 64 == 0:
                db.execute("BEGIN IMMEDIATE")
            wanted = reservation(f"agent-{number % KEYS}")
            book.admit(db, wanted, NOW)
            book.settle(db, wanted.attempt, done, NOW + 5_000)
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
    found["admit + settle: us CPU"] = cpu_of_a_call(state / LEDGER)
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
    print(f"\n{'':28}{'empty':>12}{f'{asked.rows:,}':>14}")
    for name in found[0][0]:
        cells = [median(one[name] for one in found[size]) for size in sizes]
        print(f"{name:28}{cells[0]:>12,.2f}{cells[1]:>14,.2f}")


if __name__ == "__main__":
    main()
