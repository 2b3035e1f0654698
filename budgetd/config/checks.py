"""Checks: what single settings cannot know of one another.

Names that must exist, settings that only go together or never do, and what is allowed but probably
not meant (a warning). Pure: settings in, findings out; nothing is read from outside. A
configuration without errors here can be built.
"""

from __future__ import annotations

from collections.abc import Iterator

from budgetd.config.budget_checks import check_budgets
from budgetd.config.keys import KeySettings
from budgetd.config.presets import effective, provider_names
from budgetd.config.problems import Finding, Path, did_you_mean, shown
from budgetd.config.provider_checks import check_providers, one_source
from budgetd.config.providers import ProviderSettings
from budgetd.config.settings import Settings
from budgetd.config.words import shadows
from budgetd.core.hosts import is_loopback
from budgetd.core.policy import is_pattern

DEFAULT_KEY = "default"


def check(settings: Settings) -> list[Finding]:
    """Everything wrong or odd between settings."""
    return [
        *_listening(settings),
        *_limits(settings),
        *check_budgets(settings),
        *_keys(settings),
        *_claims(settings),
        *check_providers(settings.providers),
        *_references(settings),
    ]


def _listening(settings: Settings) -> Iterator[Finding]:
    if is_loopback(settings.address[0]):
        return
    message = "other machines can reach this address, and spend your money"
    if settings.allow_remote:
        yield Finding(
            ("listen",),
            message,
            "keep a firewall or a proxy with authentication before it",
            "warning",
        )
    else:
        yield Finding(
            ("listen",), message, "listen on 127.0.0.1, or write allow_remote: true if you mean it"
        )


def _limits(settings: Settings) -> Iterator[Finding]:
    limits, estimation = settings.limits, settings.estimation
    if limits.bodies_bytes < limits.body_bytes:
        yield Finding(("limits", "bodies_bytes"), "must not be smaller than body_bytes")
    if estimation.output_floor > estimation.output_unknown:
        yield Finding(("estimation", "output_floor"), "must not be larger than output_unknown")


def _keys(settings: Settings) -> Iterator[Finding]:
    shadowed = shadows(settings.keys)
    for name, key in settings.keys.items():
        here: Path = ("keys", name)
        if name == DEFAULT_KEY:
            yield Finding(
                here, "this key has a place of its own", "write its settings under default_key:"
            )
        if name in shadowed:
            message = f"never used: {shown(shadowed[name])} above matches the same names"
            yield Finding(here, message, "swap them", "warning")
        if is_pattern(name):
            yield from _only_for_one(here, key)


def _only_for_one(path: Path, key: KeySettings) -> Iterator[Finding]:
    for name in ("credentials", "accounts"):
        if getattr(key, name):
            yield Finding(
                (*path, name),
                "cannot belong to a pattern: it does not say which key",
                "write a key of one name",
            )


def _claims(settings: Settings) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for name, key in settings.keys.items():
        here: Path = ("keys", name)
        if key.custody == "issued":
            yield from _issued(here, key, settings)
        for index, claim in enumerate(key.credentials):
            yield from one_source((*here, "credentials", index), claim)
        for index, account in enumerate(key.accounts):
            if account in owners:
                yield Finding(
                    (*here, "accounts", index), f"already belongs to {shown(owners[account])}"
                )
            owners[account] = name


def _issued(path: Path, key: KeySettings, settings: Settings) -> Iterator[Finding]:
    for name in ("credentials", "accounts"):
        if getattr(key, name):
            yield Finding(
                (*path, name),
                "only goes with custody: pass_through",
                "an issued key is known by its budgetd token",
            )
    holders = [name for name, provider in settings.providers.items() if provider.credential]
    if key.provider and key.provider not in holders:
        chosen = settings.providers.get(key.provider, ProviderSettings())
        known = key.provider in provider_names(settings.providers)
        if not known or not effective(key.provider, chosen).needs_credential:
            return
        hint = f"write providers: {{{shown(key.provider)}: {{credential: {{env: NAME}}}}}}"
        yield Finding(
            (*path, "custody"), f"{shown(key.provider)} has no credential to add for it", hint
        )
    elif not key.provider and not holders:
        hint = "write providers: {openai: {credential: {env: OPENAI_API_KEY}}}"
        yield Finding((*path, "custody"), "no provider has a credential to add for it", hint)


def _references(settings: Settings) -> Iterator[Finding]:
    known = provider_names(settings.providers)
    named: list[tuple[Path, str]] = [
        (("default_key", "provider"), settings.default_key.provider or "")
    ]
    named += [
        (("keys", name, "provider"), key.provider or "") for name, key in settings.keys.items()
    ]
    named += [
        (("routes", index, "provider"), route.provider)
        for index, route in enumerate(settings.routes)
    ]
    named += [(("defaults", dialect), name) for dialect, name in settings.defaults.items()]
    for path, name in named:
        if name and name not in known:
            yield Finding(
                path, f"there is no provider called {shown(name)}", did_you_mean(name, known)
            )
    for dialect, name in settings.defaults.items():
        spoken = effective(name, settings.providers.get(name, ProviderSettings())).base_urls
        if name in known and spoken and dialect not in spoken:
            yield Finding(
                ("defaults", dialect),
                f"{shown(name)} does not speak {dialect}",
                "choose another provider",
            )
