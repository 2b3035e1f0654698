"""Context: where the tokens of a request stand, and how fast they grow.

A provider reports one figure for all that it read. This module owns how that figure is told apart:
what was read in an earlier call is known from that call's report, the assistant's own answer from
what was billed for it, and only what is left is shared out by bytes of JSON. The parts always sum
to the figure that was reported, each token in one of them. Growth is a robust slope over the turns
since the context last fell. What a token costs is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from budgetd.core.transcript import Author, Head, Item, Meeting
from budgetd.core.usage import Usage

BYTES_A_TOKEN = 4  # of JSON, where nothing better is known
FALL = (7, 10)  # a context that comes down to less than this share of itself was compacted
RECENT = 20  # turns that a slope looks at: 190 pairs
FEWEST = 3  # turns that a slope needs: of two, either may be the odd one

Stand = Literal["system", "history", "results", "user"]


@dataclass(frozen=True, slots=True)
class Makeup:
    """Where a request's tokens stand. The first four sum to the reported input exactly."""

    system: int = 0  # system prompt and tool schemas; instructions that came in later too
    history: int = 0  # what was sent or written before: re-sent items, the assistant's own answers
    results: int = 0  # tool results that are new in this request
    user: int = 0  # new words of the user, and anything else that is new
    output: int = 0  # what the model wrote, reasoning included

    @property
    def input(self) -> int:
        """The reported input tokens."""
        return self.system + self.history + self.results + self.user


@dataclass(frozen=True, slots=True)
class _Part:
    """Some bytes of a request; `result` says that they are one tool result."""

    stand: Stand
    size: int
    result: bool = False


def makeup(
    usage: Usage,
    head: Head,
    fresh: Sequence[Item],
    *,
    met: Meeting | None,
    system: int | None,
    edited: bool = False,
) -> tuple[Makeup, list[int]]:
    """Where the input tokens of a request stand, and the tokens of each tool result in `fresh`.

    `fresh` is `met.fresh`; without a meeting (a first call, or the first after a compaction) it is
    the whole history. `system` is `Makeup.system` of the turn before, None if that is not known.
    `edited` says that the meeting is not with the session's newest turn, because an earlier item
    was changed: then, and without a meeting, what stands before the last answer was sent before.
    The list has a figure for every result in `fresh`, in their order, old ones included.
    """
    total = usage.total_input
    known, new, grown = 0, total, head.size
    if met is not None:
        size = sum(item.size for item in fresh)
        known, new, grown = _read_before(total, size, head, met, system)
    old = met is None or edited
    # The user's comes first: it takes what is nobody's.
    parts = [_Part("user", 0), _Part("system", grown)]
    parts += _parts(fresh, _sent_before(fresh) if old else 0)
    tokens = _shared(new, parts, None if old or met is None else met.checkpoint.output)
    sums = {"system": known, "results": 0, "user": 0}
    for part, count in zip(parts, tokens, strict=True):
        if part.stand != "history":
            sums[part.stand] += count
    made = Makeup(**sums, history=total - sum(sums.values()), output=usage.total_output)
    return made, [count for part, count in zip(parts, tokens, strict=True) if part.result]


def lightened(items: Sequence[Item]) -> tuple[Item, ...]:
    """A history with less to keep in memory, that `makeup` tells apart in the same way: what was
    sent before is two items at most, without the results in it; the rest is as it was.
    """
    sent = _sent_before(items)
    system = sum(item.size for item in items[:sent] if item.author == "system")
    others = sum(item.size for item in items[:sent]) - system
    merged: tuple[tuple[Author, int], ...] = (("system", system), ("assistant", others))
    return (*(Item(author, b"", size) for author, size in merged if size), *items[sent:])


