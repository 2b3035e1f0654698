"""A request's history: raw bytes to items, their digests, and what stands before them.

An agent sends its whole conversation again with every call. Reading it takes a millisecond per
100 KB, hashing its bytes a hundredth of that: so beginnings that were read before are remembered as
`Span`s and found again by one pass over the bytes, and only what follows is read. Every digest is
seeded, so that nobody who does not know the seed can make two conversations look like one. Nothing
here raises: what cannot be read as a history is one item that nobody can read.

*Items* are entries of the history, with one exception: an entry with nothing in it but parts that
clients move about (`wire.items`) belongs to the one that follows it, because it will be gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

from msgspec import Raw
from xxhash import xxh3_64, xxh3_64_intdigest, xxh3_128, xxh3_128_digest

from budgetd.core.transcript import Head, Item, chained
from budgetd.wire.body import Body, elements
from budgetd.wire.items import Entry, opaque, read_entry

START = 512  # bytes
MOVING_MARKS = 8  # items at the end: their cache marks will be elsewhere in the next request
MOST_ITEMS = 10_000  # of one history that are told apart; what follows is one more
MOST_READ = 8_192  # entries that are kept as they were read
MOST_READ_CALLS = 32  # and results in one of them
MOST_BLOCKS = 64
MOST_COMMAS = 500_000  # more is no conversation, and too much to be cut into pieces

_LENGTH = attrgetter("length")
_NEXT = re.compile(rb"[ \t\r\n]*([,\]])[ \t\r\n]*")
_SPACE = re.compile(rb"[ \t\r\n]*")
_BRACKET = ord("[")
_WORDLESS = frozenset(  # fields without words for the model
    {
        *("model", "stream", "stream_options", "store", "metadata", "user", "n", "seed", "stop"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "stop_sequences"),
        *("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "logit_bias"),
        *("logprobs", "top_logprobs", "service_tier", "speed", "inference_geo", "cache_control"),
        *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "client_metadata"),
        *("anthropic_version", "background", "include"),
    }
)


@dataclass(frozen=True, slots=True)
class Fields:
    """Which top-level fields of a dialect hold what. `system` None: it is in the history."""

    history: str = "messages"
    system: str | None = None
    tools: str = "tools"


@dataclass(frozen=True, slots=True)
class Span:
    """A raw beginning of a history: its first `length` bytes, up to just after item number `items`,
    and the digests of those bytes and of those items.
    """

    items: int
    length: int
    digest: int
    chain: bytes


NOWHERE = Span(0, 0, 0, b"")  # the beginning that all histories have


@dataclass(frozen=True, slots=True)
class History:
    """A request's history from item number `skipped` on; what was skipped is known by a span.

    `chains` are the digests of ever longer beginnings: of the skipped items (b"" if there are
    none), and after each of `items`. `stable` is the raw beginning that the next request is likely
    to repeat byte for byte: it ends before a last message of the user (clients add to it), before
    parts that move and before the cache marks at the end. `whole` is all of it up to parts that
    move: they are in no digest of items, so that whoever skips them cannot say what they come to.
    """

    skipped: int
    items: tuple[Item, ...]
    chains: tuple[bytes, ...]
    head: Head
    start: int
    stable: Span
    whole: Span


class Historian:
    """Reads histories. `seed` (64 bits) keeps digests apart from those of other installations."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._read: dict[bytes, Entry] = {}

    def start(self, body: Body, fields: Fields) -> int:
        """A hash of how the history begins, by which to look for spans; 63 bits."""
        return xxh3_64_intdigest(body.view(fields.history)[:START], self._seed) >> 1

    def read(
        self, body: Body, fields: Fields, spans: Iterable[Span] = (), reader: bytes = b""
    ) -> History:
        """The history of a request, past the longest of the given beginnings that it has. `reader`
        is what tells, besides the body, how it will be read: part of `Head.rest`, without a size.
        """
        raw = body.view(fields.history)
        known, tape = self._begun(raw, spans)
        skipped = known[-1]
        entries, ends = self._entries(raw, skipped)
        items = tuple(entry.item for entry in entries)
        chains = (skipped.chain, *chained(items, self._link, skipped.chain))
        at, marks = skipped.length, []
        lasting = _before_moving(entries, len(ends))
        for number in (_steady(entries, lasting), lasting):
            end = ends[number - 1] if number else skipped.length
            tape.update(raw[at:end])
            at = end
            span = Span(skipped.items + number, end, tape.intdigest(), chains[number])
            marks.append(span if number else skipped)
        stable, whole = marks
        if not entries and len(known) > 2:  # a repeat: what was stable before still is
            stable = known[-2]
        head, start = self._head(body, fields, reader), self.start(body, fields)
        return History(skipped.items, items, chains, head, start, stable, whole)

    def _begun(self, raw: memoryview, spans: Iterable[Span]) -> tuple[list[Span], xxh3_128]:
        """The spans that the history begins with, the longest last, and the hash up to there."""
        tape = xxh3_128(seed=self._seed)
        known, found, at = [NOWHERE], tape.copy(), 0
        fitting = (span for span in spans if span.length < raw.nbytes)
        for length, alike in groupby(sorted(fitting, key=_LENGTH), key=_LENGTH):
            tape.update(raw[at:length])
            at, digest = length, tape.intdigest()
            span = next((one for one in alike if one.digest == digest), None)
            if span is not None and _NEXT.match(raw, length):
                known.append(span)
                found = tape.copy()
        return known, found

    def _entries(self, raw: memoryview, skipped: Span) -> tuple[list[Entry], list[int]]:
        """What follows the skipped items; and after each entry that may end a span, where."""
        rest, before = raw, 0
        if skipped.length:
            gap = _NEXT.match(raw, skipped.length)
            assert gap is not None
            before = gap.end() - 1
            rest = memoryview(b"[" + raw[gap.end() :]) if gap[1] == b"," else memoryview(b"[]")
        if _is_absent(rest):
            return [], []
        if rest[0] != _BRACKET:
            return [read_entry(rest, self._seed)], []
        many = rest.nbytes > MOST_COMMAS and bytes(rest).count(b",") > MOST_COMMAS
        pieces = None if many else elements(rest)
        if pieces is None:
            return [Entry(opaque(rest, self._seed))], []
        return self._walk(rest, pieces, before)

    def _walk(
        self, rest: memoryview, pieces: list[Raw], before: int
    ) -> tuple[list[Entry], list[int]]:
        """Read the pieces of an array that stands `before` bytes into the history."""
        entries: list[Entry] = []
        ends: list[int] = []
        loose, at = 0, _end(_SPACE, rest, 1)
        for value in pieces[:MOST_ITEMS]:
            piece = memoryview(value)
            entry = self._entry(piece)
            at += piece.nbytes
            if entry.loose:
                loose += piece.nbytes
            else:
                entries.append(_with(entry, loose))
                ends.append(before + at)
                loose = 0
            at = _end(_NEXT, rest, at)
        if len(pieces) > MOST_ITEMS:
            entries.append(_with(Entry(opaque(rest[at:], self._seed)), loose))
        elif loose:  # there is none to belong to: an item for once
            entries.append(Entry(Item("user", self._link(b"", b""), loose, moving=loose)))
        return entries, ends

    def _entry(self, piece: memoryview) -> Entry:
        """What a piece says; the same bytes are read once: examples, first words, whole histories
        whose beginning a client rewrites.
        """
        digest = xxh3_128_digest(piece, self._seed)
        entry = self._read.get(digest)
        if entry is None:
            entry = read_entry(piece, self._seed)
            if len(self._read) >= MOST_READ:
                self._read.clear()
            if len(entry.item.calls) + len(entry.item.results) <= MOST_READ_CALLS:
                self._read[digest] = entry
        return entry

    def _link(self, chain: bytes, digest: bytes) -> bytes:
        return xxh3_128_digest(chain + digest, self._seed)

    def _head(self, body: Body, fields: Fields, reader: bytes) -> Head:
        apart = {fields.history, fields.system, fields.tools}
        return Head(
            self._part(body, [fields.system] if fields.system is not None else []),
            self._part(body, [fields.tools]),
            self._part(body, sorted(body.names - _WORDLESS - apart), reader),
            self._blocks(body.view(fields.system)) if fields.system is not None else (),
        )

    def _blocks(self, system: memoryview) -> tuple[tuple[int, int], ...]:
        """Digest and size of each block of a system prompt that comes in blocks."""
        found = elements(system) if system.nbytes and system[0] == _BRACKET else None
        if found is None or len(found) > MOST_BLOCKS:
            return ()
        blocks = [memoryview(block) for block in found]
        return tuple((xxh3_64_intdigest(one, self._seed) >> 1, one.nbytes) for one in blocks)

    def _part(self, body: Body, names: list[str], told: bytes = b"") -> tuple[int, int]:
        """Digest and size of some fields, after something told; null is as good as absent."""
        tape, size = xxh3_64(b"%d:%b" % (len(told), told) if told else b"", seed=self._seed), 0
        for name in names:
            value = body.view(name)
            if not _is_absent(value):
                told = name.encode("utf-8", "surrogatepass")
                tape.update(b"%d:%d:%b" % (len(told), value.nbytes, told))
                tape.update(value)
                size += value.nbytes
        return (tape.intdigest() >> 1, size) if size or told else (0, 0)


def _is_absent(value: memoryview) -> bool:
    return value.nbytes == 0 or bytes(value[:4]) == b"null"


def _end(pattern: re.Pattern[bytes], data: memoryview, at: int) -> int:
    """Where a match that begins there ends."""
    match = pattern.match(data, at)
    return match.end() if match is not None else at


def _with(entry: Entry, loose: int) -> Entry:
    """The entry together with so many bytes before it that will be elsewhere next time."""
    if not loose:
        return entry
    item = entry.item
    return replace(entry, item=replace(item, size=item.size + loose, moving=item.moving + loose))


def _before_moving(entries: list[Entry], most: int) -> int:
    """How many of the entries, `most` at most, stand before the first with a part that moves."""
    moving = (number for number, entry in enumerate(entries[:most]) if entry.item.moving)
    return next(moving, most)


def _steady(entries: list[Entry], most: int) -> int:
    """How many of the entries, `most` at most, the next request is likely to repeat as they are."""
    if entries and entries[-1].item.author == "user":
        most = min(most, len(entries) - 1)
    marked = range(max(len(entries) - MOVING_MARKS, 0), most)
    return next((number for number in marked if entries[number].marked), most)
