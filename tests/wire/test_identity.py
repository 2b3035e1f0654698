"""Credentials and client families, as read from headers."""

from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict

from budgetd.wire.identity import Credential, client_family, credentials


def found(*headers: tuple[str, str]) -> list[tuple[str, str]]:
    return [(one.header, one.secret) for one in credentials(CIMultiDict(headers))]


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("Authorization", "Bearer sk-1", "sk-1"),
        ("authorization", "bearer   sk-1 ", "sk-1"),
        ("Authorization", "sk-1", "sk-1"),
        ("Authorization", "Token sk-1", "sk-1"),
        ("X-Api-Key", " sk-1 ", "sk-1"),
        ("api-key", "sk-1", "sk-1"),
        ("x-goog-api-key", "sk-1", "sk-1"),
    ],
)
def test_every_form(name: str, value: str, secret: str) -> None:
    assert found((name, value)) == [(name.lower(), secret)]


def test_basic_that_is_none() -> None:
    for value in ("Basic !!!", basic(b"\xff\xfe"), basic(b":")):
        assert found(("Authorization", value)) == [("authorization", value.split()[1])]


def test_basic_may_hold_the_key_in_either_half() -> None:
    for words in (b"bgd_token", b"bgd_token:", b":bgd_token"):
        assert found(("Authorization", basic(words))) == [("authorization", "bgd_token")]
    both = [("authorization", "bgd_token"), ("authorization", "x")]
    assert found(("Authorization", basic(b"bgd_token:x"))) == both
    assert found(("Authorization", basic(b"x:bgd_token"))) == both


@pytest.mark.parametrize("value", ["", " ", "Bearer", "Bearer ", "basic"])
def test_none(value: str) -> None:
    assert found(("Authorization", value), ("x-api-key", " "), ("user-agent", "x")) == []


def test_ours_comes_first_and_each_once() -> None:
    both = (("Authorization", "Bearer sk-1"), ("x-api-key", "bgd_token"), ("api-key", "sk-1"))
    assert found(*both) == [("x-api-key", "bgd_token"), ("authorization", "sk-1")]
    twice = (("x-api-key", "sk-1"), ("X-API-KEY", "sk-2"))
    assert found(*twice) == [("x-api-key", "sk-1"), ("x-api-key", "sk-2")]


def test_a_secret_does_not_show_itself() -> None:
    one = Credential("x-api-key", "bgd_secret")
    assert "secret" not in repr(one)
    assert one.is_token
    assert not Credential("x-api-key", "sk-bgd_").is_token


@pytest.mark.parametrize(
    ("headers", "family"),
    [
        ({"X-Claude-Code-Session-Id": "s", "User-Agent": "anything"}, "claude_code"),
        ({"User-Agent": "claude-cli/2.1.197 (external, sdk-cli)"}, "claude_code"),
        ({"User-Agent": "opencode/1.18.33 ai-sdk"}, "opencode"),
        ({"User-Agent": "QwenCode/0.15.10"}, "qwen_code"),
        ({"User-Agent": "GeminiCLI-tui/0.61.0"}, "gemini_cli"),
        ({"User-Agent": "OpenAI/JS 6.26.0"}, "js_sdk"),
        ({"User-Agent": "Anthropic/JS 0.91.1"}, "js_sdk"),
        ({"User-Agent": "OpenAI/Python 2.20.0"}, "python_sdk"),
        ({"User-Agent": "AsyncAnthropic/Python 2.11.0"}, "python_sdk"),
        ({"User-Agent": "codex_exec/0.169.0"}, "codex"),
        ({"Originator": "Codex_cli_rs"}, "codex"),
        ({"agent-session-id": "20261120_1"}, "goose"),
        ({"User-Agent": "undici"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_families(headers: dict[str, str], family: str) -> None:
    assert client_family(CIMultiDict(headers)) == family
