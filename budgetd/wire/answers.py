"""Marks of answers: by what the next request shows of an answer, it is known whose it was.

The same mark is made twice: from a stream as it passes (`Answer`), and from the items of a history
that hold the answer (`mark_of`). It is made of the ids of the tool calls if there are any, because
a provider makes those up and a client sends them back; else of the words, without space, because
clients trim. Thoughts are left out: clients drop or seal them. No word is kept. By a mark alone anybody
could try out which words it is of, so what is stored is `sealed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice, takewhile

import msgspec
from xxhash import xxh3_64, xxh3_64_intdigest

from budgetd.core.transcript import Item
from budgetd.wire.content import (
    LONGEST_NAME,
    MOST_CALLS,
    UnreadableError,
    decoded,
    parts_of,
    squeezed,
    without,
    words_of,
)
from budgetd.wire.items import read_entry

BATCH = 16  # pieces of words that are hashed together
LONG = 1_024  # bytes of a piece that is not kept waiting

_STRINGS = msgspec.json.Decoder(list[str])
_PLAIN = re.compile(rb'(?:"[^"\\]*")*')  # JSON strings without an escape
_NOT_WORDS = b'" '  # what of them is no word: in there a tab or line end is an escape
_DECORATION = re.compile(r"[\W_]+")


class Answer:
    """Gathers the mark of an answer that comes in pieces. Holds a few hundred bytes."""

    __slots__ = ("_hash", "_ids", "_nameless", "_pieces", "_silent")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._hash = xxh3_64()
        self._silent = True
        self._ids: list[str] = []
        self._nameless = False

    def words(self, raw: bytes) -> None:
        """A piece of what is said: the JSON of a string, or of the parts of a message."""
        if raw == b"null":
            return
        self._pieces.append(raw)
        if len(self._pieces) >= BATCH or len(raw) > LONG:
            self._take_in()

    def call(self, at: str | None) -> None:
        """A tool call's id; the same one again is no other call. None: a call without one, for
        which its client will make one up.
        """
        if not at:
            self._nameless = self._nameless or not self._ids
        elif (cut := at[:LONGEST_NAME]) not in self._ids and len(self._ids) < MOST_CALLS:
            self._ids.append(cut)

    @property
    def mark(self) -> int:
        """The mark, 63 bits; 0 if nothing was said, or nothing by which it will be known again."""
        self._take_in()
        if self._nameless:
            return 0
        if self._ids:
            return _of_ids(self._ids)
        return 0 if self._silent else self._hash.intdigest() >> 1

    def _take_in(self) -> None:
        """Hash the pieces that wait."""
        whole = b"".join(self._pieces)
        if _PLAIN.fullmatch(whole):
            words = without(_NOT_WORDS, whole)
        else:
            words = _spelled_out(self._pieces)
        self._pieces.clear()
        if words:
            self._hash.update(words)
            self._silent = False


def mark_of(items: Sequence[Item]) -> int:
    """The mark of the answer that a history goes on with: the assistant's items at its beginning.
    0 if there are none, or several that say something.
    """
    said = list(takewhile(lambda item: item.author == "assistant", items))
    ids = dict.fromkeys(call.id for item in said for call in item.calls)
    if ids:
        return _of_ids(islice(ids, MOST_CALLS))
    words = [item.says for item in said if item.says]
    return words[0] if len(words) == 1 else 0


def mark_of_message(raw: bytes) -> int:
    """The mark of an answer that came whole: the JSON of its message."""
    return mark_of((read_entry(memoryview(raw), 0).item,))


def sealed(mark: int, seed: int) -> int:
    """A mark as it is stored, 63 bits: of no use without this installation's seed. 0 stays 0."""
    if not mark:
        return 0
    key = seed.to_bytes(8, "little")
    digest = blake2b(mark.to_bytes(8, "little"), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 or 1


def _of_ids(ids: Iterable[str]) -> int:
    """Some clients rewrite ids for another provider's taste: letters and digits stay."""
    told = "\0".join(_DECORATION.sub("", at[:LONGEST_NAME]) for at in ids)
    return xxh3_64_intdigest(told.encode("utf-8", "surrogatepass")) >> 1


def _spelled_out(pieces: list[bytes]) -> bytes:
    """The words in pieces that are not plain: some have escapes, some are no strings."""
    listed = b"[" + b",".join(pieces) + b"]"
    try:
        return squeezed("".join(_STRINGS.decode(listed)))
    except msgspec.MsgspecError:
        pass
    try:
        values = decoded(listed)
    except UnreadableError:
        return b""
    return squeezed("".join(words_of(part) for value in values for part in parts_of(value)))
