"""The straight line: from a request to its answer, in the order in which it happens.

Read, attribute, estimate, admit, send, relay, settle. From the admission on a call is a task of its
own, which its client's leaving does not interrupt but is told of; whatever happens, it ends in
exactly one settlement. Decisions are made elsewhere, in pure functions; this module only puts them
in their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase

import structlog
from aiohttp import web

from budgetd.core.settlement import Seen
from budgetd.errors import CallerFault, StoreFault, UpstreamFault
from budgetd.proxy import answers
from budgetd.proxy.carriage import Carriage, Load
from budgetd.proxy.delivery import Dress, deliver, outward
from budgetd.proxy.intake import Intake, Parcel, check_head
from budgetd.proxy.order import Setup
from budgetd.proxy.reception import Reception, claims_of
from budgetd.proxy.relay import Flow
from budgetd.proxy.repeats import Mark
from budgetd.proxy.upstream import address
from budgetd.proxy.works import Works
from budgetd.runtime import Tasks, loop_time
from budgetd.wire.body import parse
from budgetd.wire.claims import labelled
from budgetd.wire.coding import decompress
from budgetd.wire.dialect import Blind, Operation
from budgetd.wire.dialects import (
    Labels,
    Target,
    dialect_for,
    method_of,
    split_labels,
    target,
)
from budgetd.wire.identity import credentials

log = structlog.get_logger("budgetd.gateway")

GREETINGS = frozenset({"/", "/api/hello"})
OWN_PATHS = ("/status", "/control", "/healthz", "/readyz")
UNPRICED = "unpriced"  # the operation of a path that the owner lets through without a price

OwnAnswer = Callable[[web.Request, Labels], Awaitable[web.StreamResponse]]


class Gateway:
    """Handles every request for a provider. `setup` is swapped by a reload; a call keeps the one it
    began with.
    """

    def __init__(self, setup: Setup, works: Works, tasks: Tasks) -> None:
        self.setup = setup
        # What budgetd answers by itself behind any labels, by method and path.
        self.answers: dict[tuple[str, str], OwnAnswer] = {}
        self.open_calls = 0
        self.closing = False
        self._works = works
        self._tasks = tasks
        self._intake = Intake()
        self._reception = Reception(works)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, whatever it is."""
        setup = self.setup
        dialect = dialect_for(request.path, request.headers)
        try:
            check_head(request, setup.hosts)
            longest = setup.rules.limits.label_length
            labels, path = split_labels(request.rel_url.raw_path, longest)
            labels = labelled(labels, request.headers, longest)
            if path in GREETINGS and request.method in {"GET", "HEAD"}:
                return answers.hello(request)
            own = self.answers.get((request.method, path))
            if own is not None:
                return await own(request, labels)
            aim = _aim(setup, request, path)
            dialect = aim.dialect
            self._let_in(setup)
            if aim.operation.spends:
                return await self._priced(setup, request, labels, aim)
            self.open_calls += 1
            try:
                return await self._unpriced(setup, request, labels, aim)
            finally:
                self.open_calls -= 1
        except CallerFault as fault:
            return answers.complain(dialect, fault)
        except StoreFault as fault:
            log.error("ledger fault", error=str(fault))
            return answers.store_fault(dialect)

    async def _priced(
        self, setup: Setup, request: web.Request, labels: Labels, aim: Target
    ) -> web.StreamResponse:
        """A call that costs money: read, attribute, estimate; then carry it in one unbroken piece."""
        rules = setup.rules
        parcel = await self._intake.read(request, rules.limits, rules.patience)
        try:
            body = parse(parcel.data)
            self._let_in(setup)  # again: others came in while the body did
            load = Load(body, parcel)
            order, mark = self._reception.receive(setup, request, labels, aim, load)
        except BaseException:
            parcel.drop()
            raise
        carriage = Carriage(self._works, setup, request, order, load)
        del body, load
        return await self._unbroken(carriage, mark)

    async def _unbroken(self, carriage: Carriage, mark: Mark) -> web.StreamResponse:
        """Carry a call to its end in a task of its own: when the client goes, the task is told, not
        cancelled.
        """
        self.open_calls += 1
        task = self._tasks.spawn(carriage.carry(), name=f"call {carriage.order.wanted.call.id}")
        task.add_done_callback(lambda _: self._over(carriage, mark))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            carriage.leave()
            raise

    def _over(self, carriage: Carriage, mark: Mark) -> None:
        account = carriage.account
        if account is None or account.written is None:
            self.open_calls -= 1
        else:
            account.written.add_done_callback(self._written)
        self._reception.over(carriage.order, mark, account.result if account is not None else None)

    def _written(self, _: asyncio.Future[bool]) -> None:
        """A call is over when its settlement is on disk."""
        self.open_calls -= 1

    async def _unpriced(
        self, setup: Setup, request: web.Request, labels: Labels, aim: Target
    ) -> web.StreamResponse:
        """A request that costs nothing: passed on as it came."""
        limits, patience = setup.rules.limits, setup.rules.patience
        parcel = await self._intake.read_raw(request, limits, patience)
        try:
            return await self._passed_on(setup, request, labels, aim, parcel)
        finally:
            parcel.drop()

    async def _passed_on(
        self, setup: Setup, request: web.Request, labels: Labels, aim: Target, parcel: Parcel
    ) -> web.StreamResponse:
        limits, patience = setup.rules.limits, setup.rules.patience
        data = parcel.data
        caller = setup.callers.resolve(
            claims_of(request, labels, aim, _model(aim, request, data, limits.body_bytes)),
            self._works.time.now(),
        )
        provider = caller.provider
        if (
            aim.operation.listing
            and caller.inject is None
            and provider.needs_credential
            and not credentials(request.headers)
        ):
            return answers.model_list(setup.tariff.book, provider.name)
        headers = outward(request.headers, caller, aim.dialect, frozenset())
        url = address(provider, aim.dialect, aim.path, request.rel_url.raw_query_string)
        try:
            reply = await self._works.upstream.send(
                request.method, url, headers, data or None, patience
            )
        except UpstreamFault as fault:
            return answers.unreachable(aim.dialect, fault, None)
        parcel.drop()
        del data
        flow = Flow(Blind(), patience, _nothing_to_settle, streamed=True, status=reply.status)
        return await deliver(self._works, reply, request, flow, Dress({}))

    def end_flows(self, subject: str) -> int:
        """End the open calls of a key ("key:research") or of "all" as their protocols allow. Returns
        how many.
        """
        ending = [
            carriage
            for carriage in self._works.carriages
            if subject in {"all", f"key:{carriage.order.caller.key}"}
        ]
        for carriage in ending:
            carriage.stop()
        return len(ending)

    def check_clients(self) -> None:
        """Give up on clients that have stopped reading. Called now and then."""
        now = loop_time()
        for flow in self._works.flows:
            flow.check_client(now)

    def _let_in(self, setup: Setup) -> None:
        if self.closing:
            raise CallerFault(503, "stopping", "the daemon is stopping")
        if self.open_calls >= setup.rules.limits.open_calls:
            raise CallerFault(
                503,
                "too_many_calls",
                "as many calls are open as limits.open_calls allows; repeat it shortly",
            )


