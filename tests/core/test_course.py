"""The course of a session: turns whose cost is worked out by hand, and what they are continued to."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from budgetd.core.course import (
    MINUTE,
    Habit,
    Point,
    Terms,
    caches,
    course,
    habit,
    next_turn,
)
from budgetd.core.prices import RateCard, Tier
from budgetd.core.usage import BUCKETS, Traits

# Pico-dollars a token.
RATES = {
    **dict.fromkeys(BUCKETS, 0),
    "input": 500,
    "cache_read": 50,
    "cache_write_5m": 600,
    "cache_write_1h": 1_000,
    "output": 2_500,
}
CARD = RateCard("anthropic", "opus", RATES)
MARKS = Terms(CARD, writes="5m")
PLAIN = Terms(CARD)


def point(number: int, size: int, *, cached: int = 0, output: int = 100, cost: int = 0) -> Point:
    return Point(number * MINUTE, size, output, cached, cost)


def warm_turns(*sizes: int, factor: int = 1) -> list[Point]:
    """Turns that found all that stood before in the cache and wrote the rest, at `factor` times the
    price."""
    points, before = [], 0
    for number, size in enumerate(sizes):
        cost = before * 50 + (size - before) * 600 + 100 * 2_500
        points.append(point(number, size, cached=before, cost=cost * factor))
        before = size
    return points


# ----------------------------------------------------------------------------- is there a cache?


def test_a_cache_is_there_when_it_was_seen_or_had_no_chance_yet() -> None:
    first, second = point(0, 10_000), point(1, 12_000, cached=5_000)
    assert caches([first, second], PLAIN)
    assert not caches([first, replace(second, cached=4_999)], PLAIN)
    assert caches([first], MARKS)
    assert caches([first, point(1, 12_000)], MARKS)
    # Asked for twice and never found: the provider has none.
    assert not caches([first, point(1, 12_000), point(2, 14_000)], MARKS)
    assert not caches([first], PLAIN)
    assert not caches([point(0, 0), point(1, 9_000)], PLAIN)


def test_a_cache_that_was_last_seen_long_ago_is_gone() -> None:
    then = warm_turns(10_000, 12_000)
    cold = [point(2 + number, 14_000) for number in range(20)]
    assert caches([*then, *cold[:18]], PLAIN)
    assert not caches([*then, *cold], PLAIN)


# --------------------------------------------------------------------------------- the next turn


def test_the_next_turn_by_hand() -> None:
    points = warm_turns(10_000, 12_000, 14_000)
    answer = 100 * 2_500
    assert next_turn(points, MARKS) == (
        14_000 * 50 + 2_000 * 600 + answer,
        16_000 * 600 + answer,
    )
    hour = Terms(CARD, writes="1h")
    assert next_turn(points, hour) == (14_000 * 50 + 2_000_000 + answer, 16_000_000 + answer)
    # Nothing is asked for, but hits were seen: what is new is plain input.
    assert next_turn(points, PLAIN) == (14_000 * 50 + 1_000_000 + answer, 8_000_000 + answer)
    writes = Terms(replace(CARD, unasked_writes=True))
    assert next_turn(points, writes) == next_turn(points, MARKS)


def test_without_a_cache_warm_and_cold_are_the_same() -> None:
    points = [point(0, 10_000), point(1, 12_000), point(2, 14_000)]
    assert next_turn(points, PLAIN) == (8_250_000, 8_250_000)
    # Marks that nobody heeds are not paid for.
    assert next_turn(points, MARKS) == (8_250_000, 8_250_000)


def test_after_one_turn_its_answer_is_what_comes_to_it() -> None:
    points = [point(0, 10_000, output=400)]
    assert next_turn(points, MARKS) == (
        10_000 * 50 + 400 * 600 + 400 * 2_500,
        10_400 * 600 + 400 * 2_500,
    )


def test_a_compaction_is_no_growth_and_nothing_grows_beyond_the_window() -> None:
    points = warm_turns(40_000, 42_000)
    points += [point(2, 10_000), point(3, 13_000, cached=10_000)]
    # Rises of 2,000 and 3,000.
    warm = 13_000 * 50 + 2_500 * 600 + 250_000
    assert next_turn(points, MARKS) == (warm, 15_500 * 600 + 250_000)
    narrow = replace(MARKS, window=14_000)
    assert next_turn(points, narrow)[1] == 14_000 * 600 + 250_000
    assert next_turn(points, replace(MARKS, window=1_000))[1] == 13_000 * 600 + 250_000


def test_a_context_that_shrinks_a_little_is_read_as_it_is() -> None:
    points = warm_turns(10_000, 10_000)
    shrunk = [*points, point(2, 9_000, cached=9_000)]
    shrunk.append(point(3, 8_500, cached=8_500))
    assert next_turn(shrunk, MARKS)[0] == 8_500 * 50 + 250_000


def test_a_cache_that_is_dearer_than_none_is_no_warmth() -> None:
    dear = Terms(replace(CARD, rates={**RATES, "cache_read": 9_000}), writes="5m")
    warm, cold = next_turn(warm_turns(10_000, 12_000), dear)
    assert warm == cold == 14_000 * 600 + 250_000


def test_the_next_turn_has_the_rates_of_its_place_and_length() -> None:
    dear = Tier(15_999, {**RATES, "cache_write_5m": 1_200})
    far = replace(CARD, tiers=(dear,), geo={"us": (11, 10)}, per_request=7)
    terms = Terms(far, Traits(geo="us"), "5m")
    _, cold = next_turn(warm_turns(10_000, 12_000, 14_000), terms)
    assert cold == (16_000 * 1_200 + 250_000) * 11 // 10 + 7


# ------------------------------------------------------------------------------------- the habit


def test_too_few_turns_are_no_habit() -> None:
    assert habit([], MARKS) is None
    assert habit(warm_turns(10_000, 12_000), MARKS) is None
    assert habit([point(0, 90_000), point(1, 50_000), point(2, 9_000)], MARKS) is None


def test_a_habit_by_hand() -> None:
    points = warm_turns(10_000, 12_000, 18_000, factor=3)
    found = habit(points, MARKS)
    # The second and third turn: 10,000 x 50 + 2,000 x 600 + 250,000 and 12,000 x 50 + ... .
    made = 500_000 + 1_200_000 + 250_000 + 600_000 + 3_600_000 + 250_000
    assert found == Habit(
        rise=4_000_000,
        output=100_000,
        pace=MINUTE,
        caches=True,
        peak=None,
        trough=0,
        cold=(0, 2),
        paid=(3 * made, made),
    )


def test_what_was_spent_beside_the_turns_counts_and_the_first_turn_does_not() -> None:
    points = warm_turns(10_000, 12_000, 14_000)
    points[0] = replace(points[0], beside=10**9)
    points[2] = replace(points[2], beside=5_000)
    found = habit(points, MARKS)
    assert found is not None
    assert found.paid[0] == found.paid[1] + 5_000


def test_cold_turns_are_shared_out() -> None:
    points = warm_turns(10_000, 12_000, 14_000, 16_000)
    points[2] = replace(points[2], cached=0, cost=14_000 * 600 + 250_000)
    found = habit(points, MARKS)
    assert found is not None
    assert found.cold == (1, 3)
    # Each of the turns is made to have a third of a cold one's cost.
    saved = (10_000 + 12_000 + 14_000) * 550
    cold = (12_000 + 14_000 + 16_000) * 600 + 750_000
    paid, made = found.paid
    assert paid == sum(each.cost for each in points[1:])
    assert made == cold - saved * 2 // 3 - 1  # rounded turn by turn


def test_compactions_make_a_saw() -> None:
    points = warm_turns(40_000, 50_000)
    points += [point(2, 10_000), point(3, 25_000), point(4, 60_000), point(5, 20_000)]
    found = habit(points, replace(MARKS, window=200_000))
    assert found is not None
    assert (found.peak, found.trough) == (55_000_000, 15_000_000)
    assert found.rise == (10_000 + 15_000 + 35_000) * 1_000 // 3
    # Where the context is above where it fell, it does not fall there any more.
    higher = habit([*points, point(6, 70_000)], MARKS)
    assert higher is not None
    assert higher.peak == 70_000_000


def test_without_a_compaction_the_window_says_when_there_will_be_one() -> None:
    found = habit(warm_turns(10_000, 12_000, 14_000), replace(MARKS, window=160_000))
    assert found is not None
    assert (found.peak, found.trough) == (144_000_000, 20_000_000)


def test_idle_times_are_no_work() -> None:
    def pace(*gaps: int) -> int:
        at, points = 0, [point(0, 10_000)]
        for gap in gaps:
            at += gap
            points.append(replace(point(0, 10_000), at=at))
        found = habit(points, PLAIN)
        assert found is not None
        return found.pace

    assert pace(20_000, 40_000, 60_000) == 40_000
    assert pace(20_000, 40_000, 600_000) == 660_000 // 3
    assert pace(20_000, 40_000, 600_001) == 30_000
    # An agent that wakes every half hour works at that pace.
    assert pace(30 * MINUTE, 30 * MINUTE, 30 * MINUTE, 500 * MINUTE) == 30 * MINUTE
    assert pace(30 * MINUTE, 30 * MINUTE, 120 * MINUTE) == 60 * MINUTE
    assert pace(30 * MINUTE, 30 * MINUTE, 120 * MINUTE + 1) == 30 * MINUTE


def test_turns_of_another_model_tell_nothing_of_the_price() -> None:
    dear = [replace(each, model="a") for each in warm_turns(10_000, 12_000, 14_000, factor=9)]
    cheap = [replace(each, model="b") for each in warm_turns(16_000, 18_000, 20_000)]
    found, found_alone = habit([*dear, *cheap[:2]], MARKS), habit([*dear, cheap[0]], MARKS)
    assert found is not None
    assert found_alone is not None
    # One turn of b after another is too few: the card must do, and a warm cache.
    assert (found.paid, found.cold) == (found_alone.paid, found_alone.cold) == ((1, 1), (0, 1))
    found = habit([*dear, *cheap], MARKS)
    assert found is not None
    assert found.paid[0] == found.paid[1]
    assert found.rise == 2_000_000  # all of them tell how the context rises


def test_a_card_without_prices_scales_nothing() -> None:
    free = Terms(replace(CARD, rates=dict.fromkeys(BUCKETS, 0)))
    found = habit(warm_turns(10_000, 12_000, 14_000), free)
    assert found is not None
    assert found.paid == (1, 1)


# ------------------------------------------------------------------------------------ the course

STEADY = Habit(
    rise=2_000_000, output=100_000, pace=MINUTE, caches=True, peak=None, trough=0, cold=(0, 1)
)


def sums(found: Habit, terms: Terms, *, most: int = 3, enough: int | None = None) -> list[int]:
    return course(found, terms, 10_000, enough=enough, most=most)


def steps(found: Habit, terms: Terms, most: int = 3) -> list[int]:
    added = [0, *sums(found, terms, most=most)]
    return [now - before for before, now in pairwise(added)]


def test_turns_to_come_by_hand() -> None:
    new = 2_000 * 600 + 250_000
    assert steps(STEADY, MARKS) == [10_000 * 50 + new, 12_000 * 50 + new, 14_000 * 50 + new]
    # One of four finds the cache cold.
    cold = replace(STEADY, cold=(1, 4))
    assert steps(cold, MARKS, 1) == [12_000 * 600 - 10_000 * 550 * 3 // 4 + 250_000]
    # Without a cache all of it is plain input.
    assert steps(replace(STEADY, caches=False), MARKS, 1) == [12_000 * 500 + 250_000]


def test_it_ends_with_the_turn_that_is_too_much() -> None:
    one, two, three = sums(STEADY, MARKS)
    assert sums(STEADY, MARKS, enough=0) == [one]
    assert sums(STEADY, MARKS, enough=one - 1) == [one]
    assert sums(STEADY, MARKS, enough=one) == [one, two]
    assert sums(STEADY, MARKS, enough=10**18) == [one, two, three]


def test_the_context_falls_at_its_peak_and_is_written_anew() -> None:
    saw = replace(STEADY, peak=13_000_000, trough=4_000_000)
    new = 2_000 * 600 + 250_000
    assert steps(replace(saw, peak=14_000_000), MARKS)[:2] == steps(STEADY, MARKS)[:2]
    assert steps(saw, MARKS) == [10_000 * 50 + new, 4_000 * 600 + 250_000, 4_000 * 50 + new]
    # It falls to nothing above itself.
    high = replace(STEADY, peak=11_000_000, trough=90_000_000)
    assert steps(high, MARKS) == [10_000 * 50 + 250_000] * 3


def test_a_context_never_falls_below_nothing() -> None:
    assert steps(replace(STEADY, rise=-9_000_000), PLAIN) == [
        1_000 * 500 + 250_000,  # so far down is a fall
        250_000,
        250_000,
    ]


def test_a_read_that_is_dearer_than_plain_input_saves_nothing() -> None:
    dear = Terms(replace(CARD, rates={**RATES, "cache_read": 9_000}), writes="5m")
    assert steps(STEADY, dear, 1) == [12_000 * 600 + 250_000]


@pytest.mark.parametrize(("place", "over", "under"), [("us", 11, 10), (None, 1, 1), ("", 1, 1)])
def test_length_place_and_fees_count(place: str | None, over: int, under: int) -> None:
    tier = Tier(11_999, {**RATES, "output": 5_000})
    card = replace(CARD, tiers=(tier,), geo={"us": (11, 10)}, per_request=7)
    turn = (10_000 * 50 + 2_000 * 600 + 500_000) * over // under + 7
    assert steps(STEADY, Terms(card, Traits(geo=place), "5m"), 1) == [turn]
    shorter = replace(card, tiers=(replace(tier, above=12_000),))
    less = turn - 250_000 * over // under
    assert steps(STEADY, Terms(shorter, Traits(geo=place), "5m"), 1) == [less]
