"""Sending an answer over a socket: the pace, the faults, and the bill in step with the bytes.

Owns the order of things. The prompt is charged when generation begins, before the first byte is
waited for. Each event is one write, and what it carries is charged before the write is tried. An
answer in one body is charged whole when it is generated, whether or not the client is still
there to take it. A client that goes cancels the handler; the line is then closed at once, with
what was delivered or with the whole answer, as the script's `bills_aborted` says.
It knows no dialect: events come ready.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

from aiohttp import web

from budgetd.simulator.answer import Answer, Event, dumps
from budgetd.simulator.bill import Bill, How, Meter
from budgetd.simulator.refusals import (
    Dialect,
    error_event,
    limit_headers,
    scripted_body,
    scripted_headers,
)
from budgetd.simulator.script import Script
from budgetd.simulator.tokens import utf8

_MALFORMED = b'data: {"id": "broken", "choices": [{'
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request on its way out. `now` is Unix seconds, for the headers of limits."""

    request: web.Request
    request_id: str
    dialect: Dialect
    script: Script
    bill: Bill
    now: float

    async def fail(self, answer: Answer | None) -> web.StreamResponse:
        """Refuse with the script's status, or drop the connection. Charges the prompt of
        `answer`, if there is one."""
        meter = None if answer is None else self._begin(answer)
        if meter is not None:
            meter.end("fault")
        await _pause(self.script.first_byte)
        if self.script.drop_before_headers:
            self._break()
            return web.Response()
        kind = "application/json" if self.script.error_body is None else "text/html"
        return web.Response(
            status=self.script.status,
            body=utf8(scripted_body(self.dialect, self.script, self.request_id)),
            headers=self._headers(kind) | scripted_headers(self.script, self.now),
        )

    async def send(self, answer: Answer) -> web.StreamResponse:
        """Deliver an answer as the request and the script want it."""
        as_json = self.script.content_type == "application/json"
        if answer.stream and answer.events is not None and not as_json:
            return await self._stream(answer)
        return await self._whole(answer)

    async def _stream(self, answer: Answer) -> web.StreamResponse:
        meter, how = self._begin(answer), _LEFT
        kind = self.script.content_type or "text/event-stream; charset=utf-8"
        response = web.StreamResponse(headers=self._headers(kind))
        try:
            await _pause(self.script.first_byte)
            await response.prepare(self.request)
            how = await self._pump(answer, meter, response)
            if how == "complete":
                await response.write_eof()
        except ConnectionError:
            pass  # the client went during a write; its handler is about to be cancelled
        finally:
            if meter is not None and how != "complete" and self._bills_all:
                meter.raise_to(answer.tokens)
            if meter is not None:
                meter.end(how)
        return response

    async def _pump(self, answer: Answer, meter: Meter | None, response: web.StreamResponse) -> How:
        sent = 0
        for event in answer.stream_events():
            pace = self.script.pace if sent else 0
            await asyncio.sleep(pace)  # yields at 0 too: a client that left must be noticed
            fault = await self._fault_after(sent, response)
            if fault is not None:
                return fault
            if meter is not None:
                meter.add(output=event.output, reasoning=event.reasoning, searches=event.searches)
            await response.write(self._frame(event))
            sent += 1
        return await self._fault_after(sent, response) or "complete"

    async def _fault_after(self, sent: int, response: web.StreamResponse) -> How | None:
        """The fault that a script wants after this many events; None to go on."""
        script = self.script
        if script.malformed_after_event == sent:
            await response.write(_MALFORMED + self._newline * 2)
        if script.stall_after_event == sent:
            await asyncio.Event().wait()
        if script.error_after_event == sent:
            name, data = error_event(self.dialect, script, self.request_id)
            await response.write(self._frame(Event(data, name)))
        if sent in (script.error_after_event, script.end_after_event):
            await response.write_eof()
            return "fault"
        if sent in (script.reset_after_event, script.cut_after_event):
            self._break()
            return "fault"
        return None

    async def _whole(self, answer: Answer) -> web.StreamResponse:
        script, how = self.script, _LEFT
        meter, body = self._begin(answer), utf8(dumps(answer.whole))
        response = web.StreamResponse(headers=self._headers("application/json"))
        if script.compress:
            response.enable_compression()
        else:
            response.content_length = len(body)
        try:
            await _pause(script.first_byte + script.pace * answer.deltas)
            if script.stall_after_event is not None:
                await asyncio.Event().wait()
            if meter is not None:
                meter.raise_to(answer.tokens)
            await response.prepare(self.request)
            if script.cut_after_event is None and script.reset_after_event is None:
                await response.write(body)
                how = "complete"
                await response.write_eof()
            else:
                await response.write(body[: len(body) // 2])
                how = "fault"
                self._break()
        except ConnectionError:
            pass  # the client went during a write; its handler is about to be cancelled
        finally:
            if meter is not None:
                meter.raise_to(answer.tokens)
                meter.end(how)
        return response

    @property
    def _bills_all(self) -> bool:
        return self.script.bills_aborted == "complete"

    @property
    def _newline(self) -> bytes:
        return b"\r\n" if self.script.crlf else b"\n"

    def _begin(self, answer: Answer) -> Meter | None:
        if answer.model is None:
            return None
        return self.bill.begin(self.request_id, answer.model, answer.prompt, answer.tier)

    def _frame(self, event: Event) -> bytes:
        lines: list[bytes] = []
        if self.script.comments or self.script.flavour == "openrouter":
            lines += [b": OPENROUTER PROCESSING", b""]
        if event.name is not None:
            lines.append(b"event: " + event.name.encode())
        lines += [b"data: " + utf8(event.data), b"", b""]
        return self._newline.join(lines)

    def _headers(self, content_type: str) -> dict[str, str]:
        name = "request-id" if self.dialect == "anthropic" else "x-request-id"
        headers = {"Content-Type": content_type, name: self.request_id}
        if self.script.flavour == "openrouter":
            headers["X-Generation-Id"] = f"gen-{self.request_id}"
        return headers | limit_headers(self.script, self.now) | dict(self.script.headers)

    def _break(self) -> None:
        """Close the connection in the middle of an answer: a reset if the script wants one."""
        transport = self.request.transport
        if transport is None:
            return
        if self.script.reset_after_event is None:
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()


_LEFT: How = "client_left"


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)  # the pace is what was asked for
