"""The doorstep: every connection waits here until it has said what it wants.

A client that connects and says nothing, or says it byte by byte, costs a socket and what it has
sent, no task and no parser, and only for `patience.head`. Once the first head is whole the
connection is handed over to the server and this module is out of its way. `Conversation` is the
server's own protocol with one difference: what is not HTTP, and what went wrong in here, is
answered as JSON that every SDK can read, without a word of the request in it or in the log.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import http_exceptions, web

from budgetd.core.policy import Limits, Patience
from budgetd.proxy import answers
from budgetd.wire.dialects import dialect_for

log = structlog.get_logger("budgetd.door")

KEEPALIVE_SECONDS = 75.0  # between two requests, and for the head of the second
_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_END = 4


class Conversation(web.RequestHandler):
    """A connection that has sent its first head."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is answered where no handler could: 400 and 431 for what is not HTTP, 500 for a
        fault of ours.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: it can only be broken off")
        if isinstance(exc, http_exceptions.HttpProcessingError) or status < 500:
            long = isinstance(exc, http_exceptions.LineTooLong)
            log.info("not HTTP", reason=type(exc).__name__)
            answer = _faulty(431, HEAD_TOO_LARGE) if long else _faulty(400, NOT_HTTP)
        else:
            log.error("internal error", method=request.method, exc_info=exc)
            answer = answers.internal(dialect_for(request.path, request.headers))
        answer.force_close()
        return answer


HEAD_TOO_LARGE = ("head_too_large", "the request's head is larger than limits.header_bytes allows")
HEAD_TIMEOUT = ("head_timeout", "the request's head did not come in time (patience.head)")
NO_TARGET = ("bad_target", "the request target must be a path, like /v1/messages")
NOT_HTTP = ("not_http", "the request is not framed as HTTP/1.1 wants")


class Doorstep(asyncio.Protocol):
    """A connection that has not yet sent its first head."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is at the door."""
        self._transport = cast(asyncio.Transport, transport)
        self._door.waiting.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._door.patience, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """More of the head; with its end the connection goes to the server."""
        seen = max(len(self._head) - _LONGEST_END, 0)
        self._head += data if self._head else data.lstrip(b"\r\n")  # HTTP allows for a few of them
        found = _END.search(self._head, seen)
        if (found.start() if found else len(self._head)) > self._door.head_bytes:
            self._turn_away(431, HEAD_TOO_LARGE)
        elif found:
            self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        """It went away again."""
        self._leave()

    def close(self) -> None:
        """Hang up: the daemon stops."""
        self._leave()
        if self._transport is not None:
            self._transport.close()

    def _hand_over(self) -> None:
        assert self._transport is not None
        self._leave()
        conversation = self._door.server()
        self._transport.set_protocol(conversation)
        conversation.connection_made(self._transport)
        conversation.data_received(bytes(self._head))
        self._head.clear()

    def _too_slow(self) -> None:
        if self._head:
            self._turn_away(408, HEAD_TIMEOUT)
        else:
            self.close()

    def _turn_away(self, status: int, fault: tuple[str, str]) -> None:
        """Answer by hand: there is no request to answer yet."""
        assert self._transport is not None
        body = _complaint(*fault)
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nx-should-retry: false\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self.close()

    def _leave(self) -> None:
        self._door.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class Door:
    """Makes a protocol for every new connection: what `loop.create_server` calls. `server` makes
    the one that a connection gets behind the door.
    """

    def __init__(
        self, server: Callable[[], web.RequestHandler], limits: Limits, patience: Patience
    ) -> None:
        self.server = server
        self.head_bytes = limits.header_bytes
        self.patience = patience.head
        self.waiting: set[Doorstep] = set()

    def __call__(self) -> asyncio.Protocol:
        return Doorstep(self)

    def close(self) -> None:
        """Hang up on everybody who is still at the door."""
        for doorstep in tuple(self.waiting):
            doorstep.close()


def conversations(manager: web.Server, limits: Limits) -> Callable[[], web.RequestHandler]:
    """What makes a conversation with this server, within the owner's limits."""
    bounds: dict[str, Any] = {
        "access_log": None,
        "auto_decompress": False,
        "keepalive_timeout": KEEPALIVE_SECONDS,
        "max_field_size": limits.header_bytes,
        "max_line_size": limits.header_bytes,
    }

    def begin() -> web.RequestHandler:
        return Conversation(manager, loop=asyncio.get_running_loop(), **bounds)

    return begin


@web.middleware
async def in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the router has no route for (a target that is no path) is told like everything else."""
    try:
        return await handler(request)
    except web.HTTPException as fault:
        return _faulty(fault.status, NO_TARGET if fault.status == 404 else NOT_HTTP)


_REASONS = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


def _complaint(code: str, message: str) -> bytes:
    """An error that clients of either dialect can read: which one this is was not understood."""
    error = {
        "type": "invalid_request_error",
        "message": f"budgetd: {message}",
        "param": None,
        "code": code,
    }
    return json.dumps({"type": "error", "error": error}).encode()


def _faulty(status: int, fault: tuple[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=_complaint(*fault),
        content_type="application/json",
        headers=answers.NO_RETRY,
    )
