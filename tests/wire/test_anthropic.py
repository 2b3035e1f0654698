"""Requests of the Anthropic dialect: facts, server tools, cache writes, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from budgetd.core.estimate import Facts
from budgetd.core.usage import Traits
from budgetd.errors import CallerFault
from budgetd.wire.anthropic import (
    COUNT,
    DIALECT,
    MESSAGES,
    MOST_SEARCHES,
    TEMPLATE_TOKENS,
    TOOL_PROMPT_TOKENS,
)
from budgetd.wire.body import parse
from budgetd.wire.dialect import Blind, Complaint
from budgetd.wire.whole import WholeTap


def read(operation: Any = MESSAGES, **fields: Any) -> Facts:
    return DIALECT.read(
        operation, parse(json.dumps({"model": "m", "max_tokens": 9} | fields).encode())
    )


def test_a_small_request() -> None:
    facts = read(stream=True, service_tier="auto", speed="fast", inference_geo="us")
    assert (facts.model, facts.streamed, facts.output, facts.output_fields) == (
        "m",
        True,
        9,
        ("max_tokens",),
    )
    assert (facts.searches, facts.rounds, facts.unbounded, facts.cache_writes) == (
        0,
        1,
        None,
        "none",
    )
    assert (facts.overhead, facts.least_output, facts.hidden_output) == (TEMPLATE_TOKENS, 0, False)
    assert facts.traits == Traits("auto", "fast", "us")
    assert facts.asked_usage
    assert DIALECT.limit_output(facts, 3, "whatever") == {"max_tokens": 3}
    assert DIALECT.ask_usage(parse(b"{}")) == {}


def test_counting_costs_nothing() -> None:
    assert not COUNT.spends
    assert not read(COUNT).bounded_output
    assert isinstance(DIALECT.tap(COUNT, streamed=False, hide_usage=False), Blind)
    assert isinstance(DIALECT.tap(MESSAGES, streamed=False, hide_usage=False), WholeTap)


@pytest.mark.parametrize(
    ("thinking", "hidden", "least"),
    [
        ({"type": "enabled", "budget_tokens": 5000}, True, 5001),
        ({"type": "adaptive"}, True, 0),
        ({"type": "between_tools"}, True, 0),
        ({"type": "disabled"}, False, 0),
        ({"type": "enabled", "budget_tokens": True}, True, 0),
        (None, False, 0),
        ({}, False, 0),
    ],
)
def test_thinking(thinking: Any, hidden: bool, least: int) -> None:
    facts = read(thinking=thinking)
    assert (facts.hidden_output, facts.least_output) == (hidden, least)


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": [SEARCH]}, "web_search_20250305 without max_uses"),
        ({"tools": [SEARCH | {"max_uses": True}]}, "without max_uses"),
        ({"tools": [SEARCH | {"max_uses": 2.5}]}, "without max_uses"),
        ({"tools": [SEARCH | {"max_uses": None}]}, "without max_uses"),
        ({"tools": [{"type": "web_fetch_20250910"}]}, "web_fetch_20250910 without max_uses"),
        ({"tools": [{"type": "code_execution_20250825"}]}, "code_execution_20250825"),
        ({"tools": [{"type": "advisor_20260301", "model": "dear"}]}, "advisor_20260301"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "mcp_toolset"),
        ({"tools": [{"type": "undated"}]}, "undated"),
        ({"tools": [{"type": "code_execution_1", "max_uses": 1}]}, "code_execution_1"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
        ({"fallbacks": [{"model": "dear"}]}, "fallbacks"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_addition", "tool": SEARCH}]}
                ]
            },
            "tool_addition",
        ),
        ({"tools": [5, SEARCH]}, "without max_uses"),  # a list that strict readers refuse
        ({"tools": [{"type": 5}, SEARCH]}, "without max_uses"),
    ],
)
def test_what_cannot_be_bounded_is_named(fields: dict[str, Any], named: str) -> None:
    unbounded = read(**fields).unbounded
    assert unbounded is not None
    assert named in unbounded


@pytest.mark.parametrize(
    "body",
    [
        r'{"tools":[{"typ\u0065":"web_se\u0061rch_20250305"}]}',
        r'{"messages":[{"content":[{"type":"tool\u005faddition"}]}]}',
    ],
)
def test_no_tool_hides_behind_an_escape(body: str) -> None:
    assert DIALECT.read(MESSAGES, parse(body.encode())).unbounded is not None


@pytest.mark.parametrize(
    ("fields", "searches", "rounds"),
    [
        ({"tools": [SEARCH | {"max_uses": 3}]}, 3, 4),
        ({"tools": [SEARCH | {"max_uses": 3}, {"type": "web_fetch_1", "max_uses": 2}]}, 5, 6),
        ({"tools": [SEARCH | {"max_uses": -3}]}, 0, 1),
        ({"tools": [SEARCH | {"max_uses": 10**30}]}, MOST_SEARCHES, MOST_SEARCHES + 1),
        (
            {"tools": [{"name": "own", "input_schema": {"type": "object"}}, {"type": "custom"}]},
            0,
            1,
        ),
        (
            {"tools": [{"type": "bash_20250124"}, {"type": "text_editor_1"}, {"type": "memory_1"}]},
            0,
            1,
        ),
        ({"tools": "nonsense"}, 0, 1),
        ({"tools": None, "mcp_servers": [], "fallbacks": None}, 0, 1),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}}, 0, 1),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, 0, 2),
        ({"compaction": {"instructions": "x"}}, 0, 2),
    ],
)
def test_searches_and_rounds(fields: dict[str, Any], searches: int, rounds: int) -> None:
    facts = read(**fields)
    assert (facts.searches, facts.rounds, facts.unbounded) == (searches, rounds, None)


def test_the_tools_own_prompt() -> None:
    own = {"name": "own", "input_schema": {}}
    assert read(tools=[]).overhead == TEMPLATE_TOKENS
    assert read(tools=[own, own]).overhead == TEMPLATE_TOKENS + TOOL_PROMPT_TOKENS
    assert (
        read(tools=[own, {"type": "bash_1"}]).overhead == TEMPLATE_TOKENS + 2 * TOOL_PROMPT_TOKENS
    )


MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("fields", "writes"),
    [
        ({"system": "say cache_control"}, "none"),
        ({"system": [{"type": "text", "text": "x", "cache_control": MARK}]}, "5m"),
        ({"messages": [{"content": [{"type": "text", "cache_control": HOUR}]}]}, "1h"),
        ({"tools": [{"name": "t", "cache_control": MARK}]}, "5m"),
        ({"cache_control": MARK}, "5m"),
        ({"cache_control": HOUR}, "1h"),
        ({"system": [{"cache_control": MARK}], "messages": [{"content": "1h"}]}, "5m"),
    ],
)
def test_cache_writes(fields: dict[str, Any], writes: str) -> None:
    assert read(**fields).cache_writes == writes


def test_an_escaped_cache_write() -> None:
    body = parse(rb'{"system":[{"cache\u005fcontrol":{"ttl":"1\u0068"}}]}')
    assert DIALECT.read(MESSAGES, body).cache_writes == "1h"


@pytest.mark.parametrize(
    ("user", "account"),
    [
        (json.dumps({"account_uuid": "acc", "session_id": "s"}), "acc"),
        (json.dumps({"account_uuid": ""}), None),
        (json.dumps({"account_uuid": 5}), None),
        ("user_1", None),
        ("{broken", None),
        ('{"a":' * 2000, None),
        (5, None),
        (None, None),
    ],
)
def test_the_account(user: Any, account: str | None) -> None:
    assert read(metadata={"user_id": user}).account == account
    assert read(metadata="none").account is None


@pytest.mark.parametrize("fields", [{"model": 5}, {"max_tokens": "9"}, {"stream": 1}, {"speed": 2}])
def test_wrong_types(fields: dict[str, Any]) -> None:
    with pytest.raises(CallerFault, match=next(iter(fields))):
        read(**fields)


def test_errors() -> None:
    def error(complaint: Complaint) -> Any:
        whole = json.loads(DIALECT.error(complaint))
        assert whole["type"] == "error"
        return whole["error"]

    assert error(Complaint(429, "c", "no", {"a": 1})) == {
        "type": "rate_limit_error",
        "message": "no",
        "budgetd": {"a": 1},
    }
    assert error(Complaint(500, "c", "m"))["type"] == "api_error"
    assert error(Complaint(422, "c", "m"))["type"] == "invalid_request_error"
    assert error(Complaint(402, "c", "m", kind="other", members={"x": 1})) == {
        "type": "billing_error",
        "message": "m",
        "x": 1,
    }


def test_the_credential() -> None:
    assert DIALECT.credential_header("sk-ant-api03-x") == ("x-api-key", "sk-ant-api03-x")
    assert DIALECT.credential_header("sk-ant-oat01-x") == ("Authorization", "Bearer sk-ant-oat01-x")
