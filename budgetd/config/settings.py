"""Settings: everything an owner can write, as one frozen model.

The root of the configuration and its small sections; `providers` and `keys` hold the large ones.
Every field's description is here and only here: the JSON schema is made from it. Defaults that the
core has too are taken from the core. The environment is an argument of `load`, never read from the
process by this class.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from budgetd.config.budgets import Budgets, BudgetsByName
from budgetd.config.keys import DefaultKeySettings, KeySettings
from budgetd.config.providers import ProviderSettings, Section, without_empty
from budgetd.config.quantities import Count, Duration, Flag, Size, Zone, at_least
from budgetd.config.words import KeyName, ModelPattern, Word
from budgetd.core.policy import DialectName, Estimation, Limits, Patience

LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")
DEFAULT_DIALECTS: dict[DialectName, str] = {"openai_chat": "openai", "anthropic": "anthropic"}

LIMITS, PATIENCE, ESTIMATION = Limits(), Patience(), Estimation()


def _listen(value: object) -> str:
    match = LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be HOST:PORT, like 127.0.0.1:4141 or [::1]:4141")
    if int(match["port"]) > 65535:
        raise ValueError("must have a port of at most 65535")
    return match[0]


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", value):
        raise ValueError("must be a host name without scheme, port or path, like budgetd.internal")
    return value.lower()


def _path(value: str) -> str:
    if not re.fullmatch(r"/[\w./*~%:-]*", value, re.ASCII):
        raise ValueError("must be a path like /v1/files or /v1/files/*")
    return value


def _directory(value: object) -> Path:
    if not isinstance(value, (str, Path)) or not str(value) or "\x00" in str(value):
        raise ValueError("must be the path of a directory")
    return Path(value)


Positive = Annotated[Count, at_least(1, "1")]
Wait = Annotated[Duration, at_least(1, "1ms")]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important level that is written."
    )
    format: Literal["auto", "text", "json"] = Field(
        default="auto",
        description="text: a line for people. json: one object per line, for machines. auto: text "
        "on a terminal, else json.",
    )


class RouteSettings(Section):
    """A model pattern and the provider that its calls go to."""

    model: ModelPattern = Field(description="A model's name, or a pattern like gpt-*.")
    provider: Word = Field(description="The name of the provider.")


class LimitsSettings(Section):
    """Bounds on what callers may ask of this process."""

    body_bytes: Size = Field(default=LIMITS.body_bytes, description="The largest request body.")
    bodies_bytes: Size = Field(
        default=LIMITS.bodies_bytes, description="All request bodies in memory together."
    )
    header_bytes: Size = Field(
        default=LIMITS.header_bytes, description="The largest set of request headers."
    )
    open_calls: Positive = Field(
        default=LIMITS.open_calls, description="Calls that may be open at once."
    )
    label_length: Positive = Field(
        default=LIMITS.label_length,
        description="The longest key, session or label name in a URL or header.",
    )


class PatienceSettings(Section):
    """How long to wait for others."""

    connect: Wait = Field(
        default=_ms(PATIENCE.connect), description="For a connection to a provider."
    )
    idle: Wait = Field(
        default=_ms(PATIENCE.idle),
        description="Without a byte from a provider. There is no limit on an answer in total.",
    )
    head: Wait = Field(
        default=_ms(PATIENCE.head),
        description="For a request's headers, and between pieces of its body.",
    )
    drain_stream: Duration = Field(
        default=_ms(PATIENCE.drain_stream),
        description="Reading a stream on after its client went, to learn the price.",
    )
    drain_whole: Duration = Field(
        default=_ms(PATIENCE.drain_whole),
        description="The same for an answer that is not streamed.",
    )
    stop: Duration = Field(default=_ms(PATIENCE.stop), description="For open calls at shutdown.")


class EstimationSettings(Section):
    """Tokens to allow for what the length of a request does not bound."""

    image_tokens: Count = Field(default=ESTIMATION.image_tokens, description="For one image.")
    document_tokens: Count = Field(
        default=ESTIMATION.document_tokens, description="For one PDF or other document."
    )
    audio_tokens: Count = Field(
        default=ESTIMATION.audio_tokens, description="For one piece of audio."
    )
    search_tokens: Count = Field(
        default=ESTIMATION.search_tokens,
        description="For what one search on the provider's side may add to the input.",
    )
    output_unknown: Positive = Field(
        default=ESTIMATION.output_unknown,
        description="The output bound that is set where neither the client nor the model's data "
        "states one.",
    )
    output_floor: Positive = Field(
        default=ESTIMATION.output_floor,
        description="An output bound is not lowered below this to fit a budget.",
    )


class Settings(BaseSettings):
    """The configuration of budgetd. Everything has a default; an empty file is a valid one."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix="BUDGETD_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    listen: Annotated[str, BeforeValidator(_listen)] = Field(
        default="127.0.0.1:4141",
        description="The address to listen on, HOST:PORT. A change needs a restart.",
    )
    allow_remote: Flag = Field(
        default=False,
        description="Allow a listen address that other machines can reach. They can then spend "
        "your money.",
    )
    hosts: list[Annotated[str, AfterValidator(_host)]] = Field(
        default_factory=list,
        description="Names by which clients may address budgetd, besides localhost and its own "
        "address.",
    )
    state: Annotated[Path, BeforeValidator(_directory)] | None = Field(
        default=None,
        description="The directory for the ledger and the local secret; relative paths start at "
        "the configuration file. Default: $STATE_DIRECTORY (systemd), else "
        "$XDG_STATE_HOME/budgetd, else ~/.local/state/budgetd. A change needs a "
        "restart.",
    )
    timezone: Zone | None = Field(
        default=None,
        description="The time zone in which days begin, unless a budget names its own. Default: "
        "the system's, else UTC.",
    )
    log: LogSettings = Field(
        default_factory=LogSettings, description="What is written to standard error."
    )
    budgets: Budgets = Field(
        default_factory=list, description="Limits on everything together, whatever the key."
    )
    labels: BudgetsByName = Field(
        default_factory=dict,
        description="Limits on labels, by name or by a pattern: each label that matches has them "
        "to itself, whatever keys use it. An exact name comes first, then the first pattern that "
        "matches.",
    )
    default_key: DefaultKeySettings = Field(
        default_factory=DefaultKeySettings,
        description="The key that callers share whom no other key claims.",
    )
    keys: dict[KeyName, KeySettings] = Field(
        default_factory=dict,
        description="Who may spend. A name that has no key of its own gets the first pattern that "
        "matches, in the order of the file.",
    )
    providers: dict[Word, ProviderSettings] = Field(
        default_factory=dict,
        description="Upstream APIs: changes to the built-in ones by their names, and your own.",
    )
    routes: list[RouteSettings] = Field(
        default_factory=list,
        description="Which provider a model is at. The first pattern that matches counts.",
    )
    defaults: dict[DialectName, Word] = Field(
        default_factory=lambda: dict(DEFAULT_DIALECTS),
        description="The provider of a dialect, where nothing else names one.",
    )
    unpriced_paths: list[Annotated[str, AfterValidator(_path)]] = Field(
        default_factory=list,
        description="Paths that are forwarded although budgetd cannot price them. What they cost "
        "is not counted.",
    )
    limits: LimitsSettings = Field(
        default_factory=LimitsSettings,
        description="Bounds on what callers may ask of this process.",
    )
    patience: PatienceSettings = Field(
        default_factory=PatienceSettings, description="How long to wait for others."
    )
    estimation: EstimationSettings = Field(
        default_factory=EstimationSettings,
        description="Tokens to allow for what the length of a request does not bound.",
    )

    @model_validator(mode="before")
    @classmethod
    def _left_empty(cls, value: Any) -> Any:
        return without_empty(value, cls.model_fields)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *sources: Any,
        **named: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: the environment is not read behind the caller's back."""
        return (init_settings,)

    @classmethod
    def layered(cls, *layers: dict[str, Any]) -> Settings:
        """Settings from layers of plain data, merged map by map; the first one wins. Raises
        pydantic's ValidationError.

        Layers are sources and not keyword arguments: a key like _env_file in a file must not reach
        the constructor.
        """
        sources = tuple(_Layer(cls, layer) for layer in layers)
        return cls(_build_sources=(sources, {}))  # type: ignore[call-arg]  # mypy sees only fields

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        match = LISTEN.fullmatch(self.listen)
        assert match is not None
        return match["v6"] or match["host"], int(match["port"])


class _Layer(PydanticBaseSettingsSource):
    """Plain data as a source of settings."""

    def __init__(self, settings_cls: type[BaseSettings], data: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self.data = data

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One field, as the interface wants it."""
        return self.data.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All of it, unknown names included: they are errors."""
        return self.data
