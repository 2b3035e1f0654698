"""The door: what is let in, and how much of it.

Checks that a request came for us (Host) and not from a web page (Origin), and reads its body within
bounds: its size, the time between two pieces of it, and the memory that all bodies together may
take. Bodies are undone from their content encoding here, so that everything behind sees plain
bytes.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote

from aiohttp import HttpVersion11, web

from budgetd.core.policy import Limits, Patience
from budgetd.errors import CallerFault
from budgetd.runtime import loop_time
from budgetd.wire.coding import decompress, too_large

SLOWEST = 256  # bytes a second that a body must come at, after a start: less is a trickle
_DOTS = frozenset({".", ".."})
_SEPARATOR = re.compile(r"[/\\;]")
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "ip6-localhost"})


def check_head(request: web.Request, hosts: frozenset[str]) -> None:
    """Refuse what a browser page might have sent: a foreign Host (DNS rebinding) or any Origin; and
    what could not be passed on as it is. Raises CallerFault (403 or 400).
    """
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() not in hosts:
        raise CallerFault(
            403,
            "wrong_host",
            f"the Host header {host[:100]!r} is none of budgetd's; allow it under `hosts`",
        )
    if "origin" in request.headers:
        raise CallerFault(
            403,
            "browser_request",
            "budgetd does not take requests from web pages (an Origin header was sent)",
        )
    if not request.raw_path.startswith("/"):  # a proxy is asked like that, which budgetd is not
        raise CallerFault(400, "bad_target", "the request target must be a path, like /v1/messages")
    if not _DOTS.isdisjoint(_SEPARATOR.split(_plain(request.rel_url.raw_path))):
        raise CallerFault(
            400, "bad_target", "the path must not have . or .. in it: it would lead elsewhere"
        )
    for text in (request.raw_path, *request.headers.keys(), *request.headers.values()):
        if not text.isascii() and not _is_text(text):
            raise CallerFault(
                400, "bad_header", "the request's path and headers must be ASCII or UTF-8"
            )


def _plain(path: str) -> str:
    """A path without any percent-encoding, as the most obliging server would read it."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return path


def _is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: bytes that are not stand in it as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def put_off(_: web.Request) -> None:
    """What the server does about an Expect header by itself: nothing. The body is invited by who
    reads it, after everything that can be refused without it has been.
    """


class Parcel:
    """A request body in memory, accounted for until it is dropped."""

    __slots__ = ("_intake", "_size", "data")

    def __init__(self, intake: Intake) -> None:
        self.data = b""
        self._intake = intake
        self._size = 0

    def grow(self, size: int, limits: Limits) -> None:
        """Account for more bytes. Raises CallerFault (503) when all bodies together have no room
        for them.
        """
        if self._intake.held_bytes + size > limits.bodies_bytes:
            raise CallerFault(
                503,
                "no_room",
                "budgetd is holding as many request bodies as it may; repeat the call shortly",
            )
        self._size += size
        self._intake.held_bytes += size

    def drop(self) -> None:
        """Let go of the body. May be called again."""
        self.data = b""
        self._intake.held_bytes -= self._size
        self._size = 0


class Intake:
    """Reads bodies. One for the process: `held_bytes` is what they take together."""

    def __init__(self) -> None:
        self.held_bytes = 0

    async def read(self, request: web.Request, limits: Limits, patience: Patience) -> Parcel:
        """The whole body, out of its content encoding. Raises CallerFault: 413, 408, 400, 415, or
        503 when there is no room.
        """
        parcel = await self.read_raw(request, limits, patience)
        encoding = request.headers.get("content-encoding")
        if encoding:
            try:
                plain = decompress(parcel.data, encoding, limits.body_bytes)
                parcel.grow(max(len(plain) - len(parcel.data), 0), limits)
            except CallerFault:
                parcel.drop()
                raise
            parcel.data = plain
        return parcel

    async def read_raw(self, request: web.Request, limits: Limits, patience: Patience) -> Parcel:
        """The whole body as it came. Raises as `read` does."""
        stated = request.content_length
        if stated is not None and stated > limits.body_bytes:
            raise too_large(limits.body_bytes)
        await _invite(request)
        parcel = Parcel(self)
        try:
            parcel.data = await _collect(request, parcel, limits, patience)
        except BaseException:
            parcel.drop()
            raise
        return parcel


async def _invite(request: web.Request) -> None:
    """Answer `Expect: 100-continue`. Other expectations are left unmet, as a server may."""
    expected = request.headers.get("expect", "").lower() == "100-continue"
    if expected and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


async def _collect(
    request: web.Request, parcel: Parcel, limits: Limits, patience: Patience
) -> bytes:
    pieces: list[bytes] = []
    size = 0
    content, begun = request.content, loop_time()
    while True:
        least = begun + 2 * patience.head + size / SLOWEST
        try:
            if content.is_eof():  # all of it is here: nothing to wait for
                piece = content.read_nowait()
            else:
                async with asyncio.timeout_at(min(loop_time() + patience.head, least)):
                    piece = await content.readany()
        except TimeoutError as error:
            raise CallerFault(
                408, "body_timeout", f"the body came too slowly: {size} bytes, and then no more"
            ) from error
        except web.RequestPayloadError as error:
            raise CallerFault(400, "broken_body", "the body is not framed as HTTP wants") from error
        if not piece:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        size += len(piece)
        if size > limits.body_bytes:
            raise too_large(limits.body_bytes)
        parcel.grow(len(piece), limits)
        pieces.append(piece)
