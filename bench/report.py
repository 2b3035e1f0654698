"""The figures of a run as tables of 100 columns, with the machine they were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median

Results = Mapping[tuple[str, str, str], float]  # (system, job, figure) -> median of the rounds
Cell = Callable[[str], str]  # system -> text

SYSTEMS = ("direct", "bare relay", "budgetd", "budgetd, info log")
SIZES = {1_000: "1 KB", 400_000: "400 KB"}
NOTHING = "-"


def machine(directory: Path) -> str:
    """One line: where these figures come from. `directory` is where the ledgers will be."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    parts = " ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "msgspec"))
    return (
        f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}\n"
        f"Python {platform.python_version()} ({platform.python_compiler()}), {parts},"
        f" SQLite {sqlite3.sqlite_version}, fsync {_fsync_ms(directory):.2f} ms"
    )


def render(results: Results, streams: int) -> str:
    """Every table."""
    tables = [_whole(results, size) for size in SIZES]
    return "\n\n".join([*tables, _streams(results), _process(results, streams)])


def _whole(results: Results, size: int) -> str:
    def rate(clients: int) -> Cell:
        job = f"whole openai_chat {size} {clients}"
        return lambda system: _number(results.get((system, job, "calls_s")))

    def cpu(clients: int) -> Cell:
        job = f"whole openai_chat {size} {clients}"
        return lambda system: _scaled(results.get((system, job, "cpu_per_call")), 1e3)

    def alone(figure: str) -> Cell:
        job = f"whole openai_chat {size} 1"
        return lambda system: _scaled(results.get((system, job, figure)), 1e3)

    def per_cpu_second(system: str) -> str:
        value = results.get((system, f"whole openai_chat {size} 16", "cpu_per_call"))
        return _number(1 / value if value else None)

    columns: dict[str, Cell] = {
        "calls/s: 1": rate(1),
        "16": rate(16),
        "64 clients": rate(64),
        "calls/CPU-s": per_cpu_second,
        "CPU ms: 1": cpu(1),
        " 16": cpu(16),
        "64": cpu(64),
        "p50 ms": alone("p50"),
        "p99 alone": alone("p99"),
    }
    return _table(f"Whole answers, {SIZES[size]} requests", columns)


def _streams(results: Results) -> str:
    def first(size: int, minus: str | None) -> Cell:
        key = f"short openai_chat {size} 1", "first_p50"

        def cell(system: str) -> str:
            value = results.get((system, *key))
            if value is None or system == minus:
                return NOTHING
            return _scaled(value - results[minus, *key] if minus is not None else value, 1e3)

        return cell

    def flood(dialect: str) -> Cell:
        return lambda system: _number(results.get((system, f"flood {dialect} 1000 64", "events_s")))

    def cost(job: str) -> Cell:
        return lambda system: (
            NOTHING
            if system == "direct"
            else _scaled(results.get((system, f"{job} 1000 64", "cpu_per_event")), 1e6, 1)
        )

    columns: dict[str, Cell] = {
        "first ms: 1 KB": first(1_000, None),
        "added": first(1_000, "direct"),
        "400 KB": first(400_000, None),
        "added ": first(400_000, "direct"),
        "chat chunks/s": flood("openai_chat"),
        "CPU us": cost("flood openai_chat"),
        "anthropic": flood("anthropic"),
        "CPU us ": cost("flood anthropic"),
        "paced us": cost("paced openai_chat"),
    }
    title = "Streams: time to the first event; chunks with 64 streams, at full speed and paced"
    return _table(title, columns, SYSTEMS[:3])


def _process(results: Results, streams: int) -> str:
    def of(job: str, figure: str, scale: float, digits: int) -> Cell:
        return lambda system: _scaled(results.get((system, job, figure)), scale, digits)

    columns: dict[str, Cell] = {
        "start s": of("process", "start", 1, 2),
        "idle MiB": of("process", "idle", 1 / 2**20, 1),
        "KiB/stream, 1 KB": of("hold 1000", "per_stream", 1 / 1024, 1),
        "400 KB": of("hold 400000", "per_stream", 1 / 1024, 1),
    }
    return _table(f"The process; memory with {streams} open streams", columns, SYSTEMS[1:3])


def _table(title: str, columns: Mapping[str, Cell], systems: tuple[str, ...] = SYSTEMS) -> str:
    lines = [title, f"{'':18}" + "".join(f"{name:>{_width(name)}}" for name in columns)]
    for system in systems:
        cells = "".join(f"{cell(system):>{_width(name)}}" for name, cell in columns.items())
        lines.append(f"{system:18}{cells}")
    return "\n".join(lines)


def _width(name: str) -> int:
    return max(len(name) + 2, 8)


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _scaled(value: float | None, scale: float, digits: int = 2) -> str:
    return NOTHING if value is None else f"{value * scale:,.{digits}f}"


def _fsync_ms(directory: Path) -> float:
    """How long it takes to make a small write durable here."""
    path = directory / "fsync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(20):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return median(took) * 1e3
