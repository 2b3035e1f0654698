"""Money, time and size as owners write them: exact, and back again."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.config import quantities as q
from budgetd.core.windows import duration_text


@given(st.decimals(min_value=0, max_value=9_000_000, places=6))
def test_amounts_come_back_as_written(amount):
    assert q.usd(q.usd_written(amount)) == amount
    assert q.usd(f"${amount:f}") == amount
    assert q.usd(amount) == amount


@given(st.integers(0, q.MAX_DURATION))
def test_durations_come_back_as_written(ms):
    assert q.duration(duration_text(ms)) == ms


@given(st.integers(1, q.MAX_SIZE))
def test_sizes_come_back_as_written(count):
    assert q.size(q.size_written(count)) == count
    assert q.size(count) == count


@given(st.integers(0, 1439))
def test_times_of_day_come_back_as_written(minutes):
    assert q.time_of_day(q.time_of_day_written(minutes)) == minutes


@given(
    st.one_of(st.text(), st.none(), st.booleans(), st.integers(), st.lists(st.text()), st.floats())
)
def test_anything_else_is_a_value_error(value):
    parsers = (q.usd, q.duration, q.size, q.time_of_day, q.moment, q.zone, q.count, q.flag)
    for parse in parsers:
        try:
            parse(value)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2.50", "2.50"), ("$2", "2.00"), (3, "3.00"), (Decimal("0.125"), "0.125"), ("$0.10", "0.10")],
)
def test_an_amount_keeps_its_digits(text, expected):
    assert q.usd_written(q.usd(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1,000", "2 USD", "1e3", "٣", "1.", "NaN", "inf", "$", True, 2.5, "9223373"],
    ids=repr,
)
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="dollars"):
        q.usd(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("90m", 5_400_000),
        ("5h", 18_000_000),
        ("1h30m", 5_400_000),
        ("2d12h", 216_000_000),
        ("1m500ms", 60_500),
        ("0s", 0),
    ],
    ids=repr,
)
def test_durations(text, ms):
    assert q.duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", 5, "5 h", "h", "1m1h", "-5h", "1.5h", "5H", "401d", None], ids=repr
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"duration|400d"):
        q.duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32MiB", 33_554_432),
        ("1kB", 1000),
        ("1KB", 1000),
        ("64KiB", 65_536),
        ("7", 7),
        (7, 7),
        ("2 GB", 2 * 10**9),
    ],
    ids=repr,
)
def test_sizes(text, size):
    assert q.size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "1.5MiB", "32Mb", "32m", "-1", True, "2048GiB"], ids=repr
)
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"size|between"):
        q.size(text)


def test_moments_have_a_time():
    assert q.moment("2026-12-31T23:59") == datetime(2026, 12, 31, 23, 59)  # noqa: DTZ001  # no zone is the point
    assert q.moment("2026-12-31 23:59Z") == datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    for text in (
        "2026-12-31",
        "31.12.2026 23:59",
        20261231,
        "1969-01-01T00:00",
        "9999-12-31T23:59",
    ):
        with pytest.raises(ValueError, match="must be"):
            q.moment(text)


def test_zones_are_names_of_zones():
    assert q.zone("Europe/Berlin") == "Europe/Berlin"
    for text in (
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe",
        "",
        None,
        "UTC+1",
        "a\0b",
    ):
        with pytest.raises(ValueError, match="must be the name of a time zone"):
            q.zone(text)


@pytest.mark.parametrize(("value", "expected"), [("12", 12), (12, 12), (0, 0)], ids=repr)
def test_counts(value, expected):
    assert q.count(value) == expected


@pytest.mark.parametrize(
    "value", ["-1", -1, True, "1.0", Decimal("1.5"), "x", None, 10**30], ids=repr
)
def test_what_is_no_count(value):
    with pytest.raises(ValueError, match="whole number"):
        q.count(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("no", False), ("ON", True), ("false", False)]
)
def test_flags(value, expected):
    assert q.flag(value) is expected


@pytest.mark.parametrize("value", [1, 0, "1", "maybe", None], ids=repr)
def test_what_is_no_flag(value):
    with pytest.raises(ValueError, match="true or false"):
        q.flag(value)
