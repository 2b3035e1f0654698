"""What an attempt cost, from what was seen of it.

Owns the rules for every ending: a terminal marker with usage settles exactly; an ending without one
is charged for what may have been billed, flagged as an estimate, never refunded and never zero; an
error before any output costs what such errors cost. A report that cannot be true (no input at all,
a negative cost, more than a ledger holds) is no report. Works on counts alone: what the bytes were
is the dialects' business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from budgetd.core.estimate import MOST_HOLD, Estimate
from budgetd.core.prices import RateCard, price, worst_output_rate
from budgetd.core.usage import Reported, Usage

State = Literal["settled", "uncertain", "known_zero", "not_sent"]

TOKENS_PER_2_BYTES = 1  # half a token for a visible byte: about twice what text really takes
IN_FLIGHT_TOKENS = 256  # may have been generated, and billed, after the last byte that reached us
FREE_ERRORS = frozenset({503, 529})  # besides 3xx and 4xx: the provider did not begin
ABOVE_HOLD = "above_hold"  # the cause of a settlement that came to more than was held for it


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
    blind: bool = False  # more may be billed than came through: only the hold bounds it
    answer: int = 0  # the mark by which the answer is known in the session's next request


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
    if seen.status is not None and seen.status >= 300:
        return _failed(held, seen)
    reported = seen.reported
    if reported is not None and not _credible(reported, card):
        seen, reported = replace(seen, reported=None), None
    if reported is None or not seen.terminal or not _states_input(reported):
        return _without_usage(held, seen, card)
    cost, estimated = _reported_cost(reported, card)
    cause = ABOVE_HOLD if cost > held.hold else None
    return Settlement(
        "settled", cost, estimated, card, reported.usage, reported.model, seen.status, cause
    )


def _reported_cost(reported: Reported, card: RateCard) -> tuple[int, bool]:
    """What the provider says it costs, else the price of what it says was used; and whether that is
    an estimate. A stated nothing for a model that has a price is not believed: some gateways fill
    the field with a zero.
    """
    if reported.cost:
        return reported.cost, False
    priced = price(card, reported.usage, reported.traits)
    return priced, priced > 0 and (card.estimated or reported.cost is not None)


def _credible(reported: Reported, card: RateCard) -> bool:
    """Whether a ledger row could hold the report."""
    usage = reported.usage
    counts = usage.total_input + usage.total_output + usage.web_searches
    return counts <= MOST_HOLD and 0 <= _reported_cost(reported, card)[0] <= MOST_HOLD


def _states_input(reported: Reported) -> bool:
    """Whether it says how much was read. Some providers begin with zeros, some know only zeros."""
    return reported.cost is not None or reported.usage.total_input > 0


def _failed(held: Held, seen: Seen) -> Settlement:
    """An HTTP error. Most are free; a 5xx that is not a refusal to begin may have billed the input."""
    assert seen.status is not None
    if seen.status < 500 or seen.status in FREE_ERRORS:
        return Settlement("known_zero", 0, status=seen.status, cause=seen.cause)
    cause = seen.cause or "server_error"
    cost = held.estimate.quote.fixed
    return Settlement("uncertain", cost, estimated=True, status=seen.status, cause=cause)


def _without_usage(held: Held, seen: Seen, card: RateCard) -> Settlement:
    """No usage to settle by: the input as far as it is known, else its bound, and an estimate of
    the output.
    """
    known, guess = seen.reported, held.estimate
    floor = _reported_cost(known, card)[0] if known else 0
    lost_whole = not seen.streamed and not seen.terminal
    if guess.hidden_output or lost_whole or seen.blind:
        # Hidden reasoning leaves no trace to count, and a whole answer that got lost was generated whole.
        return _estimated(max(held.hold, floor), seen, card)
    tokens = -(-seen.visible_bytes * TOKENS_PER_2_BYTES // 2)
    if not seen.terminal:
        tokens += IN_FLIGHT_TOKENS
    tokens = min(tokens, held.output * guess.answers)
    if known is None or guess.input_grows or not _states_input(known):
        rate = guess.quote.per_output // guess.answers
        return _estimated(max(guess.quote.fixed + tokens * rate, floor), seen, card)
    unseen = max(tokens - known.usage.total_output, 0)
    media = guess.media_output
    read = known.usage.total_input
    rate = worst_output_rate(card, read, known.traits, audio=media, images=media)
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
