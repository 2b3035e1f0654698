"""The hold of one attempt, from its admission to its one settlement.

Whatever happens to a call, its account is settled once: by what was seen of the answer, or at the
latest when the carriage ends. Which figure replaces the hold is `core.settlement`'s business; this
module finds the card, queues the change and sees to it that it reaches the disk.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import structlog

from budgetd.core.budgets import Admit
from budgetd.core.estimate import Facts
from budgetd.core.prices import RateCard, dearest
from budgetd.core.settlement import Held, Seen, Settlement, settlement
from budgetd.core.turns import Turn
from budgetd.core.usage import Reported, Traits, Usage
from budgetd.core.windows import Instant
from budgetd.errors import StoreFault
from budgetd.ledger import book
from budgetd.proxy.order import Order, Setup
from budgetd.proxy.visits import Ending
from budgetd.proxy.works import Works

log = structlog.get_logger("budgetd.call")

FIRST_PAUSE = 1.0  # seconds until a settlement that could not be written is tried again; doubled
LONGEST_PAUSE = 300.0


class Account:
    """The hold of one attempt and its settlement."""

    def __init__(self, works: Works, setup: Setup, order: Order, admitted: Admit) -> None:
        self._works = works
        self._setup = setup
        self._order = order
        self._held = Held(order.estimate, admitted.hold, admitted.output)
        self.written: asyncio.Future[bool] | None = None  # done when the settlement is on disk
        self.result: Settlement | None = None
        self._work: partial[bool] | None = None
        self._pause = FIRST_PAUSE
        self.sent = False  # from here on the provider may have the request

    def settle(self, seen: Seen) -> None:
        """Replace the hold by what was seen. Only the first call does anything."""
        if self.result is not None:
            return
        order = self._order
        said = seen.reported.traits if seen.reported is not None else None
        if seen.reported is not None:
            seen = replace(seen, reported=_completed(seen.reported, order.facts))
        if order.caller.provider.bills_aborted and not seen.terminal:
            seen = replace(seen, blind=True)
        card = self._card(seen.reported, said)
        if seen.reported is not None and _may_be_drawn(seen.reported.usage, card):
            seen = replace(seen, reported=_drawn(seen.reported))
            card = replace(card, estimated=True)
        self.result = settlement(self._held, seen, card)
        now = self._works.time.now()
        self._works.sessions.paid(order.caller.key, self.result.cost, now)
        self._work = partial(
            book.settle,
            attempt=order.wanted.attempt,
            done=self.result,
            now=now,
            turn=self._turn(self.result, card, seen, now),
        )
        self.written = self._works.writer.submit(self._work)

    def _turn(self, done: Settlement, card: RateCard, seen: Seen, now: Instant) -> Turn | None:
        """What the call was in its session. The session moves on at once, before its client can
        have seen the end and come with the next call.
        """
        order = self._order
        if order.visit is None:
            return None
        traits = seen.reported.traits if seen.reported is not None else order.facts.traits
        return order.visit.close(Ending(done, card, traits, seen.answer, now))

    def _card(self, reported: Reported | None, said: Traits | None) -> RateCard:
        """The card of the answer. `said` are the traits that the answer itself stated: a tier that
        it does not confirm makes nothing cheaper.
        """
        order, after = self._order, self._setup.tariff.after
        provider, asked = order.caller.provider, order.estimate.card
        card = after(provider, asked, reported, order.at)
        if (
            reported is None
            or said is None
            or said.service_tier
            or not order.facts.traits.service_tier
        ):
            return card
        plain = replace(reported, traits=replace(reported.traits, service_tier=None))
        return dearest((card, after(provider, asked, plain, order.at)))

    def close(self) -> None:
        """Settle by what is known if nobody has. The client need not wait for the disk: whatever is
        asked of the ledger from here on comes after it.
        """
        self.settle(Seen(sent=self.sent, streamed=self._order.facts.streamed, cause="interrupted"))
        assert self.written is not None
        self.written.add_done_callback(self._look)

    def _look(self, written: asyncio.Future[bool]) -> None:
        fault = None if written.cancelled() else written.exception()
        if fault is None:
            return
        # The disk is full, or somebody has locked the file: the hold stays, so nothing is lost.
        # What cannot be written before the daemon ends is charged in full at the next start.
        log.error("settlement not written", call=self._order.wanted.call.id, error=str(fault))
        asyncio.get_running_loop().call_later(self._pause, self._write_again)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _write_again(self) -> None:
        assert self._work is not None
        try:
            written = self._works.writer.submit(self._work)
        except StoreFault:  # closed
            return
        written.add_done_callback(self._look)


def _may_be_drawn(usage: Usage, card: RateCard) -> bool:
    """Whether output that the answer does not tell apart may have been pictures, which cost more."""
    rates = card.rates_for(usage.total_input)
    return usage.output > 0 and not usage.output_image and rates["output_image"] > rates["output"]


def _drawn(reported: Reported) -> Reported:
    usage = reported.usage
    return replace(reported, usage=replace(usage, output=0, output_image=usage.output))


def _completed(reported: Reported, facts: Facts) -> Reported:
    """A report with what its dialect leaves to be known from the request."""
    usage = reported.usage
    if facts.silent_searches and not usage.web_searches:
        usage = replace(usage, web_searches=facts.silent_searches)
    return replace(reported, usage=usage, traits=reported.traits.or_else(facts.traits))
