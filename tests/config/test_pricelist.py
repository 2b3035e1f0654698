"""Price lists: what an unlisted bucket costs, and what an operator may write."""

from __future__ import annotations

from decimal import Decimal

import pytest

from budgetd.config.pricelist import (
    PER_REQUEST,
    Listed,
    OperatorPrice,
    Order,
    PriceListError,
    Terms,
    card,
    doubts,
    free_card,
    operator_order,
    rate_from_usd,
)
from budgetd.core.money import AmountError
from budgetd.core.prices import RateCard
from budgetd.core.usage import BUCKETS

TERMS = Terms("p", "a list", "2026-11-09", search=7)


def listed(**rates: int) -> Listed:
    return {bucket: (rate, ()) for bucket, rate in rates.items()}


def made(model: str, prices: Listed, terms: Terms = TERMS) -> RateCard:
    found = card(model, prices, terms)
    assert found is not None
    return found


def test_a_bucket_without_a_price_costs_what_stands_in_for_it() -> None:
    found = made("gpt", listed(input=10, output=30))
    assert found.rates == {
        "input": 10,
        "cache_read": 10,
        "cache_write_5m": 10,
        "cache_write_1h": 10,
        "input_audio": 10,
        "cache_read_audio": 10,
        "input_image": 10,
        "output": 30,
        "reasoning": 30,
        "output_audio": 30,
        "output_image": 30,
        "web_searches": 7,
    }
    assert found.derived == ("web_searches",)
    assert not found.unasked_writes


def test_a_bucket_with_a_price_keeps_it() -> None:
    every = listed(**{bucket: place for place, bucket in enumerate(BUCKETS, 1)})
    found = made("gpt", every)
    assert found.rates == {bucket: rate for bucket, (rate, _) in every.items()}
    assert found.derived == ()
    assert found.unasked_writes


def test_claude_writes_have_their_rule_wherever_claude_is_sold() -> None:
    found = made("anthropic/Claude-9", listed(input=5, output=25))
    # 5 x 1.25 = 6.25, up; 5 x 2
    assert (found.rates["cache_write_5m"], found.rates["cache_write_1h"]) == (7, 10)
    assert found.derived == ("cache_write_5m", "cache_write_1h", "web_searches")
    assert not found.unasked_writes


def test_a_claude_hour_is_never_below_its_five_minutes() -> None:
    found = made("claude", listed(input=5, output=25, cache_write_5m=12))
    assert found.rates["cache_write_1h"] == 12


def test_an_hour_without_a_price_costs_five_minutes_elsewhere() -> None:
    assert made("gpt", listed(input=10, output=30, cache_write_5m=12)).rates["cache_write_1h"] == 12


def test_cached_audio_is_fresh_audio_where_audio_has_a_price() -> None:
    assert (
        made("gpt", listed(input=10, cache_read=1, input_audio=40)).rates["cache_read_audio"] == 40
    )
    assert made("gpt", listed(input=10, cache_read=1)).rates["cache_read_audio"] == 1


def test_output_without_a_price_costs_what_input_does() -> None:
    assert made("embed", listed(input=10)).rates["output"] == 10


def test_steps_of_all_buckets_make_the_tiers() -> None:
    found = made(
        "gpt",
        {
            "input": (10, ((200, 20), (400, 30))),
            "output": (50, ((300, 60),)),
            "cache_read": (1, ()),
        },
    )
    shown = [
        (tier.above, tier.rates["input"], tier.rates["reasoning"], tier.rates["cache_read"])
        for tier in found.tiers
    ]
    assert shown == [(200, 20, 50, 1), (300, 20, 60, 1), (400, 30, 60, 1)]


def test_a_list_without_input_is_no_card_and_a_request_may_have_a_price() -> None:
    assert card("ocr", listed(output=3), TERMS) is None
    found = made("sonar", {**listed(input=1), PER_REQUEST: (12, ())})
    assert found.per_request == 12
    assert set(found.rates) == set(BUCKETS)


def test_nothing_costs_anything_on_a_free_card() -> None:
    assert set(free_card("m", TERMS).rates.values()) == {0}


def test_dollars_become_pico_dollars_each() -> None:
    assert rate_from_usd(Decimal("0.003625"), per=10**6) == 3_625
    assert rate_from_usd("0.0000001", per=10**6) == 1
    assert rate_from_usd(10, per=1000) == 10_000_000_000
    with pytest.raises(AmountError):
        rate_from_usd(0.1, per=1)  # type: ignore[arg-type]  # what a careless caller does


def test_an_operator_writes_dollars_per_million() -> None:
    order = operator_order(
        {"input": Decimal("2.5"), "output": "10", "web_searches": 10_000, PER_REQUEST: 5000},
        "prices.p.m",
    )
    assert order == Order(
        {
            "input": (2_500_000, ()),
            "output": (10_000_000, ()),
            "web_searches": (10_000_000_000, ()),
            PER_REQUEST: (5_000_000_000, ()),
        }
    )
    assert operator_order({"free": True}, "prices.p.m") == Order({}, free=True)
    assert operator_order({"free": False, "input": 1}, "prices.p.m") == Order(
        {"input": (1_000_000, ())}
    )


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, r"prices\.p\.m has no price"),
        ({"free": False}, r"prices\.p\.m has no price"),
        ({"free": True, "input": 1}, "say one"),
        ({"free": "yes"}, r"prices\.p\.m\.free is true or false"),
        ({"inptu": 1}, r"prices\.p\.m\.inptu is no price; there are input, "),
        ({"input": True}, "dollar amount, not True"),
        ({"input": "a lot"}, r"prices\.p\.m\.input"),
        ({"input": 0.1}, "decimal number"),
        ({"input": -1}, "negative"),
        ({"input": "1e40"}, "more than a ledger row can hold"),
    ],
)
def test_what_an_operator_may_not_write(fields: OperatorPrice, complaint: str) -> None:
    with pytest.raises(PriceListError, match=complaint):
        operator_order(fields, "prices.p.m")


def test_a_price_five_times_off_is_doubted_either_way() -> None:
    known = made("gpt", {**listed(input=10, output=30, cache_read=1), PER_REQUEST: (10, ())})
    fine = Order(listed(input=49, output=7, cache_read=4, web_searches=0, per_request=3))
    assert list(doubts(Order(listed(input=49, output=7)), known, "m")) == []
    assert [line.partition(" ")[0] for line in doubts(fine, known, "m")] == ["m.web_searches"]
    off = Order(listed(input=50, output=6, cache_read=0, per_request=2))
    assert [line.partition(" ")[0] for line in doubts(off, known, "m")] == [
        "m.input",
        "m.output",
        "m.cache_read",
        "m.per_request",
    ]
    assert next(iter(doubts(off, known, "m"))) == (
        "m.input is $0.00005 per million, but a list lists $0.00001: check which is right"
    )


def test_giving_away_what_has_a_price_is_doubted() -> None:
    free = Order({}, free=True)
    assert list(doubts(free, made("gpt", listed(input=10)), "m")) == [
        "m is free, but a list lists a price: check which is right"
    ]
    assert list(doubts(free, free_card("gpt", TERMS), "m")) == []
