"""Building: checked settings to the core's frozen rules.

The one place where what an owner wrote becomes what the daemon acts on: dollars become
pico-dollars, names of windows become windows, credentials become fingerprints, and whatever was
left out gets its default. Only one thing can still be wrong here, because only here fingerprints
are known: two keys that claim one credential.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from budgetd.config.budgets import BudgetSettings, budget_name
from budgetd.config.checks import DEFAULT_KEY
from budgetd.config.keys import CapsSettings, DefaultKeySettings, KeySettings
from budgetd.config.locator import Locator
from budgetd.config.presets import effective, provider_names
from budgetd.config.problems import Finding, shown
from budgetd.config.providers import ProviderSettings
from budgetd.config.quantities import WEEKDAYS, duration
from budgetd.config.secrets import Secrets
from budgetd.config.settings import Settings
from budgetd.core import policy
from budgetd.core.budgets import Budget
from budgetd.core.caps import Caps
from budgetd.core.money import pico_from_usd
from budgetd.core.windows import Calendar, Fixed, FixedDaily, Instant, Total, Unit, Window

EVERYTHING = "all"
NOWHERE = Locator(None)
Fingerprint = Callable[[str], str]
CALENDAR: dict[str, Unit] = {"day": "day", "week": "week", "month": "month"}


def build(
    settings: Settings,
    secrets: Secrets,
    *,
    fingerprint: Fingerprint,
    generation: int = 0,
    locator: Locator = NOWHERE,
) -> policy.Rules:
    """The rules of checked settings. Raises ConfigError if two keys claim one credential."""
    zone = settings.timezone or "UTC"
    claims, findings = _claims(settings, secrets, fingerprint)
    if findings:
        raise locator.error(findings)
    keys = {name: _key(name, key, zone, claims) for name, key in settings.keys.items()}
    keys[DEFAULT_KEY] = _spender(DEFAULT_KEY, settings.default_key, zone)
    return policy.Rules(
        providers={
            name: _provider(name, settings, secrets) for name in provider_names(settings.providers)
        },
        keys={name: key for name, key in keys.items() if not key.is_pattern},
        default_key=DEFAULT_KEY,
        patterns=tuple(key for key in keys.values() if key.is_pattern),
        everything=_budgets(settings.budgets, EVERYTHING, zone, shared=True),
        labels=_named(settings.labels, "label", zone),
        routes=tuple(policy.Route(route.model, route.provider) for route in settings.routes),
        defaults=dict(settings.defaults),
        unpriced_paths=tuple(settings.unpriced_paths),
        limits=policy.Limits(**settings.limits.model_dump()),
        patience=policy.Patience(**{name: ms / 1000 for name, ms in settings.patience}),
        estimation=policy.Estimation(**settings.estimation.model_dump()),
        generation=generation,
    )


def catalogues(settings: Settings) -> dict[str, str | None]:
    """Every provider's name in the price catalogue; None where only the owner's prices count."""
    written = settings.providers
    return {
        name: effective(name, written.get(name, ProviderSettings())).catalogue
        for name in provider_names(written)
    }


def price_overrides(settings: Settings) -> dict[str, dict[str, dict[str, Decimal | bool]]]:
    """The operator's prices: provider -> model -> bucket of `core.usage` (or per_request) ->
    dollars per million, or `free`.
    """
    return {
        name: {model: prices.dollars() for model, prices in provider.prices.items()}
        for name, provider in settings.providers.items()
        if provider.prices
    }


def window(budget: BudgetSettings, zone: str) -> Window:
    """The window of a budget; `zone` is where days begin unless it says otherwise."""
    zone = budget.timezone or zone
    reset = budget.reset_at or 0
    if budget.every == "total":
        return Total()
    if budget.every in CALENDAR:
        weekday = WEEKDAYS.index(budget.weekday or WEEKDAYS[0])
        return Calendar(CALENDAR[budget.every], zone, reset, weekday, budget.day or 1)
    every = duration(budget.every)
    if budget.align == "day":
        return FixedDaily(every, zone, reset)
    return Fixed(every, instant(budget.anchor, zone) if budget.anchor else 0)


def instant(moment: datetime, zone: str) -> Instant:
    """A written moment as an instant; without an offset of its own it is meant in `zone`."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    epoch = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
    span = aware - epoch
    return (span.days * 86_400 + span.seconds) * 1000 + span.microseconds // 1000


def _budgets(
    budgets: Iterable[BudgetSettings], subject: str, zone: str, *, shared: bool = False
) -> tuple[Budget, ...]:
    return tuple(
        Budget(
            name=budget_name(budget, shared=shared),
            subject=subject,
            limit=pico_from_usd(budget.limit),
            window=window(budget, zone),
            counts=budget.counts,
            observe=budget.observe,
            per=budget.per or "",
            models=tuple(budget.models),
        )
        for budget in budgets
    )


def _named(by_name: Mapping[str, Iterable[BudgetSettings]], kind: str, zone: str) -> policy.Named:
    return tuple(
        (name, _budgets(budgets, f"{kind}:{name}", zone)) for name, budgets in by_name.items()
    )


def _spender(name: str, spender: KeySettings | DefaultKeySettings, zone: str) -> policy.KeyPolicy:
    """What every key has, the default key too."""
    return policy.KeyPolicy(
        name=name,
        budgets=_budgets(spender.budgets, f"key:{name}", zone),
        provider=spender.provider,
        client=spender.client,
        label=spender.label,
        observe=spender.observe,
        sessions=_named(spender.sessions, "session", zone),
        caps=_caps(spender.caps),
        loops=spender.loops,
    )


def _caps(caps: CapsSettings) -> Caps:
    per_minute = caps.dollars_per_minute
    return Caps(
        calls=caps.calls_per_session,
        turns=caps.turns_per_session,
        errors=caps.consecutive_errors,
        failures=caps.identical_failures,
        dollars_per_minute=None if per_minute is None else pico_from_usd(per_minute),
        context=caps.context_tokens,
    )


def _key(name: str, key: KeySettings, zone: str, claims: dict[str, str]) -> policy.KeyPolicy:
    return replace(
        _spender(name, key, zone),
        custody=key.custody,
        fingerprints=frozenset(mark for mark, owner in claims.items() if owner == name),
        accounts=frozenset(key.accounts),
        expires=instant(key.expires, zone) if key.expires else None,
    )


def _claims(
    settings: Settings, secrets: Secrets, fingerprint: Fingerprint
) -> tuple[dict[str, str], list[Finding]]:
    """Fingerprint -> the key that claims it."""
    owners: dict[str, str] = {}
    findings: list[Finding] = []
    for name, key in settings.keys.items():
        for index, claim in enumerate(key.credentials):
            path = ("keys", name, "credentials", index)
            secret = secrets.get(path)
            if claim.fingerprint is None and secret is None:
                continue  # read beside the daemon, which alone has it: `load` has warned
            mark = claim.fingerprint or fingerprint(secret.reveal() if secret else "")
            if owners.setdefault(mark, name) != name:
                hint = "agents that share a credential are told apart by /k/<key>/ in their URL"
                findings.append(
                    Finding(path, f"the same credential is claimed by {shown(owners[mark])}", hint)
                )
    return owners, findings


def _provider(name: str, settings: Settings, secrets: Secrets) -> policy.Provider:
    written = settings.providers.get(name, ProviderSettings())
    known = effective(name, written)
    return policy.Provider(
        name=name,
        credential=secrets.get(("providers", name, "credential")),
        plan=written.billing == "subscription",
        **{field.name: getattr(known, field.name) for field in fields(known)},
    )
