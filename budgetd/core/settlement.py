"""What an attempt cost, from what was seen of it.

Owns the rules for every ending: a terminal marker with usage settles exactly; an ending without one
is charged for what may have been billed, flagged as an estimate, never refunded and never zero; an
error before any output costs what such errors cost. Works on counts alone: what the bytes were is
the dialects' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from budgetd.core.estimate import Estimate
from budgetd.core.prices import RateCard, price, worst_output_rate
from budgetd.core.usage import Reported, Usage

State = Literal["settled", "uncertain", "known_zero", "not_sent"]

TOKENS_PER_2_BYTES = 1  # half a token for a visible byte: about twice what text really takes
IN_FLIGHT_TOKENS = 256  # may have been generated, and billed, after the last byte that reached us
FREE_ERRORS = frozenset({503, 529})  # besides 4xx: the provider did not begin


@dataclass(frozen=True, slots=True)
class Held:
    """What was reserved: the hold in pico-dollars, for an output bound in tokens per answer, by
    this estimate.
    """

    estimate: Estimate
    hold: int
    output: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back. `status` None: no HTTP answer at all. `card` prices the model that answered."""

    sent: bool
    status: int | None = None
    streamed: bool = False
    terminal: bool = False  # the dialect's own end marker, or a whole JSON answer
    reported: Reported | None = None
    visible_bytes: int = 0
    cause: str | None = (
        None  # why it ended without a terminal marker: "client_gone", "upstream_cut", ...
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """The figure that replaces a hold. `cost` in pico-dollars; `card` None keeps the one the hold
    was priced at.
    """

    state: State
    cost: int
    estimated: bool = False
    card: RateCard | None = None
    usage: Usage | None = None
    model: str | None = None
    status: int | None = None
    cause: str | None = None


def settlement(held: Held, seen: Seen, card: RateCard) -> Settlement:
    """The cost of an attempt. `card` is that of the model that answered, or the one the hold was
    priced at.
    """
    if not seen.sent:
        return Settlement("not_sent", 0, status=seen.status, cause=seen.cause)
    if seen.status is not None and seen.status >= 400:
        return _failed(held, seen)
    reported = seen.reported
    if reported is None or not seen.terminal:
        return _without_usage(held, seen, card)
    cost = (
        reported.cost if reported.cost is not None else price(card, reported.usage, reported.traits)
    )
    estimated = card.estimated and reported.cost is None
    return Settlement("settled", cost, estimated, card, reported.usage, reported.model, seen.status)


def _failed(held: Held, seen: Seen) -> Settlement:
    """An HTTP error. Most are free; a 5xx that is not a refusal to begin may have billed the input."""
    assert seen.status is not None
    if seen.status < 500 or seen.status in FREE_ERRORS:
        return Settlement("known_zero", 0, status=seen.status, cause=seen.cause)
    cost = min(held.estimate.quote.fixed, held.hold)
    return Settlement(
        "uncertain", cost, estimated=True, status=seen.status, cause=seen.cause or "server_error"
    )


def _without_usage(held: Held, seen: Seen, card: RateCard) -> Settlement:
    """No usage to settle by: the input as far as it is known, else its bound, and an estimate of
    the output.
    """
    known = seen.reported
    floor = price(card, known.usage, known.traits) if known else 0
    if held.estimate.hidden_output or (not seen.streamed and not seen.terminal):
        # Hidden reasoning leaves no trace to count, and a whole answer that got lost was generated whole.
        return _estimated(max(held.hold, floor), seen, card)
    tokens = -(-seen.visible_bytes * TOKENS_PER_2_BYTES // 2)
    if not seen.terminal:
        tokens += IN_FLIGHT_TOKENS
    tokens = min(tokens, held.output * held.estimate.answers)
    if known is None:
        rate = held.estimate.quote.per_output // held.estimate.answers
        return _estimated(min(held.estimate.quote.fixed + tokens * rate, held.hold), seen, card)
    unseen = max(tokens - known.usage.total_output, 0)
    rate = worst_output_rate(card, known.usage.total_input, known.traits)
    return _estimated(floor + unseen * rate, seen, card)


def _estimated(cost: int, seen: Seen, card: RateCard) -> Settlement:
    known = seen.reported
    return Settlement(
        "uncertain",
        cost,
        estimated=True,
        card=card,
        usage=known.usage if known else None,
        model=known.model if known else None,
        status=seen.status,
        cause=seen.cause or "no_usage",
    )
