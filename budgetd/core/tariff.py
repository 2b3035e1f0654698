"""Which card prices a call: the owner's policy laid over the price book.

Owns the order of precedence for a price and what happens to a model without one. The book knows
prices by exact name; the provider's policy says whether an unknown one is refused, priced at the
provider's ceiling, or free because the owner wrote so. Unknown is never nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from budgetd.core.policy import Provider
from budgetd.core.pricebook import PriceBook, variants_of
from budgetd.core.prices import RateCard, dearest
from budgetd.core.usage import BUCKETS, Reported, Traits
from budgetd.core.windows import Instant


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What is known of a model besides its price. `reasoning`: it can bill reasoning that it does
    not show; None is unknown.
    """

    context: int | None = None  # input tokens
    max_output: int | None = None  # tokens of one answer
    reasoning: bool | None = None


NO_LIMITS = ModelLimits()
STANDARD_TRAITS = Traits()


@dataclass(frozen=True, slots=True)
class Tariff:
    """The price book under the owner's policy. `limits` finds a model's limits by provider and
    name.
    """

    book: PriceBook
    limits: Callable[[str, str], ModelLimits | None]

    def before(
        self, provider: Provider, model: str, traits: Traits, at: Instant
    ) -> RateCard | None:
        """The card that a hold is priced at, never below what the call can cost. None: the price is
        unknown and refused.
        """
        known = self.book.bound(provider.name, model, traits, at)
        if known is None and provider.unknown_price == "free":
            return _free(provider.name, model)
        plain = self.book.bound(provider.name, model, STANDARD_TRAITS, at)
        if known is not None and plain is not None and variants_of(traits):
            return dearest((known, plain))  # a cheaper tier is asked for, and may not be given
        return known or self._stand_in(provider, traits)

    def after(
        self, provider: Provider, asked: RateCard, reported: Reported | None, at: Instant
    ) -> RateCard:
        """The card that a settlement is priced at: the answering model's, else the one asked for.
        `asked` is the hold's card. A price that the owner set comes before any listed one.
        """
        if reported is None:
            return asked
        traits = reported.traits
        known = self.book.find(provider.name, asked.model, traits, at)
        if reported.model:
            named = self.book.find(provider.name, reported.model, traits, at)
            ours = known is not None and known.by_owner
            if named is not None and (named.by_owner or not ours):
                return named
        return known or self._stand_in(provider, traits) or asked

    def limits_of(self, provider: Provider, model: str) -> ModelLimits:
        """The model's limits as far as they are known."""
        return self.limits(provider.catalogue or provider.name, model) or NO_LIMITS

    def _stand_in(self, provider: Provider, traits: Traits) -> RateCard | None:
        return (
            self.book.ceiling(provider.name, traits)
            if provider.unknown_price == "ceiling"
            else None
        )


def _free(provider: str, model: str) -> RateCard:
    """Nothing to pay, because the owner says so in as many words."""
    return RateCard(provider, model, rates=dict.fromkeys(BUCKETS, 0), source="free")
