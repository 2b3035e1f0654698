"""Carrying one call to its provider and the answer back: admit, send, relay, settle.

`Carriage` runs in a task of its own. Its client's leaving does not interrupt it; `leave` tells it, and
`stop` ends it as its protocol allows. Whatever happens, its account is closed at the end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web

from budgetd.core.budgets import Admit
from budgetd.core.loops import Suspicion
from budgetd.core.settlement import Seen, Settlement
from budgetd.errors import CallerFault, UpstreamFault
from budgetd.ledger import book, refusals, sessions
from budgetd.proxy import answers
from budgetd.proxy.account import Account
from budgetd.proxy.bars import Bar, bar_notice, reason_of
from budgetd.proxy.delivery import EVENT_STREAM, Dress, deliver, outward
from budgetd.proxy.intake import Parcel
from budgetd.proxy.notices import notice_of
from budgetd.proxy.order import Order, Setup
from budgetd.proxy.relay import CLOSING_GRACE, Flow
from budgetd.proxy.upstream import address
from budgetd.proxy.works import Works
from budgetd.runtime import loop_time
from budgetd.wire.body import Body
from budgetd.wire.clients import Notice, header_text
from budgetd.wire.dialect import Blind

log = structlog.get_logger("budgetd.call")

_REENCODED = frozenset({"content-encoding"})  # the body goes out plain, whatever it came in


@dataclass(frozen=True, slots=True)
class Load:
    """What a call brought: its body, and the memory that is accounted for it."""

    body: Body
    parcel: Parcel


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
        self._stopping = False
        self._waiting: asyncio.Timeout | None = None  # for the provider's headers
        self._flow: Flow | None = None

    def leave(self) -> None:
        """The client has gone."""
        self._gone = True
        if self._flow is not None:
            self._flow.leave()
        elif not self._stopping:
            self._wait_for(self._drain_seconds())

    def stop(self) -> None:
        """End it as its protocol allows; what has no answer yet is given up."""
        self._stopping = True
        if self._flow is not None:
            self._flow.stop()
        else:
            self._wait_for(CLOSING_GRACE)

    async def carry(self) -> web.StreamResponse:
        """Admit, send, relay, settle. Returns the answer, given or to be given."""
        self._works.carriages.add(self)
        try:
            return await self._carry()
        finally:
            self._works.carriages.discard(self)
            self._drop()

    async def _carry(self) -> web.StreamResponse:
        order, call = self.order, self.order.wanted.call
        if order.bar is not None:
            await self._keep_bar(order.bar)
            return self._refuse(bar_notice(order.bar, call.id, call.key, order.at))
        outcome = await self._admit()
        if not isinstance(outcome, Admit):
            return self._refuse(notice_of(outcome, call.id, call.key, order.at))
        self.account = Account(self._works, self._setup, order, outcome)
        try:
            return await self._forward(self.account, outcome)
        finally:
            self.account.close()
            self._report(self.account)

    def _refuse(self, notice: Notice) -> web.Response:
        order, call = self.order, self.order.wanted.call
        log.info(
            "refused",
            call=call.id,
            key=call.key,
            session=call.session,
            model=call.model,
            reason=notice.reason,
            client=call.client,
        )
        return answers.refusal(order.dialect, notice, order.caller.family, call.id, call.session)

    async def _keep_bar(self, bar: Bar) -> None:
        """What is refused for something other than money is among the refusals, too."""
        call, now = self.order.wanted.call, self.order.at
        cause: tuple[str, dict[str, object]] = (reason_of(bar), {"note": bar.words})

        def keep(db: sqlite3.Connection) -> None:
            refusals.write(db, call.id, call.key, now, cause)
            if isinstance(bar, Suspicion) and call.session is not None:
                sessions.suspect(db, call.session, bar)

        await self._works.writer.submit(keep)

    async def _admit(self) -> book.Outcome:
        """The ledger's word. If the daemon gives up meanwhile, a hold that may come is let go."""
        order, writer = self.order, self._works.writer
        try:
            return await writer.submit(partial(book.admit, wanted=order.wanted, now=order.at))
        except asyncio.CancelledError:
            let_go = Settlement("not_sent", 0, cause="interrupted")
            writer.submit(
                partial(book.settle, attempt=order.wanted.attempt, done=let_go, now=order.at)
            )
            raise

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
        if self._gone or self._stopping:  # before anything was sent
            return self._nothing()
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
        except TimeoutError:  # the client left, and the drain is over; or it was stopped
            account.settle(Seen(sent=True, streamed=order.facts.streamed, cause=self._why()))
            return self._nothing()
        finally:
            self._waiting = None
        works.time.witness(reply.headers.get("date"))
        streamed = reply.content_type == EVENT_STREAM
        wanted = order.dialect.tap(
            order.aim.operation,
            streamed=streamed,
            hide_usage=order.asks_usage,
            encoding=reply.headers.get("content-encoding", ""),
        )
        tap = wanted if reply.status < 400 else Blind()
        patience = self._setup.rules.patience
        self._flow = Flow(tap, patience, account.settle, streamed=streamed, status=reply.status)
        self._tell(self._flow)
        hidden = streamed and order.asks_usage
        extra = {"x-budgetd-call": call, **self._bound_header(admitted), **self._session_headers()}
        return await deliver(
            works, reply, self._request, self._flow, Dress(extra, keep_length=not hidden)
        )

    def _wait_for(self, seconds: float) -> None:
        """Give the provider's headers so long, unless nobody waits for them any more."""
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(loop_time() + seconds)

    def _tell(self, flow: Flow) -> None:
        """What happened while we waited for the provider's headers."""
        if self._gone:
            flow.leave()
        if self._stopping:
            flow.stop()

    def _why(self) -> str:
        return "client_gone" if self._gone else "stopped"

    def _nothing(self) -> web.Response:
        """For a call that ends before its answer began."""
        if self._gone:
            return web.Response(status=499)
        fault = CallerFault(503, "stopped", "the call was stopped before its answer began")
        return answers.complain(self.order.dialect, fault)

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

    def _session_headers(self) -> dict[str, str]:
        """Which session the call was booked to, and that it goes in circles, if that is to be told."""
        visit = self.order.visit
        if visit is None:
            return {}
        headers = {"x-budgetd-session": visit.session.id}
        if visit.suspicion is not None and self.order.caller.policy.loops != "observe":
            headers["x-budgetd-loop"] = header_text(visit.suspicion.words)
        return headers

    def _drain_seconds(self) -> float:
        patience = self._setup.rules.patience
        return patience.drain_stream if self.order.facts.streamed else patience.drain_whole

    def _report(self, account: Account) -> None:
        """The one log line of a call."""
        done, wanted, visit = account.result, self.order.wanted, self.order.visit
        assert done is not None
        loop = visit.suspicion.words if visit is not None and visit.suspicion is not None else None
        if loop is not None and self.order.caller.policy.loops != "observe":
            log.warning(
                "goes in circles", session=wanted.call.session, key=wanted.call.key, loop=loop
            )
        log.info(
            "call",
            call=wanted.call.id,
            key=wanted.call.key,
            session=wanted.call.session,
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
