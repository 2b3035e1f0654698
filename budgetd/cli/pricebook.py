"""The price book on paper: providers, a provider's models, one model with everything it can cost.

Compiles the catalogue exactly as the daemon does, so that what is shown is what is charged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from budgetd.cli import paper
from budgetd.cli.fault import CommandFault, bad_configuration
from budgetd.cli.paper import plain
from budgetd.config.build import catalogues, price_overrides
from budgetd.config.catalogue import compile_prices
from budgetd.config.load import Loaded, load
from budgetd.config.pricelist import MILLION, PriceListError
from budgetd.config.problems import ConfigError, did_you_mean
from budgetd.core.money import usd_text
from budgetd.core.pricebook import PriceBook, ProviderPrices, still_to_come
from budgetd.core.prices import FEES, RateCard
from budgetd.core.usage import BUCKETS
from budgetd.runtime import SystemClock

CATALOGUE = "genai-prices"
OLD_DAYS = 45
MOST_COLUMNS = 5  # of prices, in eighty columns
COLUMNS = ("input", "output", "cache_read", "cache_write_5m")
WORDS = {
    "input": "input",
    "cache_read": "cache read",
    "cache_write_5m": "cache write, 5 minutes",
    "cache_write_1h": "cache write, an hour",
    "output": "output",
    "reasoning": "reasoning",
    "input_audio": "audio in",
    "cache_read_audio": "audio cache read",
    "output_audio": "audio out",
    "input_image": "images in",
    "output_image": "images out",
    "web_searches": "1,000 web searches",
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """The compiled prices and the instant for which they are shown."""

    book: PriceBook
    at: int

    def card(self, prices: ProviderPrices, name: str) -> RateCard:
        """A model's standard price now; its dearest hour where the hour matters."""
        found = prices.models.find(name)
        assert found is not None
        return still_to_come(found.standard, self.at)[0]


def compiled(loaded: Loaded, at: int) -> PriceBook:
    """The price book of a configuration. Raises CommandFault for an operator's bad price."""
    settings = loaded.settings
    try:
        return compile_prices(catalogues(settings), price_overrides(settings), at)
    except PriceListError as error:
        raise CommandFault(str(error)) from None


def show(config: Path | None, provider: str | None, model: str | None, *, as_json: bool) -> None:
    """Print what was asked for."""
    try:
        loaded = load(config, os.environ, reading="unread")
    except ConfigError as error:
        raise bad_configuration(error) from None
    at = SystemClock().wall()
    shelf = Shelf(compiled(loaded, at), at)
    book = shelf.book
    if provider is not None and model is None and provider not in book.providers:
        holders = [p for p, prices in book.providers.items() if prices.models.find(provider)]
        if not holders:
            hint = did_you_mean(provider, book.providers)
            raise CommandFault(f"{provider} is neither a provider nor a model with a price", hint)
        _print([_model(shelf, name, provider) for name in holders], as_json=as_json)
    elif provider is None:
        _providers(shelf, as_json=as_json)
    elif model is None:
        _one_provider(shelf, provider, as_json=as_json)
    else:
        _print([_model(shelf, provider, model)], as_json=as_json)


def _providers(shelf: Shelf, *, as_json: bool) -> None:
    book = shelf.book
    counted = {name: len(set(_names(prices))) for name, prices in book.providers.items()}
    if as_json:
        paper.print_json({"source": book.source, "as_of": book.as_of, "providers": counted})
        return
    made = paper.table("PROVIDER", "MODELS", "UNKNOWN MODELS COST AT MOST", right=("MODELS",))
    for name, prices in book.providers.items():
        top = prices.ceiling
        words = f"{_rate(top, 'input')} in, {_rate(top, 'output')} out" if top else "no price known"
        made.add_row(plain(name), str(counted[name]), words)
    out = paper.console()
    out.print(made)
    _sign(book)


def _one_provider(shelf: Shelf, provider: str, *, as_json: bool) -> None:
    prices = _known(shelf.book, provider)
    cards = {name: shelf.card(prices, name) for name in sorted(set(_names(prices)))}
    if as_json:
        paper.print_json({name: _card_data(card) for name, card in cards.items()})
        return
    heads = ("IN", "OUT", "CACHE READ", "WRITE")
    made = paper.table(f"{provider.upper()} MODEL", *heads, right=heads)
    made.columns[0].max_width = 40
    for name, card in cards.items():
        more = "+" if card.tiers else ""
        cells = [_rate(card, bucket) for bucket in COLUMNS]
        made.add_row(plain(name) + more, *cells)
    paper.console().print(made)
    if any(card.tiers for card in cards.values()):
        print("+ dearer above a context size: budgetd prices show PROVIDER MODEL")
    _sign(shelf.book)


def _known(book: PriceBook, provider: str) -> ProviderPrices:
    try:
        return book.providers[provider]
    except KeyError:
        hint = did_you_mean(provider, book.providers)
        raise CommandFault(f"there is no provider {provider}", hint) from None


def _names(prices: ProviderPrices) -> Iterator[str]:
    return (entry.name for _, entry in prices.models.items())


