"""Usage: every token in exactly one bucket, whatever the provider includes in what."""

from __future__ import annotations

from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.usage import BUCKETS, Traits, Usage, split_input, split_output

COUNT = st.integers(0, 10**7)
USAGES = st.builds(Usage, *(COUNT for _ in BUCKETS))


def test_the_totals_hold_every_token_once_and_no_fee() -> None:
    usage = Usage(*(10**place for place in range(len(BUCKETS))))
    inputs = sum(getattr(usage, name) for name in BUCKETS if name.startswith(("input", "cache")))
    outputs = sum(
        getattr(usage, name) for name in BUCKETS if name.startswith(("output", "reasoning"))
    )

    assert usage.total_input == inputs
    assert usage.total_output == outputs
    assert inputs + outputs + usage.web_searches == sum(astuple(usage))


@given(USAGES, USAGES)
def test_a_sum_is_the_sum_of_each_bucket(one: Usage, other: Usage) -> None:
    both = one.plus(other)
    assert astuple(both) == tuple(a + b for a, b in zip(astuple(one), astuple(other), strict=True))
    assert both.total_input == one.total_input + other.total_input


def test_input_that_includes_the_cache() -> None:
    assert split_input(
        1000, cache_included=True, cache_read=700, cache_write_5m=50, cache_write_1h=20
    ) == (230, 700, 50, 20)


def test_input_beside_the_cache() -> None:
    assert split_input(
        1000, cache_included=False, cache_read=700, cache_write_5m=0, cache_write_1h=9
    ) == (1000, 700, 0, 9)


def test_more_cached_than_there_is_keeps_what_was_reported() -> None:
    assert split_input(
        10, cache_included=True, cache_read=700, cache_write_5m=0, cache_write_1h=0
    ) == (0, 700, 0, 0)


@given(COUNT, COUNT, COUNT, COUNT, st.booleans())
def test_no_split_of_input_is_negative_or_below_what_was_reported(
    total: int, read: int, five: int, hour: int, included: bool
) -> None:
    parts = split_input(
        total, cache_included=included, cache_read=read, cache_write_5m=five, cache_write_1h=hour
    )
    cached = read + five + hour
    assert min(parts) >= 0
    assert sum(parts) == (max(total, cached) if included else total + cached)


def test_output_with_reasoning_inside_and_beside() -> None:
    assert split_output(500, reasoning_included=True, reasoning=300) == (200, 300)
    assert split_output(500, reasoning_included=False, reasoning=300) == (500, 300)
    assert split_output(100, reasoning_included=True, reasoning=300) == (0, 300)


def test_traits_say_nothing_unless_told() -> None:
    assert Traits() == Traits(service_tier=None, speed=None, geo=None)
