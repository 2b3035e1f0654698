"""The `budgets` parts of the settings, wherever they stand: how much over which window, and of what.

A budget has a long form, and short ones that say the same in a line: "2.00 per 5h", "$10 / week",
"50 total", "2.00 per session". A short form is exactly an amount, `per` or `/`, and a window or
`session` or `agent`; whatever needs more words needs the long form. A list of one may leave its
brackets out. Single fields are checked here, relations between them in `budget_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from budgetd.config.problems import did_you_mean
from budgetd.config.providers import Section
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
    usd_written,
)
from budgetd.config.words import ClaimedPattern, ModelPattern, Word
from budgetd.core.budgets import Money

PERIODS = ("day", "week", "month", "total")
SCOPES = ("session", "agent")
SHORT = re.compile(r"(?P<limit>\$?[0-9.]+)(?: per | ?/ ?| (?=total$))(?P<every>\S+)")
SCOPED = re.compile(r"(?:per |/ ?)(session|agent)\b")
NAMED_MODELS = 2  # patterns that a budget's own name repeats; of more it only says how many

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def _slip(value: object, known: tuple[str, ...]) -> str:
    """A hint for a word that is nearly one of these; empty for anything else."""
    hint = did_you_mean(value, known) if isinstance(value, str) else ""
    return hint if hint.startswith("did") else ""


def _is_window(value: object) -> bool:
    try:
        return value in PERIODS or duration(value) > 0
    except ValueError:
        return False


def _every(value: object) -> str:
    if value in PERIODS:
        return str(value)
    if isinstance(value, str) and re.search(r"[0-9]d", value):
        raise ValueError("must be day for a calendar day, or hours for a fixed length, like 24h")
    try:
        length = duration(value)
    except ValueError:
        scope = "write per: session or per: agent for that" if value in SCOPES else ""
        hint = scope or _slip(value, (*PERIODS, *SCOPES))
        message = "must be day, week, month, total, or a length like 5h"
        raise PydanticCustomError("every", message, {"hint": hint}) from None
    if length < 60_000:
        raise ValueError("must be at least 1m")
    return str(value)


def _per(value: object) -> object:
    if value not in SCOPES:
        window = "a window of time is written every: day" if _is_window(value) else ""
        hint = window or _slip(value, SCOPES)
        raise PydanticCustomError("per", "must be session or agent", {"hint": hint})
    return value


def _weekday(value: object) -> object:
    if isinstance(value, str) and len(value) >= 3:
        for day in WEEKDAYS:
            if day.startswith(value.lower()):
                return day
    raise ValueError(f"must be a day of the week: {', '.join(WEEKDAYS)}")


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


EVERY_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"enum": list(PERIODS)},
            {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$"},
        ],
        "examples": ["5h", "day", "week", "month", "total"],
    }
)
MODELS_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "string"}]}
)
NEEDED: dict[str, Any] = {
    "required": ["limit"],
    "anyOf": [{"required": ["every"]}, {"required": ["per"]}],
}


class BudgetSettings(Section):
    """A limit in dollars over a window of time, or for each session."""

    model_config = ConfigDict(json_schema_extra=NEEDED)

    limit: Usd = Field(
        description="How much may be spent in one window, in dollars. 0 allows nothing."
    )
    every: Annotated[str, BeforeValidator(_every), EVERY_SCHEMA] = Field(
        description="The window: a length like 5h that repeats without a break; day, week or "
        "month by the calendar; or total, which never resets. With `per` total is the default."
    )
    per: Annotated[Literal["session", "agent"], BeforeValidator(_per)] | None = Field(
        default=None,
        description="session: each conversation has this limit to itself, together with all its "
        "sub-agents. agent: each conversation and each sub-agent has it alone.",
    )
    models: Annotated[list[ModelPattern], BeforeValidator(_one_or_more), MODELS_SCHEMA] = Field(
        default_factory=list,
        min_length=1,
        description="Only calls that ask for one of these models count: names, or patterns like "
        "claude-opus-*. They are compared with the model as the agent writes it. Default: all.",
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
        description="What messages call this budget. Default: what it is for, like 5h, session, or "
        "week of claude-opus-*.",
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
        if isinstance(value, dict):
            every = value.get("every")
            return {**value, "every": "total"} if every is None and value.get("per") else value
        if isinstance(value, cls):
            return value
        match = SHORT.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            longer = isinstance(value, str) and SCOPED.search(value)
            hint = "{limit: 2.00, every: day, per: session} is a limit on a day of each session"
            raise PydanticCustomError(
                "short_budget",
                'must be a budget like "2.00 per 5h", or a map with limit and every',
                {"hint": hint if longer else ""},
            )
        limit, window = match["limit"], match["every"]
        if window in SCOPES:
            return {"limit": limit, "every": "total", "per": window}
        return {"limit": limit, "every": window}


def _listed(value: object) -> object:
    return [value] if isinstance(value, (str, Mapping)) else value


def _listed_or_none(value: object) -> object:
    return [] if value is None else _listed(value)


Budgets = Annotated[list[BudgetSettings], BeforeValidator(_listed)]
# By a name that callers bring, or a pattern of them; a name without a budget is let off its pattern's.
BudgetsByName = dict[
    ClaimedPattern, Annotated[list[BudgetSettings], BeforeValidator(_listed_or_none)]
]


def budget_name(budget: BudgetSettings, *, shared: bool = False) -> str:
    """What a budget is called: its name, else what it is for: "5h", "session", "agent day",
    "week notional", "5h of claude-opus-*". `shared`: it binds the sessions of every key, next to
    budgets of the keys' own ("any session").
    """
    if budget.name:
        return budget.name
    words = [f"{'any ' if shared else ''}{budget.per}"] if budget.per else []
    words += [budget.every] if not budget.per or budget.every != "total" else []
    words += ["notional"] if budget.counts == "notional" else []
    return " ".join(words) + _of_models(budget)


def budget_words(budget: BudgetSettings) -> str:
    """A budget in a line: "2.00 per 5h", "50.00 total", "2.00 per day per session of gpt-*"."""
    over = budget.every if budget.every == "total" else f"per {budget.every}"
    if budget.per:
        over = f"{'' if budget.every == 'total' else f'{over} '}per {budget.per}"
    return f"{usd_written(budget.limit)} {over}{_of_models(budget)}"


def _of_models(budget: BudgetSettings) -> str:
    named, more = budget.models[:NAMED_MODELS], len(budget.models) - NAMED_MODELS
    if not named:
        return ""
    return f" of {', '.join(named)}{f' and {more} more' if more > 0 else ''}"
