"""Figures in an answer's JSON: read exactly, and never trusted to be sane.

Usage objects come from many servers. A count may be missing, null, a float or nonsense, and none of
that may raise, turn negative or outgrow a ledger row; a stated amount of money is read as its
decimal text, never as a float. What a field means is the dialects' business.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

MOST_TOKENS = 10**9  # more than any answer has; keeps every product of counts and rates in 64 bits

_EXACT = msgspec.json.Decoder(float_hook=Decimal)
_WORD = msgspec.json.Decoder(str)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NULL = b"null"
_T = TypeVar("_T")


def json_object(data: bytes) -> dict[str, Any] | None:
    """A JSON object, its fractions as Decimal; None for anything else."""
    try:
        value = _EXACT.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        try:
            value = json.loads(data, parse_float=Decimal)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def is_count(value: Any) -> bool:
    """Whether a number is stated: a stated zero is a figure, a missing one is none."""
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def count(value: Any) -> int:
    """A number of tokens: 0 for what is no number or negative; fractions round up."""
    if not is_count(value) or not value > 0:
        return 0
    whole: int = math.ceil(min(value, MOST_TOKENS))
    return whole


def members(value: Any) -> Mapping[str, Any]:
    """An object's members, none for anything else."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str | None:
    """A string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def present(raw: bytes) -> bool:
    """Whether a raw JSON value is there and not null."""
    return bool(raw) and raw != _NULL


def without_surrogates(data: bytes) -> bytes:
    """The same JSON with escaped surrogates replaced, for strict readers. As long as it was."""
    return _SURROGATE.sub(rb"\\ufffd", data)


def decoded(reader: msgspec.json.Decoder[_T], data: bytes) -> _T | None:
    """What a typed reader makes of a JSON document, escaped surrogates or not; None if nothing."""
    try:
        return reader.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return reader.decode(without_surrogates(data))
    except (msgspec.MsgspecError, RecursionError):
        return None


def word(raw: bytes) -> str | None:
    """A raw JSON string decoded; None for anything else, and for an empty one."""
    try:
        return _WORD.decode(raw) or None
    except msgspec.MsgspecError:
        return None
