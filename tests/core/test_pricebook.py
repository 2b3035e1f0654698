"""The price book: the right card for a name, a time and traits; the dearest one where that cannot be known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from budgetd.core.names import NameIndex
from budgetd.core.pricebook import (
    DAY_MS,
    History,
    ModelPrices,
    PriceBook,
    ProviderPrices,
    Season,
    still_to_come,
    variants_of,
)
from budgetd.core.prices import RateCard, Tier
from budgetd.core.usage import BUCKETS, Traits

HOUR = 3_600_000
MARCH = 20_000 * DAY_MS  # a midnight
NOW = MARCH + 12 * HOUR
PLAIN = Traits()


def card(dollars: int, variant: str = "", output: int = 0) -> RateCard:
    rates = {**dict.fromkeys(BUCKETS, dollars), "output": output or dollars}
    return RateCard("p", "m", rates, source="a list", as_of="2026-11-09", variant=variant)


def always(one: RateCard) -> History:
    return (Season(0, ((0, one),)),)


def book(prices: ModelPrices, **known: object) -> PriceBook:
    shelf = ProviderPrices(NameIndex([(prices.name, prices)], ["p"]))
    return PriceBook({"p": replace(shelf, **known)})  # type: ignore[arg-type]  # fields by name


def rate(found: RateCard | None) -> int:
    assert found is not None
    return found.rates["input"]


def test_what_is_not_named_has_no_card() -> None:
    priced = book(ModelPrices("m", always(card(5))))
    assert priced.find("p", "m", PLAIN, NOW) == card(5)
    assert priced.find("p", "p/m", PLAIN, NOW) == card(5)
    assert priced.find("p", "m-fast", PLAIN, NOW) is None
    assert priced.find("q", "m", PLAIN, NOW) is None
    assert priced.bound("p", "m-fast", PLAIN, NOW) is None
    assert PriceBook().find("p", "m", PLAIN, NOW) is None
    sold = [("p", "m"), ("p", "m-fast"), ("q", "m")]
    assert [priced.names(*one) for one in sold] == [True, False, False]


def test_a_price_holds_from_its_date_on() -> None:
    history = (Season(MARCH, ((0, card(5)),)), Season(MARCH + 10 * DAY_MS, ((0, card(3)),)))
    priced = book(ModelPrices("m", history))
    ages = [0, MARCH, MARCH + 10 * DAY_MS - 1, MARCH + 10 * DAY_MS, MARCH + 99 * DAY_MS]
    assert [rate(priced.find("p", "m", PLAIN, at)) for at in ages] == [5, 5, 5, 3, 3]


DAY = ((0, card(1)), (1 * HOUR, card(2)), (4 * HOUR, card(1, output=9)))


@pytest.mark.parametrize(
    ("hour", "dollars"),
    [(0, 1), (1 * HOUR - 1, 1), (1 * HOUR, 2), (4 * HOUR - 1, 2), (4 * HOUR, 1)],
)
def test_a_time_of_day_has_its_price(hour: int, dollars: int) -> None:
    priced = book(ModelPrices("m", (Season(0, DAY),)))
    assert rate(priced.find("p", "m", PLAIN, MARCH + hour)) == dollars


def test_a_bound_takes_the_dearest_of_the_day_in_every_bucket() -> None:
    bound = book(ModelPrices("m", (Season(0, DAY),))).bound("p", "m", PLAIN, MARCH)
    assert bound is not None
    assert (bound.rates["input"], bound.rates["output"], bound.estimated) == (2, 9, False)


def test_a_bound_sees_a_price_that_starts_within_a_day() -> None:
    history = (Season(0, ((0, card(1)),)), Season(MARCH, ((0, card(7)),)))
    priced = book(ModelPrices("m", history))
    assert rate(priced.bound("p", "m", PLAIN, MARCH - DAY_MS)) == 7
    assert rate(priced.bound("p", "m", PLAIN, MARCH - DAY_MS - 1)) == 1
    assert rate(priced.bound("p", "m", PLAIN, MARCH)) == 7


FLEX = {"service_tier=flex": always(card(2, "service_tier=flex"))}
TIERS = {**FLEX, "service_tier=priority": always(card(10, "service_tier=priority"))}


def test_a_listed_variant_has_its_own_card() -> None:
    priced = book(ModelPrices("m", always(card(5)), TIERS))
    assert (
        priced.find("p", "m", Traits(service_tier="flex"), NOW)
        == TIERS["service_tier=flex"][0].cards()[0]
    )
    assert rate(priced.find("p", "m", Traits(service_tier="Priority"), NOW)) == 10


@pytest.mark.parametrize(
    "word", ["default", "auto", "standard", "standard_only", "on_demand", "not_available", "", None]
)
def test_words_for_nothing_special_are_the_standard_price(word: str | None) -> None:
    priced = book(ModelPrices("m", always(card(5)), TIERS))
    assert priced.find("p", "m", Traits(service_tier=word, speed=word), NOW) == card(5)


def test_an_unlisted_variant_is_the_dearest_there_is_and_says_so() -> None:
    found = book(ModelPrices("m", always(card(5)), TIERS)).find(
        "p", "m", Traits(service_tier="scale"), NOW
    )
    assert found is not None
    assert (rate(found), found.estimated, found.variant) == (10, True, "service_tier=scale")


def test_a_model_without_variants_costs_what_the_trait_adds_to_its_siblings() -> None:
    tiered = replace(card(5), tiers=(Tier(100, dict.fromkeys(BUCKETS, 7)),))
    priced = book(ModelPrices("m", always(tiered)), surcharges={"speed=fast": (5, 2)})
    found = priced.find("p", "m", Traits(speed="fast"), NOW)
    assert found is not None
    # 5 x 2.5 = 12.5 and 7 x 2.5 = 17.5, up; a search is no token
    assert (found.rates["output"], found.tiers[0].rates["output"]) == (13, 18)
    assert (found.rates["web_searches"], found.estimated, found.variant) == (5, True, "speed=fast")


def test_a_surcharge_that_is_a_discount_lowers_nothing() -> None:
    priced = book(ModelPrices("m", always(card(5))), surcharges={"batch": (1, 2)})
    assert rate(priced.find("p", "m", Traits(service_tier="batch"), NOW)) == 5


def test_two_traits_at_once_cost_the_dearer_and_are_flagged() -> None:
    variants = {**TIERS, "speed=fast": always(card(30, "speed=fast"))}
    found = book(ModelPrices("m", always(card(5)), variants)).find(
        "p", "m", Traits("flex", "fast"), NOW
    )
    assert found is not None
    assert (rate(found), found.estimated, found.variant) == (
        30,
        True,
        "service_tier=flex+speed=fast",
    )


def test_traits_name_their_variants() -> None:
    assert variants_of(Traits("batch")) == ("batch",)
    assert variants_of(Traits("flex", "fast", "us")) == ("service_tier=flex", "speed=fast")
    assert variants_of(Traits(geo="us")) == ()


def test_the_ceiling_is_what_the_provider_has_and_counts_variants_when_asked_for() -> None:
    model = ModelPrices("m", always(card(5)))
    priced = book(model, ceiling=card(50), variant_ceiling=card(90))
    assert rate(priced.ceiling("p")) == 50
    assert rate(priced.ceiling("p", Traits(service_tier="default"))) == 50
    assert rate(priced.ceiling("p", Traits(service_tier="priority"))) == 90
    assert priced.ceiling("q") is None
    assert book(model).ceiling("p") is None


def test_prices_still_to_come() -> None:
    history = tuple(Season(start * DAY_MS, ((0, card(start)),)) for start in (1, 2, 3))
    assert [rate(one) for one in still_to_come(history, 2 * DAY_MS)] == [2, 3]
    assert [rate(one) for one in still_to_come(history, 0)] == [1, 2, 3]
