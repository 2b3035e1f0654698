"""HTTP by hand: bytes in, bytes out, for requests that no client library would send.

`ask` opens a connection, writes what it is given and reads one answer; `Line` keeps the connection.
`untouched` is what every refused request must leave behind: nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2
import openai

from tests.rig import ANTHROPIC_KEY, OPENAI_KEY, House

OPENAI, ANTHROPIC = "openai_chat", "anthropic"
PATHS = {OPENAI: "/v1/chat/completions", ANTHROPIC: "/v1/messages"}
HEADS = {
    OPENAI: f"Authorization: Bearer {OPENAI_KEY}\r\n",
    ANTHROPIC: f"x-api-key: {ANTHROPIC_KEY}\r\nanthropic-version: 2023-06-01\r\n",
}


def headers_of(dialect: str) -> dict[str, str]:
    """The headers of a client of this dialect."""
    return dict(line.split(": ") for line in HEADS[dialect].split("\r\n") if line)


def body_of(dialect: str, **fields: Any) -> dict[str, Any]:
    """A small request."""
    start: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    start |= (
        {"model": "gpt-4o"}
        if dialect == OPENAI
        else {"model": "claude-sonnet-4-5", "max_tokens": 100}
    )
    return start | fields


@dataclass(frozen=True)
class Heard:
    """An answer as it came over the line."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        """Write bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, *, head: bool = False) -> Heard | None:
        """One answer; None if the other side hung up without one. `head`: it has no body."""
        async with asyncio.timeout(20):
            try:
                start = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            first, *lines = start.decode("latin-1").rstrip().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
            }
            status = int(first.split()[1])
            if status < 200 or head:
                return Heard(status, headers, b"")
            if "content-length" in headers:
                return Heard(
                    status, headers, await self.reader.readexactly(int(headers["content-length"]))
                )
            return Heard(status, headers, await self.reader.read())

    async def ended(self) -> bool:
        """Wait until the other side hangs up."""
        async with asyncio.timeout(20):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                return True
        return True


@asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """A connection to this server."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


async def ask(url: str, data: bytes) -> Heard | None:
    """Send these bytes on a connection of their own and read one answer."""
    async with line(url) as connection:
        await connection.say(data)
        return await connection.hear()


def request(
    target: str, body: bytes = b"", extra: str = "", method: str = "POST", host: str = "127.0.0.1"
) -> bytes:
    """A request with a body, in bytes."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{extra}Content-Length: {len(body)}\r\n"
    return head.encode("latin-1") + b"\r\n" + body


async def untouched(home: House, reached: int = 0) -> None:
    """Nothing is held or spent, nothing (but `reached` requests) went upstream, and it still works."""
    await home.quiet()
    assert len(home.sim.requests) == reached, [r.path for r in home.sim.requests]
    status = await home.status()
    assert status["calls"] == {"open": 0, "holds": 0, "held_usd": "0"}
    assert status["keys"][0]["budgets"][0]["spent_usd"] == "0"
    async with home.http.get(home.url + "/healthz") as answer:
        assert answer.status == 200


def sdk_error(dialect: str, status: int, headers: Any, body: bytes) -> Any:
    """What the dialect's own SDK makes of an answer: the exception that its user sees."""
    where = httpx2.Request("POST", "http://127.0.0.1" + PATHS[dialect])
    answer = httpx2.Response(status, headers=dict(headers), content=body, request=where)
    return _sdk(dialect)._make_status_error_from_response(answer)


@cache
def _sdk(dialect: str) -> Any:
    maker: Any = openai.OpenAI if dialect == OPENAI else anthropic.Anthropic
    return maker(api_key="x", base_url="http://127.0.0.1")


def complained(dialect: str, status: int, headers: Any, body: bytes) -> str:
    """Check that an answer is an error of this dialect, made here and not to be retried for
    nothing. Returns its message.
    """
    error = sdk_error(dialect, status, headers, body)
    assert error.status_code == status
    told = json.loads(body)
    inner = told["error"]
    assert inner["message"].startswith("budgetd")
    assert inner["message"] in str(error).replace("\\\\", "\\")  # it shows the body's repr
    if dialect == ANTHROPIC:
        assert told["type"] == "error"
        assert error.body == told
    else:
        assert error.code == inner["code"]
        assert {"message", "type", "param", "code"} <= set(inner)
    found = {name.lower(): value for name, value in headers.items()}
    assert found["x-should-retry"] == ("true" if status in {408, 503} else "false")
    assert found["content-type"].startswith("application/json")
    message: str = inner["message"]
    return message


def clean(texts: Sequence[str], *secrets: str) -> None:
    """No text holds any of the secrets."""
    for text in texts:
        for secret in secrets:
            assert secret not in text, f"{secret!r} in {text[:300]!r}"
