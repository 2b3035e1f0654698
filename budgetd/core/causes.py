"""Causes: what a call's cost was for, each pico-dollar in one place.

Owns the seven causes, their order of precedence, and the one rule that tells them apart within a
call of plain work: tokens that the provider had read before cost what they cost at best (re-read),
what was paid for them above that is the cold cache's, and the rest of the call is fresh work. The
parts are rounded down and the rest takes what is left, so that every sum is the cost exactly. What
was read before, and what a loop is, is found out elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from budgetd.core.prices import RateCard, geo_ratio, price
from budgetd.core.usage import Traits, Usage

Cause = Literal["work", "side", "retry", "loop"]

# Fields of `Causes` in order of precedence: a dollar is booked to the first that it fits.
SEVEN = ("loop", "retry", "side", "agents", "cold", "reread", "fresh")

# Where re-sent tokens stand, the likeliest first, and the bucket that they should have come from:
# what the cache gave was re-sent; what it wrote was behind that, the longest-lived first.
_RESENT = (
    ("cache_read", "cache_read"),
    ("cache_read_audio", "cache_read_audio"),
    ("cache_write_1h", "cache_read"),
    ("cache_write_5m", "cache_read"),
    ("input", "cache_read"),
    ("input_image", "cache_read"),
    ("input_audio", "cache_read_audio"),
)


@dataclass(frozen=True, slots=True)
class Split:
    """One call's cost by cause, in pico-dollars; fresh = cost - cold - reread where cause is work."""

    cause: Cause  # anything but work: the whole cost is that cause's
    cold: int = 0  # the extra that re-sent context cost because the cache did not have it any more
    reread: int = 0  # what re-sent context costs at best


@dataclass(frozen=True, slots=True)
class Causes:
    """The cost of a session's tree by cause, in pico-dollars. They sum to the cost exactly.

    `agents` is the work of sub-agents, their cold cache and re-reading included.
    """

    loop: int = 0
    retry: int = 0
    side: int = 0
    agents: int = 0
    cold: int = 0
    reread: int = 0
    fresh: int = 0

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Name and pico-dollars of each, in order of precedence."""
        return ((name, getattr(self, name)) for name in SEVEN)

    @property
    def total(self) -> int:
        """The cost of all that was added."""
        return sum(amount for _, amount in self)

    def add(self, split: Split, cost: int, *, agent: bool) -> Causes:
        """These and one more call. `cost` has its corrections in it; `agent` says that it was made
        by a descendant of the session.

        A correction changes what was fresh. One that takes away more than that takes from what was
        re-read, then from what was cold; only below nothing at all does `fresh` become negative.
        """
        if split.cause == "loop":
            return replace(self, loop=self.loop + cost)
        if split.cause == "retry":
            return replace(self, retry=self.retry + cost)
        if split.cause == "side":
            return replace(self, side=self.side + cost)
        if agent:
            return replace(self, agents=self.agents + cost)
        cold = min(split.cold, max(cost, 0))
        reread = min(split.reread, max(cost - cold, 0))
        return replace(
            self,
            cold=self.cold + cold,
            reread=self.reread + reread,
            fresh=self.fresh + cost - cold - reread,
        )

    def plus(self, other: Causes) -> Causes:
        """Both together."""
        return Causes(*(mine + theirs for (_, mine), (_, theirs) in zip(self, other, strict=True)))


def cause_of(*, loop: bool, retry: bool, side: bool) -> Cause:
    """What a call was, where several things are true of it."""
    if loop:
        return "loop"
    if retry:
        return "retry"
    return "side" if side else "work"


def whole(cause: Cause) -> Split:
    """The split of a call that is one cause's altogether."""
    return Split(cause)


def split(
    cost: int, usage: Usage, card: RateCard, traits: Traits = Traits(), *, resent: int, warm: bool
) -> Split:
    """The parts of the cost of a call that is plain work.

    `resent` of the input tokens were read in an earlier call of the session (more than there are
    count as all). `warm`: the session has shown that its cache works; without one nothing can be
    cold. A cost that is not the card's price for this usage (the provider said so) is divided in
    the same proportions; for an estimated cost give the part that this usage came to.
    """
    priced = price(card, usage, traits)
    if cost <= 0 or not priced:
        return whole("work")
    rates = card.rates_for(usage.total_input)
    paid = best = 0
    left = resent
    for bucket, ideal in _RESENT:
        count = min(left, getattr(usage, bucket))
        left -= count
        paid += count * rates[bucket]
        best += count * min(rates[bucket], rates[ideal])
    if not warm:
        best = paid
    over, under = geo_ratio(card, traits.geo or None)
    over, under = over * cost, under * priced
    return Split("work", cold=(paid - best) * over // under, reread=best * over // under)