def shares(total: int, sizes: Sequence[int]) -> list[int]:
    """`total` in proportion to `sizes`, by largest remainder: whole numbers that sum to it exactly.

    Where no size is above zero the first takes all. Raises ValueError for a total without takers.
    """
    whole = sum(sizes)
    if not whole:
        if not sizes and total:
            raise ValueError(f"nobody to share {total} among")
        return [total, *(0 for _ in sizes[1:])] if sizes else []
    parts = [total * size // whole for size in sizes]
    first = sorted(range(len(sizes)), key=lambda at: -(total * sizes[at] % whole))
    for at in first[: total - sum(parts)]:
        parts[at] += 1
    return parts


def since_fall(contexts: Sequence[int]) -> int:
    """Where the run of turns begins in which the context did not fall: after the last compaction."""
    for at in range(len(contexts) - 1, 0, -1):
        if fell(contexts[at - 1], contexts[at]):
            return at
    return 0


def fell(before: int, now: int) -> bool:
    """Whether a context that came from `before` tokens to `now` was compacted."""
    return now * FALL[1] < before * FALL[0]


def slope(points: Sequence[tuple[int, int]]) -> int | None:
    """Growth in thousandths of a token per turn, from (number of the turn, context tokens), the
    oldest first: the median of all pairs among the last turns since the context fell.

    None if these are too few to tell. One turn of four may be anything without moving it far.
    """
    run = points[since_fall([context for _, context in points]) :][-RECENT:]
    if len(run) < FEWEST:
        return None
    slopes = [1000 * (y - b) // (x - a) for (a, b), (x, y) in combinations(run, 2) if x > a]
    return median(slopes) if slopes else None


def median(values: Sequence[int]) -> int:
    """The middle of at least one value; of two middle ones their mean, rounded down."""
    ranked = sorted(values)
    half = len(ranked) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) // 2


def _sent_before(items: Sequence[Item]) -> int:
    """How many of the items were surely sent before: those up to the last answer, which answered
    them. What an assistant says at the very end is a beginning put into its mouth.
    """
    end = len(items)
    while end and items[end - 1].author == "assistant":
        end -= 1
    while end and items[end - 1].author != "assistant":
        end -= 1
    return end


def _parts(items: Sequence[Item], sent: int) -> Iterator[_Part]:
    """The bytes of a history, told apart; the first `sent` items are no news."""
    for number, item in enumerate(items):
        sizes = [result.size for result in item.results]
        words = max(item.size - sum(sizes), 0)
        if sizes and not item.says:
            # Nothing is said beside the results: the JSON around them is theirs.
            sizes = shares(max(item.size, sum(sizes)), sizes)
            words = 0
        brought, said = _stands(item, old=number < sent)
        for size in sizes:
            yield _Part(brought, size, result=True)
        yield _Part(said, words)


def _stands(item: Item, *, old: bool) -> tuple[Stand, Stand]:
    """Where the results in an item stand, and where everything else in it."""
    if item.author == "system":
        return "system", "system"
    if old:
        return "history", "history"
    if item.author == "assistant":
        return "results", "history"
    return "results", "results" if item.author == "tool" and not item.results else "user"


def _read_before(
    total: int, size: int, head: Head, met: Meeting, system: int | None
) -> tuple[int, int, int]:
    """What is known of a request that extends a checkpoint by `size` bytes: the tokens of its
    system part as far as it is not new, the tokens of all that is new, and by how many bytes the
    head has grown.
    """
    then = met.checkpoint.head.size
    lost = max(then - head.size, 0) // BYTES_A_TOKEN
    read = max(met.tokens - lost, 0)
    known = then // BYTES_A_TOKEN if system is None else system
    known = min(max(known - lost, 0), read, total)
    grown = max(head.size - then, 0)
    new = total - read
    if new < 0:
        # Less than was there: the provider has dropped some of it, and only bytes tell what is new.
        new = min((grown + size) // BYTES_A_TOKEN, total - known)
    return known, new, grown


def _shared(new: int, parts: Sequence[_Part], answer: int | None) -> list[int]:
    """Tokens that are new, among the parts: by bytes, but for an answer whose tokens are known.

    What was billed for it is believed between half and twice its share by bytes: reasoning is
    billed but often not sent back, and several answers may have come in at once.
    """
    tokens = shares(new, [part.size for part in parts])
    own = sum(count for part, count in zip(parts, tokens, strict=True) if part.stand == "history")
    others = [0 if part.stand == "history" else part.size for part in parts]
    if answer is None or not own or not any(others):
        return tokens
    answered = min(max(answer, own // 2), 2 * own, new)
    return shares(new - answered, others)
