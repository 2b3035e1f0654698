"""Model names: which spellings mean the same model.

Owns the whole list of spellings that budgetd treats as one name, for prices and for limits alike,
and `NameIndex`, which finds by them. A name is found only if one of its spellings *is* a name in
the index: there is no prefix, substring or nearest match, because `claude-opus-4-6-fast` costs six
times what `claude-opus-4-6` does. Knows nothing of any provider.

Spellings, in the order tried; each as it stands and with dots between digits as dashes (`4.5` is
`4-5`):

1. the name in lower case;
2. without a provider's prefix (`anthropic/`, `models/`) and without Claude Code's `[1m]` suffix;
3. with its date written otherwise (`-20260305`, `-2026-03-05`, `@20260305`);
4. without its date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

_DATE = re.compile(r"[-@](20\d\d)(-?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])$")
_DOT = re.compile(r"(?<=\d)\.(?=\d)")
_LONG_CONTEXT = "[1m]"


def spellings(name: str, prefixes: frozenset[str]) -> Iterator[str]:
    """The names that `name` may stand for, in lower case, most literal first.

    `prefixes` are the words that may be dropped before a slash.
    """
    literal = name.strip().lower()
    yield literal
    bare = literal.removesuffix(_LONG_CONTEXT)
    head, slash, rest = bare.partition("/")
    while slash and head in prefixes:
        bare = rest
        head, slash, rest = bare.partition("/")
    if bare != literal:
        yield bare
    if date := _DATE.search(bare):
        stem, (year, _, month, day) = bare[: date.start()], date.groups()
        yield f"{stem}-{year}-{month}-{day}"
        yield f"{stem}-{year}{month}{day}"
        yield f"{stem}@{year}{month}{day}"
        yield stem


def dashed(name: str) -> str:
    """The name with every dot between two digits as a dash."""
    return _DOT.sub("-", name)


def is_dated(name: str) -> bool:
    """Whether the name pins a snapshot by its date."""
    return _DATE.search(name.strip().lower().removesuffix(_LONG_CONTEXT)) is not None


class NameIndex(Generic[Entry]):
    """An immutable map from model names to entries, found by `spellings`."""

    __slots__ = ("_by_dashes", "_by_name", "prefixes")

    def __init__(self, named: Iterable[tuple[str, Entry]], prefixes: Iterable[str]) -> None:
        """Of entries with the same name the first stays.

        A name that two entries share only by its dashes finds neither.
        """
        by_name: dict[str, Entry] = {}
        by_dashes: dict[str, Entry | None] = {}
        for name, entry in named:
            literal = name.lower()
            if by_name.setdefault(literal, entry) is entry:
                key = dashed(literal)
                by_dashes[key] = entry if by_dashes.get(key, entry) is entry else None
        self._by_name: Mapping[str, Entry] = MappingProxyType(by_name)
        self._by_dashes: Mapping[str, Entry | None] = MappingProxyType(by_dashes)
        self.prefixes = frozenset(word.lower() for word in prefixes)

    def find(self, name: str) -> Entry | None:
        """The entry that one of the name's spellings names exactly, or None."""
        for spelling in spellings(name, self.prefixes):
            entry = self._by_name.get(spelling) or self._by_dashes.get(dashed(spelling))
            if entry is not None:
                return entry
        return None

    def items(self) -> Iterable[tuple[str, Entry]]:
        """Every (name, entry), names in lower case."""
        return self._by_name.items()
