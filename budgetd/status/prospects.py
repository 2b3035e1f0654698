"""Prospects: what the ledger and the rules know of a session, put as `core.forecast` asks for it.

Gathers a session's newest turns, what was spent beside them (side calls, retries, sub-agents), the
budgets that bind its next turn with their balances, and what the crowd takes from these meanwhile.
The forecast itself is pure and lives in core. A session that has been idle goes on at nobody knows
what time, so nothing is foretold of others then. Runs in the thread and the snapshot of a view.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from budgetd.core.budgets import Balance, Budget
from budgetd.core.caps import Caps
from budgetd.core.context import RECENT
from budgetd.core.course import Point, Terms
from budgetd.core.forecast import Forecast, Left, Purse, Unknown, forecast
from budgetd.core.prices import RateCard, Writes
from budgetd.core.usage import BUCKETS
from budgetd.core.windows import Instant
from budgetd.ledger import steps
from budgetd.ledger.rows import find_window
from budgetd.ledger.steps import Spending, Step
from budgetd.proxy.order import Setup
from budgetd.status import crowd as people
from budgetd.status.crowd import Crowd, Subject

ACTIVE = 10 * 60_000  # ms since its last call for which a session counts as active
MOST_BESIDE = 2_000  # calls beside the turns of a page's sessions that are put in their places
LEAST_BESIDE = 200  # of them for each session

NO_CAPS = Caps()
NO_TERMS = Terms(RateCard("", "", dict.fromkeys(BUCKETS, 0)))  # of a session without a turn


@dataclass(frozen=True, slots=True)
class Beyond:
    """Further than so many turns: it was not looked any further."""

    turns: int


Reach = Left | Beyond | Unknown


@dataclass(frozen=True, slots=True)
class Prospect:
    """A forecast with what it is about: each of `balances` with how far it reaches, the `window` of
    the model in tokens, the `caps` of the session's key.
    """

    forecast: Forecast
    balances: tuple[Balance, ...]
    reaches: tuple[Reach, ...]
    window: int | None
    caps: Caps


class Prospects:
    """Makes the forecasts of one page."""

    def __init__(self, db: sqlite3.Connection, setup: Setup, now: Instant) -> None:
        self._db = db
        self._setup = setup
        self._now = now
        self._balances: dict[Budget, Balance] = {}

    def of(self, subjects: Sequence[Subject], *, horizon: int | None = None) -> dict[str, Prospect]:
        """The prospects of these sessions, by id. Of budgets that last for much more than `horizon`
        turns (None: as far as can be seen) it is only said that they are far off, which is sooner
        done; with 0 nothing is said of any.
        """
        told = {one.id: [turn for turn in one.turns if turn.makeup is not None] for one in subjects}
        first = {at: turns[-1] for at, turns in told.items() if turns}
        active = {one.id for one in subjects if one.id in first and self._is_active(one)}
        since = min((first[at].call for at in active), default=None) if horizon != 0 else None
        seen = steps.traffic(self._db, since, people.MOST_TRAFFIC) if since is not None else []
        crowd = Crowd(seen, self._now)
        cards = steps.cards(self._db, {turns[0].price for turns in told.values() if turns})
        room = max(MOST_BESIDE // max(len(subjects), 1), LEAST_BESIDE)
        found = {}
        for one in subjects:
            turns = told[one.id]
            spent = self._beside(one, turns, room) if turns else []
            own = [*spent, *(_spending(turn) for turn in turns[:-1])]
            purses: dict[Balance, Purse] = {}
            for budget in self._binding(one) if horizon != 0 else ():
                balance = self._balance(budget)
                others = 0
                if one.id in active:
                    others = crowd.others(budget, one, first[one.id], own)
                purses[balance] = Purse(max(balance.unspent, 0), balance.span.end, others)
            window, terms = self._window(one), NO_TERMS
            if turns:
                terms = Terms(cards[turns[0].price], writes=_writes(turns), window=window)
            outlook = _Outlook(one, turns, terms, horizon, self._now)
            foretold = outlook.forecast(spent, list(purses.values()))
            reaches = tuple(outlook.reaches(spent, purses, foretold))
            policy = self._setup.rules.key(one.profile.session.key)
            caps = policy.caps if policy is not None else NO_CAPS
            found[one.id] = Prospect(foretold, tuple(purses), reaches, window, caps)
        return found

    def _is_active(self, one: Subject) -> bool:
        return self._now - one.last < ACTIVE

    def _binding(self, one: Subject) -> tuple[Budget, ...]:
        """The budgets that bind its next turn."""
        session, model = one.profile.session, one.profile.model
        policy = self._setup.rules.key(session.key)
        if policy is None:
            return ()
        bindings, label = self._setup.callers.bindings, one.profile.label or policy.label
        return (
            *bindings.of_sessions(session.key, policy, one.money, model, (session, *one.above)),
            *bindings.standing(session.key, policy, one.money, label, model),
        )

    def _balance(self, budget: Budget) -> Balance:
        found = self._balances.get(budget)
        if found is None:
            found = self._balances[budget] = find_window(self._db, budget, self._now)[1]
        return found

    def _window(self, one: Subject) -> int | None:
        """Tokens of its model's context window, if known."""
        if not one.turns:
            return None
        provider = self._setup.rules.providers.get(one.turns[0].provider)
        if provider is None:  # not in the configuration any more
            return None
        return self._setup.tariff.limits_of(provider, one.turns[0].model).context

    def _beside(self, one: Subject, turns: Sequence[Step], most: int) -> list[Spending]:
        """What the session and those below it have spent since the first of these turns, but for
        these turns themselves.
        """
        first = turns[-1]
        busy = [kin for kin in one.below if kin.last >= first.at]
        those = [(at, first.call) for at in (one.id, *(kin.id for kin in busy))]
        spent = steps.spending(self._db, those, most + 1)
        if len(spent) > most:
            # A swarm: what it has cost since it began, in equal parts.
            new = [kin for kin in busy if kin.started >= first.at]
            cost = sum(kin.cost if one.money == "real" else kin.notional for kin in new)
            each = cost // max(len(turns) - 1, 1)
            spent = [item for item in spent if item.session == one.id]
            spent += [
                Spending(busy[0].id, turn.call + "~", one.profile.model, one.money, each)
                for turn in turns[1:]
            ]
        calls = {turn.call for turn in turns}
        return [item for item in spent if item.money == one.money and item.call not in calls]


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What a session's forecasts have in common."""

    one: Subject
    turns: Sequence[Step]
    terms: Terms
    horizon: int | None
    now: Instant

    def forecast(self, spent: Sequence[Spending], purses: Sequence[Purse]) -> Forecast:
        """The forecast of turns beside which so much is spent, as far as is looked."""
        points = _points(self.turns, spent)
        near = [replace(purse, remaining=self._near(points, purse)) for purse in purses]
        return forecast(points, near, self.terms, now=self.now)

    def reaches(
        self, spent: Sequence[Spending], purses: Mapping[Balance, Purse], found: Forecast
    ) -> Iterator[Reach]:
        """How far each purse reaches. One from which not all of this is taken reaches further than
        was `found` for all of it.
        """
        for (balance, purse), of_all in zip(purses.items(), found.budgets, strict=True):
            counted = [item for item in spent if _is_counted(balance.budget, self.one, item)]
            fewer = len(counted) < len(spent)
            reach = self.forecast(counted, [purse]).budgets[0] if fewer else of_all
            seen = self._near(_points(self.turns, counted), purse)
            if isinstance(reach, Left) and seen < purse.remaining:
                yield Beyond(reach.turns)
            else:
                yield reach

    def _near(self, points: Sequence[Point], purse: Purse) -> int:
        """As much of a purse as is looked at."""
        if self.horizon is None:
            return purse.remaining
        dearest = max((point.cost + point.beside for point in points[-RECENT:]), default=0)
        return min(purse.remaining, self.horizon * dearest) if dearest else purse.remaining


