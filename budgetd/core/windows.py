"""Windows: which span of time a limit covers at an instant.

Owns the kinds of window and the one function that cuts time into them (`span_at`). Time is an
`Instant`: whole milliseconds since 1970 in UTC. A span is half-open, `[start, end)`; the spans of
one window tile time without gap, overlap or empty span over daylight saving, leap days and skipped
days. There is no reset job: a span is chosen when money is reserved. A window has an `identity`,
the ledger's key for it, in which no amount appears: a changed limit keeps its spend, a changed
window opens a new one.

One rule places every calendar reset: *the first instant at which the zone's clocks show the reset
time or later*. So a time that spring skips is the end of the gap, a time that autumn repeats is its
first showing, and resets keep their order whatever a zone does. A local day that no clock ever
showed (Apia, 30 December 2011) opens no day window; a week or month that should begin on it begins
when the clocks resume. Local days last 23 hours, 25, even 47: nothing here adds 24 hours.

`zoneinfo` is read as a table of values, as fixed as a price card while the process lives (it caches
each zone after its first use); it says nothing of the present. What the time is, what a limit is
and what was spent are not known here. Windows whose spans depend on the calls made (first-use,
rolling) are no cuts of time by themselves and come as kinds of their own.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Literal, TypeAlias, assert_never, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Whole milliseconds since 1970-01-01T00:00Z. Calendar windows reach from year 2 to year 9998.
Instant: TypeAlias = int
Unit = Literal["day", "week", "month"]

MINUTES_A_DAY = 1440
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class WindowError(ValueError):
    """The numbers or the zone name describe no window."""


@dataclass(frozen=True, slots=True)
class Span:
    """`[start, end)`. An end of None never comes."""

    start: Instant
    end: Instant | None


@dataclass(frozen=True, slots=True)
class Fixed:
    """Tiles of `every` milliseconds, unbroken in both directions from `anchor`."""

    every: int
    anchor: Instant = 0

    def __post_init__(self) -> None:
        _check_every(self.every)


@dataclass(frozen=True, slots=True)
class FixedDaily:
    """Tiles of `every` milliseconds that begin again at each local day's reset time.

    The last one of a day is cut short by the next day's first.
    """

    every: int
    zone: str
    reset_minute: int = 0

    def __post_init__(self) -> None:
        _check_every(self.every)
        _check_local(self.zone, self.reset_minute)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Local days, weeks or months. `reset_minute` counts from midnight.

    `weekday` (Monday is 0) counts for weeks only and `day` for months only; a day that a month
    lacks is its last.
    """

    unit: Unit
    zone: str
    reset_minute: int = 0
    weekday: int = 0
    day: int = 1

    def __post_init__(self) -> None:
        _check_local(self.zone, self.reset_minute)
        if self.unit not in get_args(Unit):
            raise WindowError(f"a calendar window is a day, week or month, not {self.unit!r}")
        if not 0 <= self.weekday < len(WEEKDAYS):
            raise WindowError(f"a weekday is 0 (Monday) to 6, not {self.weekday}")
        if not 1 <= self.day <= 31:
            raise WindowError(f"a day of the month is 1 to 31, not {self.day}")


@dataclass(frozen=True, slots=True)
class Total:
    """All time since 1970 in one span that never resets."""


Window: TypeAlias = Fixed | FixedDaily | Calendar | Total

_FOR_EVER = Span(0, None)


def span_at(window: Window, now: Instant) -> Span:
    """The span of `window` that holds `now`. Cheap enough for every request: microseconds."""
    match window:
        case Fixed(every, anchor):
            start = now - (now - anchor) % every
            return Span(start, start + every)
        case Calendar():
            return _calendar_span(window, now)
        case FixedDaily(every, zone, reset_minute):
            day = _calendar_span(Calendar("day", zone, reset_minute), now)
            assert day.end is not None
            start = now - (now - day.start) % every
            return Span(start, min(start + every, day.end))
        case Total():
            return _FOR_EVER
        case _:
            assert_never(window)


