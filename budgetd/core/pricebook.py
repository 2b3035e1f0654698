"""The price book: which card prices a call to this model, at this time, with these traits.

A `PriceBook` is an immutable value: per provider an index of exact names (`core.names`) to
`ModelPrices`, which hold a model's price history, its times of day and its variants. Where prices
come from is `config.catalogue`'s business. Nothing is guessed silently:

* a model that is not named is None, and the policy for unknown prices decides (`ceiling`);
* a trait that a model lists no price for (`service_tier: priority` where there is none) gets the
  dearest of all the model's prices, and of its standard price times the worst that the same trait
  adds to a sibling; the card is flagged `estimated`. Two traits at once: the dearer of the two,
  flagged too;
* `auto` and its like are standard: the answer names what was taken, and is settled by.

Time is an `Instant`: whole milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from types import MappingProxyType

from budgetd.core.money import ceil_ratio
from budgetd.core.names import NameIndex
from budgetd.core.prices import FEES, RateCard, Rates, Tier, dearest
from budgetd.core.usage import Traits

DAY_MS = 86_400_000

# Words for "nothing special". "auto" leaves the choice to the provider, whose answer then names what it took.
STANDARD = frozenset({"auto", "default", "standard", "standard_only", "on_demand", "not_available"})
BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Season:
    """The prices from `since` on. `day` holds (start in ms after midnight UTC, card), the first at 0."""

    since: int
    day: tuple[tuple[int, RateCard], ...]

    def cards(self) -> tuple[RateCard, ...]:
        """The card of each time of day."""
        return tuple(card for _, card in self.day)


History = tuple[Season, ...]  # by `since`; the first also prices what came before it
Pick = Callable[[History], tuple[RateCard, ...]]


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """One model's price history, and those of its variants ("service_tier=flex", "speed=fast", "batch")."""

    name: str
    standard: History
    variants: Mapping[str, History] = field(default_factory=dict)
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class ProviderPrices:
    """One provider's models by name, and what stands in for prices it does not list.

    `surcharges` is the dearest (variant / standard) ratio among the provider's models, per variant.
    """

    models: NameIndex[ModelPrices]
    ceiling: RateCard | None = None
    variant_ceiling: RateCard | None = None
    surcharges: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Every price that a running daemon knows. `as_of` is the ISO date its catalogue is known to reach."""

    providers: Mapping[str, ProviderPrices] = field(default_factory=lambda: MappingProxyType({}))
    source: str = ""
    as_of: str = ""
    warnings: tuple[str, ...] = ()

    def find(self, provider: str, model: str, traits: Traits, at: int) -> RateCard | None:
        """The card that prices a call made at `at`; None if provider or model is not in the book."""
        return self._card(provider, model, traits, _at(at))

    def bound(self, provider: str, model: str, traits: Traits, at: int) -> RateCard | None:
        """As `find`, but not below any hour of the day or any price that starts within a day.

        What a call that starts at `at` is held at.
        """
        return self._card(provider, model, traits, _day_of(at))

    def names(self, provider: str, model: str) -> bool:
        """Whether the provider's list names this model."""
        known = self.providers.get(provider)
        return known is not None and known.models.find(model) is not None

    def ceiling(self, provider: str, traits: Traits = Traits()) -> RateCard | None:
        """The dearest of the provider's current models in every bucket, flagged `estimated`.

        For a model without a known price. None if the provider has no priced model. Traits other
        than the standard ones take every variant into account.
        """
        known = self.providers.get(provider)
        if known is None:
            return None
        return known.variant_ceiling if variants_of(traits) else known.ceiling

    def _card(self, provider: str, model: str, traits: Traits, pick: Pick) -> RateCard | None:
        known = self.providers.get(provider)
        prices = known.models.find(model) if known else None
        if known is None or prices is None:
            return None
        keys = variants_of(traits)
        if not keys:
            return dearest(pick(prices.standard))
        cards = [_variant(prices, key, known.surcharges.get(key), pick) for key in keys]
        if len(cards) == 1:
            return cards[0]
        # Nobody lists what two extras cost together.
        return replace(dearest(cards, variant="+".join(keys)), estimated=True)


def variants_of(traits: Traits) -> tuple[str, ...]:
    """The variants that these traits ask for, () for standard prices. Words are compared in lower case."""
    keys = []
    tier = (traits.service_tier or "").lower()
    if tier and tier not in STANDARD:
        keys.append(BATCH if tier == BATCH else f"service_tier={tier}")
    speed = (traits.speed or "").lower()
    if speed and speed not in STANDARD:
        keys.append(f"speed={speed}")
    return tuple(keys)


def scaled(card: RateCard, ratio: tuple[int, int], *, variant: str) -> RateCard:
    """The card with its token rates times `ratio` (numerator, denominator), rounded up; estimated."""
    return replace(
        card,
        rates=_scaled(card.rates, ratio),
        tiers=tuple(Tier(tier.above, _scaled(tier.rates, ratio)) for tier in card.tiers),
        variant=variant,
        estimated=True,
    )


def _scaled(rates: Rates, ratio: tuple[int, int]) -> Rates:
    return {
        bucket: rate if bucket in FEES else ceil_ratio(rate, *ratio)
        for bucket, rate in rates.items()
    }


def _variant(
    prices: ModelPrices, key: str, surcharge: tuple[int, int] | None, pick: Pick
) -> RateCard:
    listed = prices.variants.get(key)
    if listed is not None:
        return dearest(pick(listed))
    # The model has no such price. It may be as dear as any price it has, or as the same variant is among its siblings.
    standard = pick(prices.standard)
    candidates = [
        *standard,
        *(card for history in prices.variants.values() for card in pick(history)),
    ]
    if surcharge is not None:
        candidates += (scaled(card, surcharge, variant=key) for card in standard)
    return replace(dearest(candidates, variant=key), estimated=True)


def _at(at: int) -> Pick:
    def pick(history: History) -> tuple[RateCard, ...]:
        season = _season(history, at)
        if len(season.day) == 1:
            return season.cards()
        hour = bisect_right(season.day, at % DAY_MS, key=itemgetter(0)) - 1
        return (season.day[hour][1],)

    return pick


def _day_of(at: int) -> Pick:
    def pick(history: History) -> tuple[RateCard, ...]:
        seasons = [_season(history, at)]
        seasons += (season for season in history if at < season.since <= at + DAY_MS)
        return tuple(card for season in seasons for card in season.cards())

    return pick


def still_to_come(history: History, at: int) -> tuple[RateCard, ...]:
    """The cards that hold at `at` or will later, as far as is known."""
    return tuple(card for season in history[_index(history, at) :] for card in season.cards())


def _season(history: History, at: int) -> Season:
    return history[_index(history, at)]


def _index(history: History, at: int) -> int:
    return max(bisect_right(history, at, key=attrgetter("since")) - 1, 0)