def _aim(setup: Setup, request: web.Request, path: str) -> Target:
    """What is asked for. Raises CallerFault (404) for a path that might spend money and is not
    understood.
    """
    aim = target(request.method, path, request.headers)
    if aim is not None:
        return aim
    if any(fnmatchcase(path, pattern) for pattern in setup.rules.unpriced_paths):
        operation = Operation(UNPRICED, request.method, path, spends=False)
        return Target(dialect_for(path, request.headers), operation, path)
    wanted = method_of(path)
    if wanted is not None:
        raise CallerFault(405, "wrong_method", f"{path[:200]} is asked by {wanted}", allow=wanted)
    if path.startswith(OWN_PATHS):
        raise CallerFault(404, "no_such_route", f"budgetd has no {request.method} {path[:200]}")
    raise CallerFault(
        404,
        "path_not_priced",
        f"{request.method} {path[:200]} is not understood, and might spend money, so it does not go"
        " through. List it under unpriced_paths to let it pass without a price",
    )


def _nothing_to_settle(_: Seen) -> None:
    """A request that costs nothing."""


def _model(aim: Target, request: web.Request, data: bytes, limit: int) -> str:
    """The model that a free request names, for the routing; "" if it names none."""
    if request.method != "POST" or not data:
        return ""
    try:
        plain = decompress(data, request.headers.get("content-encoding", ""), limit)
        return parse(plain).text("model") or ""
    except CallerFault:
        if aim.operation.name == UNPRICED:  # a file, say: the owner lets it pass, whatever it is
            return ""
        raise
