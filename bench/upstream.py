"""The provider of the benchmark: a process that answers from memory, as fast as a socket allows.

`python -m bench.upstream PORT`. It reads of a request only its head (identical heads are read
once) and the length of its body, and writes canned bytes. Back-pressure holds. It prices, counts
and checks nothing: that is the simulator's work, which is too slow to measure a proxy with.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import cast

import uvloop

from bench.canned import (
    FLOOD_EVENTS,
    PACE,
    PACED_EVENTS,
    SHORT_EVENTS,
    Answer,
    Dialect,
    stream_answer,
    whole_answer,
)

_DIALECTS: tuple[Dialect, ...] = ("openai_chat", "anthropic")
_WHOLE = {dialect: whole_answer(dialect) for dialect in _DIALECTS}
_STREAMS = {dialect: stream_answer(dialect) for dialect in _DIALECTS}
_SHORT = {
    dialect: answer.first + answer.middle * (SHORT_EVENTS - 2) + answer.last
    for dialect, answer in _STREAMS.items()
}
HEADS = 1000  # heads to remember


@dataclass(frozen=True, slots=True)
class Wish:
    """What a head asks for."""

    kind: str
    dialect: Dialect
    length: int


def read_head(head: bytes) -> Wish:
    """The wish in a request's head."""
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    kind, _, dialect = fields.get("x-bench", "whole openai_chat").partition(" ")
    chosen: Dialect = "anthropic" if dialect == "anthropic" else "openai_chat"
    return Wish(kind, chosen, int(fields.get("content-length", "0")))


class Upstream(asyncio.Protocol):
    """One connection: request after request."""

    _heads: dict[bytes, Wish] = {}  # noqa: RUF012  shared by all connections on purpose

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._wish: Wish | None = None
        self._missing = 0
        self._left = 0
        self._next: asyncio.Handle | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._paused = True
        if self._next is not None:
            self._next.cancel()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = False
        if self._left and self._next is None:
            self._next = self._loop.call_soon(self._flow)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. One request at a time: nobody pipelines here."""
        if self._wish is None:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, got = self._buffer[:end], len(self._buffer) - end - 4
            self._buffer = b""
            wish = self._heads.get(head)
            if wish is None:
                if len(self._heads) > HEADS:
                    self._heads.clear()
                wish = self._heads[head] = read_head(head)
            self._wish, self._missing = wish, wish.length - got
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            wish, self._wish = self._wish, None
            self._answer(wish)

    def _answer(self, wish: Wish) -> None:
        if wish.kind == "whole":
            self._transport.write(_WHOLE[wish.dialect])
        elif wish.kind == "short":
            self._transport.write(_SHORT[wish.dialect])
        else:
            self._stream: Answer = _STREAMS[wish.dialect]
            self._pace = PACE if wish.kind == "paced" else 0.0
            self._transport.write(self._stream.first)
            if wish.kind != "hold":
                self._left = (PACED_EVENTS if self._pace else FLOOD_EVENTS) - 1
                self._again()

    def _again(self) -> None:
        if self._pace:
            self._next = self._loop.call_later(self._pace, self._flow)
        else:
            self._next = self._loop.call_soon(self._flow)

    def _flow(self) -> None:
        self._next = None
        self._left -= 1
        self._transport.write(self._stream.middle if self._left else self._stream.last)
        if self._left and not self._paused:
            self._again()


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
