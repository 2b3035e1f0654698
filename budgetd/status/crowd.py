"""The crowd: a session that is looked at, and what others take from its budgets meanwhile.

A budget that several sessions share is emptied by all of them. What they have spent lately is read
once for a page, newest first and up to a bound, and summed for each session that is looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from budgetd.core.budgets import Budget, Money
from budgetd.core.sessions import Session
from budgetd.core.windows import Instant
from budgetd.ledger.histories import Kin, Profile
from budgetd.ledger.steps import Spending, Step, Traffic

MOST_TRAFFIC = 3_000  # calls of everybody's that are looked at


@dataclass(frozen=True, slots=True)
class Subject:
    """A session that is looked at: its turns, the newest first; those above it, the root last, with
    the ids of everybody under each of them; and those below it. `last` is when it, or anybody below
    it, was busy last.
    """

    profile: Profile
    turns: Sequence[Step]
    last: Instant
    above: Sequence[Session] = ()
    under: Mapping[str, Collection[str]] = field(default_factory=dict)
    below: Sequence[Kin] = ()

    @property
    def id(self) -> str:
        """The session's."""
        return self.profile.session.id

    @property
    def money(self) -> Money:
        """The kind of money that its newest turn was paid in."""
        if self.turns:
            return self.turns[0].money
        return "notional" if self.profile.notional and not self.profile.cost else "real"


class Crowd:
    """What everybody has spent lately, by whom: sums since a call, without a walk over all of it."""

    def __init__(self, items: Sequence[Traffic], now: Instant) -> None:
        """`items`: the newest first, as many as were looked at."""
        self._items = list(reversed(items))
        self._all_seen = len(items) < MOST_TRAFFIC
        self._now = now
        self._sums: dict[tuple[str, Money], tuple[list[str], list[int]]] = {}
        for item in self._items:
            for who in ("all", f"key:{item.key}", f"label:{item.label}"):
                calls, sums = self._sums.setdefault((who, item.money), ([], [0]))
                calls.append(item.call)
                sums.append(sums[-1] + item.cost)

    def others(self, budget: Budget, one: Subject, first: Step, own: Sequence[Spending]) -> int:
        """What others than the session and those below it, which have spent `own`, took from a
        budget since a turn. Where not all of it was seen, the rest was like the newest.
        """
        sort, _, name = budget.subject.partition(":")
        if sort == "agent" or name == one.id:
            return 0
        since = first.call
        if not self._all_seen:
            since = max(since, self._items[0].call)
        if sort == "session" or budget.models:
            mine = {one.id, *(kin.id for kin in one.below)}
            spent = sum(
                item.cost
                for item in self._items
                if item.call > since and item.session not in mine and item.money == one.money
                and budget.counts_model(item.model) and _counts(sort, name, item, one)
            )  # fmt: skip  # one condition a line says no more
        else:
            calls, sums = self._sums.get((budget.subject, one.money), ([], [0]))
            spent = sums[-1] - sums[bisect_right(calls, since)]
            spent -= sum(item.cost for item in own if item.call > since)
        if self._all_seen or since == first.call:
            return max(spent, 0)
        span, seen = self._now - first.at, max(self._now - self._items[0].at, 1)
        return max(spent, 0) * span // seen


def _counts(sort: str, name: str, item: Traffic, one: Subject) -> bool:
    """Whether what somebody spent is taken from what a budget sits on."""
    match sort:
        case "key":
            return item.key == name
        case "label":
            return item.label == name
        case "session":
            return item.session in one.under.get(name, ())
        case _:
            return sort == "all"
