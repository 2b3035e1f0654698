"""Rate cards: what a token costs, as integers, and the arithmetic on them.

A `RateCard` is one model's prices at one time for one set of traits, with where they came from.
`price` is a sum of products over disjoint buckets, rounded up once; `worst_input_rate` and
`worst_output_rate` are what a bound is priced at; `dearest` is the card that is never below any of
several, for what cannot be known. Finding the card for a model is `core.pricebook`'s work, making
cards from a catalogue `config.catalogue`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from operator import attrgetter
from typing import Literal

from budgetd.core.money import ceil_ratio
from budgetd.core.usage import BUCKETS, Traits, Usage

Rates = Mapping[str, int]  # bucket of Usage -> pico-dollars for one of it
Writes = Literal["none", "5m", "1h"]  # the longest cache write that a request asks for

OPERATOR = "config"  # the word that begins the source of a price that the owner set

ANYWHERE = "anywhere"  # a place that no card lists: its dearest
FEES = frozenset(
    {"web_searches"}
)  # buckets that are not tokens: no geo multiplier, no part in the context

_counts = attrgetter(*BUCKETS)
_OUTPUTS = ("output", "reasoning")
_READS = ("input", "cache_read")
_WRITES: Mapping[Writes, tuple[str, ...]] = {
    "none": (),
    "5m": ("cache_write_5m",),
    "1h": ("cache_write_5m", "cache_write_1h"),
}


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for a whole request whose total input is above `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class RateCard:
    """One model's prices. `rates` names every bucket; `tiers` are sorted by `above`, dearest context last."""

    provider: str
    model: str
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    source: str = ""  # "genai-prices 0.2.3", "config", "ceiling of openai", "free"
    as_of: str = ""  # ISO date of the source
    variant: str = ""  # "", "service_tier=flex", "speed=fast", "batch", ...
    geo: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # place -> (numerator, denominator)
    per_request: int = 0  # pico-dollars for the call itself
    unasked_writes: bool = (
        False  # the provider writes to its cache, and bills it, without being asked
    )
    estimated: bool = (
        False  # a stand-in (a ceiling, an unlisted variant), not this model's own listed price
    )
    derived: tuple[
        str, ...
    ] = ()  # buckets whose rate follows from a stated rule, not from the source

    @property
    def by_owner(self) -> bool:
        """Whether the owner set this price, in whole or in part: no list knows better."""
        return self.source.partition(" ")[0] == OPERATOR

    def rates_for(self, total_input: int) -> Rates:
        """The rates that apply to a request of this many input tokens, cached ones included."""
        chosen = self.rates
        for tier in self.tiers:
            if total_input > tier.above:
                chosen = tier.rates
        return chosen

    def row(self) -> dict[str, object]:
        """What a ledger keeps to show and repeat this price: its source and every rate but zero."""
        row: dict[str, object] = {
            "provider": self.provider,
            "model": self.model,
            "source": self.source,
            "as_of": self.as_of,
            "rates": _priced(self.rates),
        }
        extra: dict[str, object] = {
            "variant": self.variant,
            "tiers": [{"above": tier.above, "rates": _priced(tier.rates)} for tier in self.tiers],
            "geo": {place: list(ratio) for place, ratio in self.geo.items()},
            "per_request": self.per_request,
            "estimated": self.estimated,
            "derived": list(self.derived),
        }
        row.update((key, value) for key, value in extra.items() if value)
        return row

    def row_text(self) -> str:
        """`row` as compact JSON with sorted keys: equal cards have equal text."""
        return json.dumps(self.row(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_row_text(cls, text: str) -> RateCard:
        """The card that a ledger kept: it prices like the one that was written. Only whether the
        provider writes to its cache unasked is not in a row. Raises ValueError for text that is
        no row.
        """
        row = json.loads(text)
        try:
            return cls(
                provider=row["provider"],
                model=row["model"],
                rates=_every_bucket(row["rates"]),
                tiers=tuple(
                    Tier(tier["above"], _every_bucket(tier["rates"]))
                    for tier in row.get("tiers", ())
                ),
                source=row["source"],
                as_of=row["as_of"],
                variant=row.get("variant", ""),
                geo={place: (over, under) for place, (over, under) in row.get("geo", {}).items()},
                per_request=row.get("per_request", 0),
                estimated=row.get("estimated", False),
                derived=tuple(row.get("derived", ())),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no row of a rate card: {text[:200]}") from error


def price(card: RateCard, usage: Usage, traits: Traits = Traits()) -> int:
    """Pico-dollars of one attempt, rounded up once."""
    rates = card.rates_for(usage.total_input) if card.tiers else card.rates
    tokens = 0
    fees = card.per_request
    for bucket, count in zip(BUCKETS, _counts(usage), strict=True):
        if count:
            if bucket in FEES:
                fees += count * rates[bucket]
            else:
                tokens += count * rates[bucket]
    if card.geo and traits.geo:
        return ceil_ratio(tokens, *geo_ratio(card, traits.geo)) + fees
    return tokens + fees


def geo_ratio(card: RateCard, place: str | None) -> tuple[int, int]:
    """(numerator, denominator) on token prices for inference in `place`.

    A place that the card does not list gets the card's dearest.
    """
    if place is None or not card.geo:
        return 1, 1
    listed = card.geo.get(place)
    if listed is not None:
        return listed
    return max(card.geo.values(), key=_size)


def worst_input_rate(
    card: RateCard,
    input_bound: int,
    traits: Traits = Traits(),
    *,
    writes: Writes,
    audio: bool = False,
    images: bool = False,
) -> int:
    """The most one input token can cost (pico-dollars) in a request of at most that many.

    Every tier that the bound can reach counts. `writes` is the longest cache write that the
    request asks for; a provider that writes unasked is priced as writing. `audio` and `images` say
    whether the request holds any. Fees (searches, the request itself) are not in it.
    """
    buckets = [*_READS, *_WRITES[writes]]
    if card.unasked_writes:
        buckets.append("cache_write_5m")
    if audio:
        buckets += ("input_audio", "cache_read_audio")
    if images:
        buckets.append("input_image")
    return _worst(card, input_bound, buckets, traits)


def worst_output_rate(
    card: RateCard,
    input_bound: int,
    traits: Traits = Traits(),
    *,
    audio: bool = False,
    images: bool = False,
) -> int:
    """The most one output token can cost (pico-dollars), hidden reasoning included.

    `audio` and `images` say whether the answer may hold any; the rest as for `worst_input_rate`.
    """
    buckets = [*_OUTPUTS]
    if audio:
        buckets.append("output_audio")
    if images:
        buckets.append("output_image")
    return _worst(card, input_bound, buckets, traits)


def dearest(
    cards: Iterable[RateCard], *, model: str = "", variant: str = "", source: str = ""
) -> RateCard:
    """A card that prices any usage at least as high as each of `cards`: the maximum, bucket by bucket.

    Takes at least one card. Model, variant and source are the first card's unless given; it is
    `estimated` only if one of them is, so a caller who puts it in an unknown price's place says so.
    """
    several = tuple(cards)
    first = several[0]
    if len(several) == 1 and not (model or variant or source):
        return first
    base = _highest([card.rates for card in several])
    tiers: list[Tier] = []
    for above in sorted({tier.above for card in several for tier in card.tiers}):
        rates = _highest([card.rates_for(above + 1) for card in several])
        if rates != (tiers[-1].rates if tiers else base):
            tiers.append(Tier(above, rates))
    places = {place for card in several for place in card.geo}
    return RateCard(
        provider=first.provider,
        model=model or first.model,
        rates=base,
        tiers=tuple(tiers),
        source=source or first.source,
        as_of=max(card.as_of for card in several),
        variant=variant or first.variant,
        geo={
            place: max((geo_ratio(card, place) for card in several), key=_size)
            for place in sorted(places)
        },
        per_request=max(card.per_request for card in several),
        unasked_writes=any(card.unasked_writes for card in several),
        estimated=any(card.estimated for card in several),
        derived=tuple(sorted({bucket for card in several for bucket in card.derived})),
    )


def _priced(rates: Rates) -> dict[str, int]:
    return {bucket: rate for bucket, rate in rates.items() if rate}


def _every_bucket(priced: Mapping[str, int]) -> Rates:
    """The inverse of `_priced`."""
    return dict.fromkeys(BUCKETS, 0) | {bucket: int(rate) for bucket, rate in priced.items()}


def _highest(several: list[Rates]) -> Rates:
    return {bucket: max(rates[bucket] for rates in several) for bucket in BUCKETS}


def _size(ratio: tuple[int, int]) -> Fraction:
    return Fraction(*ratio)


def _worst(card: RateCard, input_bound: int, buckets: Iterable[str], traits: Traits) -> int:
    # The real input may be smaller than its bound, and a low tier may be the dearer one in some bucket: take them all.
    reachable = [card.rates, *(tier.rates for tier in card.tiers if input_bound > tier.above)]
    rate = max(rates[bucket] for rates in reachable for bucket in buckets)
    # Where none is asked for, the account's own setting may say so: the dearest counts.
    return ceil_ratio(rate, *geo_ratio(card, traits.geo or ANYWHERE))
