"""The `keys` and `budgets` parts of the settings: who may spend how much over which window.

A budget has a long form, and a short one that says the same in a line: "2.00 per 5h", "$10 / week",
"50 total". The short form is exactly an amount, `per` or `/`, and a window; whatever needs more
words needs the long form. A key may be written as just its budgets. Single fields are checked here,
relations between them in `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from budgetd.config.problems import CREDENTIAL_START, did_you_mean, looks_secret
from budgetd.config.providers import SecretSource, Section
from budgetd.config.quantities import (
    WEEKDAYS,
    Count,
    Flag,
    Moment,
    TimeOfDay,
    Usd,
    Zone,
    at_least,
    at_most,
    duration,
)
from budgetd.core.budgets import Money
from budgetd.core.policy import Custody
from budgetd.wire.identity import FAMILIES

PERIODS = ("day", "week", "month", "total")
SHORT = re.compile(r"(?P<limit>\$?[0-9.]+)(?: per | ?/ ?| (?=total$))(?P<every>\S+)")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PATTERN = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._*?\[\]!-]{0,127}")

# How an owner may write a family: claude_code or claude-code.
CLIENTS = {spelling: name for name in FAMILIES for spelling in (name, name.replace("_", "-"))}

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def _every(value: object) -> str:
    if value in PERIODS:
        return str(value)
    if isinstance(value, str) and re.search(r"[0-9]d", value):
        raise ValueError("must be day for a calendar day, or hours for a fixed length, like 24h")
    try:
        length = duration(value)
    except ValueError:
        raise ValueError("must be day, week, month, total, or a length like 5h") from None
    if length < 60_000:
        raise ValueError("must be at least 1m")
    return str(value)


def _word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", value) or looks_secret(value):
        raise ValueError("must be a short name of letters, digits, spaces, dots and dashes")
    return value


def _weekday(value: object) -> object:
    if isinstance(value, str) and len(value) >= 3:
        for day in WEEKDAYS:
            if day.startswith(value.lower()):
                return day
    raise ValueError(f"must be a day of the week: {', '.join(WEEKDAYS)}")


def _fingerprint(value: str) -> str:
    if not re.fullmatch(r"cf_[0-9a-f]{16}", value):
        raise ValueError("must be a fingerprint that budgetd printed, like cf_0123456789abcdef")
    return value


def _account(value: str) -> str:
    if not re.fullmatch(r"[\w.@:-]{1,128}", value, re.ASCII) or CREDENTIAL_START.match(value):
        raise ValueError("must be the id of an account")
    return value


def _client(value: str) -> str:
    if value not in CLIENTS:
        hint = did_you_mean(value, FAMILIES)
        raise PydanticCustomError("client", "must be a kind of agent", {"hint": hint})
    return CLIENTS[value]


Word = Annotated[str, AfterValidator(_word)]
Client = Annotated[
    str, AfterValidator(_client), WithJsonSchema({"type": "string", "enum": sorted(CLIENTS)})
]
EVERY_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"enum": list(PERIODS)},
            {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$"},
        ],
        "examples": ["5h", "day", "week", "month", "total"],
    }
)


class BudgetSettings(Section):
    """A limit in dollars over a window of time."""

    limit: Usd = Field(
        description="How much may be spent in one window, in dollars. 0 allows nothing."
    )
    every: Annotated[str, BeforeValidator(_every), EVERY_SCHEMA] = Field(
        description="The window: a length like 5h that repeats without a break; day, week or "
        "month by the calendar; or total, which never resets."
    )
    align: Literal["day"] | None = Field(
        default=None,
        description="day: windows of a fixed length begin again at reset_at of every day.",
    )
    anchor: Moment | None = Field(
        default=None,
        description="An instant at which a window of fixed length begins; all others follow from "
        "it. Default: 1970 in UTC.",
    )
    timezone: Zone | None = Field(
        default=None, description="The time zone of this window. Default: the general timezone."
    )
    reset_at: TimeOfDay | None = Field(
        default=None,
        description="The time of day at which a day, week or month begins. Default: 00:00.",
    )
    weekday: Annotated[Weekday, BeforeValidator(_weekday)] | None = Field(
        default=None, description="The day on which a week begins. Default: monday."
    )
    day: Annotated[Count, at_least(1, "1"), at_most(31, "31")] | None = Field(
        default=None,
        description="The day on which a month begins; 31 means the last day of shorter months too. "
        "Default: 1.",
    )
    name: Word | None = Field(
        default=None,
        description="What messages call this budget. Default: its window, like 5h or week.",
    )
    counts: Money = Field(
        default="real",
        description="real: dollars paid per token. notional: the list price of calls under a "
        "flat-rate plan.",
    )
    observe: Flag = Field(
        default=False, description="Say what this budget would have refused, but refuse nothing."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if not isinstance(value, dict | cls):
            match = SHORT.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                raise PydanticCustomError(
                    "short_budget",
                    'must be a budget like "2.00 per 5h", or a map with limit and every',
                )
            return match.groupdict()
        return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, (str, Mapping)) else value


Budgets = Annotated[list[BudgetSettings], BeforeValidator(_listed)]


class Claim(SecretSource):
    """A credential by which callers are known as this key: where it is, or its fingerprint."""

    fingerprint: Annotated[str, AfterValidator(_fingerprint)] | None = Field(
        default=None,
        description="The fingerprint of the credential as budgetd prints it: nothing secret is "
        "needed here.",
    )


class _Spender(Section):
    budgets: Budgets = Field(default_factory=list, description="Its limits; all of them bind.")
    provider: Word | None = Field(
        default=None, description="The provider that all its calls go to."
    )
    client: Client | None = Field(
        default=None,
        description="The kind of agent, where detection by its headers is wrong: it decides in "
        "which form a call is refused.",
    )
    label: Word | None = Field(
        default=None,
        description="A word that groups its spending with others', like a project's name.",
    )
    mode: Literal["strict"] = Field(
        default="strict",
        description="How money is held before a call. strict: the full worst case, so that a "
        "limit is never passed.",
    )
    observe: Flag = Field(
        default=False, description="Say what would have been refused, but refuse nothing."
    )

    @model_validator(mode="before")
    @classmethod
    def _only_budgets(cls, value: Any) -> Any:
        if isinstance(value, (str, list)):
            return {"budgets": value}
        return {} if value is None else value


class KeySettings(_Spender):
    """A key: one spender with its own budgets. Its name may be a pattern like agent-*: each name
    that matches is a key.
    """

    custody: Custody = Field(
        default="pass_through",
        description="Whose credential goes upstream. pass_through: the agent's own. issued: the "
        "agent has a budgetd token, and budgetd adds the provider's credential.",
    )
    credentials: list[Claim] = Field(
        default_factory=list,
        description="The agent's own credentials (pass_through): a caller that shows one of them "
        "is this key.",
    )
    accounts: list[Annotated[str, AfterValidator(_account)]] = Field(
        default_factory=list,
        description="Ids of provider accounts: callers whose OAuth token belongs to one of them "
        "are this key.",
    )
    expires: Moment | None = Field(
        default=None, description="From this instant on the key is revoked."
    )


class DefaultKeySettings(_Spender):
    """The key that callers share whom no other key claims."""

    budgets: Budgets = Field(
        default_factory=lambda: [BudgetSettings.model_validate("5.00 per 5h")],
        description="Its limits; all of them bind. Default: 5.00 per 5h.",
    )


def _key_name(value: str) -> str:
    if looks_secret(value):
        hint = "a name is a label you choose; put {env: NAME} under its credentials"
        raise PydanticCustomError(
            "key_secret", "a key is not named by its credential", {"hint": hint}
        )
    if not (NAME.fullmatch(value) or PATTERN.fullmatch(value)):
        raise ValueError(
            "a key's name has letters, digits, dots, dashes and underscores; "
            "a pattern also *, ? and [...]"
        )
    return value


KeyName = Annotated[str, AfterValidator(_key_name)]
