"""Golden usage objects of Anthropic Messages, priced to the pico-dollar by hand."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from budgetd.core.prices import RateCard, price
from budgetd.core.usage import BUCKETS, Traits, Usage
from budgetd.wire.anthropic_usage import read_answer, report
from tests.wire.tokens import card, per_million

SONNET = {
    "input": "3",
    "cache_read": "0.3",
    "cache_write_5m": "3.75",
    "cache_write_1h": "6",
    "output": "15",
    "web_searches": "10000",  # $10 for a thousand, so $10,000 for a million
}


class Golden(NamedTuple):
    name: str
    usage: dict[str, Any]
    buckets: Usage
    cost: int


GOLDEN = [
    Golden(
        "plain",
        {"input_tokens": 1000, "output_tokens": 100},
        Usage(input=1000, output=100),
        # 1000 x 3 M + 100 x 15 M
        4_500_000_000,
    ),
    Golden(
        "input leaves the cache out",
        {
            "input_tokens": 21,
            "cache_creation_input_tokens": 2000,
            "cache_read_input_tokens": 50_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
            "output_tokens": 393,
            "service_tier": "standard",
        },
        Usage(input=21, cache_read=50_000, cache_write_5m=1500, cache_write_1h=500, output=393),
        # 21 x 3 M + 50_000 x 0.3 M + 1500 x 3.75 M + 500 x 6 M + 393 x 15 M
        # = 63 + 15_000 + 5_625 + 3_000 + 5_895 M
        29_583_000_000,
    ),
    Golden(
        "writes without their detail are the 5-minute kind",
        {"input_tokens": 1, "cache_creation_input_tokens": 100, "output_tokens": 1},
        Usage(input=1, cache_write_5m=100, output=1),
        # 3 M + 375 M + 15 M
        393_000_000,
    ),
    Golden(
        "detail without the total",
        {
            "input_tokens": 1,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 1,
        },
        Usage(input=1, cache_write_5m=10, cache_write_1h=20, output=1),
        # 3 M + 37.5 M + 120 M + 15 M
        175_500_000,
    ),
    Golden(
        "a total that outgrew its detail: the dearer kind in use",
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 150,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
            "output_tokens": 1,
        },
        Usage(input=1, cache_write_5m=40, cache_write_1h=110, output=1),
        # 3 M + 40 x 3.75 M + 110 x 6 M + 15 M = 3 + 150 + 660 + 15 M
        828_000_000,
    ),
    Golden(
        "a total that outgrew its detail, 5 minutes only",
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 150,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1,
        },
        Usage(input=1, cache_write_5m=150, output=1),
        # 3 M + 150 x 3.75 M + 15 M
        580_500_000,
    ),
    Golden(
        "web searches are counted, fetches cost nothing of their own",
        {
            "input_tokens": 100,
            "output_tokens": 10,
            "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 5},
        },
        Usage(input=100, output=10, web_searches=3),
        # 300 M + 150 M + 3 x 10^10
        30_450_000_000,
    ),
    Golden(
        "thinking is inside the output",
        {
            "input_tokens": 10,
            "output_tokens": 700,
            "output_tokens_details": {"thinking_tokens": 650},
        },
        Usage(input=10, output=700),
        # 30 M + 10_500 M
        10_530_000_000,
    ),
    Golden(
        "a compaction is outside the totals, the messages inside",
        {
            "input_tokens": 1000,
            "output_tokens": 50,
            "iterations": [
                {
                    "type": "compaction",
                    "input_tokens": 180_000,
                    "output_tokens": 3000,
                    "cache_read_input_tokens": 20_000,
                    "cache_creation_input_tokens": 0,
                },
                {"type": "message", "input_tokens": 1000, "output_tokens": 50},
                None,
            ],
        },
        Usage(input=181_000, cache_read=20_000, output=3050),
        # 181_000 x 3 M + 20_000 x 0.3 M + 3050 x 15 M = 543_000 + 6_000 + 45_750 M
        594_750_000_000,
    ),
    Golden(
        "an advisor is outside the totals too",
        {
            "input_tokens": 1,
            "output_tokens": 1,
            "iterations": [{"type": "advisor_message", "input_tokens": 10, "output_tokens": 2}],
        },
        Usage(input=11, output=3),
        # 33 M + 45 M
        78_000_000,
    ),
    Golden(
        "nulls and nonsense",
        {
            "input_tokens": 5,
            "cache_creation_input_tokens": None,
            "cache_read_input_tokens": -7,
            "cache_creation": None,
            "server_tool_use": None,
            "iterations": "none",
            "output_tokens": "12",
        },
        Usage(input=5),
        15_000_000,
    ),
    Golden("a stated zero", {"input_tokens": 0, "output_tokens": 0}, Usage(), 0),
]


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])
def test_golden(golden: Golden) -> None:
    said = report(golden.usage, "claude")
    assert said is not None
    assert said.usage == golden.buckets
    assert said.cost is None
    rates = {bucket: per_million(dollars) for bucket, dollars in SONNET.items()}
    assert price(card(**rates), said.usage) == golden.cost


@pytest.mark.parametrize("usage", [{}, {"output_tokens": 5}, {"input_tokens": None}])
def test_missing_is_not_zero(usage: dict[str, Any]) -> None:
    assert report(usage, "claude") is None


def test_tier_speed_and_place_decide_the_price() -> None:
    usage = {
        "input_tokens": 7,
        "output_tokens": 3,
        "service_tier": "priority",
        "speed": "fast",
        "inference_geo": "us",
    }
    said = report(usage, "claude-opus-4-6")
    assert said is not None
    assert said.traits == Traits("priority", "fast", "us")
    rates = {name: per_million("5") if name == "input" else per_million("25") for name in BUCKETS}
    fast = RateCard("anthropic", "claude-opus-4-6", rates, geo={"us": (11, 10), "global": (1, 1)})
    # (7 x 5 M + 3 x 25 M) x 1.1 = 110 M x 1.1
    assert price(fast, said.usage, said.traits) == 121_000_000


def test_a_whole_answer() -> None:
    answer = {
        "model": "claude-sonnet-4-5-20250929",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }
    for document in (
        json.dumps(answer).encode(),
        json.dumps(answer | {"content": [{"type": "text", "text": "\ud83d"}]}).encode(),
    ):
        said = read_answer(document)
        assert said is not None
        assert (said.usage, said.model) == (Usage(input=7, output=3), "claude-sonnet-4-5-20250929")


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b'{"usage": null}', b'{"usage": 4}', b'{"type": "error"}', b"[" * 100_000],
)
def test_an_answer_without_usage(document: bytes) -> None:
    assert read_answer(document) is None
