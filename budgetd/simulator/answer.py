"""What every dialect hands to the delivery: an answer, its events, and refusals.

Owns the values between the dialects, which know shapes, and the delivery, which knows sockets:
`Call` in, `Answer` or a raised `Refusal` out. Also the generation that all dialects share:
which of text or tool call a script wants, cut at the output bound of the request.
It knows no dialect's field names, and does no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from budgetd.simulator.cache import PromptCache
from budgetd.simulator.prices import Model, Tokens
from budgetd.simulator.script import Script
from budgetd.simulator.tokens import BYTES_PER_TOKEN, clip, count_bytes, spell, utf8

Json = dict[str, object]

REASONING_BY_DEFAULT = 32


@dataclass(frozen=True, slots=True)
class Bench:
    """What the provider remembers and offers: models by name, the prompt cache, its clock."""

    models: Mapping[str, Model]
    cache: PromptCache
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Call:
    """One request after authentication. `id` is the request id and the id of its bill line;
    `created` is Unix seconds, the same in every chunk of the answer."""

    id: str
    created: int
    body: Json
    script: Script
    credential: str
    bench: Bench

    def scope(self, model: Model) -> str:
        """What cached prefixes are not shared across."""
        return f"{model.name}\0{self.credential}"


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event, and what must be charged before it is sent."""

    data: str
    name: str | None = None
    output: int = 0
    reasoning: int = 0
    searches: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything about one answer before any of it is sent.

    `whole` is the answer in one body, with `tokens` as its full cost. `events` starts a fresh
    stream of it, None where the request cannot stream. A model of None: nothing is billed.
    """

    whole: Json
    tokens: Tokens
    model: Model | None
    tier: str = "default"
    stream: bool = False
    events: Callable[[], Iterator[Event]] | None = None
    deltas: int = 1

    def stream_events(self) -> Iterator[Event]:
        """A fresh stream; no events where the request cannot stream."""
        return iter(()) if self.events is None else self.events()

    @property
    def prompt(self) -> Tokens:
        """What is charged when generation begins."""
        told = self.tokens
        return Tokens(told.input, told.cache_read, told.write_5m, told.write_1h)


class Refusal(Exception):
    """An answer with an error status; the dialect's table turns it into that dialect's shape."""

    def __init__(
        self, status: int, message: str, *, kind: str | None = None, **details: str | None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = details.get("code")
        self.param = details.get("param")


@dataclass(frozen=True, slots=True)
class Draft:
    """One generated choice: hidden reasoning, then a text or a tool call."""

    reasoning: int
    text: str
    tool: str | None
    clipped: bool

    @property
    def visible(self) -> int:
        """Tokens of what the client sees; a tool's name is a part of its call."""
        return count_bytes(len(utf8(self.tool or "")) + len(utf8(self.text)))

    @property
    def output(self) -> int:
        """All output tokens."""
        return self.reasoning + self.visible

    def fragments(self, chunk_tokens: int) -> Iterator[tuple[str, int]]:
        """The text in deltas, each with the tokens it adds; a tool's name counts in the first."""
        step = max(chunk_tokens, 1) * BYTES_PER_TOKEN
        size, told = len(utf8(self.tool or "")), 0
        for at in range(0, len(self.text), step):
            fragment = self.text[at : at + step]
            size += len(utf8(fragment))
            yield fragment, count_bytes(size) - told
            told = count_bytes(size)


def draft(script: Script, limit: int, *, thinks: bool, tool: bool) -> Draft:
    """Generate one choice within `limit` output tokens. `tool`: answer with the tool call."""
    wanted = REASONING_BY_DEFAULT if thinks else 0
    if script.reasoning_tokens is not None:
        wanted = script.reasoning_tokens
    reasoning = min(wanted, limit)
    room = limit - reasoning
    if tool and script.tool is not None:
        full = Draft(reasoning, script.arguments, script.tool, clipped=False)
        if full.visible <= room:
            return full
        left = max(room * BYTES_PER_TOKEN - len(utf8(script.tool)), 0)
        text = utf8(script.arguments)[:left].decode("utf-8", "ignore")
        return Draft(reasoning, text, script.tool if text else None, clipped=True)
    wish = spell(script.tokens) if script.text is None else script.text
    text = clip(wish, room)
    return Draft(reasoning, text, None, clipped=text != wish or wanted > limit)


def dumps(value: object) -> str:
    """JSON as providers send it: compact, and not escaped to ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def whole_number(value: object, name: str) -> int | None:
    """An optional count in a request; 400 for what is neither null nor a whole number."""
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | str) else None
    except ValueError:
        number = None
    if number is None or isinstance(value, bool) or number != int(number) or number < 1:
        raise Refusal(400, f"{name}: expected a positive integer, got {value!r}", param=name)
    return int(number)