def _spending(turn: Step) -> Spending:
    return Spending(turn.session, turn.call, turn.model, turn.money, turn.cost)


def _points(turns: Sequence[Step], spent: Sequence[Spending]) -> list[Point]:
    """The turns as points, the oldest first, each with what was spent since the one before."""
    oldest_first = list(reversed(turns))
    calls = [turn.call for turn in oldest_first]
    beside = [0] * (len(calls) + 1)
    for item in spent:
        beside[bisect_left(calls, item.call)] += item.cost
    return [
        Point(
            turn.at,
            turn.makeup.input,
            turn.makeup.output,
            turn.cached or 0,
            turn.cost,
            more,
            turn.model,
        )
        for turn, more in zip(oldest_first, beside, strict=False)
        if turn.makeup is not None
    ]


def _is_counted(budget: Budget, one: Subject, item: Spending) -> bool:
    """Whether what is spent beside the turns is taken from a budget that binds these."""
    alone = budget.subject.startswith("agent:")
    return budget.counts_model(item.model) and not (alone and item.session != one.id)


def _writes(turns: Sequence[Step]) -> Writes:
    """The longest cache write that the turns have shown."""
    shown = {turn.writes for turn in turns}
    return "1h" if "1h" in shown else "5m" if "5m" in shown else "none"
