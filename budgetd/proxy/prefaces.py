"""What agents say before anything is said: the system prompt and the tools, and what they come to.

A request that goes on from nothing known, the first of a session or the first after a compaction,
often has the preface of thousands before it. The least that a provider reported for a request with
that preface bounds it, whatever else was in that request; only what follows it now is bounded by its
bytes. Kept per key, like everything that conversations leave behind.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile

from budgetd.wire.history import History

MOST = 4_096

Part = tuple[int, int]  # digest and size


@dataclass(frozen=True, slots=True)
class Preface:
    """What comes first, to which model: `head` in the request, `chain` of the instructions that its
    history begins with.
    """

    key: str
    provider: str
    model: str
    head: tuple[Part, Part, Part]
    chain: bytes


class Prefaces:
    """The least input tokens that were reported with each."""

    def __init__(self) -> None:
        self._least: OrderedDict[Preface, int] = OrderedDict()

    def least(self, preface: Preface) -> int | None:
        """The bound of a preface in tokens, None if it is not known."""
        return self._least.get(preface)

    def note(self, preface: Preface, tokens: int) -> None:
        """So many input tokens were reported for a request that begins so."""
        self._least[preface] = min(self._least.pop(preface, tokens), tokens)
        if len(self._least) > MOST:
            self._least.popitem(last=False)


def preface_of(key: str, provider: str, model: str, history: History) -> tuple[Preface, int] | None:
    """The preface of a request and its bytes, without those of parts that move: they are in no
    digest. None if its beginning was skipped.
    """
    if history.skipped:
        return None
    first = list(takewhile(lambda item: item.author == "system", history.items))
    head = history.head
    parts = (head.system, head.tools, head.rest)
    size = head.size + sum(item.size - item.moving for item in first)
    return Preface(key, provider, model, parts, history.chains[len(first)]), size
