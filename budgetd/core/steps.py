"""Steps: a turn of the assistant together with what came back, as fingerprints.

Owns how the items of a history fold into steps. A turn is over when the assistant speaks again after
an answer: dialects give each call and each result an item of its own, or not. What is asked is the
names and arguments of all calls of the turn, whatever their order; which results came back, and for
which call, is a fingerprint of its own. A turn without calls is its words. Words of the user count
in an item for themselves and beside results, where they are not a client's reminder.

Nothing of it is anybody's words but the names of tools, which are cut short. What makes a loop is
not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from budgetd.core.transcript import Item

NAME_LENGTH = 64
NAMES = 5  # of one step that are kept


@dataclass(frozen=True, slots=True)
class Ask:
    """A call: digests of its id and of what it asks for."""

    id: int
    act: int
    name: str
    reads: bool


@dataclass(frozen=True, slots=True)
class Part:
    """An item of a turn. A result is the digest of its call's id, what it says, and if it failed;
    `content` is the item's digest if nothing else tells what is in it.
    """

    place: int
    speaks: bool  # it is the assistant's
    asks: tuple[Ask, ...]
    results: tuple[tuple[int, int, bool], ...]
    words: int
    content: int

    @property
    def weight(self) -> int:
        """How many things are kept for it."""
        return 1 + len(self.asks) + len(self.results)


@dataclass(frozen=True, slots=True)
class Step:
    """A turn and what came back; all digests, 0 where there is nothing.

    It is items `first` to `place` of the history. `acts` is what was asked, whatever the order of
    parallel calls, `says` what the results said, `deed` which call got which result: by it two
    steps are the same. `heard` is what the user said after them.
    """

    first: int
    place: int
    acts: int
    says: int
    deed: int
    heard: int
    reads: bool  # every call only looks things up
    failed: bool  # every result is a failure
    names: tuple[str, ...]


def part_of(item: Item, place: int) -> Part | None:
    """What an item adds to a turn, None if nothing: the system's, and items with nothing in them
    but a part that the client moves about.
    """
    speaks = item.author == "assistant"
    if item.author == "system":
        return None
    asks = tuple(
        Ask(_digest(call.id), _digest(call.name, call.arguments), shown(call.name), call.reads)
        for call in item.calls
    )
    results = tuple((_digest(result.id), result.says, result.failed) for result in item.results)
    told = item.says or asks or results
    if item.moving and not told:
        return None
    content = 0 if told else int.from_bytes(item.digest, "big")
    words = item.beside if results else item.says
    return Part(place, speaks, asks, results, words, content)


def step_of(turn: Sequence[Part]) -> Step:
    """The step that the parts of a turn make, in their order; at least one of them."""
    asks = [ask for part in turn for ask in part.asks]
    results = [result for part in turn for result in part.results] if asks else []
    others = [part.words or part.content for part in turn if not part.speaks]
    heard = [told for told in others if told]
    spoken = [part for part in turn if part.speaks]
    words = [part.words for part in spoken if part.words] or [part.content for part in spoken]
    acts = _digest("calls", *sorted(ask.act for ask in asks)) if asks else _digest("words", *words)
    # Of calls without any result it is not known what came back: they are like no others.
    deed = _digest(*_pairs(asks, results)) if results else 0
    return Step(
        turn[0].place,
        turn[-1].place,
        acts,
        _digest(*sorted({says for _, says, _ in results})) if results else 0,
        deed if asks else acts,
        _digest(*heard) if heard else 0,
        reads=bool(asks) and all(ask.reads for ask in asks),
        failed=bool(results) and all(failed for _, _, failed in results),
        names=tuple(sorted({ask.name for ask in asks})[:NAMES]),
    )


def _pairs(asks: Sequence[Ask], results: Sequence[tuple[int, int, bool]]) -> list[tuple[int, ...]]:
    """Each call with its result by its id, or in their order where ids are the same; one without
    the other stands alone.
    """
    waiting: dict[int, deque[int]] = {}
    for ask in asks:
        waiting.setdefault(ask.id, deque()).append(ask.act)
    pairs: list[tuple[int, ...]] = []
    for call, says, failed in results:
        acts = waiting.get(call)
        pairs.append((acts.popleft() if acts else 0, says, failed))
    return sorted([*pairs, *((act,) for acts in waiting.values() for act in acts)])


def shown(name: str) -> str:
    """A tool's name as it may be shown: printable, one line, not long."""
    return "".join(c if c.isprintable() else "?" for c in name[:NAME_LENGTH]) or "?"


def _digest(*parts: str | int | tuple[int, ...]) -> int:
    """The same number on every machine and in every process; never 0."""
    return int.from_bytes(blake2b(ascii(parts).encode(), digest_size=8).digest(), "big") | 1
