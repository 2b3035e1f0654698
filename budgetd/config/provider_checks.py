"""Checks of providers: addresses, prices and credentials that must fit together.

Pure like `checks`, of which this is the part that looks at one provider at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from budgetd.config.presets import PRESETS, effective, preset_of
from budgetd.config.problems import Finding, Path, did_you_mean
from budgetd.config.providers import Prices, ProviderSettings, SecretSource
from budgetd.core.hosts import is_loopback


def one_source(path: Path, source: SecretSource) -> Iterator[Finding]:
    """A secret comes from exactly one place."""
    written = [name for name, value in source if value is not None]
    names = list(type(source).model_fields)
    if len(written) != 1:
        count = "nothing" if not written else " and ".join(written)
        yield Finding(path, f"must name one source, not {count}", f"one of {', '.join(names)}")


def check_providers(providers: Mapping[str, ProviderSettings]) -> Iterator[Finding]:
    """Everything wrong or odd within each provider."""
    for name, provider in providers.items():
        here: Path = ("providers", name)
        if provider.credential:
            yield from one_source((*here, "credential"), provider.credential)
        yield from _addresses(here, name, provider)
        for model, prices in provider.prices.items():
            yield from _prices((*here, "prices", model), prices)


def _prices(path: Path, prices: Prices) -> Iterator[Finding]:
    written = [name for name, value in prices if name != "free" and value is not None]
    if prices.free and written:
        yield Finding((*path, "free"), "is free and has prices", "say one of the two")
    for bucket in ("input", "output"):
        if not prices.free and bucket not in written:
            hint = "write 0 for tokens that cost nothing, or free: true"
            yield Finding((*path, bucket), "is missing", hint)


def _addresses(path: Path, name: str, provider: ProviderSettings) -> Iterator[Finding]:
    preset = preset_of(name, provider)
    if provider.preset and preset is None:
        yield Finding(
            (*path, "preset"), "no such built-in provider", did_you_mean(provider.preset, PRESETS)
        )
        return
    if provider.base_url and provider.base_urls:
        yield Finding((*path, "base_urls"), "only goes without base_url")
    if preset is None and not (provider.base_url or provider.base_urls):
        hint = did_you_mean(name, PRESETS)
        message = "has no base_url, and there is no built-in provider of this name"
        yield Finding(
            path, message, hint if hint.startswith("did") else "write base_url: https://..."
        )
    elif preset is None and provider.base_url and not provider.dialects:
        yield Finding(
            (*path, "dialects"), "is missing", "most providers are dialects: [openai_chat]"
        )
    elif provider.dialects:
        speaks = effective(name, provider).base_urls
        for index, dialect in enumerate(provider.dialects):
            if dialect not in speaks:
                yield Finding(
                    (*path, "dialects", index),
                    f"there is no base URL for {dialect}",
                    "add it to base_urls",
                )
    for dialect, url in effective(name, provider).base_urls.items():
        if url.startswith("http:") and not is_loopback(urlsplit(url).hostname or ""):
            where: Path = (
                (*path, "base_urls", dialect) if provider.base_urls else (*path, "base_url")
            )
            yield Finding(
                where, "credentials travel unencrypted to this address", "use https", "warning"
            )
