"""The `keys` part of the settings: who may spend, within which budgets and bounds.

A key may be written as just its budgets. Single fields are checked here, relations between them in
`checks` and `budget_checks`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from budgetd.config.budgets import Budgets, BudgetsByName, BudgetSettings
from budgetd.config.problems import CREDENTIAL_START, did_you_mean
from budgetd.config.providers import SecretSource, Section
from budgetd.config.quantities import Count, Flag, Moment, Usd, at_least
from budgetd.config.words import Word
from budgetd.core.policy import Custody, LoopPolicy
from budgetd.wire.identity import FAMILIES

Cap = Annotated[Count, at_least(1, "1")]

# How an owner may write a family: claude_code or claude-code.
CLIENTS = {spelling: name for name in FAMILIES for spelling in (name, name.replace("_", "-"))}


def _fingerprint(value: str) -> str:
    if not re.fullmatch(r"cf_[0-9a-f]{16}", value):
        raise ValueError("must be a fingerprint that budgetd printed, like cf_0123456789abcdef")
    return value


def _account(value: str) -> str:
    if not re.fullmatch(r"[\w.@:-]{1,128}", value, re.ASCII) or CREDENTIAL_START.match(value):
        raise ValueError("must be the id of an account")
    return value


def _some(value: Decimal) -> Decimal:
    if not value:
        raise ValueError("must be more than 0: a budget of 0 shuts a key out")
    return value


def _client(value: str) -> str:
    if value not in CLIENTS:
        hint = did_you_mean(value, FAMILIES)
        raise PydanticCustomError("client", "must be a kind of agent", {"hint": hint})
    return CLIENTS[value]


Client = Annotated[
    str, AfterValidator(_client), WithJsonSchema({"type": "string", "enum": sorted(CLIENTS)})
]


class CapsSettings(Section):
    """Bounds on how an agent may behave. What is left out is not bounded."""

    calls_per_session: Cap | None = Field(
        default=None,
        description="Calls of one session, side calls included, its sub-agents' own not.",
    )
    turns_per_session: Cap | None = Field(
        default=None, description="Turns of one session, its sub-agents' own not included."
    )
    consecutive_errors: Cap | None = Field(
        default=None,
        description="Calls of one session that fail one after another. Then it rests, 30 seconds "
        "at first and twice that after each further failure, up to 15 minutes.",
    )
    identical_failures: Cap | None = Field(
        default=None,
        description="The same for one and the same request; a changed one is heard at once.",
    )
    dollars_per_minute: Annotated[Usd, AfterValidator(_some)] | None = Field(
        default=None,
        description="What the key as a whole may spend within a minute, in dollars. Then it waits "
        "until enough of it is older than that.",
    )
    context_tokens: Cap | None = Field(
        default=None, description="Input tokens of one call: how large a context may grow."
    )


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
    sessions: BudgetsByName = Field(
        default_factory=dict,
        description="Limits on single conversations and everything below them, by the client's own "
        "session id or the /s/ label in the URL, or by a pattern of these: each that matches has "
        "them to itself. An exact name comes first, then the first pattern that matches.",
    )
    loops: LoopPolicy = Field(
        default="tell",
        description="What happens when a conversation goes in circles. observe: it is only "
        "recorded. tell: the status, the log and a response header say so. refuse: its calls are "
        "refused.",
    )
    caps: CapsSettings = Field(
        default_factory=CapsSettings, description="Bounds on how it may behave."
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
