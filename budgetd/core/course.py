"""The course of a session: what its turns so far have in common, and what turns like them will cost.

Owns a model of a turn that is as simple as the billing: what stood in the context before is read
from the cache, in as many turns as it was found there; what is new is written; the context rises by
the mean of what it rose (bursts come again, so a median would promise too much) and falls as it
fell before, else when the model's window is nearly full. What such turns would have cost by the
card is set against what they did cost, side calls and sub-agents included, and the turns to come
are scaled by that: so a stated cost, or a discount that no card knows, needs no rule of its own.
Limits, and what a person is told, are `core.forecast`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from budgetd.core.context import FEWEST, RECENT, fell, median
from budgetd.core.prices import RateCard, Writes, geo_ratio, price
from budgetd.core.usage import Traits, Usage
from budgetd.core.windows import Instant

MINUTE = 60_000
IDLE = 10 * MINUTE  # a longer gap between turns is no work, unless such gaps are usual
UNUSUAL = 4  # times the usual gap
FULL = (9, 10)  # of the context window: where agents compact
SUMMARY = 16  # a compacted context is the first request and a part of the window, one of so many


@dataclass(frozen=True, slots=True)
class Point:
    """A turn that is over: when it was sent, its tokens, and what it cost in pico-dollars.

    `cached` of the input came from the cache. `beside` was spent since the turn before on what is
    no turn of this session: side calls, retries, sub-agents.
    """

    at: Instant
    input: int
    output: int
    cached: int
    cost: int
    beside: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the next turn is paid by: the card of its model and the traits it is priced with, the
    longest cache write that requests ask for, and the model's context window in tokens if known.
    """

    card: RateCard
    traits: Traits = Traits()
    writes: Writes = "none"
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Habit:
    """What a turn of the session is like; tokens in thousandths. `cold` and `paid` are fractions:
    turns that found a cold cache of all, and what was paid over what the model makes of it.
    """

    rise: int
    output: int
    pace: int  # milliseconds from turn to turn, idle times left out
    caches: bool
    peak: int | None  # where the context falls, None if nothing tells
    trough: int  # and to what
    cold: tuple[int, int] = (0, 1)
    paid: tuple[int, int] = (1, 1)


def caches(points: Sequence[Point], terms: Terms) -> bool:
    """Whether the cache has been seen to work lately, or was asked for and had no chance yet."""
    pairs = list(pairwise(points[-RECENT:]))
    if any(_found(then, now) for then, now in pairs):
        return True
    return terms.writes != "none" and len(pairs) < FEWEST - 1


def next_turn(points: Sequence[Point], terms: Terms) -> tuple[int, int]:
    """Pico-dollars of the next turn by the card, warm and cold; without a cache they are the same.

    It reads the newest context (of at least one point) again with what usually comes to it, and
    answers as usual.
    """
    last, recent = points[-1], points[-RECENT:]
    rises = [max(b.input - a.input, 0) for a, b in pairwise(recent) if not fell(a.input, b.input)]
    size = last.input + (median(rises) if rises else last.output)
    if terms.window is not None:
        size = max(min(size, terms.window), last.input)
    output = median([point.output for point in recent])
    bucket = _bucket(terms, caches=caches(points, terms))
    cold = price(terms.card, Usage(**{bucket: size}, output=output), terms.traits)
    if not caches(points, terms):
        return cold, cold
    found = Usage(cache_read=last.input, output=output)
    usage = found.plus(Usage(**{bucket: size - last.input}))
    return min(price(terms.card, usage, terms.traits), cold), cold


def habit(points: Sequence[Point], terms: Terms) -> Habit | None:
    """What the turns so far have in common, None if they are too few."""
    pairs = list(pairwise(points))
    steps = [(a, b) for a, b in pairs if not fell(a.input, b.input)]
    if len(points) < FEWEST or not steps:
        return None
    falls = [(a.input, b.input) for a, b in pairs if fell(a.input, b.input)]
    peak, trough = None, 0
    if falls:
        peak = max(sum(a for a, _ in falls) // len(falls), points[-1].input)
        trough = sum(b for _, b in falls) // len(falls)
    elif terms.window is not None:
        peak = terms.window * FULL[0] // FULL[1]
        trough = points[0].input + terms.window // SUMMARY
    found = Habit(
        rise=1000 * sum(b.input - a.input for a, b in steps) // len(steps),
        output=1000 * sum(point.output for point in points) // len(points),
        pace=_pace([b.at - a.at for a, b in pairs]),
        caches=caches(points, terms),
        peak=None if peak is None else 1000 * peak,
        trough=1000 * trough,
    )
    return _calibrated(found, points, terms)


def course(found: Habit, terms: Terms, start: int, *, enough: int | None, most: int) -> list[int]:
    """Pico-dollars of the turns to come, added up, until they are more than `enough` (None: never),
    `most` turns at most: by the card, not yet scaled by `Habit.paid`. `start` is the newest input.
    """
    sums: list[int] = []
    spent, before = 0, 1000 * start
    while len(sums) < most:
        now = max(before + found.rise, 0)
        if found.peak is not None and now > found.peak:
            now = min(found.trough, before)
        spent += _turn(found, terms, before, now, found.output)
        sums.append(spent)
        if enough is not None and spent > enough:
            break
        before = now
    return sums


def _found(then: Point, now: Point) -> bool:
    """Whether a turn found most of what the one before had read in the cache."""
    return now.cached > 0 and now.cached * 2 >= then.input


def _bucket(terms: Terms, *, caches: bool) -> str:
    """Where input stands that the cache does not have."""
    if not caches:
        return "input"
    if terms.writes != "none":
        return f"cache_write_{terms.writes}"
    return "cache_write_5m" if terms.card.unasked_writes else "input"


def _pace(gaps: Sequence[int]) -> int:
    idle = max(IDLE, UNUSUAL * median(gaps))
    busy = [gap for gap in gaps if gap <= idle]
    return sum(busy) // len(busy)


def _calibrated(found: Habit, points: Sequence[Point], terms: Terms) -> Habit:
    """The habit with what the turns of the present model really cost. With too few of those it
    stays as the card has it.
    """
    model = points[-1].model
    pairs = [(a, b) for a, b in pairwise(points) if a.model == b.model == model]
    steps = [(a, b) for a, b in pairs if not fell(a.input, b.input)]
    if len(steps) < FEWEST - 1:
        return found
    missed = sum(not _found(a, b) for a, b in steps)
    found = replace(found, cold=(missed, len(steps)))
    made = sum(
        _turn(found, terms, 1000 * a.input, 1000 * b.input, 1000 * b.output) for a, b in pairs
    )
    return replace(found, paid=(sum(b.cost + b.beside for _, b in pairs), made)) if made else found


def _turn(found: Habit, terms: Terms, before: int, now: int, output: int) -> int:
    """Pico-dollars of a turn after one whose input was `before`. Where some turns find the cache
    cold, each costs its share of that.
    """
    rates = terms.card.rates_for(now // 1000)
    new = rates[_bucket(terms, caches=found.caches)]
    cost = now * new
    if found.caches and not fell(before, now):
        missed, turns = found.cold
        saved = min(before, now) * max(new - rates["cache_read"], 0)
        cost -= saved * (turns - missed) // turns
    over, under = geo_ratio(terms.card, terms.traits.geo or None)
    return (cost + output * rates["output"]) * over // (1000 * under) + terms.card.per_request
