"""Synthetic tasks of agents, turn by turn: what forecasts are tried on.

A task grows its context by answers and by what tools bring, in one of several characters: steady;
with bursts of big results; with compactions; with idle times in which the cache goes cold; with
answers that change their length in phases; short as a sub-agent's; moved to another model on the
way; or a mixture, with side calls and sub-agents beside it. A provider's cache is played by its
rules, and every turn is billed by the simulator's price table. All of it is drawn from a seed.

Knows nothing of the package under test, so that no formula can agree with itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import exp, log
from random import Random
from typing import Literal

from budgetd.simulator.prices import MODELS, Model, Tokens

Kind = Literal["steady", "bursts", "compactions", "idle", "outputs", "short", "switched", "mixed"]
KINDS: tuple[Kind, ...] = (
    "steady", "bursts", "compactions", "idle", "outputs", "short", "switched", "mixed"
)  # fmt: skip  # one a line says no more
# Model and how its provider caches: marks for five minutes or an hour, by itself, not at all.
_MODELS = (
    ("claude-opus-4-8", "5m"),
    ("claude-sonnet-4-6", "5m"),
    ("claude-haiku-4-5", "1h"),
    ("claude-opus-4-5", "1h"),
    ("gpt-5", "auto"),
    ("gpt-4.1-mini", "auto"),
    ("gpt-5.4", "auto"),
    ("grok-4.5", "auto"),
    ("glm-5", "never"),
    ("kimi-k2.5", "never"),
)
_ALIVE = {"5m": 300_000, "1h": 3_600_000, "auto": 600_000, "never": 0}  # milliseconds


@dataclass(frozen=True, slots=True)
class Done:
    """A turn that was billed, in pico-dollars; `beside` before it on side calls and sub-agents.
    `worked` are the milliseconds of the task up to it without its idle times.
    """

    at: int
    model: str
    input: int
    output: int
    cached: int
    cost: int
    beside: int
    worked: int

    @property
    def spent(self) -> int:
        """All of it."""
        return self.cost + self.beside


@dataclass(frozen=True, slots=True)
class Task:
    """`allowed` turns are paid by its budget and the next one is not; `done` goes on after that."""

    kind: Kind
    model: Model
    caching: str
    done: tuple[Done, ...]
    allowed: int

    def left(self, after: int) -> int:
        """Pico-dollars left of the budget after so many turns: half a turn too many."""
        rest = sum(turn.spent for turn in self.done[after : self.allowed])
        return rest + self.done[self.allowed].spent // 2


@dataclass(frozen=True, slots=True)
class _Character:
    """How a task behaves. Tokens, seconds, and chances per turn."""

    system: int
    adds: float  # what tools bring, the mean
    says: float  # an answer, the median
    spread: float  # of both
    pace: float
    asks: float  # that a person is asked, and thinks for a minute
    full: int  # tokens at which it compacts
    bursts: float = 0
    idles: float = 0
    phases: float = 1  # times that answers are longer in every second phase
    phase: int = 10
    agents: float = 0


def tasks(count: int, seed: int) -> Iterator[Task]:
    """So many tasks, of every kind in turn."""
    draw = Random(seed)
    for number in range(count):
        yield _task(draw, KINDS[number % len(KINDS)])


def _task(draw: Random, kind: Kind) -> Task:
    name, caching = draw.choice(_MODELS)
    model = MODELS[name]
    allowed = draw.randint(4, 14) if kind == "short" else int(_log_uniform(draw, 14, 180))
    character = _character(draw, kind, min(model.context, 200_000))
    if kind == "compactions":
        full = draw.randint(40_000, 110_000)
        cycles = draw.uniform(2.5, 8)
        adds = max(character.adds, full / max(6.0, allowed / cycles))
        character = replace(character, full=full, adds=adds)
    switch = int(allowed * draw.uniform(0.1, 0.4)) if kind == "switched" else 0
    played = tuple(_play(draw, character, (model, caching), 3 * allowed, switch))
    return Task(kind, model, caching, played, allowed)


def _character(draw: Random, kind: Kind, window: int) -> _Character:
    short, mixed = kind == "short", kind == "mixed"
    return _Character(
        system=draw.randint(2_000, 12_000) if short else draw.randint(4_000, 30_000),
        adds=_log_uniform(draw, 300, 3_000),
        says=_log_uniform(draw, 80, 900),
        spread=draw.uniform(0.3, 1.0),
        pace=draw.uniform(4, 40),
        asks=1 / draw.uniform(3, 25),
        full=int(window * draw.uniform(0.8, 0.92)),
        bursts=draw.uniform(0.04, 0.2) if kind == "bursts" else draw.choice([0, 0.1]) * mixed,
        idles=draw.uniform(0.04, 0.15) if kind == "idle" else draw.choice([0, 0.08]) * mixed,
        phases=_log_uniform(draw, 0.4, 2.5) if kind == "outputs" else 1,
        phase=draw.randint(6, 25),
        agents=draw.choice([0, 0.1]) * mixed,
    )


def _play(
    draw: Random, who: _Character, using: tuple[Model, str], turns: int, switch: int
) -> Iterator[Done]:
    model, caching = using
    if switch:  # it begins with another one of the same provider, and dearer
        model = MODELS["claude-opus-4-1" if caching in ("5m", "1h") else "gpt-4o"]
    context = who.system + draw.randint(50, 2_000)
    at = worked = beside = 0
    kept, kept_at = 0, 0  # tokens of the newest prefix in the cache, and when it was read
    for turn in range(turns):
        if switch and turn == switch:
            model, kept = using[0], 0
        if turn:
            gap, idle = _gap(draw, who, caching)
            at, worked = at + gap + idle, worked + (0 if idle else gap)
        if context > who.full:  # a side call writes the summary
            beside += model.cost(_tokens(context, kept, 2_500, caching))
            context = who.system + draw.randint(2_000, 12_000)
            kept = min(kept, who.system)
        read = min(kept, context) if at - kept_at <= _ALIVE[caching] else 0
        if caching == "auto":
            read = read // 128 * 128 if draw.random() > 0.04 else 0
        longer = who.phases if turn // who.phase % 2 else 1
        output = max(8, int(who.says * longer * draw.lognormvariate(0, who.spread)))
        cost = model.cost(_tokens(context, read if read >= 1_024 else 0, output, caching))
        if draw.random() < who.agents:
            beside += int(draw.uniform(2, 12) * cost)
        cached = read if read >= 1_024 else 0
        yield Done(at, model.name, context, output, cached, cost, beside, worked)
        beside, kept, kept_at = 0, 0 if caching == "never" else context, at
        brought = int(who.adds * draw.lognormvariate(-(who.spread**2) / 2, who.spread))
        context += output + brought + _burst(draw, who)


def _gap(draw: Random, who: _Character, caching: str) -> tuple[int, int]:
    """Milliseconds of work before a turn, and of idle time."""
    seconds = who.pace * draw.lognormvariate(0, 0.6)
    if draw.random() < who.asks:
        seconds += draw.expovariate(1 / 60)
    idle = 0
    if draw.random() < who.idles:
        idle = int(draw.uniform(max(_ALIVE[caching], 900_000), 14_400_000))
    return int(seconds * 1000), idle


def _burst(draw: Random, who: _Character) -> int:
    return draw.randint(4_000, 30_000) if draw.random() < who.bursts else 0


def _tokens(context: int, read: int, output: int, caching: str) -> Tokens:
    new = context - read
    match caching:
        case "5m":
            return Tokens(cache_read=read, write_5m=new, output=output)
        case "1h":
            return Tokens(cache_read=read, write_1h=new, output=output)
        case _:
            return Tokens(cache_read=read, input=new, output=output)


def _log_uniform(draw: Random, low: float, high: float) -> float:
    return exp(draw.uniform(log(low), log(high)))
