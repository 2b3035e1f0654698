"""Forecasts: what the next turn of a session costs, and when the session meets its limits.

Owns what a person is told of the turns to come: figures where the turns so far tell them, and where
they do not an `Unknown` with its reason, never a guess. Minutes are minutes of work: idle times are
left out. How turns are continued is `core.course`'s; what the time is, and which budgets bind the
session, is told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

from budgetd.core.context import RECENT, fell, median, slope
from budgetd.core.course import MINUTE, Habit, Point, Terms, caches, course, habit, next_turn
from budgetd.core.money import ceil_ratio
from budgetd.core.prices import Writes
from budgetd.core.windows import Instant

MOST = 2_000  # turns that are looked ahead
LIFETIMES: dict[Writes, int] = {"none": 5 * MINUTE, "5m": 5 * MINUTE, "1h": 60 * MINUTE}

Why = Literal[
    "too few turns",
    "no growth",
    "no window",  # the model's context window is not known
    "compacts first",  # the context fell before it filled the window, and will again
    "resets first",  # the budget's window ends before the money does
    "costs nothing",
    "too far off",  # more than MOST turns
]


@dataclass(frozen=True, slots=True)
class Unknown:
    """No figure, and the reason."""

    why: Why


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left of a budget that binds the session, in pico-dollars, and when it is filled again
    (None: never). `others` is what other sessions took from it since the first of the points.
    """

    remaining: int
    resets_at: Instant | None = None
    others: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """Whole turns that still fit, and the minutes of work that they take."""

    turns: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected. Money in pico-dollars."""

    context: int  # tokens: the newest turn's input and output, which the next one reads again
    growth: int | Unknown  # thousandths of a token per turn; robust: a burst does not move it
    per_turn: int | Unknown  # the median of recent turns, with what was spent beside them
    hits: int | Unknown  # thousandths of the recent input that came from the cache
    warm: int | Unknown  # the next turn if the cache still has the context
    cold: int | Unknown  # the next turn if it has not; the same where there is no cache
    warm_until: Instant | None  # None: the session shows no cache
    window: Left | Unknown  # to the end of the model's context window
    budgets: tuple[Left | Unknown, ...]  # to the end of each purse, in their order


FEW = Unknown("too few turns")


def forecast(
    points: Sequence[Point], purses: Sequence[Purse], terms: Terms, *, now: Instant
) -> Forecast:
    """The forecast after these turns, the oldest first; the newest 200 tell enough.

    They may be of several models: `terms` are those of the newest. Takes some milliseconds.
    """
    if not points:
        return Forecast(0, FEW, FEW, FEW, FEW, FEW, None, FEW, (FEW,) * len(purses))
    last, recent = points[-1], points[-RECENT:]
    growth = slope([(number, point.input) for number, point in enumerate(points)])
    read = sum(point.input for point in recent)
    warm, cold = next_turn(points, terms)
    found = habit(points, terms)
    return Forecast(
        context=last.input + last.output,
        growth=FEW if growth is None else growth,
        per_turn=median([point.cost + point.beside for point in recent]),
        hits=1000 * sum(point.cached for point in recent) // max(read, 1),
        warm=warm,
        cold=cold,
        warm_until=last.at + LIFETIMES[terms.writes] if caches(points, terms) else None,
        window=FEW if found is None else _to_window(points, terms.window, found),
        budgets=(
            (FEW,) * len(purses)
            if found is None
            else tuple(_to_budgets(points, purses, terms, found, now))
        ),
    )


def _to_budgets(
    points: Sequence[Point], purses: Sequence[Purse], terms: Terms, found: Habit, now: Instant
) -> list[Left | Unknown]:
    """How far each purse reaches."""
    paid, made = found.paid
    most = max((purse.remaining for purse in purses), default=0)
    enough = ceil_ratio(most, made, paid) if paid else None
    sums = course(found, terms, points[-1].input, enough=enough, most=MOST)
    seen = len(points) - 1

    def spent(purse: Purse, turns: int) -> int:
        """What so many turns take from a purse, with what others take meanwhile."""
        own, others = ceil_ratio(sums[turns - 1], paid, made), ceil_ratio(purse.others, turns, seen)
        return own + others

    left: list[Left | Unknown] = []
    for purse in purses:
        turns = bisect_right(range(1, len(sums) + 1), purse.remaining, key=partial(spent, purse))
        resets = purse.resets_at
        if not spent(purse, len(sums)):
            left.append(Unknown("costs nothing"))
        elif resets is not None and now + turns * found.pace >= resets:
            left.append(Unknown("resets first"))
        elif turns == MOST:
            left.append(Unknown("too far off"))
        else:
            left.append(_left(turns, found))
    return left


def _to_window(points: Sequence[Point], window: int | None, found: Habit) -> Left | Unknown:
    """How many turns the context can rise before the model cannot read it."""
    if window is None:
        return Unknown("no window")
    if any(fell(a.input, b.input) for a, b in pairwise(points)):
        return Unknown("compacts first")
    if found.rise <= 0:
        return Unknown("no growth")
    room = max(1000 * (window - points[-1].input - points[-1].output), 0)
    return _left(room // found.rise, found)


def _left(turns: int, found: Habit) -> Left:
    return Left(turns, turns * found.pace // MINUTE)
