"""Requests of the OpenAI dialect: facts, rewriting, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from budgetd.core.estimate import Facts
from budgetd.core.usage import Traits
from budgetd.errors import CallerFault
from budgetd.wire.body import parse
from budgetd.wire.dialect import Blind, Complaint
from budgetd.wire.openai_chat import (
    CHAT,
    COMPLETIONS,
    DIALECT,
    EMBEDDINGS,
    MODELS,
    TEMPLATE_TOKENS,
)

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def read(operation: Any = CHAT, **fields: Any) -> Facts:
    return DIALECT.read(operation, parse(json.dumps({"model": "m"} | fields).encode()))


def test_a_small_request() -> None:
    facts = read(messages=[{"role": "user", "content": "hi"}])
    assert (facts.model, facts.streamed, facts.output, facts.answers) == ("m", False, None, 1)
    assert (facts.output_fields, facts.overhead, facts.asked_usage) == ((), TEMPLATE_TOKENS, False)
    assert facts.input_bytes == len(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    )
    assert not facts.hidden_output
    assert not facts.media_output
    assert read(model=None).model == ""


def test_output_bounds() -> None:
    assert read(max_tokens=5).output_fields == ("max_tokens",)
    both = read(max_tokens=5, max_completion_tokens=9)
    assert (both.output, both.output_fields) == (9, ("max_completion_tokens", "max_tokens"))
    assert DIALECT.limit_output(both, 3, "max_tokens") == {
        "max_completion_tokens": 3,
        "max_tokens": 3,
    }
    assert DIALECT.limit_output(read(), 3, "max_completion_tokens") == {"max_completion_tokens": 3}
    assert read(prediction={"type": "content", "content": "x" * 100}).extra_output >= 100


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"n": None}, 1),
        ({"prompt": "one"}, 1),
        ({"prompt": ["a", "b", "c"], "n": 2}, 6),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": []}, 1),
    ],
)
def test_how_many_answers(fields: dict[str, Any], answers: int) -> None:
    assert read(COMPLETIONS, **fields).answers == answers


def test_what_is_paid_besides_text() -> None:
    assert read(web_search_options={}).searches == 1
    assert read(web_search_options=None).searches == 0
    assert read(reasoning_effort="low").hidden_output
    assert read(reasoning={"effort": "low"}).hidden_output
    assert not read(reasoning_effort=None, reasoning=None).hidden_output
    assert read(modalities=["text", "audio"]).media_output
    assert not read(modalities=["text"]).media_output
    assert read(service_tier="flex").traits == Traits(service_tier="flex")


@pytest.mark.parametrize(
    ("model", "detail", "images"),
    [
        ("gpt-4o", "high", 2),
        ("gpt-5.4", "original", 4),
        ("gpt-4o-mini-2024-07-18", "high", 20),  # such an image is 48,169 tokens
    ],
)
def test_images_that_are_more_than_one(model: str, detail: str, images: int) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": detail}}
    messages = [{"role": "user", "content": [part, part]}]
    assert read(model=model, messages=messages).media.images == images


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"models": ["openai/o1-pro"]}, "models"),
        ({"preset": "dear"}, "preset"),
        ({"search_parameters": {"mode": "auto"}}, "search_parameters"),
        ({"enable_search": True}, "enable_search"),
        ({"plugins": [{"id": "web", "max_results": 10}]}, "web"),
        ({"plugins": [{"id": "response-healing"}, {"id": "new"}]}, "new"),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, "web_search"),
        ({"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}, "builtin"),
        ({"tools": [{"type": 5}]}, "5"),
        ({"tools": [7, {"type": "code_interpreter"}]}, "code_interpreter"),
        ({"extra_body": {"google": {"cached_content": "cachedContents/1"}}}, "cached_content"),
    ],
)
def test_what_cannot_be_bounded_is_named(fields: dict[str, Any], named: str) -> None:
    unbounded = read(**fields).unbounded
    assert unbounded is not None
    assert named in unbounded


def test_no_server_tool_hides_behind_an_escape() -> None:
    body = parse(rb'{"tools":[{"typ\u0065":"web_se\u0061rch"}]}')
    assert DIALECT.read(CHAT, body).unbounded is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "x"}}]},
        {"tools": [{"function": {"name": "no_type"}}]},
        {"tools": None, "models": [], "preset": None, "enable_search": False},
        {"plugins": [{"id": "response-healing"}, {"id": "web", "enabled": False}]},
    ],
)
def test_what_runs_at_the_client_is_bounded(fields: dict[str, Any]) -> None:
    assert read(**fields).unbounded is None


def test_embeddings_have_no_output() -> None:
    facts = read(EMBEDDINGS, input=["a", "b"])
    assert (facts.bounded_output, facts.streamed) == (False, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": 5},
        {"stream": "yes"},
        {"max_tokens": -1},
        {"max_tokens": 0},
        {"max_tokens": 9, "max_completion_tokens": 0},
        {"max_tokens": "9"},
        {"n": 1.5},
        {"service_tier": []},
        {"max_completion_tokens": True},
    ],
)
def test_wrong_types(fields: dict[str, Any]) -> None:
    with pytest.raises(CallerFault) as caught:
        read(**fields)
    assert caught.value.status == 400
    assert next(iter(fields)) in caught.value.message


def test_stream_usage() -> None:
    def asked(options: Any) -> bool:
        return read(stream=True, stream_options=options).asked_usage

    assert asked({"include_usage": True})
    assert not any(
        asked(options)
        for options in ({}, {"include_usage": False}, None, "x", {"include_usage": 1})
    )
    body = parse(b'{"stream_options": {"include_obfuscation": false, "include_usage": false}}')
    assert DIALECT.ask_usage(body) == {
        "stream_options": {"include_obfuscation": False, "include_usage": True}
    }
    assert DIALECT.ask_usage(parse(b"{}")) == {"stream_options": {"include_usage": True}}


def test_errors() -> None:
    def error(complaint: Complaint) -> Any:
        return json.loads(DIALECT.error(complaint))["error"]

    assert error(Complaint(429, "rate_limit_exceeded", "no", {"a": 1})) == {
        "message": "no",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
        "budgetd": {"a": 1},
    }
    assert error(Complaint(400, "c", "m"))["type"] == "invalid_request_error"
    assert error(Complaint(418, "c", "m"))["type"] == "invalid_request_error"
    assert error(Complaint(503, "c", "m"))["type"] == "server_error"
    special = error(Complaint(429, "c", "m", kind="usage_limit_reached", members={"resets_at": 5}))
    assert (special["type"], special["resets_at"]) == ("usage_limit_reached", 5)
    assert "budgetd" not in special


def test_the_credential_and_free_answers() -> None:
    assert DIALECT.credential_header("s") == ("Authorization", "Bearer s")
    tap = DIALECT.tap(MODELS, streamed=False, hide_usage=False)
    assert isinstance(tap, Blind)
    assert tap.feed(b"x") == b"x"
    assert (tap.ending(), tap.terminal) == (None, False)
    assert tap.finish() == b""
    assert (tap.terminal, tap.reported, tap.visible_bytes) == (True, None, 0)