def _model(shelf: Shelf, provider: str, model: str) -> dict[str, Any]:
    """Everything about one model's prices."""
    prices = _known(shelf.book, provider)
    found = prices.models.find(model)
    if found is None:
        hint = did_you_mean(model, {name for name, _ in prices.models.items()})
        advice = f"set one: budgetd prices set {provider} {model} --input ... --output ..."
        raise CommandFault(f"{provider} has no price for {model}", *filter(None, (hint, advice)))
    card = shelf.card(prices, found.name)
    return {
        "provider": provider,
        "model": found.name,
        **_card_data(card),
        "variants": {
            name: _card_data(still_to_come(history, shelf.at)[0])
            for name, history in sorted(found.variants.items())
        },
    }


def _card_data(card: RateCard) -> dict[str, Any]:
    """A card in dollars per million (searches: per thousand), exact decimal text."""
    return {
        "source": card.source,
        "as_of": card.as_of,
        "usd_per_million": _rates(card.rates),
        "derived": list(card.derived),
        "usd_per_request": usd_text(card.per_request),
        "above": [
            {"input_tokens": tier.above, "usd_per_million": _rates(tier.rates)}
            for tier in card.tiers
        ],
        "places": {place: f"{up}/{down}" for place, (up, down) in card.geo.items()},
    }


def _rates(rates: Mapping[str, int]) -> dict[str, str]:
    return {bucket: usd_text(rates[bucket] * MILLION) for bucket in BUCKETS}


def _print(models: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    found = list(models)
    if as_json:
        paper.print_json(found if len(found) > 1 else found[0])
        return
    out = paper.console()
    for index, model in enumerate(found):
        if index:
            out.print()
        out.print(f"[bold]{plain(model['provider'])}/{plain(model['model'])}[/]")
        out.print(_full(model))
        if model["derived"]:
            out.print("* not listed: follows from another price by a fixed rule", style="dim")
        if model["usd_per_request"] != "0":
            out.print(f"each request besides: ${model['usd_per_request']}")
        for place, ratio in model["places"].items():
            if ratio != "1/1":
                out.print(f"inference in {place}: token prices x {ratio}")
        out.print(f"Source: {plain(model['source'])}, data up to {model['as_of']}")


def _full(model: Mapping[str, Any]) -> Table:
    """A row per bucket, a column per context size and variant, as many as fit."""
    columns: list[tuple[str, Mapping[str, str]]] = [("$ PER MILLION", model["usd_per_million"])]
    columns += (
        (f"> {paper.count(tier['input_tokens'])} IN", tier["usd_per_million"])
        for tier in model["above"]
    )
    columns += (
        ((name.partition("=")[2] or name).upper(), card["usd_per_million"])
        for name, card in model["variants"].items()
    )
    columns = columns[:MOST_COLUMNS]
    heads = [head for head, _ in columns]
    made = paper.table("", *heads, right=heads)
    base = model["usd_per_million"]
    for bucket in BUCKETS:
        if _says_something(bucket, base):
            mark = "*" if bucket in model["derived"] else ""
            scale = 1000 if bucket in FEES else 1
            cells = [_shown(rates[bucket], scale) for _, rates in columns]
            made.add_row(WORDS[bucket] + mark, *cells)
    return made


def _says_something(bucket: str, base: Mapping[str, str]) -> bool:
    """Audio and images are shown where they do not cost what text does."""
    if "audio" in bucket or "image" in bucket:
        text = bucket.removesuffix("_audio").removesuffix("_image")
        return base[bucket] != base[text]
    return True


def _shown(text: str, scale: int) -> str:
    value = Decimal(text) / scale
    short = f"{value:.2f}"
    return f"${short}" if Decimal(short) == value else f"${value.normalize():f}"


def _rate(card: RateCard, bucket: str) -> str:
    return _shown(usd_text(card.rates[bucket] * MILLION), 1)


def _sign(book: PriceBook) -> None:
    print(f"Dollars per million tokens. Source: {book.source}, data up to {book.as_of}.")


def tell_update(*, as_json: bool) -> None:
    """How old the catalogue is, and the command that brings a newer one.

    Nothing is downloaded here: prices decide about money, so they come as a package of a known
    version, the way everything else of budgetd does.
    """
    at = SystemClock().wall()
    book = compile_prices({"openai": "openai"}, {}, at)
    age = age_days(book.as_of, at)
    command = f"{sys.executable} -m pip install --upgrade '{CATALOGUE}~=0.2.3'"
    if as_json:
        paper.print_json(
            {
                "package": CATALOGUE,
                "version": version(CATALOGUE),
                "as_of": book.as_of,
                "age_days": age,
                "command": command,
            }
        )
        return
    print(
        f"{CATALOGUE} {version(CATALOGUE)}; its newest price began on {book.as_of}, {age} days ago."
    )
    print("A newer catalogue comes as a package; then restart budgetd:")
    print(f"  {command}")
    print("Or set single prices: budgetd prices set PROVIDER MODEL --input ... --output ...")


def age_days(as_of: str, at: int) -> int:
    """Days from an ISO date to an instant."""
    return (datetime.fromtimestamp(at / 1000, UTC).date() - date.fromisoformat(as_of)).days
