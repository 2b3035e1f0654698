"""Passing an answer on: every chunk as it came, usage tapped on the way.

A `Flow` is one answer under way. It pumps upstream's chunks past the tap to the client, with the
client's back-pressure, and can be told three things from outside: the client has left (read on for
the price, within bounds), end now (finish the protocol legally), and the call is settled as soon as
the protocol's end marker was *read*, before the client can have seen it. It ends, always, with a
`Seen`; what that costs is not its business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from aiohttp import web

from budgetd.core.policy import Patience
from budgetd.core.settlement import Seen
from budgetd.runtime import loop_time
from budgetd.wire.dialect import Tap

CLOSING_GRACE = 10.0  # seconds a running tool call may take to end once a stream is to stop
CLIENT_STALL = 600.0  # seconds a client may leave its answer unread
CHOKED = 256 * 1024  # bytes that wait unread when upstream may have been told to wait, too


class Flow:
    """One answer under way. `settle` may be called more than once; the first call counts."""

    def __init__(
        self,
        tap: Tap,
        patience: Patience,
        settle: Callable[[Seen], None],
        *,
        streamed: bool,
        status: int,
    ) -> None:
        self._tap = tap
        self._drain = patience.drain_stream if streamed else patience.drain_whole
        self._settle = settle
        self._streamed = streamed
        self._status = status
        self._deadline: float | None = None  # loop time; None: as long as it takes
        self._timer: asyncio.Timeout | None = None
        self._gone = False
        self._stopping = False
        self._grace_until: float | None = None
        self._writing_since: float | None = None
        self._content: aiohttp.StreamReader | None = None
        self._read = 0  # bytes of it that the tap has seen
        self._choked = False
        self.hang_up: Callable[[], None] = _no_line
        self.complete = False  # upstream came to its own end

    def leave(self) -> None:
        """The client went away: read on for the price, but not for long."""
        if not self._gone:
            self._gone = True
            self._expire_in(0.0 if self._tap.terminal else self._drain)

    def stop(self) -> None:
        """End the answer as soon as the protocol legally can."""
        if not self._stopping:
            self._stopping = True
            self._expire_in(0.0)

    def check_client(self, now: float) -> None:
        """Give up on a client that has not read for too long. `now` is loop time."""
        if self._writing_since is not None and now - self._writing_since > CLIENT_STALL:
            self.hang_up()

    @property
    def client_gone(self) -> bool:
        """Whether nobody is left to write to."""
        return self._gone

    async def pump(self, upstream: aiohttp.ClientResponse, client: web.StreamResponse) -> bool:
        """Pass the answer on until it ends, and settle it. True if the client is to see a legal end:
        upstream's own, even where an end marker is missing, or ours.
        """
        self._content = upstream.content
        over, cause = False, None
        while not over:
            try:
                async with asyncio.timeout_at(self._deadline) as self._timer:
                    over, cause = True, await self._pass_all(upstream, client)
            except aiohttp.ServerTimeoutError:
                over, cause = True, "upstream_stalled"
            except TimeoutError:  # our own deadline
                over, cause = await self._at_deadline(client)
            except (aiohttp.ClientError, OSError):
                over, cause = True, "upstream_cut"
            except BaseException:  # interrupted: what has come through is billed all the same
                self._settle(self._seen("interrupted"))
                raise
            finally:
                self._timer = None
        if self._gone:
            cause = "client_gone"
        self._settle(self._seen(cause))
        return self.complete or cause == "stopped"

    async def finish(self, client: web.StreamResponse) -> None:
        """Write the end of the body. Raises ConnectionError if the client is not there any more."""
        self._writing_since = loop_time()
        try:
            await client.write_eof()
        finally:
            self._writing_since = None

    async def _at_deadline(self, client: web.StreamResponse) -> tuple[bool, str | None]:
        """The time that somebody set is up: whether it is over now, and why."""
        if self._gone:
            return True, "client_gone"
        if await self._end_legally(client):
            return True, "stopped"
        now = loop_time()
        if self._grace_until is None:
            self._grace_until = now + CLOSING_GRACE
        self._deadline = self._grace_until
        return now >= self._grace_until, "stopped_inside_tool_call"

    async def _pass_all(
        self, upstream: aiohttp.ClientResponse, client: web.StreamResponse
    ) -> str | None:
        """Chunk after chunk; returns why it ended before upstream did, or None."""
        tap, content = self._tap, upstream.content
        while True:
            chunk = await content.readany()
            self._read += len(chunk)
            passed = tap.feed(chunk) if chunk else tap.finish()
            if tap.terminal:
                self._settle(self._seen(None))
            if passed and not self._gone:
                await self._write(client, passed)
            if not chunk:
                self.complete = True
                return None if tap.terminal or self._status >= 400 else "no_end_marker"
            if self._gone and tap.terminal:
                return "client_gone"
            if self._stopping and not tap.terminal and await self._end_legally(client):
                return "stopped"

    async def _write(self, client: web.StreamResponse, data: bytes) -> None:
        self._writing_since = loop_time()
        try:
            await client.write(data)
        except (ConnectionError, aiohttp.ClientError):
            self.leave()
        finally:
            self._writing_since = None
            self._choked = self._choked or self._unread >= CHOKED

    @property
    def _unread(self) -> int:
        """Bytes that have arrived and that the tap has not seen."""
        return self._content.total_bytes - self._read if self._content is not None else 0

    async def _end_legally(self, client: web.StreamResponse) -> bool:
        """Write the protocol's own ending. False while that is not possible: inside a tool call."""
        ending = self._tap.ending()
        if ending is None:
            return False
        self._settle(self._seen("stopped"))
        try:
            async with asyncio.timeout(CLOSING_GRACE):
                await self._write(client, ending)
        except TimeoutError:  # it does not read, so it will not hear the ending either
            self._gone = True
            self.hang_up()
        return True

    def _expire_in(self, seconds: float) -> None:
        self._deadline = loop_time() + seconds
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(self._deadline)

    def _seen(self, cause: str | None) -> Seen:
        """What came so far. Bytes that arrived and were not read (a client that stalls holds them
        up, and a cut throws them away) count as visible; behind many of them there may be more, of
        which a reset would leave no trace.
        """
        tap = self._tap
        return Seen(
            sent=True,
            status=self._status,
            streamed=self._streamed,
            terminal=tap.terminal,
            reported=tap.reported,
            visible_bytes=tap.visible_bytes + self._unread,
            cause=None if tap.terminal else cause,
            blind=(self._choked or self._unread >= CHOKED) and not tap.terminal,
            answer=tap.mark,
        )


def _no_line() -> None:
    """There is no client's connection to break yet."""
