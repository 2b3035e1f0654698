"""Policy: the rules an owner has set, as frozen values.

What `config` builds and everybody else reads: providers, keys, budgets and limits, already checked
and with everything that does not depend on a call computed once. A reload builds a whole new
`Rules` and swaps it in. Secrets are wrapped so that no repr, log or error can show them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from budgetd.core.budgets import Budget
from budgetd.core.caps import Caps
from budgetd.core.windows import Instant

DialectName = Literal["openai_chat", "anthropic"]
UnknownPrice = Literal["ceiling", "deny", "free"]
# What happens when a session goes in circles: it is recorded, told to the owner, or refused.
LoopPolicy = Literal["observe", "tell", "refuse"]
Custody = Literal[
    "pass_through", "issued"
]  # whose credential goes upstream: the agent's own, or ours

# Budgets by a name that callers bring, or by a pattern of it: an exact name comes first, then the
# first pattern that matches.
Named = tuple[tuple[str, tuple[Budget, ...]], ...]


def is_pattern(name: str) -> bool:
    """Whether a name stands for many."""
    return any(mark in name for mark in "*?[")


def which(names: Collection[str], name: str) -> str | None:
    """The one of `names` that stands for a name: itself, else the first pattern that matches it."""
    if name in names:
        return name
    return next((pattern for pattern in names if fnmatchcase(name, pattern)), None)


class Secret:
    """A credential that does not show itself. `reveal()` is the only way to its text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text: for a header that goes upstream, and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream API. `base_urls` holds one base per dialect, without a trailing slash; the
    dialect's own path (/v1/...) follows.
    """

    name: str
    base_urls: Mapping[DialectName, str]
    catalogue: str | None = (
        None  # its name in the price catalogue; None: only the operator's prices
    )
    credential: Secret | None = None  # injected for keys in `issued` custody
    credential_prefixes: tuple[str, ...] = ()  # "sk-ant-": a credential that begins so belongs here
    plan_prefixes: tuple[
        str, ...
    ] = ()  # "sk-ant-oat": such a credential is a flat-rate plan, booked as notional
    plan: bool = False  # everything here is under a flat-rate plan
    unknown_price: UnknownPrice = "deny"
    needs_credential: bool = True  # False: a local server; no credential of anybody is sent there
    asks_stream_usage: bool = False  # understands stream_options.include_usage
    shows_reasoning: bool = (
        False  # its models' reasoning is in the stream, and so is counted when one is cut
    )
    output_field: str = "max_tokens"  # the bound to set where a chat request states none
    bills_aborted: bool = False  # bills the whole answer although the client went away


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Who spends. `name` may be a pattern (agent-*): each name that matches gets these budgets for
    itself. `sessions` are budgets by the name, or a pattern, of a session.
    """

    name: str
    custody: Custody = "pass_through"
    budgets: tuple[Budget, ...] = ()  # with subject "key:<name>"; with a scope: of its sessions
    provider: str | None = None
    client: str | None = None  # overrides the detection of the client family
    fingerprints: frozenset[str] = frozenset()  # HMACs of the credentials that this key claims
    accounts: frozenset[str] = (
        frozenset()
    )  # provider account ids that this key claims (rotating OAuth tokens)
    label: str | None = None
    expires: Instant | None = None
    observe: bool = False
    sessions: Named = ()
    caps: Caps = field(default_factory=Caps)
    loops: LoopPolicy = "tell"

    @property
    def is_pattern(self) -> bool:
        """Whether the name stands for many keys."""
        return is_pattern(self.name)


@dataclass(frozen=True, slots=True)
class Route:
    """A model pattern that names its provider."""

    pattern: str
    provider: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a caller may ask of this process."""

    body_bytes: int = 32 * 1024 * 1024
    bodies_bytes: int = 512 * 1024 * 1024  # all request bodies in memory together
    header_bytes: int = 32 * 1024
    open_calls: int = 1000
    label_length: int = 128


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds. `idle` is without a byte from upstream, not in total: a stream
    has no total limit.
    """

    connect: float = 20.0
    idle: float = 900.0
    head: float = 30.0  # for a request's headers, and between pieces of its body
    drain_stream: float = 30.0  # reading on after the client went, to learn the price
    drain_whole: float = 120.0  # the same for an answer that is not streamed
    stop: float = 30.0  # for open calls at shutdown


@dataclass(frozen=True, slots=True)
class Estimation:
    """Allowances for input that bytes cannot bound. Tokens for one item each."""

    image_tokens: int = 5_000
    document_tokens: int = 250_000
    audio_tokens: int = 50_000
    search_tokens: int = 50_000  # what one server-side search may add to the input
    output_unknown: int = (
        8_192  # injected where neither the client nor the model table states a bound
    )
    output_floor: int = 1_024


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything an owner decided. Immutable; `generation` counts reloads."""

    providers: Mapping[str, Provider]
    keys: Mapping[str, KeyPolicy]  # exact names, the default key included
    default_key: str
    patterns: tuple[KeyPolicy, ...] = ()
    everything: tuple[Budget, ...] = ()  # on all keys together; with a scope: on anybody's sessions
    labels: Named = ()  # with subject "label:<name or pattern>"
    routes: tuple[Route, ...] = ()
    defaults: Mapping[DialectName, str] = field(default_factory=dict)  # dialect -> provider
    unpriced_paths: tuple[str, ...] = ()
    limits: Limits = Limits()
    patience: Patience = Patience()
    estimation: Estimation = Estimation()
    generation: int = 0

    def key(self, name: str) -> KeyPolicy | None:
        """The policy of a key by its name: an exact one, else the first pattern that matches. None:
        no such key.
        """
        exact = self.keys.get(name)
        if exact is not None:
            return exact
        for pattern in self.patterns:
            if fnmatchcase(name, pattern.name):
                return pattern
        return None
