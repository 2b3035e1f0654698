"""Receiving a call: whose it is, which conversation it belongs to, and what it may cost.

Between the body that was read and the money that is asked for. Makes an `Order` out of what a
request says and what is remembered, without an await, and is told how the call ended, so that the
next one like it is known for what it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import web

from budgetd.core.settlement import Settlement
from budgetd.core.windows import Instant
from budgetd.proxy.bars import Bar
from budgetd.proxy.callers import Caller, Claims
from budgetd.proxy.carriage import Load
from budgetd.proxy.order import Order, Setup, Slip, take
from budgetd.proxy.repeats import Mark, Repeats
from budgetd.proxy.visits import Arrival, Visit
from budgetd.proxy.works import Works
from budgetd.runtime import new_id
from budgetd.wire.claims import claim
from budgetd.wire.dialects import Labels, Target
from budgetd.wire.identity import client_family, credentials

FEATURES = "anthropic-beta"

log = structlog.get_logger("budgetd.call")


class Reception:
    """Receives priced calls."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._repeats = Repeats()

    def receive(
        self, setup: Setup, request: web.Request, labels: Labels, aim: Target, load: Load
    ) -> tuple[Order, Mark]:
        """The order for a call, and what it is known by should it come again. Raises CallerFault."""
        body, headers, now = load.body, request.headers, self._works.time.now()
        facts = aim.dialect.read(aim.operation, body)
        caller = setup.callers.resolve(
            claims_of(request, labels, aim, facts.model, facts.account), now
        )
        said = claim(headers, labels, body, caller.family, setup.rules.limits.label_length)
        mark = self._repeats.mark(caller.key, load.parcel.data)
        retry_of = self._repeats.previous(mark, headers, now)
        who = Arrival(
            caller.key,
            caller.family,
            caller.provider.name,
            said,
            mark[1],
            repeated=retry_of is not None or self._repeats.remembers(mark, now),
            retry=retry_of is not None,
            at=now,
            reader=_reader(caller, aim, headers),
        )
        visit = self._works.sessions.arrive(who, facts, body, aim.operation.history)
        try:
            slip = Slip(new_id(now), now, visit, retry_of, self._bar(visit, caller, now))
            return take(setup, caller, aim, facts, slip), mark
        except BaseException:
            if visit is not None:
                visit.refused()
            raise

    def over(self, order: Order, mark: Mark, done: Settlement | None) -> None:
        """A call has ended. `done` None: it was refused."""
        if done is not None:
            call, well = order.wanted.call, done.state == "settled"
            self._repeats.note(mark, call.id, order.at, well=well, repeats=call.retry_of)
            return
        if order.visit is not None:
            order.visit.refused()
        self._repeats.turned_away(mark, order.at)

    def _bar(self, visit: Visit | None, caller: Caller, now: Instant) -> Bar | None:
        """Why the call is refused whatever it costs; where its key only observes, that is said."""
        bar = self._works.sessions.barred(visit, caller, now)
        if bar is not None and caller.policy.observe:
            log.info("would have been refused", key=caller.key, why=bar.words)
            return None
        return bar


def _reader(caller: Caller, aim: Target, headers: Mapping[str, str]) -> bytes:
    """Another server may count in another way under the same name, and another feature may bring
    back what was left out of a count.
    """
    url = caller.provider.base_urls[aim.dialect.name]
    return f"{url}\n{headers.get(FEATURES, '')}".encode("utf-8", "surrogatepass")


def claims_of(
    request: web.Request, labels: Labels, aim: Target, model: str, account: str | None = None
) -> Claims:
    """Who a request says it is."""
    headers = request.headers
    return Claims(
        labels, credentials(headers), client_family(headers), aim.dialect.name, model, account
    )
