"""The price catalogue: genai-prices and the operator's prices, compiled into a `PriceBook`.

Owns the one import of genai-prices (inside the functions that need it: 0.3 s, 30 MB) and what is
compiled: the configured providers only, with the operator's prices laid over the listed ones. What
the package says of a model is `config.listing`'s matter, what an unlisted bucket costs
`config.pricelist`'s. Never calls the package's own price arithmetic.

* An empty price list is no price, unless the model's name ends in `:free`.
* An operator's price replaces the listed one bucket by bucket, in every tier and at all times, for
  every name of that model (a dated name: for itself only). Variants keep their listed prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

from budgetd.config.listing import STANDARD, Lists, dates, histories, names
from budgetd.config.pricelist import (
    Listed,
    OperatorPrice,
    Order,
    PriceListError,
    Terms,
    card,
    doubts,
    free_card,
    operator_order,
)
from budgetd.config.vendors import catalogue_name, prefixes
from budgetd.core.names import NameIndex, is_dated
from budgetd.core.pricebook import (
    History,
    ModelPrices,
    PriceBook,
    ProviderPrices,
    Season,
    still_to_come,
)
from budgetd.core.prices import FEES, OPERATOR, RateCard, dearest
from budgetd.core.usage import BUCKETS

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

Overrides = Mapping[str, Mapping[str, OperatorPrice]]  # provider -> model -> prices

_GEO: Mapping[str, Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"anthropic": MappingProxyType({"global": (1, 1), "not_available": (1, 1), "us": (11, 10)})}
)
# Seen on models whose variant the catalogue no longer lists: fast Claude Opus 4.6 cost six times the standard price.
_SURCHARGES: Mapping[str, Mapping[str, Fraction]] = MappingProxyType(
    {"anthropic": MappingProxyType({"speed=fast": Fraction(6)})}
)
_SEARCH = 10**10  # $10 for a thousand, the commonest price

_UNLISTED: Mapping[str, tuple[Lists, ...]] = MappingProxyType({STANDARD: (Lists(0, ((0, {}),)),)})


@dataclass(frozen=True, slots=True)
class _Line:
    """One model on sale. `order` is the operator's price for it; `lent` means another's list."""

    name: str
    names: tuple[str, ...]
    lists: Mapping[str, tuple[Lists, ...]]
    lent: bool = False
    deprecated: bool = False
    order: Order | None = None


def compile_prices(
    catalogues: Mapping[str, str | None], overrides: Overrides, at: int
) -> PriceBook:
    """The book of the configured providers. Raises PriceListError for an operator's price.

    `catalogues` maps each configured provider to its name in genai-prices, or to None for the
    operator's prices only; `overrides` maps provider and model to dollars (`OperatorPrice`); `at`
    is now, an Instant. Takes 0.3 s for the import and 1 to 150 ms for each provider.
    """
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  # 0.3 s, not on the CLI's path

    listed = get_snapshot().providers
    by_id = {provider.id: provider for provider in listed}
    today = datetime.fromtimestamp(at // 1000, UTC).date().isoformat()
    terms = Terms("", f"genai-prices {version('genai-prices')}", _latest(listed, today))
    providers: dict[str, ProviderPrices] = {}
    warnings: list[str] = []
    for name, catalogue in catalogues.items():
        provider = by_id.get(catalogue_name(catalogue)) if catalogue else None
        lines = list(_lines(provider, by_id))
        own = replace(terms, provider=name, search=_search(lines), geo=_geo(provider))
        words = prefixes(provider.id if provider else name) | {name.lower()}
        lines = _ordered(lines, overrides.get(name, {}), words, f"prices.{name}")
        warnings += _warnings(lines, own, f"prices.{name}")
        providers[name] = _shelve(lines, own, words, _Day(at, today))
    return PriceBook(MappingProxyType(providers), terms.source, terms.as_of, tuple(warnings))


def _latest(providers: Iterable[Provider], today: str) -> str:
    # The package states no date of its own, and its files carry the day they were installed. The
    # newest price start that is not in the future is the last day its data is known to reach.
    started = (day.isoformat() for one in providers for model in one.models for day in dates(model))
    return max((day for day in started if day <= today), default="")


def _lines(provider: Provider | None, by_id: Mapping[str, Provider]) -> Iterator[_Line]:
    if provider is None:
        return
    for model in provider.models:
        yield _line(model, lent=False)
    for lender in provider.fallback_model_providers or ():
        for model in by_id[lender].models:
            yield _line(model, lent=True)


def _line(model: ModelInfo, *, lent: bool) -> _Line:
    lists = histories(model)
    if lent:  # the lender's variants are its own
        lists = {STANDARD: lists[STANDARD]}
    return _Line(model.id, tuple(names(model)), lists, lent, bool(model.deprecated))


def _search(lines: Iterable[_Line]) -> int:
    """The dearest web search on the shelf, for models that list none."""
    rates = [
        listed["web_searches"][0]
        for line in lines
        for _, listed in line.lists[STANDARD][-1].day
        if listed and "web_searches" in listed
    ]
    return max(rates, default=_SEARCH)


def _geo(provider: Provider | None) -> Mapping[str, tuple[int, int]]:
    return _GEO.get(provider.id, {}) if provider else {}


def _ordered(
    lines: list[_Line],
    overrides: Mapping[str, OperatorPrice],
    words: frozenset[str],
    where: str,
) -> list[_Line]:
    """The lines with the operator's prices on them; those for a name alone come first."""
    index = NameIndex(((name, line) for line in lines for name in line.names), words)
    alone: list[_Line] = []
    orders: dict[int, Order] = {}
    for name, fields in overrides.items():
        order = operator_order(fields, f"{where}.{name}")
        line = index.find(name)
        if line is None or is_dated(name):
            lists = line.lists if line else _UNLISTED
            alone.append(_Line(name, (name,), lists, order=order))
        elif orders.setdefault(id(line), order) != order:
            raise PriceListError(f"{where}.{name} is {line.name}, which has another price already")
    return alone + [
        replace(line, order=orders[id(line)]) if id(line) in orders else line for line in lines
    ]


