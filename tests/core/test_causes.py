"""Causes: parts of a cost worked out by hand, and that every pico-dollar is in one place."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.causes import SEVEN, Cause, Causes, Split, cause_of, split, whole
from budgetd.core.prices import RateCard, Tier, price
from budgetd.core.usage import BUCKETS, Traits, Usage

# Pico-dollars a token.
RATES = {
    **dict.fromkeys(BUCKETS, 0),
    "input": 500,
    "cache_read": 50,
    "cache_write_5m": 625,
    "cache_write_1h": 1000,
    "output": 2500,
    "reasoning": 2500,
    "input_audio": 700,
    "cache_read_audio": 70,
    "input_image": 800,
}
CARD = RateCard("anthropic", "opus", RATES)
COLD = Usage(cache_write_5m=9_000, input=1_000, output=100)


def parts(usage: Usage, *, resent: int, card: RateCard = CARD, warm: bool = True) -> Split:
    return split(price(card, usage), usage, card, resent=resent, warm=warm)


# ---------------------------------------------------------------------------------- parts by hand


@pytest.mark.parametrize(
    ("usage", "resent", "cold", "reread"),
    [
        # All of it came from the cache: 8,000 x 50.
        (Usage(cache_read=8_000, cache_write_5m=500, output=9), 8_000, 0, 400_000),
        # 3,000 came from it, 5,000 were written again at 625 instead of 50.
        (Usage(cache_read=3_000, cache_write_5m=5_500), 8_000, 5_000 * 575, 400_000),
        # More came from the cache than this session had sent: another one's, and fresh here.
        (Usage(cache_read=9_000, cache_write_5m=500), 8_000, 0, 400_000),
        # Nothing came: 2,000 for an hour, 4,000 for five minutes, 1,000 as plain input.
        (
            Usage(cache_write_1h=2_000, cache_write_5m=4_000, input=3_000),
            7_000,
            2_000 * 950 + 4_000 * 575 + 1_000 * 450,
            350_000,
        ),
        # Pictures and sound behind the text, sound at its own rates.
        (
            Usage(cache_read_audio=10, input=100, input_image=20, input_audio=30),
            155,
            100 * 450 + 20 * 750 + 25 * 630,
            (100 + 20) * 50 + (10 + 25) * 70,
        ),
        # No more than there is.
        (Usage(cache_read=1_000, input=10), 50_000, 10 * 450, 1_010 * 50),
        (Usage(cache_read=1_000, input=10), 0, 0, 0),
    ],
)
def test_the_parts_of_a_call(usage: Usage, resent: int, cold: int, reread: int) -> None:
    assert parts(usage, resent=resent) == Split("work", cold, reread)


def test_where_no_cache_was_ever_seen_nothing_is_cold() -> None:
    usage = Usage(input=9_000, output=100)
    assert parts(usage, resent=8_000, warm=False) == Split("work", 0, 8_000 * 500)
    assert parts(usage, resent=8_000, warm=True) == Split("work", 8_000 * 450, 8_000 * 50)


def test_a_cache_that_is_no_cheaper_leaves_nothing_cold() -> None:
    dear = replace(CARD, rates={**RATES, "cache_read": 500})
    assert parts(Usage(input=1_000), resent=800, card=dear) == Split("work", 0, 400_000)
    dearer = replace(CARD, rates={**RATES, "cache_read": 900})
    assert parts(Usage(input=1_000), resent=800, card=dearer) == Split("work", 0, 400_000)


def test_a_long_context_has_its_own_rates() -> None:
    tiered = replace(
        CARD, tiers=(Tier(9_999, {**RATES, "cache_read": 100, "cache_write_5m": 1_250}),)
    )
    assert parts(COLD, resent=9_000, card=tiered) == Split("work", 9_000 * 1_150, 900_000)
    short = replace(COLD, input=999)
    assert parts(short, resent=9_000, card=tiered) == Split("work", 9_000 * 575, 450_000)


def test_a_place_makes_every_token_dearer() -> None:
    card = replace(CARD, geo={"us": (11, 10), "moon": (3, 1)})
    for traits, over, under in ((Traits(geo="us"), 11, 10), (Traits(geo="mars"), 3, 1)):
        cost = price(card, COLD, traits)
        found = split(cost, COLD, card, traits, resent=9_000, warm=True)
        assert found == Split("work", 9_000 * 575 * over // under, 450_000 * over // under)
    for traits in (Traits(), Traits(geo="")):
        found = split(price(card, COLD, traits), COLD, card, traits, resent=9_000, warm=True)
        assert found == Split("work", 9_000 * 575, 450_000)


def test_a_stated_cost_is_divided_in_the_same_proportions() -> None:
    listed = price(CARD, COLD)
    assert listed == 9_000 * 625 + 1_000 * 500 + 100 * 2_500
    for stated in (listed * 2, listed // 3, 1):
        found = split(stated, COLD, CARD, resent=9_000, warm=True)
        assert found.cold == 9_000 * 575 * stated // listed
        assert found.reread == 450_000 * stated // listed


def test_what_cost_nothing_has_no_parts() -> None:
    assert split(0, COLD, CARD, resent=9_000, warm=True) == Split("work", 0, 0)
    free = replace(CARD, rates=dict.fromkeys(BUCKETS, 0))
    # The provider states a cost for what the card has for nothing: no proportion is known.
    assert split(77, COLD, free, resent=9_000, warm=True) == Split("work", 0, 0)


def test_a_call_can_be_one_causes_altogether() -> None:
    assert whole("retry") == Split("retry", 0, 0)


@pytest.mark.parametrize(
    ("loop", "retry", "side", "cause"),
    [
        (True, True, True, "loop"),
        (False, True, True, "retry"),
        (False, False, True, "side"),
        (False, False, False, "work"),
    ],
)
def test_the_first_of_several_causes_takes_it(
    loop: bool, retry: bool, side: bool, cause: Cause
) -> None:
    assert cause_of(loop=loop, retry=retry, side=side) == cause


# ------------------------------------------------------------------------------------ sums by hand


def test_each_call_goes_where_it_belongs() -> None:
    work = Split("work", cold=30, reread=20)
    sums = Causes().add(work, 100, agent=False).add(work, 100, agent=True)
    causes: tuple[Cause, ...] = ("loop", "retry", "side")
    for at, cause in enumerate(causes):
        sums = sums.add(whole(cause), 10**at, agent=False).add(whole(cause), 10**at, agent=True)
    assert sums == Causes(loop=2, retry=20, side=200, agents=100, cold=30, reread=20, fresh=50)
    assert sums.total == 422
    assert list(sums) == [
        ("loop", 2), ("retry", 20), ("side", 200), ("agents", 100),
        ("cold", 30), ("reread", 20), ("fresh", 50),
    ]  # fmt: skip  # as they are read
    assert sums.plus(sums) == Causes(4, 40, 400, 200, 60, 40, 100)


@pytest.mark.parametrize(
    ("cost", "cold", "reread", "fresh"),
    [
        (140, 30, 20, 90),  # of 100, corrected by +40
        (60, 30, 20, 10),
        (45, 30, 15, 0),
        (12, 12, 0, 0),
        (0, 0, 0, 0),
        (-5, 0, 0, -5),
    ],
)
def test_a_correction_takes_what_was_fresh_first(
    cost: int, cold: int, reread: int, fresh: int
) -> None:
    found = Causes().add(Split("work", cold=30, reread=20), cost, agent=False)
    assert found == Causes(cold=cold, reread=reread, fresh=fresh)


def test_the_seven_are_named_in_their_order() -> None:
    assert tuple(field.name for field in fields(Causes)) == SEVEN


# ------------------------------------------------------------------------------- what always holds

COUNTS = st.integers(0, 300_000)
USAGES = st.builds(Usage, **{bucket: COUNTS for bucket in BUCKETS if bucket != "web_searches"})
CARDS = st.builds(
    lambda rates, tier, above, geo, per_request: RateCard(
        "p",
        "m",
        dict(zip(BUCKETS, rates, strict=True)),
        tiers=(Tier(above, dict(zip(BUCKETS, tier, strict=True))),),
        geo={} if geo is None else {"us": geo},
        per_request=per_request,
    ),
    *(st.lists(st.integers(0, 75_000_000), min_size=len(BUCKETS), max_size=len(BUCKETS)),) * 2,
    COUNTS,
    st.none() | st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 10**9),
)
TRAITS = st.builds(Traits, geo=st.sampled_from([None, "us", "mars"]))
CALLS = st.lists(
    st.tuples(
        USAGES,
        CARDS,
        TRAITS,
        st.integers(0, 400_000),  # tokens that were sent before
        st.none() | st.integers(0, 10**13),  # a cost that the provider stated
        st.integers(-(10**12), 10**12),  # a correction
        st.sampled_from(["work", "work", "side", "retry", "loop"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@given(CALLS)
def test_the_seven_sum_to_the_cost(calls: list[tuple]) -> None:
    sums, total = Causes(), 0
    for usage, card, traits, resent, stated, correction, cause, warm, agent in calls:
        cost = price(card, usage, traits) if stated is None else stated
        found = whole(cause)
        if cause == "work":
            found = split(cost, usage, card, traits, resent=resent, warm=warm)
            assert found.cold >= 0
            assert found.reread >= 0
            assert found.cold + found.reread <= cost
            assert warm or found.cold == 0
        sums = sums.add(found, cost + correction, agent=agent)
        total += cost + correction
    assert sums.total == sum(getattr(sums, name) for name in SEVEN) == total


@given(USAGES, CARDS, TRAITS, COUNTS, COUNTS)
def test_more_that_was_sent_before_leaves_less_that_is_fresh(
    usage: Usage, card: RateCard, traits: Traits, resent: int, more: int
) -> None:
    cost = price(card, usage, traits)
    some = split(cost, usage, card, traits, resent=resent, warm=True)
    most = split(cost, usage, card, traits, resent=resent + more, warm=True)
    assert most.cold >= some.cold
    assert most.reread >= some.reread
    assert split(cost, usage, card, traits, resent=resent, warm=False).reread >= some.reread
