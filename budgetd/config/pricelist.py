"""One model's listed prices, and the card that follows from them.

Owns the rules for a bucket that has no price of its own, none of which comes out below the truth:

* a cache read or a cache write costs what input costs;
* a Claude cache write costs 1.25 x input for five minutes and 2 x for an hour, wherever it is sold;
* reasoning costs what output costs; audio and image tokens cost what text of their side does, and
  cached audio what fresh audio does;
* output without a price (embeddings) costs what input costs;
* a web search costs what the provider asks for one elsewhere (`Terms.search`).

Knows neither genai-prices nor YAML: it takes Decimals in dollars per million and gives cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from budgetd.core.money import AmountError, ceil_ratio, pico_from_usd, usd_text
from budgetd.core.prices import RateCard, Rates, Tier
from budgetd.core.usage import BUCKETS

PER_REQUEST = "per_request"  # a price for the call itself
FREE = "free"
MILLION = 10**6

# Bucket, or PER_REQUEST -> dollars per million (tokens, searches, requests); or `free: true`.
OperatorPrice = Mapping[str, Decimal | str | int | bool]

# (pico-dollars each, ((above this much total input, pico-dollars each), ...))
Stepped = tuple[int, tuple[tuple[int, int], ...]]
Listed = Mapping[str, Stepped]  # bucket, or PER_REQUEST -> price; only what is listed


# Read in order: a bucket without a price takes that of the next.
_STAND_INS = (
    ("output", "input"),
    ("reasoning", "output"),
    ("output_audio", "output"),
    ("output_image", "output"),
    ("input_image", "input"),
    ("cache_write_5m", "input"),
    ("cache_write_1h", "cache_write_5m"),
)


class PriceListError(ValueError):
    """An operator's price that cannot be used. The text names the field and says why."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a card needs to know besides its prices."""

    provider: str
    source: str
    as_of: str
    search: int = 0  # pico-dollars of a web search where none is listed
    geo: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def card(model: str, listed: Listed, terms: Terms, *, variant: str = "") -> RateCard | None:
    """The rate card of a price list; None if it does not even price an input token."""
    if "input" not in listed:
        return None
    starts = sorted({above for _, steps in listed.values() for above, _ in steps})
    claude = "claude" in model.lower()
    base, derived = _filled(_level(listed, 0), terms.search, claude=claude)
    tiers = tuple(
        Tier(above, _filled(_level(listed, above + 1), terms.search, claude=claude)[0])
        for above in starts
    )
    return RateCard(
        provider=terms.provider,
        model=model,
        rates=base,
        tiers=tiers,
        source=terms.source,
        as_of=terms.as_of,
        variant=variant,
        geo=terms.geo,
        per_request=listed.get(PER_REQUEST, (0, ()))[0],
        unasked_writes="cache_write_5m" in listed and not claude,
        derived=derived,
    )


def free_card(model: str, terms: Terms) -> RateCard:
    """A card on which everything costs nothing, because somebody said so."""
    return RateCard(
        terms.provider, model, dict.fromkeys(BUCKETS, 0), source=terms.source, as_of=terms.as_of
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator says a model costs: `listed`, the same in every tier, or nothing at all."""

    listed: Listed
    free: bool = False


def operator_order(fields: OperatorPrice, where: str) -> Order:
    """An operator's prices. Raises PriceListError, naming the field by `where`."""
    prices = dict(fields)
    free = prices.pop(FREE, False)
    if not isinstance(free, bool):
        raise PriceListError(f"{where}.{FREE} is true or false")
    if free and prices:
        raise PriceListError(f"{where} is free and has prices: say one")
    if not free and not prices:
        raise PriceListError(f"{where} has no price")
    rates = {bucket: (_operator_rate(bucket, prices[bucket], where), ()) for bucket in prices}
    return Order(rates, free)


def doubts(order: Order, catalogue: RateCard, where: str) -> Iterator[str]:
    """A sentence for each price five times off the catalogue's: one of the two is wrong."""
    if order.free and any(catalogue.rates.values()):
        yield f"{where} is free, but {catalogue.source} lists a price: check which is right"
    for bucket, (rate, _) in order.listed.items():
        listed = catalogue.per_request if bucket == PER_REQUEST else catalogue.rates[bucket]
        if listed and (rate >= 5 * listed or 5 * rate <= listed):
            yield (
                f"{where}.{bucket} is ${usd_text(rate * MILLION)} per million, but "
                f"{catalogue.source} lists ${usd_text(listed * MILLION)}: check which is right"
            )


def rate_from_usd(amount: Decimal | str | int, *, per: int) -> int:
    """Pico-dollars for one from dollars for `per` (a power of ten), rounded up. Raises AmountError."""
    if isinstance(amount, float):
        return pico_from_usd(amount)  # refuses
    return pico_from_usd(Decimal(amount).scaleb(1 - len(str(per))))


def _operator_rate(bucket: str, amount: Decimal | str | int | bool, where: str) -> int:
    if bucket not in BUCKETS and bucket != PER_REQUEST:
        known = ", ".join((*BUCKETS, PER_REQUEST, FREE))
        raise PriceListError(f"{where}.{bucket} is no price; there are {known}")
    if isinstance(amount, bool):
        raise PriceListError(f"{where}.{bucket} is a dollar amount, not {amount!r}")
    try:
        rate = rate_from_usd(amount, per=MILLION)
    except (AmountError, InvalidOperation) as error:
        raise PriceListError(f"{where}.{bucket}: {error}") from error
    if rate < 0:
        raise PriceListError(f"{where}.{bucket} is negative")
    return rate


def _level(listed: Listed, total_input: int) -> dict[str, int]:
    level = {}
    for bucket, (rate, steps) in listed.items():
        reached = [higher for above, higher in steps if total_input > above]
        level[bucket] = reached[-1] if reached else rate
    return level


def _filled(
    level: Mapping[str, int], search: int, *, claude: bool
) -> tuple[Rates, tuple[str, ...]]:
    """Every bucket's rate, and the buckets whose rate comes from a rule rather than from another listed price."""
    rates = {bucket: rate for bucket, rate in level.items() if bucket != PER_REQUEST}
    derived = []
    fresh = rates["input"]
    if claude and "cache_write_5m" not in rates:
        rates["cache_write_5m"] = ceil_ratio(fresh, 5, 4)
        derived.append("cache_write_5m")
    if claude and "cache_write_1h" not in rates:
        rates["cache_write_1h"] = max(rates["cache_write_5m"], 2 * fresh)
        derived.append("cache_write_1h")
    if "web_searches" not in rates and search:
        rates["web_searches"] = search
        derived.append("web_searches")
    for bucket, stand_in in _STAND_INS:
        rates.setdefault(bucket, rates[stand_in])
    # Cached audio without a price of its own is text where audio is, and else fresh audio.
    rates.setdefault("cache_read", fresh)
    rates.setdefault("cache_read_audio", rates.get("input_audio", rates["cache_read"]))
    rates.setdefault("input_audio", fresh)
    rates.setdefault("web_searches", 0)
    return rates, tuple(derived)
