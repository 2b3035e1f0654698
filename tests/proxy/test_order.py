"""What is decided about a call before any money moves, on the built-in prices."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from structlog.testing import capture_logs

from budgetd.config.build import build
from budgetd.config.catalogue import compile_prices
from budgetd.config.models import ModelTable
from budgetd.config.settings import Settings
from budgetd.core.policy import UnknownPrice
from budgetd.core.sessions import Claim, session_id
from budgetd.core.tariff import Tariff
from budgetd.errors import CallerFault
from budgetd.ledger.keyring import Keyring
from budgetd.proxy.callers import Callers, Claims
from budgetd.proxy.order import MODEL_LENGTH, TRAIT_LENGTH, Order, Setup, Slip, take
from budgetd.proxy.sessions import Sessions
from budgetd.proxy.visits import Arrival
from budgetd.wire.body import parse
from budgetd.wire.dialects import Labels, target

NOW = 1_795_000_000_000
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "embed": "/v1/embeddings"}


@cache
def setup() -> Setup:
    """The daemon's own setup for an empty configuration."""
    rules = build(Settings.layered({}), {}, fingerprint=str)
    catalogues = {name: provider.catalogue for name, provider in rules.providers.items()}
    tariff = Tariff(compile_prices(catalogues, {}, NOW), ModelTable.load().limits)
    return Setup(rules, Callers(rules, Keyring(), str), tariff, frozenset())


def order(
    kind: str,
    *,
    unknown: UnknownPrice | None = None,
    usage: bool | None = None,
    provider: str | None = None,
    **fields: Any,
) -> Order:
    """The order for a body of this kind; `unknown` and `usage` change its provider."""
    start = {"chat": {"model": "gpt-4o"}, "embed": {"model": "text-embedding-3-small"}}
    body = parse(
        json.dumps(
            {"messages": []}
            | start.get(kind, {"model": "claude-sonnet-4-5", "max_tokens": 100})
            | fields
        ).encode()
    )
    aim = target("POST", PATHS[kind], {})
    assert aim is not None
    facts = aim.dialect.read(aim.operation, body)
    claims = Claims(
        Labels(label="blue", provider=provider), (), "codex", aim.dialect.name, facts.model
    )
    caller = setup().callers.resolve(claims, NOW)
    seller = caller.provider
    if unknown is not None:
        seller = replace(seller, unknown_price=unknown)
    if usage is not None:
        seller = replace(seller, asks_stream_usage=usage)
    said = Claim("s1", "client", parents=("s0",), kind="side")
    who = Arrival("default", "codex", "openai", said, 1, repeated=False, retry=False, at=NOW)
    visit = Sessions(0).arrive(who, facts, body, aim.operation.history)
    slip = Slip("c1", NOW, visit, "c0")
    return take(setup(), replace(caller, provider=seller), aim, facts, slip)


def test_what_is_written_down_of_a_call() -> None:
    wanted = order("chat").wanted
    call = wanted.call
    assert (call.id, call.key, call.dialect, call.operation) == (
        "c1",
        "default",
        "openai_chat",
        "chat",
    )
    assert (call.client, call.model, call.kind, call.label) == ("codex", "gpt-4o", "side", "blue")
    assert [session.ref for session in call.path] == ["s1", "s0"]
    assert call.session == session_id("default", "s1")
    assert call.retry_of == "c0"
    assert (wanted.provider, wanted.model, wanted.money) == ("openai", "gpt-4o", "real")
    assert [budget.name for budget in wanted.budgets] == ["5h"]


@pytest.mark.parametrize("kind", ["chat", "messages", "embed"])
@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("", "missing_model"),
        (None, "missing_model"),
        ("x" * (MODEL_LENGTH + 1), "bad_model"),
        ("a\nb", "bad_model"),
        ("a\x00b", "bad_model"),
        ("\ud800", "bad_model"),
    ],
)
def test_names_that_name_no_model(kind: str, model: str | None, code: str) -> None:
    with pytest.raises(CallerFault) as caught:
        order(kind, model=model)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("tier", ["x" * (TRAIT_LENGTH + 1), "two\nlines"])
def test_words_that_choose_a_price_are_short(tier: str) -> None:
    for name in ("service_tier", "speed", "inference_geo"):
        fields: dict[str, Any] = {name: tier}
        with pytest.raises(CallerFault, match="one word each"):
            order("messages", **fields)


def test_a_model_without_a_price_is_refused_with_the_ways_out() -> None:
    with pytest.raises(CallerFault) as caught:
        order("chat", model="my-own-model", unknown="deny")
    assert caught.value.code == "unknown_price"
    for words in ("'my-own-model'", "openai", "prices", "ceiling", "free", "never $0"):
        assert words in caught.value.message
    assert order("chat", model="my-own-model", unknown="free").wanted.quote.hold(1000) == 0
    assert order("chat", model="my-own-model", unknown="ceiling").wanted.quote.hold(1000) > 0


def test_a_stand_in_for_a_price_is_said_once() -> None:
    setup().stand_ins.clear()
    order("chat")
    assert setup().stand_ins == {}
    with capture_logs() as logs:
        for _ in range(2):
            order("chat", model="my-own-model", unknown="ceiling")
    assert [(line["log_level"], line["model"]) for line in logs] == [
        ("warning", "openai/my-own-model")
    ]
    assert list(setup().stand_ins) == ["openai/my-own-model"]
    assert setup().stand_ins["openai/my-own-model"] == "ceiling of openai"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 2**53 - 1, "n": 2**53 - 1},
        {"n": 2**53 - 1},
    ],
)
def test_what_nobody_can_count_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(CallerFault) as caught:
        order("chat", **fields)
    assert caught.value.code == "unbounded_cost"


def test_tools_that_run_at_the_provider_without_a_bound() -> None:
    with pytest.raises(CallerFault) as caught:
        order("messages", mcp_servers=[{"url": "https://x"}])
    assert caught.value.code == "unbounded_cost"
    assert "mcp_servers" in caught.value.message


def test_a_stream_is_asked_for_usage_only_where_it_is_understood_and_not_asked_already() -> None:
    asked = {"include_usage": True}
    assert order("chat", stream=True).asks_usage
    assert not order("chat").asks_usage
    assert not order("chat", stream=True, usage=False).asks_usage
    assert not order("chat", stream=True, stream_options=asked).asks_usage
    assert order("chat", stream=True, stream_options={"x": 1}).asks_usage
    body = parse(b'{"stream_options": {"x": 1}}')
    changed = order("chat", stream=True, stream_options={"x": 1}).changes(body, 50)
    assert changed["stream_options"] == {"x": 1, "include_usage": True}


def test_only_what_differs_is_changed() -> None:
    body = parse(b"{}")
    assert order("chat", max_tokens=50).changes(body, 50) == {}
    assert order("chat", max_tokens=50).changes(body, 40) == {"max_tokens": 40}
    both = order("chat", max_tokens=50, max_completion_tokens=60)
    assert both.changes(body, 40) == {"max_tokens": 40, "max_completion_tokens": 40}
    assert order("chat").changes(body, 40) == {"max_completion_tokens": 40}
    assert order("messages").changes(body, 40) == {"max_tokens": 40}
    assert order("embed").changes(body, 40) == {}
