"""What every dialect answers: the questions that the rest of budgetd may ask of a wire protocol.

A dialect is one module with a `Dialect` value at its end and one line in `wire.dialects`. It says
which paths are its own, reads the few facts of a request that money depends on, names the fields to
rewrite, taps the answer for usage, and writes errors in its own shape. It knows nothing of budgets,
keys or providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from budgetd.core.estimate import Facts
from budgetd.core.policy import DialectName
from budgetd.core.usage import Reported
from budgetd.wire.body import Body
from budgetd.wire.history import Fields


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a dialect can be asked. `spends` False: it costs nothing and is passed on without a
    hold.
    """

    name: str
    method: str
    path: str  # the provider's own, "/v1/messages"; a trailing "/*" stands for one more segment
    spends: bool = True
    listing: bool = False  # the list of models, which budgetd can answer by itself
    history: Fields | None = None  # where a request holds its conversation, if it has one


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error that budgetd itself answers. `details` goes into the error object under "budgetd",
    `members` into the object itself; `kind` is its type where a dialect leaves that word free.
    """

    status: int
    code: str
    message: str
    details: Mapping[str, Any] | None = None
    members: Mapping[str, Any] | None = None
    kind: str | None = None


class Tap(Protocol):
    """Reads an answer as it passes. Every byte that goes in comes out, but for a usage chunk the
    client did not ask for.
    """

    @property
    def terminal(self) -> bool:
        """Whether the protocol's own end was seen."""

    @property
    def reported(self) -> Reported | None:
        """Usage, as far as it is known by now."""

    @property
    def visible_bytes(self) -> int:
        """Bytes of output that the client can see."""

    @property
    def mark(self) -> int:
        """What the next request of the conversation will show of this answer (`wire.answers`), 63
        bits; 0 if that is not known.
        """

    def feed(self, chunk: bytes) -> bytes:
        """What of this chunk (and of what was kept back) goes on to the client now."""

    def finish(self) -> bytes:
        """The rest, when upstream has ended."""

    def ending(self) -> bytes | None:
        """Bytes that end the stream legally after what was passed on so far, none if it has ended.
        None while a tool call is open or an event half sent (from then on only whole events pass),
        or where there is no such ending.
        """


class Dialect(Protocol):
    """One wire protocol."""

    @property
    def name(self) -> DialectName:
        """Its word in the configuration."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What it can be asked."""

    @property
    def reasons_unasked(self) -> bool:
        """Whether its models may bill reasoning that the request did not ask for."""

    def credential_header(self, secret: str) -> tuple[str, str]:
        """The header that carries a provider's credential: name and value."""

    def read(self, operation: Operation, body: Body) -> Facts:
        """The facts of a request. Raises CallerFault where a field that money depends on has the
        wrong type.
        """

    def limit_output(self, facts: Facts, bound: int, field: str) -> dict[str, Any]:
        """Top-level fields that set the output bound; `field` is the name to use where the client
        set none.
        """

    def ask_usage(self, body: Body) -> dict[str, Any]:
        """Top-level fields that make a stream report its usage; empty where it does so anyway."""

    def tap(
        self, operation: Operation, *, streamed: bool, hide_usage: bool, encoding: str = ""
    ) -> Tap:
        """A tap for an answer: `streamed` by its content type, `hide_usage` where `ask_usage` asked
        in the client's stead, `encoding` its Content-Encoding (nothing can be hidden in one).
        """

    def error(self, complaint: Complaint) -> bytes:
        """The body of an error answer."""


class Blind:
    """A tap for an answer that costs nothing: passes everything, reports nothing."""

    __slots__ = ("mark", "reported", "terminal", "visible_bytes")

    def __init__(self) -> None:
        self.mark = 0
        self.terminal = False
        self.reported: Reported | None = None
        self.visible_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """The chunk."""
        return chunk

    def finish(self) -> bytes:
        """Nothing is kept back."""
        self.terminal = True
        return b""

    def ending(self) -> bytes | None:
        """There is no such ending."""
        return None
