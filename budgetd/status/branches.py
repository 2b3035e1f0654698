"""Trees of sessions: who is whose sub-agent, and what each costs with all below it.

Pure: makes `Branch`es of what the ledger knows of kinship. A session whose parent is not among them hangs on
the root, and so does one that is its own ancestor, so that nobody is lost and nothing is counted
twice. A tree can be large: `shown` picks the few branches that a page has room for, dearest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from budgetd.core.windows import Instant
from budgetd.ledger.histories import Kin


@dataclass(slots=True, eq=False)
class Branch:
    """A session with what is below it: `agents` of them. Money in pico-dollars, its own included;
    `last` is when anybody here was busy last.
    """

    kin: Kin
    cost: int
    notional: int
    calls: int
    last: Instant
    agents: int = 0
    parent: Branch | None = None
    children: list[Branch] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The session's."""
        return self.kin.id

    def above(self) -> Iterator[Branch]:
        """Those above, the root last."""
        branch = self.parent
        while branch is not None:
            yield branch
            branch = branch.parent

    def below(self) -> Iterator[Branch]:
        """Everybody below, in no particular order."""
        waiting = list(self.children)
        while waiting:
            branch = waiting.pop()
            yield branch
            waiting += branch.children


def grow(members: Iterable[Kin]) -> dict[str, Branch]:
    """The branches of whole trees, by id; children are in the order in which they began. A tree
    whose root is not among them is left out.
    """
    found = {
        one.id: Branch(one, one.cost, one.notional, one.calls, one.last)
        for one in sorted(members, key=lambda one: (one.started, one.id))
    }
    found = {at: one for at, one in found.items() if one.kin.root in found}
    for at, parent in _parents(found).items():
        found[at].parent = found[parent]
        found[parent].children.append(found[at])
    for branch in found.values():
        if branch.kin.root == branch.id:
            _sum(branch)
    return found


def shown(branch: Branch, most: int) -> set[str]:
    """Which of those below a session are worth their place: the dearest, and all between."""
    chosen: set[str] = set()
    waiting: list[tuple[int, int, int, list[Branch]]] = []  # the dearest of each family first
    families = 0

    def offer(place: int, family: list[Branch], number: int) -> None:
        if place < len(family):
            heappush(waiting, (-_size(family[place]), number, place, family))

    offer(0, _dearest_first(branch.children, most), families)
    while waiting and len(chosen) < most:
        _, number, place, family = heappop(waiting)
        chosen.add(family[place].id)
        offer(place + 1, family, number)
        families += 1
        offer(0, _dearest_first(family[place].children, most), families)
    return chosen


def _size(branch: Branch) -> int:
    return branch.cost + branch.notional


def _dearest_first(branches: list[Branch], most: int) -> list[Branch]:
    return sorted(branches, key=_size, reverse=True)[:most]


def _parents(found: Mapping[str, Branch]) -> dict[str, str]:
    """The parent of everybody but the roots; the root itself where theirs is not to be used."""
    root_of = {at: branch.kin.root for at, branch in found.items()}
    above = {}
    for at, branch in found.items():
        if root_of[at] != at:
            parent = branch.kin.parent or ""
            above[at] = parent if root_of.get(parent) == root_of[at] else root_of[at]
    sound: set[str] = set()
    for start in above:
        path: dict[str, None] = {}
        at = start
        while at in above and at not in sound and at not in path:
            path[at] = None
            at = above[at]
        if at in path:  # a circle
            above[at] = root_of[at]
        sound.update(path)
    return above


def _sum(root: Branch) -> None:
    """Add everybody's figures to those above, from the leaves up."""
    for branch in reversed([root, *root.below()]):  # children come after their parents
        parent = branch.parent
        if parent is not None:
            parent.cost += branch.cost
            parent.notional += branch.notional
            parent.calls += branch.calls
            parent.agents += branch.agents + 1
            parent.last = max(parent.last, branch.last)
