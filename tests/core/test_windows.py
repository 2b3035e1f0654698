"""Windows partition time and reset when they say.

The oracle for three years of resets shares no code path with the implementation: it writes down
what the zone's clocks show in every UTC minute of the years, and looks up the first minute that
shows the reset time or later.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from budgetd.core.windows import (
    Calendar,
    Fixed,
    FixedDaily,
    Span,
    Total,
    Unit,
    Window,
    WindowError,
    describe,
    duration_text,
    identity,
    span_at,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
FIVE_HOURS = 5 * HOUR
DAY_MINUTES = 1440


def at(text: str) -> int:
    """An ISO time with its offset as an instant."""
    return round(datetime.fromisoformat(text).timestamp()) * 1000


def shown(instant: int, zone: str) -> datetime:
    """What clocks in `zone` show at an instant, naive."""
    return datetime.fromtimestamp(instant // 1000, ZoneInfo(zone)).replace(tzinfo=None)


def bounds(window: Window, instant: int) -> tuple[int, int]:
    span = span_at(window, instant)
    assert span.end is not None
    return span.start, span.end


# ---------------------------------------------------------- three simulated years against an oracle

YEARS = [
    ("UTC", 2024),
    ("America/New_York", 2024),
    ("Australia/Lord_Howe", 2024),
    ("Asia/Kathmandu", 2024),
    ("Pacific/Apia", 2024),
    ("Pacific/Apia", 2011),
]
MARGIN = 50 * DAY_MINUTES  # on either side, so that months reach over the edges


class Clocks:
    """What a zone's clocks show in each minute of three years, as naive minutes since year 1."""

    def __init__(self, zone: str, year: int) -> None:
        self.first_day = date(year, 1, 1)
        self.last_day = date(year + 2, 12, 31)
        self.origin = at(f"{year}-01-01T00:00:00+00:00") // MINUTE - MARGIN
        minutes = 2 * MARGIN + DAY_MINUTES * ((self.last_day - self.first_day).days + 1)
        self.begin, self.end = self.origin + MARGIN, self.origin + minutes - MARGIN
        table: list[int] = []
        for hour in range(self.origin, self.origin + minutes, 60):
            here, there = self._read(zone, hour), self._read(zone, hour + 60)
            if there - here == 60:
                table.extend(range(here, here + 60))
            else:
                table.extend(self._read(zone, hour + minute) for minute in range(60))
        self.table = table
        self.latest = list(accumulate(table, max))  # the latest time that has been shown so far

    @staticmethod
    def _read(zone: str, minute: int) -> int:
        local = datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo(zone))
        return (local.toordinal() - 1) * DAY_MINUTES + local.hour * 60 + local.minute

    def first(self, wanted: int) -> int:
        """The first UTC minute in which clocks showed `wanted` or later."""
        return self.origin + bisect_left(self.latest, wanted)

    def existed(self, day: date) -> bool:
        begins = (day.toordinal() - 1) * DAY_MINUTES
        return self.table[self.first(begins) - self.origin] < begins + DAY_MINUTES

    def resets(self, days: list[date], reset_minute: int) -> list[int]:
        """The instants at which spans begin that reset at a local time on these days."""
        return [self.first((d.toordinal() - 1) * DAY_MINUTES + reset_minute) * MINUTE for d in days]

    def days(self) -> list[date]:
        """Every date of the three years and a month on either side, lived or not."""
        some = timedelta(days=45)
        first = self.first_day - some
        return [first + timedelta(days=n) for n in range((self.last_day + some - first).days)]


@cache
def clocks(zone: str, year: int) -> Clocks:
    return Clocks(zone, year)


def reset_days(window: Calendar, days: list[date]) -> list[date]:
    if window.unit == "week":
        return [day for day in days if day.weekday() == window.weekday]
    if window.unit == "month":
        last = {day for day in days if (day + timedelta(days=1)).day == 1}
        return [d for d in days if d.day == window.day or (d in last and d.day < window.day)]
    return days


