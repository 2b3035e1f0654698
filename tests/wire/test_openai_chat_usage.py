"""Golden usage objects of every provider that speaks this dialect, priced to the pico-dollar.

Each figure is worked out by hand in the comment beside it. Rates are dollars per million tokens,
which is also pico-dollars a token times 10^-6: $2.50 per million is 2,500,000 p$ a token.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from budgetd.core.money import MAX_PICO
from budgetd.core.prices import price
from budgetd.core.usage import Traits, Usage
from budgetd.wire.figures import MOST_TOKENS, json_object
from budgetd.wire.openai_chat_usage import read_answer, report
from tests.wire.tokens import card, per_million


class Golden(NamedTuple):
    name: str
    usage: str  # JSON as it stands on the wire: its fractions are part of the test
    buckets: Usage
    rates: dict[str, str]  # dollars per million
    cost: int  # pico-dollars, by hand
    stated: bool = False


GPT_4O = {"input": "2.5", "cache_read": "1.25", "output": "10"}
GPT_5_6 = {
    "input": "2",
    "cache_read": "0.2",
    "cache_write_5m": "2.5",
    "output": "8",
    "reasoning": "8",
}
AUDIO = {"input": "2.5", "output": "10", "input_audio": "40", "output_audio": "80"}
DEEPSEEK = {"input": "0.28", "cache_read": "0.028", "output": "0.42", "reasoning": "0.42"}
KIMI = {"input": "0.6", "cache_read": "0.1", "output": "3"}
GROQ = {"input": "0.05", "cache_read": "0.025", "output": "0.08"}
MISTRAL = {"input": "0.5", "output": "1.5"}
GROK = {"input": "2", "cache_read": "0.3", "output": "6", "reasoning": "6"}

GOLDEN = [
    Golden(
        "openai plain",
        '{"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}',
        Usage(input=1000, output=200),
        GPT_4O,
        # 1000 x 2_500_000 + 200 x 10_000_000 = 2_500_000_000 + 2_000_000_000
        4_500_000_000,
    ),
    Golden(
        "openai cached, with details",
        '{"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,'
        ' "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},'
        ' "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,'
        ' "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}',
        Usage(input=86, cache_read=1920, output=300),
        GPT_4O,
        # 86 x 2.5 M = 215 M; 1920 x 1.25 M = 2_400 M; 300 x 10 M = 3_000 M
        5_615_000_000,
    ),
    Golden(
        "openai cache writes, which the prompt includes, and reasoning inside completion",
        '{"prompt_tokens": 5000, "completion_tokens": 900, "total_tokens": 5900,'
        ' "prompt_tokens_details": {"cached_tokens": 3000, "cache_write_tokens": 1500},'
        ' "completion_tokens_details": {"reasoning_tokens": 640}}',
        Usage(input=500, cache_read=3000, cache_write_5m=1500, output=260, reasoning=640),
        GPT_5_6,
        # 500 x 2 M + 3000 x 0.2 M + 1500 x 2.5 M + 900 x 8 M = 1_000 + 600 + 3_750 + 7_200 M
        12_550_000_000,
    ),
    Golden(
        "openai audio both ways",
        '{"prompt_tokens": 150, "completion_tokens": 80, "total_tokens": 230,'
        ' "prompt_tokens_details": {"audio_tokens": 130},'
        ' "completion_tokens_details": {"audio_tokens": 60}}',
        Usage(input=20, output=20, input_audio=130, output_audio=60),
        AUDIO,
        # 20 x 2.5 + 20 x 10 + 130 x 40 + 60 x 80 = 50 + 200 + 5_200 + 4_800 M
        10_250_000_000,
    ),
    Golden(
        "openai predictions: rejected ones are in the completion tokens already",
        '{"prompt_tokens": 100, "completion_tokens": 500, "total_tokens": 600,'
        ' "completion_tokens_details": {"accepted_prediction_tokens": 80,'
        ' "rejected_prediction_tokens": 320}}',
        Usage(input=100, output=500),
        GPT_4O,
        # 100 x 2.5 M + 500 x 10 M
        5_250_000_000,
    ),
    Golden(
        "embeddings have no completion",
        '{"prompt_tokens": 8, "total_tokens": 8}',
        Usage(input=8),
        {"input": "0.02"},
        # 8 x 20_000
        160_000,
    ),
    Golden(
        "openrouter: what it charged, not the list price",
        '{"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00095,'
        ' "is_byok": false, "cost_details": {"upstream_inference_cost": null},'
        ' "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100}}',
        Usage(input=94, cache_write_5m=100, output=2),
        {},
        950_000_000,
        stated=True,
    ),
    Golden(
        "openrouter with one's own key: its fee and the provider's bill",
        '{"prompt_tokens": 1000, "completion_tokens": 100, "cost": 0.000175, "is_byok": true,'
        ' "cost_details": {"upstream_inference_cost": 0.0035}}',
        Usage(input=1000, output=100),
        {},
        # 175_000_000 + 3_500_000_000
        3_675_000_000,
        stated=True,
    ),
    Golden(
        "openrouter that does not say whose key it was: both, rather than too little",
        '{"prompt_tokens": 1, "completion_tokens": 1, "cost": 0,'
        ' "cost_details": {"upstream_inference_cost": 0.002}}',
        Usage(input=1, output=1),
        {},
        2_000_000_000,
        stated=True,
    ),
    Golden(
        "openrouter's own key: the details repeat the cost",
        '{"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.002, "is_byok": false,'
        ' "cost_details": {"upstream_inference_cost": 0.002}}',
        Usage(input=1, output=1),
        {},
        2_000_000_000,
        stated=True,
    ),
    Golden(
        "a cost below a pico-dollar is rounded up, once",
        '{"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.0000000000004, "is_byok": true,'
        ' "cost_details": {"upstream_inference_cost": 0.0000000000004}}',
        Usage(input=1, output=1),
        {},
        1,
        stated=True,
    ),
    Golden(
        "a free model costs nothing, because the provider says so",
        '{"prompt_tokens": 9, "completion_tokens": 9, "cost": 0}',
        Usage(input=9, output=9),
        {},
        0,
        stated=True,
    ),
    Golden(
        "deepseek hit and miss",
        '{"prompt_tokens": 1200, "completion_tokens": 400, "total_tokens": 1600,'
        ' "prompt_cache_hit_tokens": 1024, "prompt_cache_miss_tokens": 176,'
        ' "completion_tokens_details": {"reasoning_tokens": 250}}',
        Usage(input=176, cache_read=1024, output=150, reasoning=250),
        DEEPSEEK,
        # 176 x 280_000 + 1024 x 28_000 + 400 x 420_000 = 49_280_000 + 28_672_000 + 168_000_000
        245_952_000,
    ),
    Golden(
        "kimi's own place for cached tokens",
        '{"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050, "cached_tokens": 768}',
        Usage(input=232, cache_read=768, output=50),
        KIMI,
        # 232 x 600_000 + 768 x 100_000 + 50 x 3_000_000 = 139_200_000 + 76_800_000 + 150_000_000
        366_000_000,
    ),
    Golden(
        "groq with its times",
        '{"queue_time": 0.0123, "prompt_tokens": 300, "prompt_time": 0.002, "completion_tokens": 40,'
        ' "completion_time": 0.1, "total_tokens": 340, "total_time": 0.102,'
        ' "prompt_tokens_details": {"cached_tokens": 256}}',
        Usage(input=44, cache_read=256, output=40),
        GROQ,
        # 44 x 50_000 + 256 x 25_000 + 40 x 80_000 = 2_200_000 + 6_400_000 + 3_200_000
        11_800_000,
    ),
    Golden(
        "mistral",
        '{"prompt_tokens": 20, "total_tokens": 62, "completion_tokens": 42}',
        Usage(input=20, output=42),
        MISTRAL,
        # 20 x 500_000 + 42 x 1_500_000
        73_000_000,
    ),
    Golden(
        "xai: ticks are what it billed, reasoning is outside completion",
        '{"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1310,'
        ' "prompt_tokens_details": {"text_tokens": 1000, "cached_tokens": 600},'
        ' "completion_tokens_details": {"reasoning_tokens": 300}, "cost_in_usd_ticks": 28400000}',
        Usage(input=400, cache_read=600, output=10, reasoning=300),
        {},
        # 10^10 ticks to the dollar, 10^12 pico-dollars: x 100
        2_840_000_000,
        stated=True,
    ),
    Golden(
        "xai without ticks: only with the reasoning does the total add up",
        '{"prompt_tokens": 1000, "completion_tokens": 310, "total_tokens": 1610,'
        ' "completion_tokens_details": {"reasoning_tokens": 300}}',
        Usage(input=1000, output=310, reasoning=300),
        GROK,
        # 1000 x 2 M + 610 x 6 M
        5_660_000_000,
    ),
    Golden(
        "xai without a total: more reasoning than completion cannot be inside it",
        '{"prompt_tokens": 1000, "completion_tokens": 10,'
        ' "completion_tokens_details": {"reasoning_tokens": 300}}',
        Usage(input=1000, output=10, reasoning=300),
        GROK,
        # 1000 x 2 M + 310 x 6 M
        3_860_000_000,
    ),
    Golden(
        "perplexity's cost is an object",
        '{"prompt_tokens": 14, "completion_tokens": 287, "total_tokens": 301,'
        ' "search_context_size": "low", "cost": {"input_tokens_cost": 0.000014,'
        ' "output_tokens_cost": 0.000287, "request_cost": 0.005, "total_cost": 0.005301}}',
        Usage(input=14, output=287),
        {},
        5_301_000_000,
        stated=True,
    ),
    Golden(
        "together and fireworks: the openai shape, some of it null",
        '{"prompt_tokens": 63, "completion_tokens": 40, "total_tokens": 103, "cached_tokens": null,'
        ' "prompt_tokens_details": null, "completion_tokens_details": null}',
        Usage(input=63, output=40),
        {"input": "0.18", "output": "0.59"},
        # 63 x 180_000 + 40 x 590_000 = 11_340_000 + 23_600_000
        34_940_000,
    ),
    Golden(
        "a stated zero is a zero",
        '{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}',
        Usage(),
        {},
        0,
    ),
    Golden(
        "counts as floats",
        '{"prompt_tokens": 10.0, "completion_tokens": 4.5}',
        Usage(input=10, output=5),
        GPT_4O,
        # 10 x 2.5 M + 5 x 10 M
        75_000_000,
    ),
    Golden(
        "no completion count: what the total has beyond the prompt",
        '{"prompt_tokens": 10, "completion_tokens": null, "total_tokens": 14}',
        Usage(input=10, output=4),
        GPT_4O,
        65_000_000,
    ),
    Golden(
        "nonsense is never negative, and never less than what was said",
        '{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": -3,'
        ' "prompt_tokens_details": {"cached_tokens": 50, "audio_tokens": -1},'
        ' "completion_tokens_details": {"audio_tokens": 9, "reasoning_tokens": true}}',
        Usage(cache_read=50, output_audio=9),
        GPT_4O | {"output_audio": "80"},
        # 50 x 1.25 M + 9 x 80 M
        782_500_000,
    ),
]


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])
def test_golden(golden: Golden) -> None:
    usage = json_object(golden.usage.encode())
    assert usage is not None
    said = report(usage, "m", None)
    assert said is not None
    assert said.usage == golden.buckets
    if golden.stated:
        assert said.cost == golden.cost
    else:
        assert said.cost is None
        rates = {bucket: per_million(dollars) for bucket, dollars in golden.rates.items()}
        assert price(card(**rates), said.usage) == golden.cost


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": None, "completion_tokens": 5},
        {"prompt_tokens": "12"},
        {"completion_tokens": 5, "total_tokens": 5},
        {"prompt_tokens": True},
    ],
)
def test_missing_is_not_zero(usage: dict[str, Any]) -> None:
    assert report(usage, "m", None) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt_tokens": 3, "cost": -0.1}',
        '{"prompt_tokens": 3, "cost": "0.1"}',
        '{"prompt_tokens": 3, "cost": true}',
        '{"prompt_tokens": 3, "cost": null}',
        '{"prompt_tokens": 3, "cost": {}}',
        '{"prompt_tokens": 3, "cost": 1e999}',
        '{"prompt_tokens": 3, "cost": 1e9999999}',
        '{"prompt_tokens": 3, "cost": 9223373}',
        '{"prompt_tokens": 3, "cost": 1, "cost_details": {"upstream_inference_cost": "2"}}',
        '{"prompt_tokens": 3, "cost": 1, "cost_details": {"upstream_inference_cost": -2}}',
        '{"prompt_tokens": 3, "cost_in_usd_ticks": -1}',
        '{"prompt_tokens": 3, "cost_in_usd_ticks": 92233720368547759}',
    ],
)
def test_a_cost_that_cannot_be_believed_is_none(text: str) -> None:
    usage = json_object(text.encode())
    assert usage is not None
    said = report(usage, "m", None)
    assert said is not None
    assert (said.usage, said.cost) == (Usage(input=3), None)


def test_the_largest_cost() -> None:
    said = report({"cost_in_usd_ticks": MAX_PICO // 100}, None, None)
    assert said is not None
    assert said.cost == MAX_PICO // 100 * 100  # tokens may be missing where the money is stated


def test_no_count_outgrows_a_ledger_row() -> None:
    usage = json_object(b'{"prompt_tokens": 1e999, "completion_tokens": 9' + b"9" * 400 + b"}")
    assert usage is not None
    said = report(usage, None, None)
    assert said is not None
    assert said.usage == Usage(input=MOST_TOKENS, output=MOST_TOKENS)
    assert price(card(input=6 * 10**8, output=6 * 10**8), said.usage) < MAX_PICO


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_a_whole_answer() -> None:
    answer = {
        "id": "c",
        "model": "gpt-4o-2024-08-06",
        "service_tier": "priority",  # what it really was, whatever was asked for
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}],
        "usage": USAGE,
    }
    said = read_answer(json.dumps(answer).encode())
    assert said is not None
    assert said.usage == Usage(input=7, output=3)
    assert (said.model, said.traits, said.cost) == (
        "gpt-4o-2024-08-06",
        Traits(service_tier="priority"),
        None,
    )


def test_mistral_states_its_tier_with_the_usage() -> None:
    said = report(USAGE | {"service_tier": "flex"}, "m", "default")
    assert said is not None
    assert said.traits.service_tier == "flex"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not json",
        b"[]",
        b'{"choices": []}',
        b'{"usage": null}',
        b'{"usage": []}',
        b'{"usage": {}}',
        b'{"usage": {"prompt_tokens": NaN}}',
        b'{"x": NaN}',
        b"[" * 100_000,
        b'{"error": {"message": "no"}}',
        b"\xff\xfe",
    ],
)
def test_an_answer_without_usage(document: bytes) -> None:
    assert read_answer(document) is None


@pytest.mark.parametrize(
    "document",
    [
        b'\xef\xbb\xbf{"usage": %s, "model": "m"}',
        b'{"data": [NaN], "usage": %s, "model": "m"}',
        b'{"text": "\\ud83d", "usage": %s, "model": "m"}',
        b'{"text": "\xed\xa0\xbd", "usage": %s, "model": "m"}',
        b'{"text": "\\\\ud83d", "usage": %s, "model": "m", "service_tier": 4}',
    ],
)
def test_an_answer_that_strict_readers_refuse(document: bytes) -> None:
    said = read_answer(document.replace(b"%s", json.dumps(USAGE).encode()))
    assert said is not None
    assert (said.usage, said.model, said.traits) == (Usage(input=7, output=3), "m", Traits())


def test_a_model_that_is_no_name() -> None:
    said = read_answer(json.dumps({"usage": USAGE, "model": 5}).encode())
    assert said is not None
    assert said.model is None
