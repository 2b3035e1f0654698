"""What a message holds, in one form, whatever form it came in.

Values are read from JSON and written again with sorted keys and exact numbers; words are told from
thoughts and from what surrounds them. Who said them, and what follows from that, is for others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from budgetd.wire.figures import members

MOST_PARTS = 4_096  # of one message that are looked at one by one; the rest counts as one more
MOST_CALLS = 128  # of one answer, and as many results, that are told apart
LONGEST_NAME = 128  # characters of a call's id, and of a tool's name: what is longer is cut
SPACE = b" \t\n\r\v\f\x1c\x1d\x1e\x1f"

_ANY = msgspec.json.Decoder(float_hook=Decimal)
_LENIENT = json.JSONDecoder(parse_float=Decimal)
_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")
_WIDE_SPACE = re.compile(  # what Unicode has besides, in UTF-8
    rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80"
)
_WORDS = frozenset({"text", "input_text", "output_text"})


class UnreadableError(ValueError):
    """Bytes are not JSON that anybody could read."""


def decoded(raw: bytes | memoryview) -> Any:
    """A JSON value, its fractions as Decimal, lone surrogates as they are. Raises UnreadableError."""
    try:
        return _ANY.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _LENIENT.decode(bytes(raw).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise UnreadableError from error


def check_names(raw: bytes, value: Any) -> None:
    """Raises UnreadableError where `raw`, of which `value` was read, has an object with two members
    of one name: we read the last, and a provider may read the first.
    """
    marks = canonical(value).count(b'"')
    if raw.count(b'"') == marks and b"\\u0022" not in raw:  # every name that is left out had two
        return
    try:
        _NAMED.decode(raw.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise UnreadableError from error


def _named_once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise UnreadableError


_NAMED = json.JSONDecoder(object_pairs_hook=_named_once, parse_int=str, parse_float=str)


def canonical(value: Any) -> bytes:
    """A JSON value as bytes that do not depend on how it was written. Raises RecursionError."""
    try:
        return _SORTED.encode(value)
    except UnicodeEncodeError:  # lone surrogates
        return json.dumps(value, sort_keys=True, default=str).encode()


def arguments_of(given: Any) -> Any:
    """A tool's arguments, which some dialects send as JSON in a string; free text as it is."""
    if not isinstance(given, str):
        return {} if given is None else given
    try:
        return decoded(given.encode("utf-8", "surrogatepass")) if given else {}
    except UnreadableError:
        return given


def is_nothing(value: Any) -> bool:
    """Whether a member says nothing: as good as not there."""
    return value is None or value is False or (isinstance(value, (str, list, dict)) and not value)


def parts_of(content: Any) -> Iterator[Any]:
    """The parts of a message's content: words by themselves are one."""
    if isinstance(content, list):
        yield from content[:MOST_PARTS]
        content = content[MOST_PARTS:]
    if not is_nothing(content):
        yield content


def kind_of(part: Any) -> str:
    """A part's or an entry's type, "" if it has none."""
    kind = members(part).get("type")
    return kind if isinstance(kind, str) else ""


def is_plain(part: Mapping[str, Any]) -> bool:
    """Whether a part is words and nothing else, or nothing at all."""
    return part.keys() <= {"type", "text"} and _is_words(part)


def words_of(part: Any) -> str:
    """The words of a part, "" if it is none of words. Thoughts are none."""
    if isinstance(part, str):
        return part
    told = members(part)
    if told.get("thought") is True or not _is_words(told):
        return ""
    return str(told.get("text", ""))


def _is_words(part: Mapping[str, Any]) -> bool:
    kind = part.get("type") is None or kind_of(part) in _WORDS
    return kind and isinstance(part.get("text", ""), str)


def squeezed(text: str) -> bytes:
    """Words without any space between: clients trim what they send back."""
    return without(SPACE, text.encode("utf-8", "surrogatepass"))


def without(ascii_space: bytes, data: bytes) -> bytes:
    """UTF-8 without these characters, and without any space beyond ASCII."""
    data = data.translate(None, ascii_space)
    return data if data.isascii() else _WIDE_SPACE.sub(b"", data)
