"""The simulator's list prices against figures worked out by hand."""

from __future__ import annotations

import pytest

from budgetd.simulator import MODELS, Tokens, rate


def test_a_price_is_pico_dollars_per_token():
    assert rate("2.5 10 1.25").input == 2_500_000
    assert rate(".02 0").cache_read == 20_000, "no cache price: the input price"


@pytest.mark.parametrize(
    ("model", "tokens", "dollars"),
    [
        ("gpt-4o", Tokens(input=1_000_000), "2.5"),
        ("gpt-4o", Tokens(input=600_000, cache_read=400_000, output=100_000), "3.0"),
        ("gpt-4.1-mini", Tokens(output=1_000_000), "1.6"),
        ("claude-opus-4-6", Tokens(1_000_000, 1_000_000, 1_000_000, 1_000_000), "21.75"),
        ("claude-opus-4-8", Tokens(1_000_000, 1_000_000, 1_000_000, 1_000_000), "21.75"),
        ("claude-haiku-4-5", Tokens(output=1_000_000, searches=3), "5.03"),
        ("claude-sonnet-4-5-20250929", Tokens(output=1_000_000), "15"),
        ("text-embedding-3-small", Tokens(input=50_000_000), "1"),
        ("gpt-3.5-turbo-instruct", Tokens(input=1_000_000, output=1_000_000), "3.5"),
    ],
)
def test_list_prices(model: str, tokens: Tokens, dollars: str):
    whole, _, part = dollars.partition(".")
    assert MODELS[model].cost(tokens) == int(whole) * 10**12 + int(part.ljust(12, "0"))


def test_a_context_tier_moves_the_whole_request_one_token_above_its_start():
    at = Tokens(input=200_000, cache_read=72_000, output=1000)
    above = Tokens(input=200_001, cache_read=72_000, output=1000)
    assert MODELS["gpt-5.4"].cost(at) == 200_000 * 2_500_000 + 72_000 * 250_000 + 1000 * 15_000_000
    assert (
        MODELS["gpt-5.4"].cost(above) == 200_001 * 5_000_000 + 72_000 * 500_000 + 1000 * 22_500_000
    )


def test_service_tiers_have_their_own_prices():
    tokens = Tokens(input=1000, output=1000)
    assert MODELS["gpt-5"].cost(tokens, "flex") * 2 == MODELS["gpt-5"].cost(tokens)
    assert MODELS["gpt-5"].cost(tokens, "priority") == MODELS["gpt-5"].cost(tokens) * 2
    assert MODELS["gpt-5"].cost(tokens, "unheard") == MODELS["gpt-5"].cost(tokens)