def identity(window: Window) -> str:
    """The window's definition as canonical text: fields that its kind does not use are left out.

    It is a key in ledgers on disk: a text once written must never change its meaning.
    """
    match window:
        case Fixed(every, anchor):
            return f"fixed:{every}@{anchor % every}"
        case FixedDaily(every, zone, reset_minute):
            return f"daily:{every}@{reset_minute}/{zone}"
        case Calendar("week", zone, reset_minute, weekday):
            return f"calendar:week.{weekday}@{reset_minute}/{zone}"
        case Calendar("month", zone, reset_minute, _, day):
            return f"calendar:month.{day}@{reset_minute}/{zone}"
        case Calendar(unit, zone, reset_minute):
            return f"calendar:{unit}@{reset_minute}/{zone}"
        case Total():
            return "total"
        case _:
            assert_never(window)


def describe(window: Window) -> str:
    """The window for a person: "5h", "day (Europe/Berlin)", "week from Monday 04:00 (UTC)"."""
    match window:
        case Fixed(every):
            return duration_text(every)
        case FixedDaily(every, zone, reset_minute):
            return f"{duration_text(every)} from {_clock_text(reset_minute)} each day ({zone})"
        case Total():
            return "total"
        case Calendar("week", zone, reset_minute, weekday):
            begins = WEEKDAYS[weekday]
        case Calendar("month", zone, reset_minute, _, day):
            begins = f"day {day}" if day > 1 or reset_minute else ""
        case Calendar(_, zone, reset_minute):
            begins = ""
        case _:
            assert_never(window)
    if reset_minute:
        begins = f"{begins} {_clock_text(reset_minute)}".lstrip()
    return f"{window.unit} from {begins} ({zone})" if begins else f"{window.unit} ({zone})"


def duration_text(ms: int) -> str:
    """A length of time, exact and short: 18000000 -> "5h", 5400000 -> "1h30m", 0 -> "0s"."""
    parts = []
    for size, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")):
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0s"


def _clock_text(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _check_every(every: int) -> None:
    if every < 1:
        raise WindowError(f"a window lasts at least a millisecond, not {every}")


def _check_local(zone: str, reset_minute: int) -> None:
    if not 0 <= reset_minute < MINUTES_A_DAY:
        raise WindowError(f"a reset time is minute 0 to 1439 of the day, not {reset_minute}")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # OSError: "America" is a directory of zones.
        raise WindowError(f"no time zone is called {zone!r}") from error


def _calendar_span(window: Calendar, now: Instant) -> Span:
    # The local date is only a first guess at the period: the reset may be later in the day, and
    # where clocks are turned back over midnight the date can lie behind the reset. The starts,
    # which never go back, decide.
    period = _period_of(window, datetime.fromtimestamp(now // 1000, ZoneInfo(window.zone)))
    while _start(window, period) > now:
        period -= 1
    while _start(window, period + 1) <= now:
        period += 1
    return Span(_start(window, period), _start(window, period + 1))


def _period_of(window: Calendar, local: date) -> int:
    """The number of the period whose reset date is the last up to `local`, or in its month."""
    if window.unit == "month":
        return local.year * 12 + local.month - 1
    days = local.toordinal() - 1  # since a Monday
    return (days - window.weekday) // 7 if window.unit == "week" else days


def _reset_date(window: Calendar, period: int) -> date:
    """The local date on which a period begins; the inverse of `_period_of`."""
    if window.unit == "month":
        year, month = period // 12, period % 12 + 1
        return date(year, month, min(window.day, monthrange(year, month)[1]))
    days = period * 7 + window.weekday if window.unit == "week" else period
    return date.fromordinal(days + 1)


# Two entries are in use per calendar window; bounded, and the arguments are all it depends on.
@lru_cache(maxsize=4096)
def _start(window: Calendar, period: int) -> Instant:
    zone = ZoneInfo(window.zone)
    begins = _reset_date(window, period)
    if window.unit == "day":
        midnight = _first_showing(datetime.combine(begins, time()), zone)
        if datetime.fromtimestamp(midnight, zone).date() > begins:
            # Nobody lived this date: its period is empty, and no instant falls in it.
            return _start(window, period + 1)
    reset = time(window.reset_minute // 60, window.reset_minute % 60)
    return _first_showing(datetime.combine(begins, reset), zone) * 1000


def _first_showing(wall: datetime, zone: ZoneInfo) -> int:
    """The first second since 1970 at which clocks in `zone` show `wall` (naive) or later."""
    first = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    other = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    if other >= first:
        return first
    # By PEP 495 this is a gap: the clocks jump over `wall` somewhere between the two readings.
    shown = bisect_left(
        range(other, first),
        wall,
        key=lambda second: datetime.fromtimestamp(second, zone).replace(tzinfo=None),
    )
    return other + shown
