"""Carrying one admitted call to its provider and the answer back, with exactly one settlement at
the end.

`Account` is the hold of an attempt: whatever happens, it is settled once, and at the latest when
the carriage ends. `Carriage` runs in a task of its own; `leave` tells it that its client has gone.
`deliver` passes an answer on, priced or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict

from budgetd.core.budgets import Admit
from budgetd.core.settlement import Held, Seen, Settlement, settlement
from budgetd.errors import StoreFault, UpstreamFault
from budgetd.ledger import book
from budgetd.ledger.writer import Writer
from budgetd.proxy import answers
from budgetd.proxy.callers import Caller
from budgetd.proxy.intake import Parcel
from budgetd.proxy.notices import notice_of
from budgetd.proxy.order import Order, Setup
from budgetd.proxy.relay import Flow
from budgetd.proxy.upstream import (
    CREDENTIAL_NAMES,
    Upstream,
    address,
    request_headers,
    response_headers,
)
from budgetd.runtime import TimeKeeper
from budgetd.wire.body import Body
from budgetd.wire.dialect import Blind, Dialect

log = structlog.get_logger("budgetd.call")

EVENT_STREAM = "text/event-stream"
_REENCODED = frozenset({"content-encoding"})  # the body goes out plain, whatever it came in


@dataclass(frozen=True, slots=True)
class Works:
    """What every call needs of the daemon. `flows` are the answers under way."""

    writer: Writer
    upstream: Upstream
    time: TimeKeeper
    flows: set[Flow] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Load:
    """What a call brought: its body, and the memory that is accounted for it."""

    body: Body
    parcel: Parcel


class Account:
    """The hold of one attempt and its settlement."""

    def __init__(self, works: Works, setup: Setup, order: Order, admitted: Admit) -> None:
        self._works = works
        self._setup = setup
        self._order = order
        self._held = Held(order.estimate, admitted.hold, admitted.output)
        self._written: asyncio.Future[bool] | None = None
        self.result: Settlement | None = None
        self.sent = False  # from here on the provider may have the request

    def settle(self, seen: Seen) -> None:
        """Replace the hold by what was seen. Only the first call does anything."""
        if self.result is not None:
            return
        order = self._order
        if seen.reported is not None:
            traits = seen.reported.traits.or_else(order.facts.traits)
            seen = replace(seen, reported=replace(seen.reported, traits=traits))
        card = self._setup.tariff.after(
            order.caller.provider, order.estimate.card, seen.reported, order.at
        )
        self.result = settlement(self._held, seen, card)
        work = partial(
            book.settle, attempt=order.wanted.attempt, done=self.result, now=self._works.time.now()
        )
        self._written = self._works.writer.submit(work)

    async def close(self) -> None:
        """Settle by what is known if nobody has, and wait until it is on disk."""
        self.settle(Seen(sent=self.sent, streamed=self._order.facts.streamed, cause="interrupted"))
        assert self._written is not None
        try:
            await self._written
        except StoreFault as fault:  # the hold stays, and is charged in full at the next start
            log.error("settlement not written", call=self._order.wanted.call.id, error=str(fault))


class Carriage:
    """One call under way."""

    def __init__(
        self, works: Works, setup: Setup, request: web.Request, order: Order, load: Load
    ) -> None:
        self.order = order
        self.account: Account | None = None
        self._works = works
        self._setup = setup
        self._request = request
        self._load: Load | None = load
        self._gone = False
        self._waiting: asyncio.Timeout | None = None  # for the provider's headers
        self._flow: Flow | None = None

    def leave(self) -> None:
        """The client has gone."""
        self._gone = True
        if self._flow is not None:
            self._flow.leave()
        elif self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time() + self._drain_seconds())

    async def carry(self) -> web.StreamResponse:
        """Admit, send, relay, settle. Returns the answer, given or to be given."""
        try:
            return await self._carry()
        finally:
            self._drop()

    async def _carry(self) -> web.StreamResponse:
        order = self.order
        work = partial(book.admit, wanted=order.wanted, now=order.at)
        outcome = await self._works.writer.submit(work)
        if not isinstance(outcome, Admit):
            call = order.wanted.call
            notice = notice_of(outcome, call.id, call.key, order.at)
            log.info(
                "refused",
                call=call.id,
                key=call.key,
                model=call.model,
                reason=notice.reason,
                client=call.client,
            )
            return answers.refusal(order.dialect, notice, order.caller.family, call.id)
        self.account = Account(self._works, self._setup, order, outcome)
        try:
            return await self._forward(self.account, outcome)
        finally:
            await self.account.close()
            self._report(self.account)

    async def _forward(self, account: Account, admitted: Admit) -> web.StreamResponse:
        order, works = self.order, self._works
        call = order.wanted.call.id
        headers = outward(self._request.headers, order.caller, order.dialect, _REENCODED)
        url = address(
            order.caller.provider,
            order.dialect,
            order.aim.path,
            self._request.rel_url.raw_query_string,
        )
        if self._gone:  # it left before anything was sent
            return web.Response(status=499)
        account.sent = True
        try:
            async with asyncio.timeout(None) as self._waiting:
                reply = await works.upstream.send(
                    "POST", url, headers, self._unload(admitted), self._setup.rules.patience
                )
        except UpstreamFault as fault:
            account.settle(
                Seen(sent=fault.sent, streamed=order.facts.streamed, cause="upstream_unreachable")
            )
            return answers.unreachable(order.dialect, fault, call)
        except TimeoutError:  # the client left, and the drain is over
            account.settle(Seen(sent=True, streamed=order.facts.streamed, cause="client_gone"))
            return web.Response(status=499)
        finally:
            self._waiting = None
        works.time.witness(reply.headers.get("date"))
        streamed = reply.content_type == EVENT_STREAM
        wanted = order.dialect.tap(
            order.aim.operation, streamed=streamed, hide_usage=order.asks_usage
        )
        tap = wanted if reply.status < 400 else Blind()
        patience = self._setup.rules.patience
        self._flow = Flow(tap, patience, account.settle, streamed=streamed, status=reply.status)
        self._flow.key = order.caller.key
        self._tell_if_gone(self._flow)
        hidden = streamed and order.asks_usage
        extra = {"x-budgetd-call": call, **self._bound_header(admitted)}
        return await deliver(
            works, reply, self._request, self._flow, Dress(extra, keep_length=not hidden)
        )

    def _tell_if_gone(self, flow: Flow) -> None:
        if self._gone:  # while we waited for the provider's headers
            flow.leave()

    def _unload(self, admitted: Admit) -> bytes:
        """The body to send. From here on nobody but the connection keeps it: a stream may last for
        an hour.
        """
        assert self._load is not None
        body = self._load.body
        data = body.emit(self.order.changes(body, admitted.output))
        self._drop()
        return data

    def _drop(self) -> None:
        if self._load is not None:
            self._load.parcel.drop()
            self._load = None

    def _bound_header(self, admitted: Admit) -> dict[str, str]:
        """What was done to the output bound, if anything."""
        facts = self.order.facts
        if not facts.bounded_output or admitted.output == facts.output:
            return {}
        how = "injected" if facts.output is None else f"clamped from {facts.output}"
        return {"x-budgetd-max-tokens": f"{admitted.output}; {how}"}

    def _drain_seconds(self) -> float:
        patience = self._setup.rules.patience
        return patience.drain_stream if self.order.facts.streamed else patience.drain_whole

    def _report(self, account: Account) -> None:
        """The one log line of a call."""
        done, wanted = account.result, self.order.wanted
        assert done is not None
        log.info(
            "call",
            call=wanted.call.id,
            key=wanted.call.key,
            provider=wanted.provider,
            model=done.model or wanted.model,
            state=done.state,
            cost=done.cost,
            money=wanted.money,
            estimated=done.estimated,
            status=done.status,
            cause=done.cause,
            client=wanted.call.client,
            ms=self._works.time.now() - self.order.at,
        )


def outward(
    headers: Mapping[str, str], caller: Caller, dialect: Dialect, drop: frozenset[str]
) -> CIMultiDict[str]:
    """The headers that go to the provider, with the credential that belongs there: ours, the
    caller's, or none.
    """
    if caller.inject is None:
        if caller.provider.needs_credential:
            return request_headers(headers, drop)
        return request_headers(headers, drop | CREDENTIAL_NAMES)
    out = request_headers(headers, drop | CREDENTIAL_NAMES)
    secret = caller.inject.reveal()
    if secret:
        name, value = dialect.credential_header(secret)
        out[name] = value
    return out


@dataclass(frozen=True, slots=True)
class Dress:
    """How an answer is dressed: headers of ours, and whether the provider's Content-Length still
    holds.
    """

    extra: Mapping[str, str]
    keep_length: bool = True


async def deliver(
    works: Works, reply: aiohttp.ClientResponse, request: web.Request, flow: Flow, dress: Dress
) -> web.StreamResponse:
    """Pass a provider's answer to the client through a flow. A broken answer reaches the client as
    a broken connection.
    """
    client = web.StreamResponse(
        status=reply.status, reason=reply.reason, headers=response_headers(reply.headers)
    )
    client.headers.update(dress.extra)
    if dress.keep_length and reply.content_length is not None:
        client.content_length = reply.content_length
    works.flows.add(flow)
    try:
        if not flow.client_gone:
            await _begin(client, request, flow)
        whole = await flow.pump(reply, client)
        if whole and not flow.client_gone:
            await client.write_eof()
        elif request.transport is not None:
            request.transport.close()
    except ConnectionError:  # the client left at the very end
        flow.leave()
    finally:
        works.flows.discard(flow)
        if flow.complete:
            reply.release()
        else:
            reply.close()
    return client


async def _begin(client: web.StreamResponse, request: web.Request, flow: Flow) -> None:
    try:
        await client.prepare(request)
    except (ConnectionError, aiohttp.ClientError):
        flow.leave()
