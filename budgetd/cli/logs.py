"""The daemon's log: one line per event on standard error, as text for people or JSON for machines.

Owns how a line looks and what may not be in it: whatever looks like a credential is cut out of
every line, whoever wrote it (a library's complaint about a header would quote the header). Writing
never raises into a request: a log that nobody can take any more is dropped. The libraries' own
logging ends up here too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal

import msgspec
import structlog

from budgetd.core.money import usd_display, usd_text
from budgetd.runtime import Clock, SystemClock

Format = Literal["auto", "text", "json"]
Event = MutableMapping[str, Any]

# The lookahead is for speed: most letters begin none of them.
CREDENTIAL = re.compile(
    rb"(?<![A-Za-z0-9])(?=[sgxbhftAyeB])(?:"
    rb"(?:sk|gsk|xai|bgd|bga|ghp|gho|hf|fw|tgp)[-_]|AIza|AKIA|ya29\.|eyJ|([Bb]earer|Basic|basic) +"
    rb")[\w.~+/=-]{4,}"
)
MONEY = "cost"  # pico-dollars in an event; dollars in a line
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(
    level: str, wanted: Format, stream: BinaryIO | None = None, clock: Clock | None = None
) -> None:
    """Set up structlog and the standard library's logging for this process. `stream` is standard
    error unless given; on a terminal `auto` is text.
    """
    out = stream or sys.stderr.buffer
    terminal = out.isatty()
    text = wanted == "text" or (wanted == "auto" and terminal)
    line = _Text(colours=terminal) if text else _json_line
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info if not text else _unchanged,
            _Line(line, clock or SystemClock()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: Sink(out),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(logging.WARNING)
    logging.getLogger("budgetd").setLevel(LEVELS[level])


class Sink:
    """Takes finished lines. What cannot be written is lost, silently: a call matters more."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        """One line, with its end, in one piece."""
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = msg = write


class _Line:
    """The last processor: an event to the bytes of its line."""

    def __init__(self, render: Callable[[str, str, Event], bytes], clock: Clock) -> None:
        self._render = render
        self._clock = clock

    def __call__(self, _logger: Any, level: str, event: Event) -> bytes:
        at = datetime.fromtimestamp(self._clock.wall() / 1000, UTC)
        stamp = at.isoformat(timespec="milliseconds")[:-6] + "Z"
        return CREDENTIAL.sub(_hide, self._render(stamp, level, event))


def _hide(found: re.Match[bytes]) -> bytes:
    return (found[1] + b" " if found[1] else b"") + b"(hidden)"


def _json_line(stamp: str, level: str, event: Event) -> bytes:
    line = {"at": stamp, "level": level, "event": event.pop("event", ""), **event}
    if MONEY in line:
        line["cost_usd"] = usd_text(line.pop(MONEY))
    try:
        return _ENCODER.encode(line) + b"\n"
    except (UnicodeEncodeError, TypeError):  # a lone surrogate in a model's name, an odd key
        return json.dumps(line, default=str, skipkeys=True).encode() + b"\n"


_ENCODER = msgspec.json.Encoder(enc_hook=str)


class _Text:
    """A line for people: time, level, what happened, the rest as name=value."""

    def __init__(self, *, colours: bool) -> None:
        # Tracebacks without the values of variables: those may be credentials.
        self._console = structlog.dev.ConsoleRenderer(
            colors=colours,
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
            sort_keys=False,
        )

    def __call__(self, stamp: str, level: str, event: Event) -> bytes:
        shown = {"timestamp": stamp[11:19], "level": level}
        shown |= {name: value for name, value in event.items() if value is not None}
        if MONEY in shown:
            shown[MONEY] = usd_display(event[MONEY])
        return (self._console(None, level, shown) + "\n").encode(errors="backslashreplace")


def _unchanged(_logger: Any, _level: str, event: Event) -> Event:
    return event


class _Bridge(logging.Handler):
    """Brings what libraries log to the same place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        level = record.levelno // 10 * 10
        log = structlog.get_logger(record.name)
        log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
