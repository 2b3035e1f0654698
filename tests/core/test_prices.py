"""Rate cards: figures worked out by hand to the pico-dollar, and what must hold of every card."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.prices import (
    FEES,
    RateCard,
    Rates,
    Tier,
    Writes,
    dearest,
    geo_ratio,
    price,
    worst_input_rate,
    worst_output_rate,
)
from budgetd.core.usage import BUCKETS, Traits, Usage

# Pico-dollars a token: $1 per million tokens is 1,000,000.
OPUS_RATES = {
    "input": 5_000_000,
    "cache_read": 500_000,
    "cache_write_5m": 6_250_000,
    "cache_write_1h": 10_000_000,
    "output": 25_000_000,
    "reasoning": 25_000_000,
    "input_audio": 7_000_000,
    "cache_read_audio": 700_000,
    "output_audio": 40_000_000,
    "input_image": 8_000_000,
    "output_image": 30_000_000,
    "web_searches": 10_000_000_000,
}
GEO = {"global": (1, 1), "us": (11, 10)}
OPUS = RateCard("anthropic", "opus", OPUS_RATES, source="a list", as_of="2026-11-09", geo=GEO)
LONG = {**OPUS_RATES, "input": 10_000_000, "cache_read": 1_000_000, "output": 37_500_000}
TIERED = replace(OPUS, tiers=(Tier(200_000, LONG),))
FLAT, FLAT_TIERED = replace(OPUS, geo={}), replace(TIERED, geo={})


@pytest.mark.parametrize(
    ("usage", "pico"),
    [
        (Usage(), 0),
        (Usage(input=3), 15_000_000),  # 3 x 5,000,000
        (Usage(cache_read=50_001), 25_000_500_000),  # 50,001 x 500,000
        (Usage(cache_write_5m=7), 43_750_000),  # 7 x 6,250,000
        (Usage(cache_write_1h=7), 70_000_000),  # 7 x 10,000,000
        (Usage(output=11), 275_000_000),  # 11 x 25,000,000
        (Usage(reasoning=11), 275_000_000),
        (Usage(input_audio=2), 14_000_000),
        (Usage(cache_read_audio=2), 1_400_000),
        (Usage(output_audio=2), 80_000_000),
        (Usage(input_image=2), 16_000_000),
        (Usage(output_image=2), 60_000_000),
        (Usage(web_searches=3), 30_000_000_000),  # 3 x $0.01
        # 1,000 x 5,000,000 + 50,000 x 500,000 + 800 x 25,000,000 = 5e9 + 25e9 + 20e9
        (Usage(input=1000, cache_read=50_000, output=800), 50_000_000_000),
    ],
)
def test_each_bucket_at_its_own_rate(usage: Usage, pico: int) -> None:
    assert price(OPUS, usage) == pico


def test_a_tier_prices_the_whole_request_once_its_input_is_above() -> None:
    at = Usage(input=150_000, cache_read=50_000, output=100)
    above = replace(at, cache_read=50_001)

    # 150,000 x 5e6 + 50,000 x 5e5 + 100 x 25e6 = 750e9 + 25e9 + 2.5e9
    assert price(TIERED, at) == 777_500_000_000
    # 150,000 x 10e6 + 50,001 x 1e6 + 100 x 37.5e6 = 1,500e9 + 50.001e9 + 3.75e9
    assert price(TIERED, above) == 1_553_751_000_000


def test_of_several_tiers_the_highest_that_is_passed() -> None:
    top = {**LONG, "input": 20_000_000}
    card = replace(TIERED, tiers=(*TIERED.tiers, Tier(400_000, top)))
    assert [card.rates_for(total)["input"] for total in (200_000, 200_001, 400_000, 400_001)] == [
        5_000_000,
        10_000_000,
        10_000_000,
        20_000_000,
    ]


def test_geo_multiplies_tokens_and_not_fees_and_rounds_up_once() -> None:
    odd = replace(OPUS, rates={**OPUS_RATES, "input": 3, "output": 3})
    usage = Usage(input=1, output=2, web_searches=1)

    # 1 x 3 + 2 x 3 = 9, x 1.1 = 9.9, up to 10; $0.01 for the search as it is
    assert price(odd, usage, Traits(geo="us")) == 10 + 10_000_000_000
    assert price(odd, usage, Traits(geo="global")) == 9 + 10_000_000_000
    assert price(odd, usage) == 9 + 10_000_000_000


def test_a_place_that_is_not_listed_costs_the_dearest_listed() -> None:
    assert geo_ratio(OPUS, "mars") == (11, 10)
    assert geo_ratio(replace(OPUS, geo={}), "mars") == (1, 1)
    assert geo_ratio(OPUS, None) == (1, 1)


def test_the_request_itself_may_cost() -> None:
    assert price(replace(OPUS, per_request=12_000_000_000), Usage(input=1)) == 12_005_000_000


@pytest.mark.parametrize(
    ("writes", "rate"), [("none", 5_000_000), ("5m", 6_250_000), ("1h", 10_000_000)]
)
def test_input_is_bounded_by_the_dearest_write_that_was_asked_for(
    writes: Writes, rate: int
) -> None:
    assert worst_input_rate(FLAT, 1000, writes=writes) == rate


def test_a_provider_that_writes_unasked_is_priced_as_writing() -> None:
    card = replace(FLAT, unasked_writes=True)
    assert worst_input_rate(card, 1000, writes="none") == 6_250_000


def test_audio_and_images_count_only_where_they_may_be() -> None:
    assert worst_input_rate(FLAT, 1000, writes="none", audio=True) == 7_000_000
    assert worst_input_rate(FLAT, 1000, writes="none", images=True) == 8_000_000
    assert worst_output_rate(FLAT, 1000) == 25_000_000
    assert worst_output_rate(FLAT, 1000, audio=True) == 40_000_000
    assert worst_output_rate(FLAT, 1000, images=True) == 30_000_000


def test_the_cliff_counts_once_the_bound_passes_it() -> None:
    assert worst_input_rate(FLAT_TIERED, 200_000, writes="none") == 5_000_000
    assert worst_input_rate(FLAT_TIERED, 200_001, writes="none") == 10_000_000
    assert worst_output_rate(FLAT_TIERED, 200_001) == 37_500_000


def test_a_bound_holds_the_geo_multiplier() -> None:
    # 5,000,000 x 1.1; 25,000,000 x 1.1
    assert worst_input_rate(OPUS, 1000, Traits(geo="us"), writes="none") == 5_500_000
    assert worst_output_rate(OPUS, 1000, Traits(geo="us")) == 27_500_000
    assert worst_output_rate(OPUS, 1000, Traits(geo="global")) == 25_000_000


def test_a_bound_without_a_place_holds_the_dearest_for_the_account_may_have_set_it() -> None:
    assert worst_input_rate(OPUS, 1000, writes="none") == 5_500_000
    assert worst_output_rate(OPUS, 1000) == 27_500_000


def test_the_dearest_of_one_is_itself() -> None:
    assert dearest([TIERED]) is TIERED


def test_the_dearest_of_several_takes_each_bucket_and_tier_from_whoever_asks_most() -> None:
    cheap = RateCard(
        "anthropic",
        "haiku",
        {**dict.fromkeys(BUCKETS, 1), "output": 26_000_000},
        tiers=(
            Tier(100_000, {**dict.fromkeys(BUCKETS, 2), "input": 9_000_000}),
            Tier(300_000, LONG),
        ),
        as_of="2026-11-10",
        per_request=5,
        unasked_writes=True,
        estimated=True,
        derived=("web_searches",),
    )
    top = dearest([TIERED, cheap], model="*", variant="any", source="both")

    assert (top.provider, top.model, top.variant, top.source) == ("anthropic", "*", "any", "both")
    assert top.as_of == "2026-11-10"
    assert top.rates == {**OPUS_RATES, "output": 26_000_000}
    # Above 300,000 both cost the same as above 200,000: no third tier.
    assert [tier.above for tier in top.tiers] == [100_000, 200_000]
    assert top.tiers[0].rates == {**OPUS_RATES, "input": 9_000_000}
    assert top.geo == {"global": (1, 1), "us": (11, 10)}
    assert (top.per_request, top.unasked_writes, top.estimated, top.derived) == (
        5,
        True,
        True,
        ("web_searches",),
    )


def test_a_row_holds_what_repeats_the_price_and_nothing_that_is_zero() -> None:
    card = RateCard(
        "p",
        "m",
        {**dict.fromkeys(BUCKETS, 0), "input": 5},
        tiers=(Tier(10, {**dict.fromkeys(BUCKETS, 0), "input": 7}),),
        source="a list",
        as_of="2026-11-09",
        variant="batch",
        geo={"us": (11, 10)},
        per_request=3,
        estimated=True,
        derived=("reasoning",),
    )
    assert json.loads(card.row_text()) == {
        "provider": "p",
        "model": "m",
        "source": "a list",
        "as_of": "2026-11-09",
        "variant": "batch",
        "rates": {"input": 5},
        "tiers": [{"above": 10, "rates": {"input": 7}}],
        "geo": {"us": [11, 10]},
        "per_request": 3,
        "estimated": True,
        "derived": ["reasoning"],
    }
    assert set(RateCard("p", "m", dict.fromkeys(BUCKETS, 0)).row()) == {
        "provider",
        "model",
        "source",
        "as_of",
        "rates",
    }


def test_equal_cards_have_equal_text() -> None:
    backwards = dict(reversed(OPUS_RATES.items()))
    assert replace(OPUS, rates=backwards).row_text() == OPUS.row_text()


def test_a_card_is_read_back_from_its_row() -> None:
    full = replace(
        TIERED,
        variant="batch",
        per_request=3,
        estimated=True,
        derived=("reasoning",),
        rates={**OPUS_RATES, "output_audio": 0},
    )
    for card in (full, OPUS, FLAT, RateCard("p", "m", dict.fromkeys(BUCKETS, 0))):
        assert RateCard.from_row_text(card.row_text()) == card
    # The one thing that a row does not say.
    silent = replace(OPUS, unasked_writes=True)
    assert RateCard.from_row_text(silent.row_text()) == OPUS


@pytest.mark.parametrize("text", ["nonsense", "[]", "3", "{}", '{"rates": 1}', '{"geo": []}'])
def test_what_is_no_row_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"row|Expecting"):
        RateCard.from_row_text(text)


# ------------------------------------------------------------------------------------- properties

RATE = st.integers(0, 10**9)
RATES: st.SearchStrategy[Rates] = st.fixed_dictionaries(dict.fromkeys(BUCKETS, RATE))
COUNT = st.integers(0, 300_000)
PLACE = st.sampled_from([None, "us", "global", "mars"])
WRITES: st.SearchStrategy[Writes] = st.sampled_from(["none", "5m", "1h"])
USAGES = st.builds(Usage, *(COUNT for _ in BUCKETS))


@st.composite
def cards(draw: st.DrawFn, *, rising: bool = False) -> RateCard:
    base = draw(RATES)
    tiers: list[Tier] = []
    for above in sorted(draw(st.sets(st.integers(0, 500_000), max_size=3))):
        rates = draw(RATES)
        if rising:
            last = tiers[-1].rates if tiers else base
            rates = {bucket: max(rates[bucket], last[bucket]) for bucket in BUCKETS}
        tiers.append(Tier(above, rates))
    geo = draw(st.sampled_from([{}, GEO]))
    return RateCard(
        "p",
        "m",
        base,
        tuple(tiers),
        geo=geo,
        per_request=draw(RATE),
        unasked_writes=draw(st.booleans()),
    )


@given(cards(rising=True), USAGES, st.sampled_from(BUCKETS), st.integers(1, 10_000), PLACE)
def test_more_of_anything_never_costs_less(
    card: RateCard, usage: Usage, bucket: str, more: int, place: str | None
) -> None:
    larger = replace(usage, **{bucket: getattr(usage, bucket) + more})
    assert price(card, larger, Traits(geo=place)) >= price(card, usage, Traits(geo=place))


@given(cards(), USAGES, PLACE, WRITES, st.booleans(), st.booleans())
def test_no_split_of_the_same_totals_costs_more_than_its_bound(
    card: RateCard, usage: Usage, place: str | None, writes: Writes, audio: bool, images: bool
) -> None:
    usage = replace(
        usage,
        cache_write_5m=usage.cache_write_5m if writes != "none" or card.unasked_writes else 0,
        cache_write_1h=usage.cache_write_1h if writes == "1h" else 0,
        **({} if audio else {"input_audio": 0, "cache_read_audio": 0, "output_audio": 0}),
        **({} if images else {"input_image": 0, "output_image": 0}),
    )
    traits = Traits(geo=place)
    total = usage.total_input
    into = worst_input_rate(card, total, traits, writes=writes, audio=audio, images=images)
    out = worst_output_rate(card, total, traits, audio=audio, images=images)
    fees = card.per_request + usage.web_searches * max(
        rates["web_searches"] for rates in (card.rates, *(tier.rates for tier in card.tiers))
    )
    assert price(card, usage, traits) <= total * into + usage.total_output * out + fees


@given(st.lists(cards(), min_size=1, max_size=4), USAGES, PLACE)
def test_the_dearest_card_is_never_below_any_of_its_parts(
    several: list[RateCard], usage: Usage, place: str | None
) -> None:
    top = dearest(several)
    assert all(
        price(top, usage, Traits(geo=place)) >= price(card, usage, Traits(geo=place))
        for card in several
    )


@given(cards(), USAGES)
def test_a_price_is_an_integer(card: RateCard, usage: Usage) -> None:
    assert type(price(card, usage, Traits(geo="us"))) is int


def test_fees_are_buckets() -> None:
    assert set(BUCKETS) >= FEES
