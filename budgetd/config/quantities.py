"""Quantities: how an owner writes money, time and size, and how it is written back.

Each kind has a parser (text to number, ValueError in the owner's words), a text form that parses to
the same number, and a pydantic type. Units are always written: a bare 30 could be seconds or
minutes and is refused, except for bytes. Dollars stay `Decimal` until `build` makes them
pico-dollars; durations are whole milliseconds, sizes bytes, times of day minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from budgetd.config.problems import did_you_mean
from budgetd.core.money import MAX_PICO, PICO_PER_USD
from budgetd.core.windows import duration_text

AMOUNT = re.compile(r"\$?(\d{1,12}(?:\.\d{1,12})?)", re.ASCII)
DURATION = re.compile(
    r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,8})h)?(?:(\d{1,10})m(?!s))?(?:(\d{1,12})s)?(?:(\d{1,15})ms)?",
    re.ASCII,
)
DURATION_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
SIZE = re.compile(r"(\d{1,18}) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?", re.ASCII)
SIZE_UNITS = {
    "GiB": 1024**3, "MiB": 1024**2, "KiB": 1024,
    "GB": 1000**3, "MB": 1000**2, "KB": 1000, "kB": 1000, "B": 1,
}  # fmt: skip  # the pairs read best together
TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

MAX_AMOUNT = Decimal(MAX_PICO // PICO_PER_USD)
MAX_DURATION = 400 * 86_400_000
MAX_SIZE = 1024**4


def usd(value: object) -> Decimal:
    """Dollars from 2, 2.50, "2.50" or "$2.50". Never negative; the digits are kept as written."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        value = f"{value:f}" if isinstance(value, Decimal) else str(value)
    match = AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be an amount in dollars, like 2.50")
    amount = Decimal(match[1])
    if amount > MAX_AMOUNT:
        raise ValueError(f"must be at most {MAX_AMOUNT} dollars")
    return amount


def usd_written(amount: Decimal) -> str:
    """Dollars as an owner writes them: at least two places, no more than there are."""
    text = f"{amount:f}"
    return text if "." in text and len(text.partition(".")[2]) >= 2 else f"{amount:.2f}"


def duration(value: object) -> int:
    """Milliseconds from 500ms, 30s, 90m, 5h, 1h30m, 2d."""
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration with its unit, like 30s, 90m, 5h or 1h30m")
    total = sum(
        int(count or 0) * unit
        for count, unit in zip(match.groups(), DURATION_UNITS.values(), strict=True)
    )
    if total > MAX_DURATION:
        raise ValueError("must be at most 400d")
    return total


def size(value: object) -> int:
    """Bytes from 32MiB, 64KiB, 10MB or a bare number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a size, like 32MiB or 64KiB")
    total = int(match[1]) * SIZE_UNITS[match[2] or "B"]
    if not 0 < total <= MAX_SIZE:
        raise ValueError("must be between 1 byte and 1024GiB")
    return total


def size_written(count: int) -> str:
    """The shortest exact text of a size in binary units."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % SIZE_UNITS[unit] == 0:
            return f"{count // SIZE_UNITS[unit]}{unit}"
    return f"{count}B"


def time_of_day(value: object) -> int:
    """Minutes after midnight from 04:00."""
    match = TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time of day with two digits each, like 04:00")
    return int(match[1]) * 60 + int(match[2])


def time_of_day_written(minutes: int) -> str:
    """Minutes after midnight as HH:MM."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def moment(value: object) -> datetime:
    """A date with a time, like 2026-12-31T23:59; with an offset, or in the zone of the place where
    it stands.
    """
    try:
        if not isinstance(value, str) or len(value) < 16:
            raise ValueError
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            "must be a date with a time, like 2026-12-31T23:59 or 2026-12-31T23:59+01:00"
        ) from None
    if not 1970 < parsed.year < 2200:
        raise ValueError("must be between 1971 and 2199")
    return parsed


def zone(value: object) -> str:
    """The name of a time zone."""
    try:
        if not isinstance(value, str):
            raise ValueError
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        hint = did_you_mean(value, available_timezones()) if isinstance(value, str) else ""
        raise PydanticCustomError(
            "zone", "must be the name of a time zone, like Europe/Berlin", {"hint": hint}
        ) from None
    return value


def count(value: object) -> int:
    """A whole number, as YAML has it or as the text of an environment variable."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise ValueError("must be a whole number, without a sign or a unit")
    return value


def flag(value: object) -> bool:
    """true or false; yes, no, on and off too, because owners write them."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def at_least(least: int, written: str) -> AfterValidator:
    """A lower bound on a number; `written` is how an owner would write that bound."""

    def check(value: int) -> int:
        if value < least:
            raise ValueError(f"must be at least {written}")
        return value

    return AfterValidator(check)


def at_most(most: int, written: str) -> AfterValidator:
    """An upper bound on a number."""

    def check(value: int) -> int:
        if value > most:
            raise ValueError(f"must be at most {written}")
        return value

    return AfterValidator(check)


def _written(form: Callable[[Any], str]) -> PlainSerializer:
    return PlainSerializer(form, return_type=str, when_used="json")


def _either(kind: str, pattern: str, examples: list[str]) -> WithJsonSchema:
    text = {"type": "string", "pattern": f"^({pattern})$"}
    return WithJsonSchema({"anyOf": [{"type": kind, "minimum": 0}, text], "examples": examples})


def _text(pattern: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", "examples": examples})


Usd = Annotated[
    Decimal,
    BeforeValidator(usd),
    _written(usd_written),
    _either("number", AMOUNT.pattern, ["2.00", "$0.50"]),
]
Duration = Annotated[
    int,
    BeforeValidator(duration),
    _written(duration_text),
    _text(r"(\d+(d|h|ms|m|s))+", ["30s", "5h", "1h30m"]),
]
Size = Annotated[
    int, BeforeValidator(size), _written(size_written), _either("integer", SIZE.pattern, ["32MiB"])
]
TimeOfDay = Annotated[
    int,
    BeforeValidator(time_of_day),
    _written(time_of_day_written),
    _text(TIME_OF_DAY.pattern, ["04:00"]),
]
Zone = Annotated[
    str,
    BeforeValidator(zone),
    WithJsonSchema({"type": "string", "examples": ["Europe/Berlin", "UTC"]}),
]
Moment = Annotated[
    datetime,
    BeforeValidator(moment),
    _written(datetime.isoformat),
    _text(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", ["2026-12-31T23:59"]),
]
Count = Annotated[int, BeforeValidator(count), WithJsonSchema({"type": "integer", "minimum": 0})]
Flag = Annotated[bool, BeforeValidator(flag), WithJsonSchema({"type": "boolean"})]
