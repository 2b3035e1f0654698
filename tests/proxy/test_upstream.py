"""The way out: addresses, headers, and the proxy in between. Failures against real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from budgetd.config.presets import PRESETS
from budgetd.core.policy import Patience, Provider
from budgetd.errors import UpstreamFault
from budgetd.proxy.detour import Detours
from budgetd.proxy.upstream import Upstream, address, request_headers, response_headers, trust
from budgetd.wire import anthropic, openai_chat

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CHAT_URLS = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "deepseek": "https://api.deepseek.com/v1/chat/completions",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
    "together": "https://api.together.xyz/v1/chat/completions",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "moonshot": "https://api.moonshot.ai/v1/chat/completions",
    "zai": "https://api.z.ai/api/paas/v4/chat/completions",
    "ollama": "http://127.0.0.1:11434/v1/chat/completions",
}
MESSAGE_URLS = {
    "anthropic": "https://api.anthropic.com/v1/messages",
    "openrouter": "https://openrouter.ai/api/v1/messages",
    "deepseek": "https://api.deepseek.com/anthropic/v1/messages",
    "moonshot": "https://api.moonshot.ai/anthropic/v1/messages",
    "zai": "https://api.z.ai/api/anthropic/v1/messages",
}


def test_every_preset_is_asked_at_its_own_address() -> None:
    for name, preset in PRESETS.items():
        provider = Provider(name, preset.base_urls)
        if "openai_chat" in preset.base_urls:
            found = address(provider, openai_chat.DIALECT, CHAT, "")
            assert str(found) == CHAT_URLS.pop(name)
        if "anthropic" in preset.base_urls:
            found = address(provider, anthropic.DIALECT, MESSAGES, "beta=true")
            assert str(found) == MESSAGE_URLS.pop(name) + "?beta=true"
    assert not CHAT_URLS
    assert not MESSAGE_URLS


@pytest.mark.parametrize(
    ("base", "path", "query", "expected"),
    [
        ("https://x", CHAT, "", "https://x/v1/chat/completions"),
        ("https://x/", CHAT, "", "https://x/v1/chat/completions"),
        ("https://x/v1", CHAT, "", "https://x/v1/chat/completions"),
        ("https://x/v1/", CHAT, "", "https://x/v1/chat/completions"),
        ("https://x/api/v4", CHAT, "", "https://x/api/v4/chat/completions"),
        ("https://x/v1beta/openai", CHAT, "", "https://x/v1beta/openai/chat/completions"),
        ("https://x/v1alpha2", CHAT, "", "https://x/v1alpha2/chat/completions"),
        ("https://x/version", CHAT, "", "https://x/version/v1/chat/completions"),
        ("https://x/v1x/y", CHAT, "", "https://x/v1x/y/v1/chat/completions"),
        ("https://x/v1", "/v1beta/models", "", "https://x/v1/v1beta/models"),
        ("https://x/v1", "/files", "a=b&c", "https://x/v1/files?a=b&c"),
        ("https://x", "/v1/models/a%2Fb", "q=%20", "https://x/v1/models/a%2Fb?q=%20"),
        ("https://x:8443/p", "/v1/@evil.example", "", "https://x:8443/p/v1/@evil.example"),
    ],
)
def test_how_an_address_is_joined(base: str, path: str, query: str, expected: str) -> None:
    provider = Provider("x", {"openai_chat": base})
    found = address(provider, openai_chat.DIALECT, path, query)
    assert str(found) == expected
    assert found.host == "x"


def test_headers_that_travel_and_those_that_do_not() -> None:
    came = CIMultiDict(
        [
            ("Host", "localhost:4141"),
            ("Authorization", "Bearer a"),
            ("X-Api-Key", "b"),
            ("anthropic-beta", "one"),
            ("anthropic-beta", "two"),
            ("Idempotency-Key", "i"),
            ("traceparent", "t"),
            ("Connection", "keep-alive, X-Private"),
            ("X-Private", "p"),
            ("Keep-Alive", "5"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("Proxy-Authorization", "Basic x"),
            ("Content-Length", "5"),
            ("Accept-Encoding", "br"),
            ("X-Budgetd-Session", "s"),
            ("x-budgetd-anything", "s"),
        ]
    )
    assert list(request_headers(came, frozenset({"x-api-key"})).items()) == [
        ("Authorization", "Bearer a"),
        ("anthropic-beta", "one"),
        ("anthropic-beta", "two"),
        ("Idempotency-Key", "i"),
        ("traceparent", "t"),
        ("Accept-Encoding", "identity"),
    ]


def test_headers_that_come_back() -> None:
    came = CIMultiDict(
        [
            ("Content-Type", "text/event-stream"),
            ("Content-Length", "5"),
            ("Connection", "close, x-hop"),
            ("X-Hop", "h"),
            ("Transfer-Encoding", "chunked"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
            ("request-id", "r"),
        ]
    )
    assert list(response_headers(came).items()) == [
        ("Content-Type", "text/event-stream"),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
        ("request-id", "r"),
    ]


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxy in the environment, whatever this machine has."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


FAR = URL("https://api.openai.com/v1")


def test_without_a_proxy_the_way_is_straight(clean_environment: pytest.MonkeyPatch) -> None:
    assert Detours().to(FAR) is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environments_proxy(clean_environment: pytest.MonkeyPatch, name: str) -> None:
    clean_environment.setenv(name, "http://user:p%40ss@proxy.lan:3128")
    clean_environment.setenv("NO_PROXY", "internal.lan,10.0.0.1")
    detours = Detours()
    found = detours.to(FAR)
    assert found is not None
    assert str(found.address) == "http://proxy.lan:3128/"
    assert found.headers == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}
    assert "p@ss" not in repr(found)
    assert "dXNlcjpwQHNz" not in repr(found)
    for near in ("https://internal.lan/v1", "https://x.internal.lan/v1", "https://10.0.0.1/v1"):
        assert detours.to(URL(near)) is None
    for here in (
        "http://127.0.0.1:11434",
        "http://localhost:1",
        "http://[::1]:1",
        "http://127.9.9.9",
    ):
        assert detours.to(URL(here)) is None


def test_a_proxy_is_for_its_scheme(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("HTTPS_PROXY", "proxy.lan:3128")
    found = Detours().to(FAR)
    assert found is not None
    assert str(found.address) == "http://proxy.lan:3128/"
    assert found.headers == {}
    assert Detours().to(URL("http://far.lan/v1")) is None


def test_a_proxy_that_is_not_understood_is_not_used(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("HTTPS_PROXY", "socks5://proxy.lan:1080")
    assert Detours().to(FAR) is None


async def _send(url: str) -> aiohttp.ClientResponse:
    upstream = Upstream()
    await upstream.open()
    try:
        patience = Patience(connect=2.0, idle=2.0)
        return await upstream.send("POST", URL(url), CIMultiDict(), b"{}", patience)
    finally:
        await upstream.close()


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("budgetd.proxy.upstream.CONNECT_PAUSE", 0.0)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(UpstreamFault) as caught:
        await _send(f"http://127.0.0.1:{port}/")
    assert caught.value.sent is False
    assert "127.0.0.1" in caught.value.message


async def test_somebody_hangs_up() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        with pytest.raises(UpstreamFault) as caught:
            await _send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert caught.value.sent is True


async def test_a_proxy_that_refuses_has_sent_nothing(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        clean_environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(UpstreamFault) as caught:
            await _send("https://far.invalid/")
    assert caught.value.sent is False


def test_certificates_that_other_tools_name_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(broken))
        with pytest.raises(OSError, match=r"(?i)certificate|ssl|pem"):  # it was read
            trust()
        monkeypatch.setenv(name, str(tmp_path / "missing.pem"))
        assert trust() is not None
        monkeypatch.delenv(name)
