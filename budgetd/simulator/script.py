"""Scripts: what the simulated provider answers, how fast, and what goes wrong.

Owns the `Script` value and its readings from JSON. A script can come from three places; each
names only the fields that it changes, and the later one wins:
  1. the simulator's default script (constructor, `sim.script = ...`, or POST /_sim/script);
  2. `SIM{...}` in the text of the newest user message that has one, so that a person or an
     agent can steer through a real client; `SIM{}` returns a conversation to the default;
  3. the request header `x-sim-script: {...}`.
Events are counted from 1; "after event 0" is after the headers and before the first event.
Every event with data counts, Anthropic's pings and OpenAI's `[DONE]` included; comments do not.
It knows nothing of sockets, dialects or money.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

Flavour = Literal["openai", "openrouter", "groq", "kimi", "deepseek", "xai", "mistral"]
Limits = Literal["anthropic", "unified_5h", "unified_7d", "openai"]
Aborted = Literal["delivered", "complete"]


class ScriptError(ValueError):
    """A script that cannot be read: an unknown field, or a value of the wrong type."""


@dataclass(frozen=True, slots=True)
class Script:
    """One behaviour. Times are seconds; counts of tokens are the toy tokenizer's.

    The answer
      text, tokens: the visible answer, or its length when there is no text.
      chunk_tokens: tokens in one delta.
      tool, arguments: call this tool (arguments: JSON text, or an object) if the request offers
        it, `tool_rounds` times after each user message; then answer with the text.
      reasoning_tokens: hidden tokens per choice, part of the output. None: 32 where the model
        reasons (o-series, gpt-5, thinking enabled), else 0.
      web_searches: searches made if the request offers Anthropic's web search.
      service_tier, response_model: what the answer reports instead of the truth that was asked.
      cache_minimum: fewest tokens of a cached Anthropic prefix.
    The pace
      first_byte: before the headers. pace: between events; a whole answer takes as long.
    The bill
      bills_aborted: "delivered" charges what was sent, "complete" charges the whole answer when
        the stream breaks or the client leaves. bill_failed_input: a 500, 502, 504 or a dropped
        connection charges the prompt.
    The way usage is told
      flavour, omit_usage, rejects_stream_options (as a 400).
    Faults
      status (with error_type, error_code, message, error_body, and headers from retry_after,
        retry_after_date, retry_after_ms, limits, reset_in), drop_before_headers,
      cut_after_event (closes the connection), reset_after_event (TCP reset), stall_after_event
        (nothing more, for ever), end_after_event (a legal end of the body, events missing),
        error_after_event (an error event, then a legal end), malformed_after_event (an event
        that is no JSON, then on as before),
      content_type: "application/json" answers a stream request with one JSON body; anything else
        is sent as the type of the stream. fail_first: only the first N requests of this script
        see its faults.
    The framing
      crlf, comments (`: OPENROUTER PROCESSING` before each event), compress (gzip for whole
        answers, when accepted), headers (added to every answer).
    """

    text: str | None = None
    tokens: int = 16
    chunk_tokens: int = 4
    tool: str | None = None
    arguments: str = "{}"
    tool_rounds: int = 1
    reasoning_tokens: int | None = None
    web_searches: int = 0
    service_tier: str | None = None
    response_model: str | None = None
    cache_minimum: int = 1024
    first_byte: float = 0.0
    pace: float = 0.0
    bills_aborted: Aborted = "delivered"
    bill_failed_input: bool = False
    flavour: Flavour = "openai"
    omit_usage: bool = False
    rejects_stream_options: bool = False
    status: int = 200
    error_type: str | None = None
    error_code: str | None = None
    message: str | None = None
    error_body: str | None = None
    retry_after: int | None = None
    retry_after_date: int | None = None
    retry_after_ms: int | None = None
    limits: Limits | None = None
    reset_in: float = 60.0
    fail_first: int | None = None
    drop_before_headers: bool = False
    cut_after_event: int | None = None
    reset_after_event: int | None = None
    stall_after_event: int | None = None
    end_after_event: int | None = None
    error_after_event: int | None = None
    malformed_after_event: int | None = None
    content_type: str | None = None
    crlf: bool = False
    comments: bool = False
    compress: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def fails_before_answer(self) -> bool:
        """Whether the request gets an error status or no answer at all."""
        return self.status != HTTPStatus.OK or self.drop_before_headers

    @property
    def bills_failure(self) -> bool:
        """Whether such a request is charged its prompt; 4xx, 503 and 529 never are."""
        return self.bill_failed_input and self.status in _BILLABLE

    def calm(self) -> Script:
        """This script without its faults, for the requests after `fail_first`."""
        return replace(self, **{name: getattr(DEFAULT, name) for name in _FAULTS})


DEFAULT = Script()

_FAULTS = (
    "status",
    "drop_before_headers",
    "cut_after_event",
    "reset_after_event",
    "stall_after_event",
    "end_after_event",
    "error_after_event",
    "malformed_after_event",
    "content_type",
)
_BILLABLE = (200, 500, 502, 504)  # 200: a connection dropped without a status
_FIELDS = frozenset(field.name for field in fields(Script))
_HINTS = get_type_hints(Script)


def amend(base: Script, changes: Mapping[str, object]) -> Script:
    """`base` with the named fields changed.

    `arguments` may be an object, `headers` an object of strings.
    Raises ScriptError for an unknown field or a value of the wrong type.
    """
    values: dict[str, object] = {}
    for name, given in changes.items():
        if name not in _FIELDS:
            raise ScriptError(f"unknown script field {name!r}")
        values[name] = value = _normal(name, given)
        if name != "headers" and not _fits(value, _HINTS[name]):
            raise ScriptError(f"script field {name!r} cannot be {given!r}")
    return replace(base, **values)  # type: ignore[arg-type]  # checked above, field by field


def read_script(text: str, base: Script = DEFAULT) -> Script:
    """A script from a JSON object in `text`. Raises ScriptError."""
    try:
        changes = json.loads(text)
    except ValueError as error:
        raise ScriptError(f"script is not JSON: {error}") from error
    if not isinstance(changes, dict):
        raise ScriptError("script is not a JSON object")
    return amend(base, changes)


def spoken(texts: list[str], base: Script) -> Script:
    """`base` as changed by the newest `SIM{...}` in a conversation's user texts, oldest first.

    What follows SIM and is not a JSON object is ordinary text. Raises ScriptError for the rest.
    """
    decoder = json.JSONDecoder()
    for text in reversed(texts):
        at = text.rfind("SIM{")
        if at < 0:
            continue
        try:
            changes, _ = decoder.raw_decode(text, at + len("SIM"))
        except ValueError:
            continue
        return amend(base, changes)
    return base


def _normal(name: str, given: object) -> object:
    """JSON's form of the two fields that a frozen value cannot hold as they are written."""
    if name == "arguments" and isinstance(given, Mapping):
        return json.dumps(given)
    if name == "headers":
        if not isinstance(given, Mapping):
            raise ScriptError("script field 'headers' is not an object")
        return tuple((str(key), str(text)) for key, text in given.items())
    return given


def _fits(value: object, hint: object) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)
