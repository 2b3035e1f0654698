"""Checks: what single settings cannot know of one another.

Names that must exist, settings that only go together or never do, and what is allowed but probably
not meant (a warning). Pure: settings in, findings out; nothing is read from outside. A
configuration without errors here can be built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from budgetd.config.keys import BudgetSettings, KeySettings
from budgetd.config.presets import effective, provider_names
from budgetd.config.problems import Finding, Path, did_you_mean, shown
from budgetd.config.provider_checks import check_providers, one_source
from budgetd.config.providers import ProviderSettings
from budgetd.config.quantities import duration
from budgetd.config.settings import Settings
from budgetd.core.hosts import is_loopback
from budgetd.core.policy import KeyPolicy

DEFAULT_KEY = "default"
DAY = 86_400_000


def check(settings: Settings) -> list[Finding]:
    """Everything wrong or odd between settings."""
    return [
        *_listening(settings),
        *_limits(settings),
        *_budgets(("budgets",), settings.budgets),
        *_budgets(("default_key", "budgets"), settings.default_key.budgets),
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


def budget_name(budget: BudgetSettings) -> str:
    """What a budget is called: its name, else its window and, if notional, that."""
    if budget.name:
        return budget.name
    return budget.every if budget.counts == "real" else f"{budget.every} notional"


def _budgets(path: Path, budgets: Iterable[BudgetSettings]) -> Iterator[Finding]:
    names: set[str] = set()
    for index, budget in enumerate(budgets):
        here = (*path, index)
        yield from _window(here, budget)
        name = budget_name(budget)
        if name in names:
            yield Finding(
                here, f"a second budget called {shown(name)}", "give one of them a name of its own"
            )
        names.add(name)


def _window(path: Path, budget: BudgetSettings) -> Iterator[Finding]:
    fixed = budget.every not in ("day", "week", "month", "total")
    aligned = fixed and budget.align is not None
    allowed = {
        "align": (fixed, "a fixed length, like every: 5h"),
        "anchor": (fixed and not aligned, "a fixed length without align"),
        "reset_at": (
            aligned or (not fixed and budget.every != "total"),
            "day, week, month, or align: day",
        ),
        "timezone": (budget.every != "total", "windows that end"),
        "weekday": (budget.every == "week", "every: week"),
        "day": (budget.every == "month", "every: month"),
    }
    for name, (fits, partner) in allowed.items():
        if getattr(budget, name) is not None and not fits:
            yield Finding((*path, name), f"only goes with {partner}")
    if aligned and duration(budget.every) >= DAY:
        yield Finding(
            (*path, "align"), "only goes with windows shorter than a day", "write every: day"
        )


def _keys(settings: Settings) -> Iterator[Finding]:
    earlier: list[str] = []
    for name, key in settings.keys.items():
        here: Path = ("keys", name)
        yield from _budgets((*here, "budgets"), key.budgets)
        if name == DEFAULT_KEY:
            yield Finding(
                here, "this key has a place of its own", "write its settings under default_key:"
            )
        if not key.budgets and not settings.budgets:
            yield Finding(
                here,
                "has no budget: nothing limits it",
                "give it budgets, like [2.00 per 5h]",
                "warning",
            )
        if KeyPolicy(name).is_pattern:
            shadow = next((other for other in earlier if fnmatchcase(name, other)), None)
            if shadow:
                yield Finding(
                    here,
                    f"never used: {shown(shadow)} above matches the same names",
                    "swap them",
                    "warning",
                )
            earlier.append(name)
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