def _warnings(lines: Iterable[_Line], terms: Terms, where: str) -> Iterator[str]:
    for line in lines:
        listed = line.lists[STANDARD][-1].day[-1][1]
        known = card(line.name, listed, terms) if listed else None
        if line.order is not None and known is not None:
            yield from doubts(line.order, known, f"{where}.{line.name}")


@dataclass(frozen=True, slots=True)
class _Day:
    """Now, as an Instant and as an ISO date."""

    at: int
    iso: str


def _shelve(
    lines: Iterable[_Line], terms: Terms, words: frozenset[str], day: _Day
) -> ProviderPrices:
    named: list[tuple[str, ModelPrices]] = []
    current: list[ModelPrices] = []
    for line in lines:
        prices = _model_prices(line, terms, day)
        if prices is None:
            continue
        named += ((name, prices) for name in line.names)
        if not (line.lent or line.deprecated):
            current.append(prices)
    standard = _ceiling([prices.standard for prices in current], terms, day)
    variants = [history for prices in current for history in prices.variants.values()]
    return ProviderPrices(
        models=NameIndex(named, words),
        ceiling=standard,
        variant_ceiling=_ceiling([prices.standard for prices in current] + variants, terms, day),
        surcharges=_surcharges(current, terms),
    )


def _model_prices(line: _Line, terms: Terms, day: _Day) -> ModelPrices | None:
    order = line.order
    standard = line.lists[STANDARD]
    if order is not None:
        listed = any(lists for season in standard for _, lists in season.day)
        source = f"{OPERATOR} over {terms.source}" if listed and not order.free else OPERATOR
        said = replace(terms, source=source, as_of=day.iso)
        if order.free:
            return ModelPrices(line.name, _always(free_card(line.name, said)))
        history = _history(_laid_over(standard, order), line.name, said, STANDARD)
    else:
        history = _history(standard, line.name, terms, STANDARD)
    if history is None:
        return None
    variants = {
        name: variant
        for name, lists in line.lists.items()
        if name != STANDARD and (variant := _history(lists, line.name, terms, name)) is not None
    }
    return ModelPrices(line.name, history, MappingProxyType(variants), line.deprecated)


def _always(price: RateCard) -> History:
    return (Season(0, ((0, price),)),)


def _laid_over(history: tuple[Lists, ...], order: Order) -> tuple[Lists, ...]:
    return tuple(
        Lists(
            one.since,
            tuple((start, {**(listed or {}), **order.listed}) for start, listed in one.day),
        )
        for one in history
    )


def _history(history: tuple[Lists, ...], model: str, terms: Terms, variant: str) -> History | None:
    """Cards for lists; None if the model has no price now. A time without one takes the one before."""
    seasons: list[Season] = []
    for one in history:
        day = [(start, _card(model, listed, terms, variant)) for start, listed in one.day]
        if all(price is not None for _, price in day):
            seasons.append(Season(one.since, tuple((s, p) for s, p in day if p is not None)))
        elif one is history[-1]:
            return None
    return tuple(seasons)


def _card(model: str, listed: Listed | None, terms: Terms, variant: str) -> RateCard | None:
    if listed == {} and model.endswith(":free"):
        return free_card(model, terms)
    return card(model, listed or {}, terms, variant=variant)


def _ceiling(histories: Iterable[History], terms: Terms, day: _Day) -> RateCard | None:
    cards = [card for history in histories for card in still_to_come(history, day.at)]
    charging = [card for card in cards if any(card.rates.values())]
    if not charging:
        return None
    top = dearest(charging, model="*", variant="any", source=f"ceiling of {terms.provider}")
    return replace(top, estimated=True, derived=())


def _surcharges(models: Iterable[ModelPrices], terms: Terms) -> Mapping[str, tuple[int, int]]:
    """The dearest (variant / standard) ratio of each variant."""
    worst = dict(_SURCHARGES.get("anthropic", {})) if terms.geo else {}
    for model in models:
        standard = dearest(model.standard[-1].cards()).rates
        for name, history in model.variants.items():
            rates = dearest(history[-1].cards()).rates
            for bucket in BUCKETS:
                if bucket not in FEES and standard[bucket]:
                    ratio = Fraction(rates[bucket], standard[bucket])
                    worst[name] = max(worst.get(name, ratio), ratio)
    return MappingProxyType({name: ratio.as_integer_ratio() for name, ratio in worst.items()})