def agree(window: Window, expected: list[int], begin: int, end: int) -> None:
    """Walks the window's spans from `begin` to `end` and holds them against the expected starts."""
    instant = begin
    starts: list[int] = []
    while instant < end:
        start, stop = bounds(window, instant)
        assert start <= instant < stop
        assert bounds(window, stop - 1) == (start, stop)
        assert bounds(window, (start + stop) // 2) == (start, stop)
        if starts:
            assert start == instant, "a gap or an overlap"
        starts.append(start)
        instant = stop
    first, last = expected.index(starts[0]), expected.index(instant)
    assert starts == expected[first:last]


CALENDARS: list[tuple[Unit, int, int, int]] = [
    *(("day", 0, 1, minute) for minute in (0, 60, 90, 105, 120, 135, 150, 210, 240, 1425)),
    *(("week", weekday, 1, minute) for weekday in range(7) for minute in (0, 150)),
    *(("month", 0, day, minute) for day in (1, 10, 29, 30, 31) for minute in (0, 150, 240)),
]


@pytest.mark.parametrize(("zone", "year"), YEARS)
class TestThreeYears:
    def test_five_hours_from_an_anchor(self, zone: str, year: int) -> None:
        seen = clocks(zone, year)
        anchor = seen.first((date(year, 3, 5).toordinal() - 1) * DAY_MINUTES + 517) * MINUTE
        tiles = [anchor + n * FIVE_HOURS for n in range(-600, 5700)]
        agree(Fixed(FIVE_HOURS, anchor), tiles, seen.begin * MINUTE, seen.end * MINUTE)

    @pytest.mark.parametrize("minute", [0, 150, 240])
    def test_five_hours_restarting_daily(self, zone: str, year: int, minute: int) -> None:
        seen = clocks(zone, year)
        starts = seen.resets([day for day in seen.days() if seen.existed(day)], minute)
        tiles = [tile for a, b in pairwise(starts) for tile in range(a, b, FIVE_HOURS)]
        window = FixedDaily(FIVE_HOURS, zone, minute)
        agree(window, tiles, seen.begin * MINUTE, seen.end * MINUTE)

    def test_calendar(self, zone: str, year: int) -> None:
        seen = clocks(zone, year)
        lived = [day for day in seen.days() if seen.existed(day)]
        for unit, weekday, day, minute in CALENDARS:
            window = Calendar(unit, zone, minute, weekday, day)
            days = lived if unit == "day" else reset_days(window, seen.days())
            expected = seen.resets(days, minute)
            agree(window, expected, seen.begin * MINUTE, seen.end * MINUTE)


def test_the_oracle_knows_the_skipped_day() -> None:
    then, now = clocks("Pacific/Apia", 2011), clocks("Pacific/Apia", 2024)
    assert [day for day in then.days() if not then.existed(day)] == [date(2011, 12, 30)]
    assert all(now.existed(day) for day in now.days())


# ------------------------------------------------------------------------- cases worked out by hand


@pytest.mark.parametrize(
    ("window", "instant", "start", "end"),
    [
        pytest.param(
            Calendar("day", "America/New_York", 150),
            "2024-03-10T12:00-04:00",
            "2024-03-10T03:00-04:00",
            "2024-03-11T02:30-04:00",
            id="02:30 is skipped in spring: the gap's end",
        ),
        pytest.param(
            Calendar("day", "America/New_York", 90),
            "2024-11-03T01:45-05:00",
            "2024-11-03T01:30-04:00",
            "2024-11-04T01:30-05:00",
            id="01:30 comes twice in autumn: the first",
        ),
        pytest.param(
            Calendar("day", "Australia/Lord_Howe", 135),
            "2024-10-06T12:00+11:00",
            "2024-10-06T02:30+11:00",
            "2024-10-07T02:15+11:00",
            id="a gap of half an hour",
        ),
        pytest.param(
            Calendar("day", "Pacific/Apia"),
            "2011-12-29T12:00-10:00",
            "2011-12-29T00:00-10:00",
            "2011-12-31T00:00+14:00",
            id="the day that Apia skipped",
        ),
        pytest.param(
            Calendar("day", "Pacific/Apia", 240),
            "2011-12-31T00:00+14:00",
            "2011-12-29T04:00-10:00",
            "2011-12-31T04:00+14:00",
            id="Apia with a reset at 04:00",
        ),
        pytest.param(
            Calendar("week", "Pacific/Apia", 240, 4),
            "2011-12-31T00:00+14:00",
            "2011-12-31T00:00+14:00",
            "2012-01-06T04:00+14:00",
            id="a week that should begin on the skipped Friday",
        ),
        pytest.param(
            Calendar("month", "Pacific/Apia", 0, 0, 30),
            "2012-01-15T00:00+14:00",
            "2011-12-31T00:00+14:00",
            "2012-01-30T00:00+14:00",
            id="a month that should begin on the skipped day",
        ),
        pytest.param(
            Calendar("day", "America/St_Johns"),
            "2006-10-28T23:30-03:30",
            "2006-10-29T00:00-02:30",
            "2006-10-30T00:00-03:30",
            id="clocks turned back from 00:01 to yesterday: the day has begun already",
        ),
        pytest.param(
            Calendar("day", "Pacific/Kwajalein"),
            "1969-09-30T12:00-12:00",
            "1969-09-30T00:00+11:00",
            "1969-10-01T00:00-12:00",
            id="a day of 47 hours",
        ),
        pytest.param(
            Calendar("month", "UTC", 0, 0, 31),
            "2024-03-01T00:00+00:00",
            "2024-02-29T00:00+00:00",
            "2024-03-31T00:00+00:00",
            id="day 31 in a leap February",
        ),
        pytest.param(
            Calendar("week", "Europe/Berlin", 240),
            "2026-07-20T03:59+02:00",
            "2026-07-13T04:00+02:00",
            "2026-07-20T04:00+02:00",
            id="Monday before the reset time",
        ),
        pytest.param(
            FixedDaily(FIVE_HOURS, "Europe/Berlin"),
            "2026-07-20T22:00+02:00",
            "2026-07-20T20:00+02:00",
            "2026-07-21T00:00+02:00",
            id="the last tile of a day is cut short",
        ),
        pytest.param(
            FixedDaily(FIVE_HOURS, "America/New_York"),
            "2024-11-03T23:59-05:00",
            "2024-11-03T19:00-05:00",
            "2024-11-04T00:00-05:00",
            id="a day of 25 hours has five whole tiles",
        ),
        pytest.param(
            Fixed(FIVE_HOURS, 0),
            "1970-01-01T00:00+00:00",
            "1970-01-01T00:00+00:00",
            "1970-01-01T05:00+00:00",
            id="at its anchor",
        ),
        pytest.param(
            Fixed(FIVE_HOURS, 0),
            "1969-12-31T23:00+00:00",
            "1969-12-31T19:00+00:00",
            "1970-01-01T00:00+00:00",
            id="before its anchor",
        ),
    ],
)
def test_by_hand(window: Window, instant: str, start: str, end: str) -> None:
    assert span_at(window, at(instant)) == Span(at(start), at(end))


def test_total_is_one_span() -> None:
    assert span_at(Total(), 0) == span_at(Total(), at("2026-01-01T00:00+00:00")) == Span(0, None)


# --------------------------------------------------------------------------------------- properties

ZONES = (
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kwajalein",
)
zones = st.sampled_from(ZONES)
reset_minutes = st.one_of(st.sampled_from([0, 1, 30, 90, 120, 150, 1439]), st.integers(0, 1439))
lengths = st.one_of(
    st.sampled_from([MINUTE, FIVE_HOURS, 24 * HOUR]), st.integers(1, 40 * 24 * HOUR)
)
ODD_TIMES = (  # when some zone above did something
    "1900-01-01T00:00+00:00",
    "1969-10-01T00:00+00:00",
    "1993-08-21T12:00+00:00",
    "2006-10-29T02:30+00:00",
    "2011-12-30T10:00+00:00",
    "2024-03-10T07:00+00:00",
    "2024-04-06T15:00+00:00",
    "2024-10-27T01:00+00:00",
)
instants = st.one_of(
    st.integers(at("1850-01-01T00:00+00:00"), at("2150-01-01T00:00+00:00")),
    st.builds(
        lambda text, ms: at(text) + ms,
        st.sampled_from(ODD_TIMES),
        st.integers(-72 * HOUR, 72 * HOUR),
    ),
)
calendars = st.builds(
    Calendar,
    st.sampled_from(["day", "week", "month"]),
    zones,
    reset_minutes,
    st.integers(0, 6),
    st.integers(1, 31),
)
tilings: st.SearchStrategy[Window] = st.one_of(
    st.builds(Fixed, lengths, instants),
    st.builds(FixedDaily, lengths, zones, reset_minutes),
    calendars,
)


@given(tilings, instants)
def test_spans_partition_time(window: Window, now: int) -> None:
    start, end = bounds(window, now)
    assert start <= now < end
    assert bounds(window, start) == bounds(window, end - 1) == (start, end)
    assert bounds(window, end)[0] == end
    assert bounds(window, start - 1)[1] == start


@given(tilings, instants, instants)
def test_two_instants_share_a_span_or_theirs_are_apart(window: Window, one: int, two: int) -> None:
    early, late = (bounds(window, instant) for instant in sorted((one, two)))
    assert early == late or early[1] <= late[0]


@given(calendars, instants)
@example(Calendar("day", "America/New_York", 150), at("2024-03-10T12:00-04:00"))
def test_a_calendar_span_begins_at_its_local_time(window: Calendar, now: int) -> None:
    start, _ = bounds(window, now)
    local, before = shown(start, window.zone), shown(start - 1000, window.zone)
    if local.hour * 60 + local.minute == window.reset_minute and local.second == 0:
        if window.unit == "week":
            assert local.weekday() == window.weekday
        if window.unit == "month":
            month_ends = (local + timedelta(days=1)).day == 1
            assert local.day == window.day or (month_ends and local.day < window.day)
    else:
        assert local - before > timedelta(seconds=1), "another time only where the clocks skipped"


@given(calendars, instants)
def test_a_calendar_span_has_its_length(window: Calendar, now: int) -> None:
    start, end = bounds(window, now)
    shortest, longest = {"day": (1, 1), "week": (7, 7), "month": (28, 31)}[window.unit]
    # Reset times differ by an hour of daylight saving, dates by a day at the date line.
    least = shortest - 1 / 12 if window.unit == "day" else shortest - 1.1
    assert least * 24 * HOUR < end - start < (longest + 1.1) * 24 * HOUR


# ----------------------------------------------------------- identity, words, and what is no window


@pytest.mark.parametrize(
    ("window", "key", "words"),
    [
        (Fixed(FIVE_HOURS), "fixed:18000000@0", "5h"),
        (Fixed(FIVE_HOURS, FIVE_HOURS + 7), "fixed:18000000@7", "5h"),
        (FixedDaily(FIVE_HOURS, "UTC"), "daily:18000000@0/UTC", "5h from 00:00 each day (UTC)"),
        (Calendar("day", "Europe/Berlin"), "calendar:day@0/Europe/Berlin", "day (Europe/Berlin)"),
        (Calendar("day", "UTC", 65, 3, 4), "calendar:day@65/UTC", "day from 01:05 (UTC)"),
        (Calendar("week", "UTC", 240), "calendar:week.0@240/UTC", "week from Monday 04:00 (UTC)"),
        (Calendar("week", "UTC", 0, 6, 9), "calendar:week.6@0/UTC", "week from Sunday (UTC)"),
        (Calendar("month", "UTC", 0, 5), "calendar:month.1@0/UTC", "month (UTC)"),
        (Calendar("month", "UTC", 0, 0, 31), "calendar:month.31@0/UTC", "month from day 31 (UTC)"),
        (Calendar("month", "UTC", 240), "calendar:month.1@240/UTC", "month from day 1 04:00 (UTC)"),
        (Total(), "total", "total"),
    ],
)
def test_identity_and_words(window: Window, key: str, words: str) -> None:
    assert identity(window) == key  # on disk: never change one
    assert describe(window) == words


@given(tilings, tilings, st.lists(instants, min_size=5, max_size=5))
def test_windows_of_one_identity_are_one_window(a: Window, b: Window, moments: list[int]) -> None:
    if identity(a) == identity(b):
        assert [span_at(a, now) for now in moments] == [span_at(b, now) for now in moments]


@given(lengths, instants, st.integers(-9, 9), instants)
def test_an_anchor_moved_by_whole_tiles_is_the_same_window(
    every: int, anchor: int, tiles: int, now: int
) -> None:
    one, other = Fixed(every, anchor), Fixed(every, anchor + tiles * every)
    assert identity(one) == identity(other)
    assert span_at(one, now) == span_at(other, now)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (5_400_000, "1h30m"),
        (604_800_000, "7d"),
        (90_061_001, "1d1h1m1s1ms"),
        (45_000, "45s"),
    ],
)
def test_duration_text(ms: int, text: str) -> None:
    assert duration_text(ms) == text


