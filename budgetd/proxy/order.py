"""An order: one call, read, attributed and estimated, before any money moves.

`Setup` is everything that follows from the configuration, made at start and at each reload and
swapped as a whole; a call keeps the one it began with. `take` does all the thinking that needs no
ledger, without an await.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from budgetd.core.estimate import Estimate, Facts, estimate
from budgetd.core.policy import Rules
from budgetd.core.prices import RateCard
from budgetd.core.tariff import Tariff
from budgetd.core.usage import Traits
from budgetd.core.windows import Instant
from budgetd.errors import CallerFault
from budgetd.ledger.book import Call, Reservation
from budgetd.proxy.bars import Bar
from budgetd.proxy.callers import Caller, Callers
from budgetd.proxy.visits import Visit
from budgetd.wire.body import Body
from budgetd.wire.dialect import Dialect
from budgetd.wire.dialects import Target

log = structlog.get_logger("budgetd.prices")

MODEL_LENGTH = 256
MOST_STAND_INS = 1_000  # model names are the callers' to invent
TRAIT_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Setup:
    """The rules in force and what was made of them. `hosts` are the Host names that are ours, in
    lower case; `stand_ins` the models met so far that have no price of their own, and what prices
    them instead.
    """

    rules: Rules
    callers: Callers
    tariff: Tariff
    hosts: frozenset[str]
    stand_ins: dict[str, str] = field(default_factory=dict)

    def note_stand_in(self, model: str, priced_by: str) -> None:
        """Say once that a model is charged at another price than its own."""
        if model not in self.stand_ins and len(self.stand_ins) < MOST_STAND_INS:
            self.stand_ins[model] = priced_by
            log.warning("no price of its own", model=model, priced_by=priced_by)


@dataclass(frozen=True, slots=True)
class Slip:
    """What identifies a call: made before it is admitted, so that it can be settled whatever is
    interrupted. `visit` None: it is part of no conversation; `bar`: it is refused, and for this.
    """

    id: str
    at: Instant
    visit: Visit | None
    retry_of: str | None
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One call, ready to be admitted."""

    caller: Caller
    aim: Target
    facts: Facts
    estimate: Estimate
    wanted: Reservation
    at: Instant
    visit: Visit | None = None
    bar: Bar | None = None

    @property
    def dialect(self) -> Dialect:
        """The dialect it is asked and answered in."""
        return self.aim.dialect

    @property
    def asks_usage(self) -> bool:
        """Whether budgetd asks for the stream's usage in the client's stead, and so must hide it
        again.
        """
        return (
            self.facts.streamed
            and not self.facts.asked_usage
            and self.caller.provider.asks_stream_usage
        )

    def changes(self, body: Body, output: int) -> dict[str, object]:
        """The body's top-level fields to replace, for an admitted output bound in tokens."""
        changed: dict[str, object] = {}
        if self.facts.bounded_output and output != self.facts.output:
            changed |= self.dialect.limit_output(
                self.facts, output, self.caller.provider.output_field
            )
        if self.asks_usage:
            changed |= self.dialect.ask_usage(body)
        return changed


def take(setup: Setup, caller: Caller, aim: Target, facts: Facts, slip: Slip) -> Order:
    """The order for a call. Raises CallerFault (400) for a model without a price, or a cost that
    nothing bounds.
    """
    visit = slip.visit
    card = _card(setup, caller, facts, slip.at)
    if card.rates["output_image"] > card.rates["output"]:  # such a model draws without being asked
        facts = replace(facts, media_output=True)
    guess = _guess(setup, caller, aim, facts, card, visit)
    budgets = caller.budgets
    if visit is not None:
        budgets += setup.callers.session_budgets(caller, facts.model, visit.path)
    wanted = Reservation(
        _call(caller, aim, facts, slip),
        number=1,
        provider=caller.provider.name,
        model=facts.model,
        money=caller.money,
        budgets=budgets,
        quote=guess.quote,
        input_bound=guess.input,
        card=card,
    )
    return Order(caller, aim, facts, guess, wanted, slip.at, visit, slip.bar)


def _card(setup: Setup, caller: Caller, facts: Facts, now: Instant) -> RateCard:
    """The card that the call is bounded by. Raises CallerFault where there is none."""
    provider = caller.provider
    _check_name(facts.model)
    _check_traits(facts.traits)
    if facts.unbounded is not None:
        raise CallerFault(
            400,
            "unbounded_cost",
            f"{facts.unbounded} may cost any amount: budgetd does not let it through",
        )
    card = setup.tariff.before(provider, facts.model, facts.traits, now)
    if card is None:
        raise CallerFault(400, "unknown_price", _no_price(provider.name, facts.model))
    if card.estimated:
        special = f" ({card.variant})" if card.variant not in {"", "any"} else ""
        setup.note_stand_in(f"{provider.name}/{facts.model}", card.source + special)
    return card


def _guess(
    setup: Setup, caller: Caller, aim: Target, facts: Facts, card: RateCard, visit: Visit | None
) -> Estimate:
    """What the call may cost. Raises CallerFault where that is more than can be counted."""
    provider = caller.provider
    limits = setup.tariff.limits_of(provider, facts.model)
    hides = (
        aim.dialect.reasons_unasked
        and not provider.shows_reasoning
        and limits.reasoning is not False
    )
    guess = estimate(
        facts,
        card,
        setup.rules.estimation,
        model_output=limits.max_output,
        hides_output=hides,
        known=visit.known if visit is not None else None,
    )
    if not guess.countable:
        raise CallerFault(
            400,
            "unbounded_cost",
            "this request may cost more than budgetd can count: ask for fewer tokens, answers or searches",
        )
    return guess


def _call(caller: Caller, aim: Target, facts: Facts, slip: Slip) -> Call:
    visit = slip.visit
    return Call(
        slip.id,
        caller.key,
        aim.dialect.name,
        aim.operation.name,
        caller.family,
        facts.model,
        visit.path if visit is not None else (),
        visit.kind if visit is not None else "turn",
        caller.label,
        slip.retry_of,
    )


def _check_name(model: str) -> None:
    """A model's name is written to the ledger, the log and messages: one line of it, not a book."""
    if not model:
        raise CallerFault(
            400, "missing_model", "the request names no model, so it cannot be priced"
        )
    if len(model) > MODEL_LENGTH or not model.isprintable():
        raise CallerFault(
            400,
            "bad_model",
            f"the model's name must be one line of at most {MODEL_LENGTH} characters",
        )


def _check_traits(traits: Traits) -> None:
    """Words that choose a price are part of the price's row, which is kept for good."""
    for word in (traits.service_tier, traits.speed, traits.geo):
        if word is not None and (len(word) > TRAIT_LENGTH or not word.isprintable()):
            raise CallerFault(
                400,
                "invalid_request",
                "service_tier, speed and inference_geo must be one word each, of at most"
                f" {TRAIT_LENGTH} characters",
            )


def _no_price(provider: str, model: str) -> str:
    return (
        f"budgetd knows no price for model {model!r} at provider {provider}, and an unknown price is"
        f" never $0. Ways out: set providers.{provider}.prices.{model!r} (dollars per million tokens),"
        f" or providers.{provider}.unknown_price to ceiling or free"
    )
