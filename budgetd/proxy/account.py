"""The hold of one attempt, from its admission to its one settlement.

Whatever happens to a call, its account is settled once: by what was seen of the answer, or at the
latest when the carriage ends. Which figure replaces the hold is `core.settlement`'s business; this
module finds the card, queues the change and watches that it reaches the disk.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import structlog

from budgetd.core.budgets import Admit
from budgetd.core.estimate import Facts
from budgetd.core.settlement import Held, Seen, Settlement, settlement
from budgetd.core.usage import Reported
from budgetd.ledger import book
from budgetd.proxy.order import Order, Setup
from budgetd.proxy.works import Works

log = structlog.get_logger("budgetd.call")


class Account:
    """The hold of one attempt and its settlement."""

    def __init__(self, works: Works, setup: Setup, order: Order, admitted: Admit) -> None:
        self._works = works
        self._setup = setup
        self._order = order
        self._held = Held(order.estimate, admitted.hold, admitted.output)
        self.written: asyncio.Future[bool] | None = None  # done when the settlement is on disk
        self.result: Settlement | None = None
        self.sent = False  # from here on the provider may have the request

    def settle(self, seen: Seen) -> None:
        """Replace the hold by what was seen. Only the first call does anything."""
        if self.result is not None:
            return
        order = self._order
        if seen.reported is not None:
            seen = replace(seen, reported=_completed(seen.reported, order.facts))
        if order.caller.provider.bills_aborted and not seen.terminal:
            seen = replace(seen, blind=True)
        card = self._setup.tariff.after(
            order.caller.provider, order.estimate.card, seen.reported, order.at
        )
        self.result = settlement(self._held, seen, card)
        work = partial(
            book.settle, attempt=order.wanted.attempt, done=self.result, now=self._works.time.now()
        )
        self.written = self._works.writer.submit(work)

    def close(self) -> None:
        """Settle by what is known if nobody has. The client need not wait for the disk: whatever is
        asked of the ledger from here on comes after it.
        """
        self.settle(Seen(sent=self.sent, streamed=self._order.facts.streamed, cause="interrupted"))
        assert self.written is not None
        self.written.add_done_callback(self._look)

    def _look(self, written: asyncio.Future[bool]) -> None:
        fault = None if written.cancelled() else written.exception()
        if fault is not None:  # the hold stays, and is charged in full at the next start
            log.error("settlement not written", call=self._order.wanted.call.id, error=str(fault))


def _completed(reported: Reported, facts: Facts) -> Reported:
    """A report with what its dialect leaves to be known from the request."""
    usage = reported.usage
    if facts.silent_searches and not usage.web_searches:
        usage = replace(usage, web_searches=facts.silent_searches)
    return replace(reported, usage=usage, traits=reported.traits.or_else(facts.traits))