def test_what_is_no_window() -> None:
    with pytest.raises(WindowError, match="at least a millisecond"):
        Fixed(0)
    with pytest.raises(WindowError, match="at least a millisecond"):
        FixedDaily(-1, "UTC")
    with pytest.raises(WindowError, match="0 to 1439"):
        FixedDaily(1, "UTC", 1440)
    with pytest.raises(WindowError, match="0 to 1439"):
        Calendar("day", "UTC", -1)
    with pytest.raises(WindowError, match="day, week or month"):
        Calendar("year", "UTC")  # type: ignore[arg-type]  # what a configuration might say
    with pytest.raises(WindowError, match="weekday"):
        Calendar("week", "UTC", 0, 7)
    with pytest.raises(WindowError, match="day of the month"):
        Calendar("month", "UTC", 0, 0, 32)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlinn", "America", "", "../etc/passwd", "/etc/localtime"]
)
def test_no_such_zone(zone: str) -> None:
    with pytest.raises(WindowError, match="no time zone is called"):
        Calendar("day", zone)


def test_a_kind_that_nobody_wrote_is_a_fault() -> None:
    stranger: Window = object()  # type: ignore[assignment]  # what the type checker keeps out
    for function in (identity, describe, lambda window: span_at(window, 0)):
        with pytest.raises(AssertionError):
            function(stranger)
