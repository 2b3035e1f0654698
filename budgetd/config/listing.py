"""What genai-prices says of one model: its names, and its price lists through time.

Owns the meaning of that package's values (matching rules, price keys, constraints, variants) and
nothing of what follows from them. Only exact names count: of a `starts_with` or `contains` rule the
text itself is a name, of a regular expression nothing. A model's history is read off at each date
and hour where its price may change, by the package's own rule for which price holds.

* A price list in units budgetd cannot count (hours, pages, characters) is None.
* Video tokens belong to the image buckets, at the dearer of the two prices.
* A variant that `Traits` cannot express (a router's route, a search type) keeps its own name; no
  call asks for it, and a router's list price stays what it is: a floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from budgetd.config.pricelist import MILLION, PER_REQUEST, Listed, Stepped, rate_from_usd
from budgetd.core.pricebook import BATCH

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

STANDARD = ""  # the name of the variant that is none

_BUCKET_OF: Mapping[str, str] = MappingProxyType(
    {
        "input_mtok": "input",
        "cache_read_mtok": "cache_read",
        "cache_write_mtok": "cache_write_5m",
        "cache_write_5m_mtok": "cache_write_5m",
        "cache_write_1h_mtok": "cache_write_1h",
        "output_mtok": "output",
        "output_reasoning_mtok": "reasoning",
        "input_audio_mtok": "input_audio",
        "cache_audio_read_mtok": "cache_read_audio",
        "output_audio_mtok": "output_audio",
        "input_image_mtok": "input_image",
        "input_video_mtok": "input_image",
        "output_image_mtok": "output_image",
        "output_video_mtok": "output_image",
        "web_searches_kcount": "web_searches",
        "requests_kcount": PER_REQUEST,
    }
)
# Cheaper than the bucket that its tokens are counted in (a cached image in `input_image`, a
# citation in `output`); or, as file searches, in no dialect's usage.
_LEFT_OUT = frozenset({"cache_image_read_mtok", "output_citation_mtok", "storage_searches_kcount"})


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lists:
    """Price lists from `since` (Instant) on: (start in ms after midnight UTC, list), the first at 0."""

    since: int
    day: tuple[tuple[int, Listed | None], ...]


def names(model: ModelInfo) -> Iterator[str]:
    """Every name that the catalogue states for the model, its id first."""
    yield model.id
    yield from _rule_names(model.match)


def histories(model: ModelInfo) -> Mapping[str, tuple[Lists, ...]]:
    """The model's price lists through time, by variant; STANDARD is always among them."""
    contexts: dict[str, Mapping[str, str] | None] = {STANDARD: None}
    for variant in model.price_variants or ():
        if variant.prices.__dict__:
            contexts[_variant_name(variant.when)] = variant.when
    starts, hours = _turning_points(model)
    return {
        name: _history(model, context, starts, hours)
        for name, context in contexts.items()
        if name != "service_tier=default"  # the standard price by another name
    }


def dates(model: ModelInfo) -> Iterator[date]:
    """Every date on which a price of the model starts."""
    for constraint in _constraints(model):
        start = getattr(constraint, "start_date", None)
        if start is not None:
            yield start


def listed(prices: ModelPrice) -> Listed | None:
    """A price list of the catalogue in pico-dollars each; {} if it is empty, None if it cannot be counted."""
    found: dict[str, Stepped] = {}
    for key, price in prices.__dict__.items():
        if price is None or key in _LEFT_OUT:
            continue
        bucket = _BUCKET_OF.get(key)
        if bucket is None:
            return None
        stepped = _stepped(price, per=1000 if key.endswith("_kcount") else MILLION)
        found[bucket] = max(found.get(bucket, stepped), stepped)
    return found


def _history(
    model: ModelInfo,
    context: Mapping[str, str] | None,
    starts: tuple[datetime, ...],
    hours: tuple[timedelta, ...],
) -> tuple[Lists, ...]:
    history: list[Lists] = []
    for start in starts:
        day: list[tuple[int, Listed | None]] = []
        for hour in hours:
            lists = listed(model.get_prices(start + hour, context))
            if not day or day[-1][1] != lists:
                day.append((_ms(hour), lists))
        if not history or history[-1].day != tuple(day):
            history.append(Lists(_ms(start - _EPOCH), tuple(day)))
    return tuple(history)


def _turning_points(model: ModelInfo) -> tuple[tuple[datetime, ...], tuple[timedelta, ...]]:
    """The midnights and the times after midnight (UTC) at which a price of the model may change."""
    starts = {_EPOCH}
    hours = {timedelta()}
    for constraint in _constraints(model):
        start = getattr(constraint, "start_date", None)
        if start is not None:
            starts.add(datetime.combine(start, time(), UTC))
            continue
        for edge in (constraint.start_time, constraint.end_time):
            # Times of a constraint carry their own zone; one without is UTC.
            moment = datetime.combine(_EPOCH.date(), edge, edge.tzinfo or UTC).astimezone(UTC)
            hours.add(timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second))
    return tuple(sorted(starts)), tuple(sorted(hours))


def _constraints(model: ModelInfo) -> Iterator[Any]:
    # One of two classes; told apart by their fields, so that the package need not be imported here.
    if isinstance(model.prices, list):
        for conditional in model.prices:
            if conditional.constraint is not None:
                yield conditional.constraint
    for variant in model.price_variants or ():
        if variant.constraint is not None:
            yield variant.constraint


def _variant_name(when: Mapping[str, str]) -> str:
    if when == {"processing": "batch"}:
        return BATCH
    return "+".join(f"{key}={value}".lower() for key, value in sorted(when.items()))


def _rule_names(rule: object) -> Iterator[str]:
    for field in ("equals", "starts_with", "contains", "ends_with"):
        text = getattr(rule, field, None)
        if isinstance(text, str):
            yield text
    for part in getattr(rule, "or_", ()):
        yield from _rule_names(part)


def _stepped(price: Decimal | TieredPrices, *, per: int) -> Stepped:
    if isinstance(price, Decimal):
        return rate_from_usd(price, per=per), ()
    steps = tuple((tier.start, rate_from_usd(tier.price, per=per)) for tier in price.tiers)
    return rate_from_usd(price.base, per=per), steps


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
