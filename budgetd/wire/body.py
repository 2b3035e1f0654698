"""Request bodies: read few fields, change fewer, and pass the rest on as the same bytes.

A `Body` is the top level of a JSON object with every value left raw. A value is decoded only when
somebody asks for that one, and `emit` writes the object again with some values replaced, so a
duplicate key cannot mean one thing here and another at the provider. Strict parsing comes first;
what it refuses for reasons that providers do not share (lone surrogates, a byte order mark) is read
by the standard library, and everything else is the caller's fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, KeysView, Mapping
from typing import Any

import msgspec

from budgetd.errors import CallerFault

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_EMPTY = msgspec.Raw()
_ESCAPED = re.compile(rb"\\u00[4-7]")  # a letter or underscore, or a backslash before u00
_TRULY_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u00[4-7]")  # slower: after no odd backslash
_UTF8_BOM = b"\xef\xbb\xbf"


class Body:
    """The top level of a JSON object. `size` is the length in bytes of what was read."""

    __slots__ = ("_fields", "_odd_keys", "_words", "size")

    def __init__(
        self, fields: dict[str, msgspec.Raw], size: int, *, odd_keys: bool = False
    ) -> None:
        self._fields = fields
        self._odd_keys = odd_keys
        self._words: dict[str, memoryview] = {}
        self.size = size

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def names(self) -> KeysView[str]:
        """The names of its fields."""
        return self._fields.keys()

    def raw(self, name: str) -> bytes:
        """The bytes of a value, b"" if it is not there."""
        value = self._fields.get(name)
        return b"" if value is None else bytes(value)

    def view(self, name: str) -> memoryview:
        """The bytes of a value without a copy, empty if it is not there."""
        return memoryview(self._fields.get(name, _EMPTY))

    def words(self, name: str) -> memoryview:
        """A value's JSON to search for words in, without a copy; empty if it is not there. Letters
        that were written as escapes are letters here: no word hides behind one. Raises CallerFault.
        """
        seen = self._words.get(name)
        if seen is None:
            seen = self._words[name] = self._unescaped(name)
        return seen

    def _unescaped(self, name: str) -> memoryview:
        raw = memoryview(self._fields.get(name, _EMPTY))
        if not _ESCAPED.search(raw) or not _TRULY_ESCAPED.search(raw):
            return raw
        return memoryview(json.dumps(self.get(name)).encode())

    def get(self, name: str) -> Any:
        """A value decoded; None if it is absent or null. Raises CallerFault (400) if it cannot be:
        a field that nobody can read must not count as one that is not there.
        """
        value = self._fields.get(name)
        if value is None:
            return None
        try:
            return _ANY.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _lenient(name, bytes(value))

    def text(self, name: str) -> str | None:
        """A string value; None if absent or null. Raises CallerFault for another type."""
        value = self.get(name)
        if value is None or isinstance(value, str):
            return value
        raise _wrong_type(name, "a string")

    def flag(self, name: str) -> bool:
        """A boolean value; False if absent or null. Raises CallerFault for another type."""
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise _wrong_type(name, "true or false")

    def count(self, name: str) -> int | None:
        """A whole, non-negative number (1024.0 counts as one); None if absent or null. Raises
        CallerFault for anything else.
        """
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
            raise _wrong_type(name, "a whole number that is not negative")
        return value

    def emit(self, changes: Mapping[str, Any]) -> bytes:
        """The object again: `changes` encoded (None removes the field), everything else as the
        bytes it came in.
        """
        fields = dict(self._fields)
        for name, value in changes.items():
            if value is None:
                fields.pop(name, None)
            else:
                fields[name] = msgspec.Raw(msgspec.json.encode(value))
        if not self._odd_keys:
            return msgspec.json.encode(fields)
        return (
            b"{"
            + b",".join(json.dumps(k).encode() + b":" + bytes(v) for k, v in fields.items())
            + b"}"
        )


def parse(data: bytes) -> Body:
    """A request body. Raises CallerFault (400) if it is no JSON object."""
    try:
        return Body(_FIELDS.decode(data), len(data))
    except msgspec.ValidationError as error:
        raise _malformed("the body must be a JSON object") from error
    except RecursionError as error:
        raise _malformed("the body is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter: a key is not UTF-8
        return _parse_leniently(data, str(error))


def elements(array: memoryview) -> list[msgspec.Raw] | None:
    """The values of an array in a body, each as its bytes; None if it is no array, or nested deeper
    than anybody reads.
    """
    try:
        return _ITEMS.decode(array)
    except (msgspec.ValidationError, RecursionError):
        return None
    except msgspec.DecodeError:
        pass
    try:
        text = bytes(array).decode("utf-8", "surrogatepass")
        return [msgspec.Raw(_encoded(value)) for value in _listed(text)]
    except (ValueError, RecursionError):
        return None


def _parse_leniently(data: bytes, why: str) -> Body:
    """Read what the strict parser refused, if the standard library takes it, keeping each value's
    bytes.
    """
    try:
        text = data.removeprefix(_UTF8_BOM).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _malformed("the body is not UTF-8") from error
    try:
        fields = _top_level(text)
    except RecursionError as error:
        raise _malformed("the body is nested too deeply") from error
    except ValueError as error:
        raise _malformed(f"the body is not valid JSON: {why}") from error
    return Body(fields, len(data), odd_keys=True)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_LENIENT = json.JSONDecoder(parse_constant=_refuse_constant)
# Finds where values end: their numbers stay text, however long they are.
_SCANNER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=str, parse_float=str)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _expect(text: str, mark: str, position: int) -> int:
    if text[position : position + 1] != mark:
        raise ValueError(f"{mark!r} expected")
    return _skip(text, position + 1)


def _top_level(text: str) -> dict[str, msgspec.Raw]:
    """An object's keys with the source text of each value. Raises ValueError if it is none."""
    fields: dict[str, msgspec.Raw] = {}
    position = _expect(text, "{", _skip(text, 0))
    while text[position : position + 1] != "}":
        if fields:
            position = _expect(text, ",", position)
        key, position = _LENIENT.raw_decode(text, position)
        if not isinstance(key, str):
            raise ValueError("a key must be a string")
        position = _expect(text, ":", _skip(text, position))
        _, end = _SCANNER.raw_decode(text, position)
        fields[key] = msgspec.Raw(_encoded(text[position:end]))
        position = _skip(text, end)
    if _skip(text, position + 1) != len(text):
        raise ValueError("something follows the object")
    return fields


def _listed(text: str) -> Iterator[str]:
    """The source text of each value in an array. Raises ValueError if it is none."""
    start = position = _expect(text, "[", 0)
    while text[position : position + 1] != "]":
        if position > start:
            position = _expect(text, ",", position)
        _, end = _SCANNER.raw_decode(text, position)
        yield text[position:end]
        position = _skip(text, end)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _lenient(name: str, value: bytes) -> Any:
    try:
        return _LENIENT.decode(value.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise _malformed(f"{name!r} cannot be read") from error


def _malformed(message: str) -> CallerFault:
    return CallerFault(400, "invalid_json", message)


def _wrong_type(name: str, wanted: str) -> CallerFault:
    return CallerFault(400, "invalid_request", f"{name!r} must be {wanted}")
