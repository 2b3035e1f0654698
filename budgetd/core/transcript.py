"""Transcripts: a request's history as values, and where it meets one that is known.

Owns what is remembered of a history: for each of its items who wrote it, how long it is, a digest
of what it says, and the tool calls and results in it; never the words. A `Checkpoint` is a history
that a provider has read and reported the tokens of: a later request that begins with the same items
costs at most that report and one token for each new byte. How bytes become items is the wire's
business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from budgetd.core.estimate import Media
from budgetd.core.windows import Instant

Author = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the assistant asked for. `arguments` is a digest of them, whatever their layout;
    `reads` says that it looks like one that only looks things up.
    """

    id: str
    name: str
    arguments: int
    reads: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered: `says` is a digest of it, `size` the bytes of its JSON."""

    id: str
    says: int
    size: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a history: a message, or where the dialect has them apart a call or a result.

    `digest` (16 bytes) is the same for every form of the same content. `size` is bytes of JSON as
    sent; `moving` of them stand in a part that clients move about, and so are read anew each time.
    """

    author: Author
    digest: bytes
    size: int
    says: int = 0  # digest of its words alone, 0 if it has none
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    moving: int = 0
    beside: int = 0  # digest of what its user says beside results, 0 for nothing or a reminder


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the history and counts as input: digest and size in bytes of each part.

    `rest` is every other field that may hold words for the model (schemas, a tool choice). A system
    prompt may come in `blocks`, of which clients change one with every request (a clock, a
    checksum); () where it does not, or where they are not known any more.
    """

    system: tuple[int, int] = (0, 0)
    tools: tuple[int, int] = (0, 0)
    rest: tuple[int, int] = (0, 0)
    blocks: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self.system[1] + self.tools[1] + self.rest[1]

    def changed(self, earlier: Head) -> int:
        """Bytes of the parts that are not what they were."""
        pairs = ((self.tools, earlier.tools), (self.rest, earlier.rest))
        others = sum(now[1] for now, then in pairs if now != then)
        if self.system == earlier.system:
            return others
        if not self.blocks or not earlier.blocks:
            return others + self.system[1]
        read = Counter(earlier.blocks)  # each of them once
        return others + sum(size * n for (_, size), n in (Counter(self.blocks) - read).items())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A history up to `items` entries that `model` at `provider` has read: `input` tokens were
    reported for it, `output` for the answer. `chain` is the digest of all those items; `answer`
    the sealed mark of the answer, 0 if it is not known; `media` what was in them that is the same
    in every later reading, None if that is not known any more.
    """

    chain: bytes
    items: int
    provider: str
    model: str
    head: Head
    input: int
    output: int
    at: Instant
    answer: int = 0
    media: Media | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where a request meets a checkpoint: at most `tokens` were in what both have; `fresh` are the
    items after it, and `fresh_bytes` all bytes that may not have been read before.
    """

    checkpoint: Checkpoint
    tokens: int
    fresh: tuple[Item, ...]
    fresh_bytes: int


Chain = Callable[[bytes, bytes], bytes]  # a digest of everything before, an item's: the next one


def chained(items: Iterable[Item], link: Chain, start: bytes = b"") -> list[bytes]:
    """The digests of ever longer beginnings of a history: as many as there are items."""
    digests = []
    for item in items:
        start = link(start, item.digest)
        digests.append(start)
    return digests


def meet(
    checkpoints: Iterable[Checkpoint],
    chains: Sequence[bytes],
    items: Sequence[Item],
    head: Head,
    *,
    skipped: int = 0,
) -> Meeting | None:
    """The meeting by which the request comes to the least, None if no checkpoint is a beginning of
    this history.

    `chains` and `items` are of the history from its item number `skipped` on; `chains` begins with
    the digest of the skipped ones, so that it is longer by one. For a bound, checkpoints must be
    of the same provider and model, and of the same `Head.rest`: other settings may bring back what
    was left out there (thoughts, results of tools).
    """
    places = {chain: number for number, chain in enumerate(chains, start=skipped)}
    begun = [p for p in checkpoints if p.items > 0 and places.get(p.chain) == p.items]
    sealed = [(p.items, _sealed(items[p.items - skipped :], p.output)) for p in begun]
    best: Meeting | None = None
    for point in begun:
        fresh = tuple(items[point.items - skipped :])
        size = sum(item.size for item in fresh) + head.changed(point.head)
        size += sum(tokens for after, tokens in sealed if after >= point.items)
        size += sum(item.moving for item in items[: point.items - skipped])
        if best is None or point.input + size < best.tokens + best.fresh_bytes:
            best = Meeting(point, point.input, fresh, size)
    return best


def _sealed(after: Sequence[Item], output: int) -> int:
    """Tokens of an answer that the bytes of its items, the first of these, do not bound: thoughts
    go back to the provider sealed, and may be longer than their seal.
    """
    answered = 0
    for item in after:
        if item.author != "assistant":
            break
        answered += item.size - item.moving  # what moved there is not of the answer
    return max(output - answered, 0) if answered else 0
