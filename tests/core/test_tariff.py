"""Which card prices a call: the order of precedence, and what becomes of a model without a price."""

from __future__ import annotations

from dataclasses import replace

from budgetd.core.names import NameIndex
from budgetd.core.policy import Provider
from budgetd.core.pricebook import DAY_MS, ModelPrices, PriceBook, ProviderPrices, Season
from budgetd.core.prices import RateCard, price
from budgetd.core.tariff import NO_LIMITS, ModelLimits, Tariff
from budgetd.core.usage import BUCKETS, Reported, Traits, Usage

NOW = 20_000 * DAY_MS
PLAIN, FAST = Traits(), Traits(speed="fast")


def card(model: str, rate: int, *, estimated: bool = False) -> RateCard:
    return RateCard("p", model, dict.fromkeys(BUCKETS, rate), estimated=estimated)


BIG, SMALL, SMALL_FAST = card("big", 50), card("small", 10), card("small", 60)
CEILING, FAST_CEILING = card("*", 99, estimated=True), card("*", 300, estimated=True)


def prices(name: str, one: RateCard, **variants: RateCard) -> tuple[str, ModelPrices]:
    def always(c: RateCard) -> tuple[Season, ...]:
        return (Season(0, ((0, c),)),)

    listed = {f"{trait}=fast": always(c) for trait, c in variants.items()}
    return name, ModelPrices(name, always(one), listed)


SHELF = ProviderPrices(
    NameIndex([prices("big", BIG), prices("small", SMALL, speed=SMALL_FAST)], ["p"]),
    CEILING,
    FAST_CEILING,
)
LIMITS = {("cat", "small"): ModelLimits(max_output=7), ("p", "big"): ModelLimits(context=9)}
TARIFF = Tariff(PriceBook({"p": SHELF}), lambda provider, model: LIMITS.get((provider, model)))
DENY = Provider("p", {})
CAP = replace(DENY, unknown_price="ceiling")
FREE = replace(DENY, unknown_price="free")


def reported(model: str | None, traits: Traits = PLAIN) -> Reported:
    return Reported(Usage(input=1), model, traits)


def test_before_a_call_a_known_model_has_its_own_card_whatever_the_policy() -> None:
    for provider in (DENY, CAP, FREE):
        assert TARIFF.before(provider, "small", PLAIN, NOW) == SMALL
        assert TARIFF.before(provider, "small", FAST, NOW) == SMALL_FAST


def test_a_cheaper_tier_that_is_asked_for_makes_no_hold_cheaper() -> None:
    half = ModelPrices("m", (Season(0, ((0, BIG),)),), {"batch": (Season(0, ((0, SMALL),)),)})
    tariff = Tariff(PriceBook({"p": ProviderPrices(NameIndex([("m", half)], []))}), lambda *_: None)
    held = tariff.before(DENY, "m", Traits(service_tier="batch"), NOW)
    assert held is not None
    assert held.rates == BIG.rates
    batch = reported("m", Traits(service_tier="batch"))
    assert tariff.after(DENY, held, batch, NOW) == SMALL  # where the answer says so


def test_before_a_call_an_unknown_model_is_what_the_owner_says() -> None:
    assert TARIFF.before(DENY, "new", PLAIN, NOW) is None
    assert TARIFF.before(CAP, "new", PLAIN, NOW) == CEILING
    assert TARIFF.before(CAP, "new", FAST, NOW) == FAST_CEILING
    free = TARIFF.before(FREE, "new", PLAIN, NOW)
    assert free is not None
    assert (free.model, free.source, free.estimated) == ("new", "free", False)
    assert price(free, Usage(input=10**9, output=10**9, web_searches=9)) == 0


def test_a_hold_is_priced_at_the_dearest_price_that_begins_within_a_day() -> None:
    soon = ModelPrices("m", (Season(0, ((0, SMALL),)), Season(NOW + 1, ((0, BIG),))))
    tariff = Tariff(PriceBook({"p": ProviderPrices(NameIndex([("m", soon)], []))}), lambda *_: None)
    held = tariff.before(DENY, "m", PLAIN, NOW)
    assert held is not None
    assert held.rates["input"] == 50
    assert tariff.after(DENY, held, reported("m"), NOW) == SMALL


def test_after_a_call_the_model_that_answered_comes_first() -> None:
    assert TARIFF.after(DENY, SMALL, reported("big"), NOW) == BIG
    assert TARIFF.after(DENY, SMALL, reported("small", FAST), NOW) == SMALL_FAST


def test_a_price_that_the_owner_set_comes_before_the_list_s_for_the_model_that_answered() -> None:
    ours = replace(card("deployed", 70), source="config")
    over = replace(card("also", 80), source="config over list 1")
    shelf = ProviderPrices(NameIndex([prices(c.model, c) for c in (ours, over, SMALL)], []))
    tariff = Tariff(PriceBook({"p": shelf}), lambda *_: None)
    assert tariff.after(DENY, ours, reported("small"), NOW) == ours
    assert tariff.after(DENY, ours, reported("also"), NOW) == over
    assert tariff.after(DENY, SMALL, reported("deployed"), NOW) == ours


def test_then_the_model_asked_for_under_the_traits_of_the_answer() -> None:
    assert TARIFF.after(DENY, SMALL_FAST, reported("small-of-tomorrow"), NOW) == SMALL
    assert TARIFF.after(DENY, SMALL, reported(None, FAST), NOW) == SMALL_FAST
    assert TARIFF.after(CAP, SMALL, reported("new"), NOW) == SMALL


def test_then_what_stood_in_for_an_unknown_price() -> None:
    assert TARIFF.after(CAP, CEILING, reported("new"), NOW) == CEILING
    # It was asked for at standard speed, and answered fast: the ceiling is that of fast models.
    assert TARIFF.after(CAP, CEILING, reported("new", FAST), NOW) == FAST_CEILING
    free = TARIFF.before(FREE, "new", PLAIN, NOW)
    assert free is not None
    assert TARIFF.after(FREE, free, reported("new"), NOW) is free


def test_without_a_report_the_card_of_the_hold_stands() -> None:
    assert TARIFF.after(DENY, BIG, None, NOW) is BIG


def test_limits_are_found_by_the_catalogue_s_name_for_the_provider() -> None:
    catalogued = replace(DENY, catalogue="cat")
    assert TARIFF.limits_of(catalogued, "small") == ModelLimits(max_output=7)
    assert TARIFF.limits_of(DENY, "big") == ModelLimits(context=9)
    assert TARIFF.limits_of(DENY, "small") is NO_LIMITS
