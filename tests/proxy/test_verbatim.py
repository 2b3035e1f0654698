"""Verbatim: every captured request reaches the provider as it was sent, every answer its client.

Requests go through the real daemon to the simulator, which keeps what it was sent. Answers come
from a provider that writes given bytes in given pieces, so that not one byte can go unseen.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from budgetd.config.load import load
from budgetd.daemon import Daemon
from tests.rig import HandClock, House, config_text, house, until
from tests.wire.captured import Capture, calls, captures
from tests.wire.tokens import DONE, END, chunk, delta, started, stopped, words

PLENTY = """
default_key: {budgets: [1000000 per 5h]}
keys: {sdk: {budgets: [1000000 per 5h]}}
"""
OURS = {"host", "content-length", "accept-encoding", "connection", "transfer-encoding"}
AUTOMATIC = ("user-agent", "accept", "accept-encoding", "content-type")

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fields(body: bytes) -> dict[str, bytes]:
    """The bytes of every top-level value."""
    return {name: bytes(value) for name, value in _FIELDS.decode(body).items()}


def untouched(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that nobody on the way may change."""
    return sorted((name.lower(), value) for name, value in headers if name.lower() not in OURS)


async def send(home: House, capture: Capture, label: str = "") -> tuple[int, bytes]:
    """A captured request through the daemon, with its own headers and no others."""
    query = f"?{capture.query}" if capture.query else ""
    async with home.http.request(
        capture.method,
        URL(f"{home.url}{label}{capture.path}{query}", encoded=True),
        data=capture.body,
        headers=[pair for pair in capture.headers if pair[0].lower() != "connection"],
        skip_auto_headers=AUTOMATIC,
    ) as answer:
        return answer.status, await answer.read()


async def test_every_captured_request_arrives_as_it_was_sent(tmp_path: Path) -> None:
    injected = 0
    async with house(tmp_path, PLENTY) as home:
        for capture in calls():
            assert capture.body is not None
            label = "/k/sdk/s/one" if capture.client.startswith("sdk-") else ""
            await send(home, capture, label)
            got = home.sim.requests[-1]
            query = f"?{capture.query}" if capture.query else ""
            assert (got.method, got.path) == ("POST", capture.path + query), capture.name
            assert untouched(got.headers) == untouched(capture.headers), capture.name
            assert got.header("accept-encoding") == "identity"

            sent, arrived = fields(capture.body), fields(got.body)
            changed = {name for name in sent | arrived if sent.get(name) != arrived.get(name)}
            # Changed on purpose: usage asked for in a stream, an output bound where there is none.
            allowed = set()
            if capture.path == "/v1/chat/completions":
                if capture.fields.get("stream") and "stream_options" not in sent:
                    allowed.add("stream_options")
                    assert arrived["stream_options"] == b'{"include_usage":true}', capture.name
                if not {"max_tokens", "max_completion_tokens"} & set(sent):
                    allowed |= {"max_tokens", "max_completion_tokens"}
            assert changed <= allowed, (capture.name, changed)
            assert [name for name in arrived if name in sent] == list(sent), capture.name
            injected += "stream_options" in changed
        await home.quiet()
    assert injected == 8  # aider, openai and langchain streams
    assert len(calls()) > 100


async def test_the_greetings_of_real_clients(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for capture in captures():
            if capture.method == "HEAD":
                for label in ("", "/s/one", "/k/x/s/one"):
                    assert await send(home, capture, label) == (200, b"")
        assert not home.sim.requests


class Canned:
    """A provider that writes given pieces, each in a packet of its own, and ends."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.head = b"Content-Type: text/event-stream\r\n"
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\n" + self.head + b"Transfer-Encoding: chunked\r\n")
        writer.write(b"Connection: close\r\n\r\n")
        for piece in self.pieces:
            if piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def relay(directory: Path) -> AsyncIterator[tuple[Canned, Any]]:
    """A canned provider, and a function that asks the daemon in front of it: (path, fields) -> bytes."""
    canned = Canned()
    await canned.start()
    config = directory / "config.yaml"
    config.write_text(config_text(canned.url, directory / "state", PLENTY))
    daemon = Daemon(load(config, {}), {}, HandClock())
    await daemon.start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as http:

            async def ask(path: str, **more: Any) -> bytes:
                key = {"authorization": "Bearer sk-x", "x-api-key": "sk-x"}
                name = "authorization" if "chat" in path else "x-api-key"
                body = {"max_tokens": 50, "stream": True, "messages": [], **more}
                body["model"] = "gpt-4o" if "chat" in path else "claude-sonnet-4-5"
                url = f"{daemon.url}{path}"
                async with http.post(url, json=body, headers={name: key[name]}) as answer:
                    assert answer.status == 200
                    return await answer.read()

            async def spent() -> dict[str, Any]:
                await until(lambda: daemon.gateway.open_calls == 0)  # the settlement is on disk
                async with http.get(f"{daemon.url}/status") as answer:
                    return dict(await answer.json())

            ask.spent = spent  # type: ignore[attr-defined]  # a test's function may carry another
            yield canned, ask
    finally:
        await daemon.stop()
        await canned.stop()


USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
LAST = chunk(choices=[], usage=USAGE)
CHAT = [
    b": PROCESSING\n\n",
    delta(role="assistant", content=""),
    delta(content="naïve 漢"),
    delta("stop"),
    LAST,
    DONE,
]
MESSAGE = [
    started(input_tokens=9, output_tokens=1),
    *words(0, "naïve", " 漢"),
    stopped(output_tokens=5),
    END,
]
ASKED = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
async def test_streams_pass_byte_for_byte_however_they_are_cut(tmp_path: Path, ends: bytes) -> None:
    chat = b"".join(CHAT).replace(b"\n", ends)
    hidden = chat.replace(LAST.replace(b"\n", ends), b"")
    message = b"".join(MESSAGE).replace(b"\n", ends)
    assert len(hidden) < len(chat)
    async with relay(tmp_path) as (canned, ask):
        for step in (1, 7, 61, 10_000):
            canned.pieces = [chat[i : i + step] for i in range(0, len(chat), step)]
            assert await ask("/v1/chat/completions", **ASKED) == chat
            assert await ask("/v1/chat/completions") == hidden
            canned.pieces = [message[i : i + step] for i in range(0, len(message), step)]
            assert await ask("/v1/messages") == message
        for cut in range(0, len(chat), 5):
            canned.pieces = [chat[:cut], chat[cut:]]
            assert await ask("/v1/chat/completions") == hidden


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_compressed_unasked_passes_and_is_priced(
    tmp_path: Path, streamed: bool
) -> None:
    whole = json.dumps({"model": "gpt-4o", "choices": [], "usage": USAGE}).encode()
    data = gzip.compress(b"".join(CHAT) if streamed else whole)
    kind = b"text/event-stream" if streamed else b"application/json"
    async with relay(tmp_path) as (canned, ask):
        canned.head = b"Content-Type: " + kind + b"\r\nContent-Encoding: gzip\r\n"
        canned.pieces = [data[:9], data[9:]]
        assert await ask("/v1/chat/completions", stream=streamed) == data
        status = json.dumps(await ask.spent())
        # gpt-4o: 9 x 2.5 M + 5 x 10 M pico-dollars = 72_500_000 = $0.0000725
        assert "0.0000725" in status
