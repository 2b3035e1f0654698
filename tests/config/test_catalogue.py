"""The compiled catalogue: figures by hand, genai-prices' own arithmetic as a witness, hazardous names.

The figures are those of the locked genai-prices. One that changes with a new version is first
looked up at the provider.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from datetime import time as clock_time
from decimal import Decimal
from fractions import Fraction

import pytest
from genai_prices import types as listing
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot

from budgetd.config.catalogue import compile_prices
from budgetd.config.listing import Lists, dates, histories, listed, names
from budgetd.config.pricelist import PriceListError
from budgetd.config.vendors import catalogue_name
from budgetd.core.names import NameIndex
from budgetd.core.pricebook import PriceBook
from budgetd.core.prices import RateCard, price, worst_input_rate
from budgetd.core.usage import BUCKETS, Traits, Usage

PLAIN = Traits()
NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1000
PROVIDERS = get_snapshot().providers
BOOK = compile_prices({provider.id: provider.id for provider in PROVIDERS}, {}, NOON)

# Source prices with float noise, like 0.18000000000000002: rounded up to whole pico-dollars a token.
NOISY = {"openrouter", "huggingface_together"}


def found(
    provider: str, model: str, traits: Traits = PLAIN, at: int = NOON, book: PriceBook = BOOK
) -> RateCard:
    card = book.find(provider, model, traits, at)
    assert card is not None, f"{model} has no price"
    return card


def clock(hour: int, minute: int = 0, second: int = 0) -> int:
    return int(datetime(2026, 11, 20, hour, minute, second, tzinfo=UTC).timestamp()) * 1000


# ------------------------------------------------------------------------------- figures by hand


def test_claude_opus() -> None:
    usage = Usage(
        input=1000,
        cache_read=50_000,
        cache_write_5m=2000,
        cache_write_1h=300,
        output=800,
        web_searches=2,
    )
    # $5, $0.50, $6.25, $10, $25 a million; searches $10 a thousand:
    # 1,000 x 5e6 + 50,000 x 5e5 + 2,000 x 6.25e6 + 300 x 10e6 + 800 x 25e6 = 5e9 + 25e9 + 12.5e9 + 3e9 + 20e9; 2 x 1e10
    assert price(found("anthropic", "claude-opus-4-6"), usage) == 65_500_000_000 + 20_000_000_000


def test_claude_in_the_us_costs_a_tenth_more_on_tokens() -> None:
    usage = Usage(input=7, output=1, web_searches=1)
    card = found("anthropic", "claude-opus-4-6")
    # (7 x 5e6 + 25e6) x 1.1 = 66e6; 1e10
    assert price(card, usage, Traits(geo="us")) == 66_000_000 + 10_000_000_000
    assert price(card, usage, Traits(geo="not_available")) == 60_000_000 + 10_000_000_000


@pytest.mark.parametrize(
    ("provider", "model", "edge", "below", "above"),
    [
        # $2.5 and $15, above 272,000 $5 and $22.5: 272,000 x 2.5e6 + 10 x 15e6; 272,001 x 5e6 + 10 x 22.5e6
        ("openai", "gpt-5.4", 272_000, 680_150_000_000, 1_360_230_000_000),
        # $0.1 and $0.5, above 100,000 five times that: 100,000 x 1e5 + 10 x 5e5; 100,001 x 5e5 + 10 x 2.5e6
        ("anthropic", "claude-haiku-5-5", 100_000, 10_005_000_000, 50_025_500_000),
        # $1.25 and $10, above 200,000 $2.5 and $15: 200,000 x 1.25e6 + 10 x 10e6; 200,001 x 2.5e6 + 10 x 15e6
        ("google", "gemini-2.5-pro", 200_000, 250_100_000_000, 500_152_500_000),
        # $2 and $6, from 200,000 on $4 and $12: 199,999 x 2e6 + 10 x 6e6; 200,000 x 4e6 + 10 x 12e6
        ("x-ai", "grok-4.5", 199_999, 400_058_000_000, 800_120_000_000),
    ],
)
def test_context_tiers_are_cliffs(
    provider: str, model: str, edge: int, below: int, above: int
) -> None:
    card = found(provider, model)
    assert price(card, Usage(input=edge, output=10)) == below
    assert price(card, Usage(input=edge + 1, output=10)) == above
    # Cached tokens are context too.
    assert card.rates_for(Usage(input=1, cache_read=edge).total_input) == card.rates_for(edge + 1)


@pytest.mark.parametrize(
    ("tier", "pico"),
    [
        ("default", 2_500_000_000 + 150_000_000),  # 1,000 x 2.5e6 + 10 x 15e6
        ("flex", 1_250_000_000 + 75_000_000),  # 1,000 x 1.25e6 + 10 x 7.5e6
        ("priority", 5_000_000_000 + 300_000_000),  # 1,000 x 5e6 + 10 x 30e6
        ("fast", 5_000_000_000 + 300_000_000),
        ("batch", 1_250_000_000 + 75_000_000),
    ],
)
def test_service_tiers_of_openai(tier: str, pico: int) -> None:
    card = found("openai", "gpt-5.4", Traits(service_tier=tier))
    assert price(card, Usage(input=1000, output=10)) == pico
    assert not card.estimated


def test_batch_writes_of_claude_are_exact_below_a_nano_dollar() -> None:
    # $0.0625 a million is 62,500 pico-dollars a token
    card = found("anthropic", "claude-haiku-5-5", Traits(service_tier="batch"))
    assert price(card, Usage(cache_write_5m=3)) == 187_500


def test_claude_fast() -> None:
    # $4 and $20 standard, twice that fast
    assert price(found("anthropic", "claude-opus-5-5"), Usage(input=10, output=1)) == 60_000_000
    card = found("anthropic", "claude-opus-5-5", Traits(speed="fast"))
    assert (price(card, Usage(input=10, output=1)), card.estimated) == (120_000_000, False)


def test_fast_where_the_catalogue_lists_no_fast_price_is_six_times_the_price() -> None:
    # fast Claude Opus 4.6 cost $30 and $150
    card = found("anthropic", "claude-opus-4-6", Traits(speed="fast"))
    assert (card.rates["input"], card.rates["output"], card.estimated) == (
        30_000_000,
        150_000_000,
        True,
    )


def test_a_service_tier_nobody_knows_costs_the_dearest_the_model_has() -> None:
    card = found("openai", "gpt-5.4", Traits(service_tier="turbo"))
    assert (card.rates["input"], card.rates["output"], card.estimated) == (
        5_000_000,
        30_000_000,
        True,
    )


@pytest.mark.parametrize(
    ("at", "pico"),
    [
        # off peak $0.15, $0.003, $0.6: 100 x 150,000 + 1,000 x 3,000 + 10 x 600,000
        (clock(0, 59, 59), 24_000_000),
        # peak, 01:00 to 04:00 and 06:00 to 10:00: twice that
        (clock(1), 48_000_000),
        (clock(3, 59, 59), 48_000_000),
        (clock(4), 24_000_000),
        (clock(6), 48_000_000),
        (clock(10), 24_000_000),
        (clock(23), 24_000_000),
    ],
)
def test_deepseek_by_the_hour(at: int, pico: int) -> None:
    usage = Usage(input=100, cache_read=1000, output=10)
    assert price(found("deepseek", "deepseek-v4-flash", at=at), usage) == pico
    bound = BOOK.bound("deepseek", "deepseek-v4-flash", PLAIN, at)
    assert bound is not None
    assert price(bound, usage) == 48_000_000


def test_prices_of_the_past() -> None:
    def rate(year: int, month: int, day: int) -> int:
        at = int(datetime(year, month, day, 12, tzinfo=UTC).timestamp()) * 1000
        return found("deepseek", "deepseek-v4-flash", at=at).rates["output"]

    # $0.28, from 17 August 2026 $0.66, from 10 September $0.60; read at noon, off peak
    assert [rate(2026, 8, 16), rate(2026, 8, 17), rate(2026, 9, 9), rate(2026, 9, 10)] == [
        280_000,
        660_000,
        660_000,
        600_000,
    ]


def test_audio_of_gemini() -> None:
    # $1 a million heard, $0.1 a million heard again
    card = found("google", "gemini-2.5-flash")
    assert price(card, Usage(input_audio=10, cache_read_audio=10)) == 11_000_000


def test_a_search_without_a_listed_price_costs_the_dearest_of_its_provider() -> None:
    assert found("openai", "gpt-5.4").rates["web_searches"] == 10_000_000_000
    card = found("groq", "llama-3.3-70b-versatile")
    assert card.rates["web_searches"] == 10_000_000_000
    assert "web_searches" in card.derived


def test_perplexity_bills_the_request_itself() -> None:
    # $1 and $1 a million, $12 a thousand requests
    assert (
        price(found("perplexity", "sonar"), Usage(input=5, output=5)) == 10_000_000 + 12_000_000_000
    )


def test_video_is_in_the_image_buckets() -> None:
    # $0.45 a million of images, $12 of video
    assert found("google", "gemini-embedding-2").rates["input_image"] == 12_000_000


def test_who_writes_unasked() -> None:
    assert found("openai", "gpt-5.6").unasked_writes
    # $5 in, writes 1.25 x
    card = found("openai", "gpt-5.6")
    assert (
        worst_input_rate(card, 1000, writes="none")
        == card.rates["cache_write_5m"]
        > card.rates["input"]
    )
    assert not found("anthropic", "claude-opus-4-6").unasked_writes
    assert not found("openai", "gpt-4.1").unasked_writes


# ---------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-opus-4-6-fast"),
        ("anthropic", "claude-opus-9"),
        ("anthropic", "claude"),
        ("anthropic", "claude-3-5-sonnet-latest"),  # the catalogue has it by a prefix only
        ("google", "gemini-2.5-pro-ultra"),
        ("deepseek", "deepseek-v4-pro-max"),
        ("minimax", "minimax-m2.6"),
        ("openai", "ft:gpt-4o:acme::1"),
        ("openai", "gpt-5.4-ultra"),
        ("openai", "o4-mini-max"),
        ("openai", "openrouter/gpt-5.4"),
        ("openrouter", "qwen/qwen3-coder:nitro"),
        ("openai", "whisper-1"),  # billed by the hour
        ("openai", "tts-1"),  # by the character
        ("mistral", "mistral-ocr-2503"),  # by the page
        ("google", "gemma-4-31b-it"),  # an empty price list
        ("openai", "moderation"),
    ],
)
def test_unknown_is_unknown(provider: str, model: str) -> None:
    assert BOOK.find(provider, model, PLAIN, NOON) is None


@pytest.mark.parametrize(
    ("provider", "model", "named"),
    [
        ("minimax", "minimax-m2.5", "MiniMax-M2"),  # so named in this version, at M2.5's own price
        (
            "mistral",
            "mistral-large-latest",
            "mistral-large",
        ),  # as the catalogue says, word for word
        ("mistral", "mistral-medium-latest", "mistral-medium-latest"),
        ("anthropic", "claude-sonnet-4@20250514", "claude-sonnet-4-0"),
        ("anthropic", "claude-opus-4.6[1m]", "claude-opus-4-6"),
        ("anthropic", "claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("openai", "openai/gpt-5-4", "gpt-5.4"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-20240513", "gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("google", "gemini/gemini-2.5-pro", "gemini-2.5-pro"),
        ("openrouter", "anthropic/claude-opus-4-6", "anthropic/claude-opus-4.6"),
        ("azure", "gpt-5.4", "gpt-5.4"),  # lent by openai
    ],
)
def test_named_is_known(provider: str, model: str, named: str) -> None:
    card = found(provider, model)
    assert (card.model, card.provider) == (named, provider)


def test_free_is_only_what_says_so() -> None:
    assert set(found("mistral", "devstral-small:free").rates.values()) == {0}
    for provider, shelf in BOOK.providers.items():
        for name, prices in shelf.models.items():
            card = found(provider, name)
            assert any(card.rates.values()) or prices.name.endswith(":free"), (
                f"{provider} {name} costs nothing"
            )


def test_every_name_means_the_model_that_the_catalogue_means() -> None:
    for provider in PROVIDERS:
        for model in provider.models:
            for name in names(model):
                card = BOOK.find(provider.id, name, PLAIN, NOON)
                meant = provider.find_model(name, all_providers=PROVIDERS)
                # An id that the package's own rules miss is a name all the same.
                assert card is None or meant is None or card.model == meant.id


# -------------------------------------------------------------------------------------- witness


def test_genai_prices_says_the_same() -> None:
    when = datetime.fromtimestamp(NOON // 1000, UTC)
    rng = random.Random(1)
    checked = 0
    for provider in PROVIDERS:
        for model in provider.models:
            card = BOOK.find(provider.id, model.id, PLAIN, NOON)
            if card is None or card.model != model.id:
                continue
            usage, reported = random_usage(rng, card, model.get_prices(when))
            theirs = (
                Fraction(
                    model.calc_price(reported, provider, genai_request_timestamp=when).total_price
                )
                * 10**12
            )
            ours = price(card, usage)
            if provider.id in NOISY:
                assert 0 <= ours - theirs <= theirs * Fraction(5, 10**6)
            else:
                assert ours == theirs, f"{provider.id} {model.id}"
            checked += 1
    assert checked > 2200


def random_usage(
    rng: random.Random, card: RateCard, prices: listing.ModelPrice
) -> tuple[Usage, listing.Usage]:
    """The same usage for both, in the buckets that have a listed price."""
    usage = Usage(
        input=rng.choice([0, rng.randrange(1000), rng.randrange(10**6)]),
        cache_read=rng.randrange(10**5),
        cache_write_5m=0 if "cache_write_5m" in card.derived else rng.randrange(10**4),
        cache_write_1h=rng.randrange(10**3) if prices.cache_write_1h_mtok is not None else 0,
        output=rng.randrange(10**5) if prices.output_mtok is not None else 0,
        reasoning=rng.randrange(10**4) if prices.output_mtok is not None else 0,
        web_searches=0 if "web_searches" in card.derived else rng.randrange(5),
    )
    counts = {
        "input_tokens": usage.total_input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.total_output,
        "output_reasoning_tokens": usage.reasoning,
        "web_searches": usage.web_searches,
    }
    return usage, listing.Usage(**counts)


def test_genai_prices_says_the_same_of_variants() -> None:
    when = datetime.fromtimestamp(NOON // 1000, UTC)
    contexts = {
        "openai": [{"service_tier": "flex"}, {"service_tier": "priority"}, {"processing": "batch"}],
        "anthropic": [{"speed": "fast"}, {"processing": "batch"}],
        "google": [{"service_tier": "flex"}, {"processing": "batch"}],
    }
    rng = random.Random(2)
    checked = 0
    for provider in PROVIDERS:
        for context in contexts.get(provider.id, []):
            traits = Traits(
                context.get("service_tier") or context.get("processing"), context.get("speed")
            )
            for model in provider.models:
                card = BOOK.find(provider.id, model.id, traits, NOON)
                if card is None or card.estimated:
                    continue
                usage, reported = random_usage(rng, card, model.get_prices(when, context))
                theirs = model.calc_price(
                    reported, provider, genai_request_timestamp=when, price_context=context
                )
                assert price(card, usage) == theirs.total_price * 10**12, f"{model.id} {context}"
                checked += 1
    assert checked > 100


# ------------------------------------------------------------------------------ what must hold


def test_no_float_anywhere_and_every_rate_is_there() -> None:
    cards = 0
    for value in walk(BOOK):
        assert not isinstance(value, (float, Decimal))
        if isinstance(value, RateCard):
            cards += 1
            for rates in (value.rates, *(tier.rates for tier in value.tiers)):
                assert set(rates) == set(BUCKETS)
                assert min(rates.values()) >= 0
    assert cards > 3000


def walk(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, NameIndex):
        for entry in dict(value.items()).values():
            yield from walk(entry)
    elif isinstance(value, dict):
        for part in value.values():
            yield from walk(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from walk(part)
    elif is_dataclass(value):
        for field in fields(value):
            part = getattr(value, field.name)
            yield from walk(dict(part) if hasattr(part, "keys") else part)


def test_no_tier_is_cheaper_than_the_one_below() -> None:
    for value in walk(BOOK):
        if isinstance(value, RateCard):
            below = value.rates
            for tier in value.tiers:
                assert all(tier.rates[bucket] >= below[bucket] for bucket in BUCKETS), value.model
                below = tier.rates


def test_no_current_model_costs_more_than_the_ceiling() -> None:
    usage = Usage(
        input=250_000, cache_read=70_000, cache_write_5m=10, output=10_000, web_searches=3
    )
    for provider, shelf in BOOK.providers.items():
        top = BOOK.ceiling(provider)
        if top is None:
            continue
        assert (top.estimated, top.source) == (True, f"ceiling of {provider}")
        listed_here = {
            model.id for known in PROVIDERS if known.id == provider for model in known.models
        }
        for prices in dict(shelf.models.items()).values():
            if not prices.deprecated and prices.name in listed_here:
                card = found(provider, prices.name)
                assert card.model != prices.name or price(top, usage) >= price(card, usage)


def test_the_ceiling_of_openai_is_its_dearest_model() -> None:
    top = BOOK.ceiling("openai")
    assert top is not None
    # o1-pro: $150 and $600
    assert (top.rates["input"], top.rates["output"]) == (150_000_000, 600_000_000)


# ------------------------------------------------------------------------- the operator's prices

OURS = {"anthropic": "anthropic", "gw": None}


def test_an_operators_price_is_laid_over_the_listed_one() -> None:
    book = compile_prices(
        OURS, {"anthropic": {"claude-opus-4.6": {"input": "4.5", "output": "22"}}}, NOON
    )
    card = found("anthropic", "claude-opus-4-6-20260205", book=book)
    assert (card.rates["input"], card.rates["output"], card.rates["reasoning"]) == (
        4_500_000,
        22_000_000,
        22_000_000,
    )
    assert card.rates["cache_read"] == 500_000  # still listed
    assert (card.source, card.as_of) == (f"config over {BOOK.source}", "2026-11-20")
    assert book.warnings == ()


def test_an_operators_price_is_the_same_in_every_tier() -> None:
    card = found(
        "anthropic",
        "claude-haiku-5-5",
        book=compile_prices(OURS, {"anthropic": {"claude-haiku-5-5": {"input": "0.2"}}}, NOON),
    )
    assert (card.rates_for(1)["input"], card.rates_for(200_000)["input"]) == (200_000, 200_000)
    assert card.rates_for(200_000)["output"] == 2_500_000


def test_a_dated_name_is_priced_for_itself_only() -> None:
    book = compile_prices(OURS, {"anthropic": {"claude-haiku-4-5-20251001": {"output": "9"}}}, NOON)
    assert found("anthropic", "claude-haiku-4-5-20251001", book=book).rates["output"] == 9_000_000
    assert found("anthropic", "claude-haiku-4-5", book=book).rates["output"] == 5_000_000


def test_a_model_of_ones_own_needs_no_catalogue() -> None:
    book = compile_prices(
        OURS, {"gw": {"house-1": {"input": "1", "output": "2"}, "local": {"free": True}}}, NOON
    )
    card = found("gw", "gw/house-1", book=book)
    assert (card.source, card.rates["output"], card.rates["web_searches"]) == (
        "config",
        2_000_000,
        10_000_000_000,
    )
    assert set(found("gw", "local", book=book).rates.values()) == {0}
    # What is given away is no ceiling.
    ceiling = book.ceiling("gw")
    assert ceiling is not None
    assert ceiling.rates["output"] == 2_000_000
    assert compile_prices(OURS, {"gw": {"local": {"free": True}}}, NOON).ceiling("gw") is None


def test_a_listed_model_may_be_free_and_is_doubted() -> None:
    book = compile_prices(OURS, {"anthropic": {"claude-opus-4-6": {"free": True}}}, NOON)
    assert set(found("anthropic", "claude-opus-4-6", book=book).rates.values()) == {0}
    assert book.warnings == (
        f"prices.anthropic.claude-opus-4-6 is free, but {BOOK.source} lists a price: check which is right",
    )


def test_a_price_five_times_off_is_doubted() -> None:
    book = compile_prices(
        OURS, {"anthropic": {"claude-opus-4-6": {"input": "25", "output": "24"}}}, NOON
    )
    assert book.warnings == (
        f"prices.anthropic.claude-opus-4-6.input is $25 per million, but {BOOK.source} lists $5: check which is right",
    )


def test_two_names_of_one_model_must_agree() -> None:
    same = {"claude-opus-4-6": {"input": "4"}, "claude-opus-4.6": {"input": "4"}}
    assert (
        found(
            "anthropic", "claude-opus-4-6", book=compile_prices(OURS, {"anthropic": same}, NOON)
        ).rates["input"]
        == 4_000_000
    )
    with pytest.raises(
        PriceListError, match=r"claude-opus-4\.6 is claude-opus-4-6, which has another price"
    ):
        compile_prices(OURS, {"anthropic": {**same, "claude-opus-4.6": {"input": "3"}}}, NOON)


def test_a_bad_price_says_where() -> None:
    with pytest.raises(PriceListError, match=r"prices\.gw\.x\.input"):
        compile_prices(OURS, {"gw": {"x": {"input": "-1"}}}, NOON)


# ------------------------------------------------------------------------------------ the rest


def test_a_provider_goes_by_several_names() -> None:
    assert catalogue_name("Gemini") == "google"
    assert catalogue_name("openai") == "openai"
    book = compile_prices({"work": "gemini", "nobody": "nobody"}, {}, NOON)
    assert found("work", "work/gemini-2.5-pro", book=book).provider == "work"
    assert book.find("nobody", "x", PLAIN, NOON) is None


def test_the_book_knows_its_source_and_how_far_it_reaches() -> None:
    assert BOOK.source.startswith("genai-prices ")
    assert "2026-10-01" < BOOK.as_of <= "2026-11-20"
    long_ago = compile_prices({}, {}, 0)
    assert (long_ago.as_of, dict(long_ago.providers)) == ("", {})


def test_importing_the_module_does_not_import_the_catalogue() -> None:
    code = "import sys, budgetd.config.catalogue; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_usual_providers_compile_fast() -> None:
    began = time.process_time()
    compile_prices(
        {"anthropic": "anthropic", "openai": "openai", "openrouter": "openrouter"}, {}, NOON
    )
    assert time.process_time() - began < 0.6


# ------------------------------------------------------------------- lists that 0.2.3 does not hold

DAY_MS = 86_400_000


def model(
    prices: listing.ModelPrice | list[listing.ConditionalPrice],
    variants: list[listing.PriceVariant] | None = None,
) -> listing.ModelInfo:
    return listing.ModelInfo(
        id="m", match=listing.ClauseEquals(equals="m"), prices=prices, price_variants=variants
    )


def costing(dollars: int) -> listing.ModelPrice:
    return listing.ModelPrice(input_mtok=Decimal(dollars))


def test_a_list_leaves_out_what_is_none_or_cheaper_elsewhere() -> None:
    prices = listing.ModelPrice(
        input_mtok=Decimal(1), output_mtok=None, output_citation_mtok=Decimal(9)
    )
    assert listed(prices) == {"input": (1_000_000, ())}
    assert listed(listing.ModelPrice(input_mtok=Decimal(1), audio_hours=Decimal(1))) is None


def test_hours_of_a_constraint_may_carry_no_zone_and_wrap_midnight() -> None:
    def hours(start: int, end: int) -> listing.TimeOfDateConstraint:
        return listing.TimeOfDateConstraint(
            start_time=clock_time(hour=start), end_time=clock_time(hour=end)
        )

    night, lunch = hours(22, 2), hours(12, 13)  # lunch costs what the rest of the day does
    found_lists = histories(
        model(
            [
                listing.ConditionalPrice(prices=costing(1)),
                listing.ConditionalPrice(night, prices=costing(2)),
                listing.ConditionalPrice(lunch, prices=costing(1)),
            ]
        )
    )
    one, two = {"input": (1_000_000, ())}, {"input": (2_000_000, ())}
    assert found_lists == {"": (Lists(0, ((0, two), (7_200_000, one), (79_200_000, two))),)}


def test_a_model_is_priced_while_it_has_a_price() -> None:
    later = listing.StartDateConstraint(start_date=datetime(2026, 1, 1, tzinfo=UTC).date())
    empty, priced = listing.ModelPrice(), costing(2)

    def shelf(name: str, *prices: listing.ModelPrice) -> listing.ModelInfo:
        first, second = prices
        history = [
            listing.ConditionalPrice(prices=first),
            listing.ConditionalPrice(later, prices=second),
        ]
        return replace(model(history), id=name, match=listing.ClauseEquals(equals=name))

    models = [
        shelf("late", empty, priced),
        shelf("gone", priced, empty),
        shelf("x:free", priced, empty),
    ]
    mine = listing.Provider(id="mine", name="Mine", api_pattern="mine", models=models)
    set_custom_snapshot(DataSnapshot([mine], from_auto_update=False))
    try:
        book = compile_prices({"mine": "mine"}, {}, NOON)
    finally:
        set_custom_snapshot(None)
    assert found("mine", "late", book=book, at=0).rates["input"] == 2_000_000
    assert book.find("mine", "gone", PLAIN, NOON) is None
    assert [found("mine", "x:free", book=book, at=at).rates["input"] for at in (0, NOON)] == [
        2_000_000,
        0,
    ]


def test_a_variant_with_a_start_changes_nothing_else() -> None:
    start = listing.StartDateConstraint(start_date=datetime(1970, 1, 3, tzinfo=UTC).date())
    variants = [
        listing.PriceVariant(when={"service_tier": "flex"}, prices=costing(1), constraint=start),
        listing.PriceVariant(when={"service_tier": "default"}, prices=costing(3)),
    ]
    priced = model(costing(2), variants)
    two = ((0, {"input": (2_000_000, ())}),)
    one = ((0, {"input": (1_000_000, ())}),)
    assert histories(priced) == {
        "": (Lists(0, two),),
        "service_tier=flex": (Lists(0, two), Lists(2 * DAY_MS, one)),
    }
    assert [day.isoformat() for day in dates(priced)] == ["1970-01-03"]
