"""The `providers` part of the settings: which upstream APIs there are, what they charge, and where
a secret comes from.

Models only: single fields are checked here, relations between them in `checks`. A value left out is
None and falls back to the preset, so that "not written" and "written as the default" stay apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from budgetd.config.problems import looks_secret
from budgetd.config.quantities import Flag, Usd
from budgetd.core.policy import DialectName, UnknownPrice


class Section(BaseModel):
    """A part of the settings: frozen, and nothing in it that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _left_empty(cls, value: Any) -> Any:
        return without_empty(value, cls.model_fields)


def without_empty(value: Any, fields: Mapping[str, Any]) -> Any:
    """The data of a section without settings that are named and left empty (all below commented
    out): those are defaults.
    """
    if not isinstance(value, dict):
        return value
    return {name: given for name, given in value.items() if given is not None or name not in fields}


def _base_url(value: str) -> str:
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("must be a URL like https://api.example.com") from None
    if url.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x20\\]", value):
        raise ValueError("must be a URL like https://api.example.com")
    if "@" in url.netloc:
        raise ValueError("must not carry a user name or password")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or a fragment")
    return value.rstrip("/")


def _prefix(value: str) -> str:
    if not re.fullmatch(r"[\w.-]{2,24}", value, re.ASCII):
        raise ValueError("must be the first few characters of a credential, like sk-ant-")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value) or looks_secret(value):
        raise ValueError("must be the name of an environment variable, like OPENAI_API_KEY")
    return value


def _file(value: str) -> str:
    if not value or "\x00" in value or ("/" not in value and looks_secret(value)):
        raise ValueError("must be the path of a file that holds the credential")
    return value


def _systemd_name(value: str) -> str:
    if (
        not re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII)
        or value in (".", "..")
        or looks_secret(value)
    ):
        raise ValueError("must be the name of a systemd credential, like openai")
    return value


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class SecretSource(Section):
    """Where a secret is read from: exactly one of the three."""

    env: Annotated[str, AfterValidator(_variable)] | None = Field(
        default=None, description="The name of the environment variable that holds it."
    )
    file: Annotated[str, AfterValidator(_file)] | None = Field(
        default=None,
        description="The path of a file that holds it; relative paths start at the configuration "
        "file.",
    )
    credential: Annotated[str, AfterValidator(_systemd_name)] | None = Field(
        default=None,
        description="The name of a systemd credential (LoadCredential=), read from "
        "$CREDENTIALS_DIRECTORY.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_literal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            hint = "keep it in the environment or a file; write {env: NAME} or {file: PATH} here"
            raise PydanticCustomError(
                "literal_secret", "a secret is never written into this file", {"hint": hint}
            )
        return value


def _per_million(words: str) -> Any:
    return Field(default=None, description=f"Dollars per million {words}.")


class Prices(Section):
    """What one model costs, in dollars per million. Needs input and output, or free."""

    input: Usd | None = _per_million("input tokens")
    output: Usd | None = _per_million("output tokens")
    cache_read: Usd | None = _per_million("input tokens read from the cache")
    cache_write_5m: Usd | None = _per_million("input tokens written to the cache for 5 minutes")
    cache_write_1h: Usd | None = _per_million("input tokens written to the cache for an hour")
    reasoning: Usd | None = _per_million("hidden output tokens")
    input_audio: Usd | None = _per_million("input tokens of audio")
    cache_read_audio: Usd | None = _per_million("input tokens of audio read from the cache")
    output_audio: Usd | None = _per_million("output tokens of audio")
    input_image: Usd | None = _per_million("input tokens of images")
    output_image: Usd | None = _per_million("output tokens of images")
    web_searches: Usd | None = _per_million("searches on the web ($10 per thousand is 10000)")
    per_request: Usd | None = _per_million("requests, besides their tokens")
    free: Flag = Field(default=False, description="It costs nothing; then there are no prices.")

    def dollars(self) -> dict[str, Decimal | bool]:
        """What is written: bucket -> dollars per million, or free."""
        if self.free:
            return {"free": True}
        return {name: value for name, value in self if name != "free" and value is not None}


class ProviderSettings(Section):
    """An upstream API. For a provider with a preset, whatever is left out comes from there."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {} if value is None else value

    preset: str | None = Field(
        default=None,
        description="The built-in provider to start from. Left out: the one with this provider's "
        "own name.",
    )
    base_url: BaseUrl | None = Field(
        default=None,
        description="Where the API lives, for every dialect that it speaks. The dialect's own path "
        "(/v1/...) follows; a version at the end (/v1, /v4) takes the place of that path's "
        "/v1.",
    )
    base_urls: dict[DialectName, BaseUrl] | None = Field(
        default=None,
        description="The same, where dialects live at different addresses.",
        min_length=1,
    )
    dialects: list[DialectName] | None = Field(
        default=None,
        description="The wire protocols that it speaks. Needed with base_url where there is no "
        "preset.",
        min_length=1,
    )
    credential: SecretSource | None = Field(
        default=None,
        description="The provider's API key. Only needed for keys in issued custody, whose agents "
        "do not have it.",
    )
    credential_prefixes: list[Prefix] | None = Field(
        default=None,
        description="How its credentials begin: an agent's credential that begins so is sent here.",
    )
    plan_prefixes: list[Prefix] | None = Field(
        default=None,
        description="How credentials of a flat-rate plan begin: their calls are booked in notional "
        "dollars.",
    )
    catalogue: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)] | None = (
        Field(
            default=None,
            description="Its name in the price catalogue (genai-prices). Needed only without a "
            "preset.",
        )
    )
    billing: Literal["metered", "subscription"] = Field(
        default="metered",
        description="metered: paid per token. subscription: all of it is under a flat-rate plan, "
        "booked in notional dollars.",
    )
    unknown_price: UnknownPrice | None = Field(
        default=None,
        description="What to do with a model that has no price. ceiling: charge it as this "
        "provider's dearest model, marked as estimated. deny: refuse it. free: charge "
        "nothing, for models of your own. Default: ceiling where the price catalogue "
        "knows the provider, else deny.",
    )
    prices: dict[str, Prices] = Field(
        default_factory=dict,
        description="Your own prices by model, exact names. They win over the price catalogue.",
    )
    stream_usage: Flag | None = Field(
        default=None,
        description="Whether its streams may be asked for usage (stream_options.include_usage).",
    )
    needs_credential: Flag | None = Field(
        default=None,
        description="Whether it wants a credential at all. false: a local server; nobody's is "
        "sent there.",
    )
    shows_reasoning: Flag | None = Field(
        default=None,
        description="Whether its models' reasoning is in the stream, and so can be counted when "
        "one is cut.",
    )
    output_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        default=None, description="Which output bound to set where a chat request states none."
    )
    bills_aborted: Flag | None = Field(
        default=None, description="Whether it bills the whole answer although the client went away."
    )
