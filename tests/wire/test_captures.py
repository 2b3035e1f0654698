"""Real requests: who sent them, with which credential, and what money needs to know of them."""

from __future__ import annotations

import pytest

from budgetd.wire.body import parse
from budgetd.wire.dialects import target
from budgetd.wire.identity import client_family, credentials
from tests.wire.captured import Capture, calls, captures, text_of

ALL = captures()
CALLS = calls()
FAMILIES = {
    "claude-code": "claude_code",
    "sdk-claude_agent": "claude_code",
    "opencode": "opencode",
    "qwen-code": "qwen_code",
    "pi": "js_sdk",
    "openclaw": "js_sdk",
    "goose": "goose",
}


def ids(several: list[Capture]) -> list[str]:
    return [capture.name for capture in several]


def test_there_are_captures_of_every_client() -> None:
    assert len(ALL) == 184
    assert len({capture.client for capture in ALL}) == 31
    assert len(CALLS) > 100
    assert len({capture.client for capture in CALLS}) == 22
    assert {capture.path for capture in ALL if capture.method == "HEAD"} == {"/", "/api/hello"}


def test_texts_have_their_length() -> None:
    for size in (0, 1, 2, 3, 50, 51, 52, 53, 54, 1000, 31044):
        assert len(text_of(size).encode()) == size


@pytest.mark.parametrize("capture", CALLS, ids=ids(CALLS))
def test_a_call(capture: Capture) -> None:
    aim = target(capture.method, capture.path, capture.mapping)
    assert aim is not None
    is_chat = capture.path == "/v1/chat/completions"
    assert aim.dialect.name == ("openai_chat" if is_chat else "anthropic")

    family = FAMILIES.get(capture.client, "python_sdk")
    if capture.client == "openclaw" and not is_chat:
        family = "unknown"  # its Anthropic client says no more than "undici"
    assert client_family(capture.mapping) == family

    bearer = capture.mapping.get("authorization", "").removeprefix("Bearer ")
    key = capture.mapping.get("x-api-key")
    assert [one.secret for one in credentials(capture.mapping)] == [key or bearer]

    assert capture.body is not None
    body, fields = parse(capture.body), capture.fields
    facts = aim.dialect.read(aim.operation, body)
    assert facts.model == fields["model"]
    assert facts.input_bytes == len(capture.body)
    assert facts.streamed == fields.get("stream", False)
    assert facts.output == fields.get("max_completion_tokens", fields.get("max_tokens"))
    assert facts.unbounded is None
    assert (facts.searches, facts.answers, facts.rounds) == (0, 1, 1)
    assert facts.media.images == facts.media.documents == facts.media.audio == 0
    if is_chat:
        asked = bool(fields.get("stream_options", {}).get("include_usage"))
        assert facts.asked_usage == asked
        assert facts.hidden_output == ("reasoning_effort" in fields)
        assert facts.cache_writes == "none"
    else:
        assert facts.hidden_output == (
            fields.get("thinking", {}).get("type") in {"adaptive", "enabled"}
        )
        assert facts.cache_writes == ("5m" if b'"cache_control"' in capture.body else "none")


def test_clients_that_do_not_ask_for_usage() -> None:
    """clients.md section 2: aider, the openai SDK and langchain."""
    silent = {
        capture.client
        for capture in CALLS
        if capture.path.endswith("completions") and capture.fields.get("stream")
        if "stream_options" not in capture.fields
    }
    assert silent == {"aider", "sdk-openai-stream", "sdk-langchain_openai-stream"}
