"""Which budgets bind a call: its key's, its label's, everybody's, and those of its sessions.

Turns what the rules say of names and patterns into budgets with a subject of their own, and leaves
out what counts another kind of money or other models. Rules: a key, label or session that a pattern
stands for has that pattern's budgets to itself; an exact name comes before any pattern; and no two
budgets of a call share subject and name, because the ledger keeps their windows by these. Names are
the callers' to invent, so what is kept ready is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from budgetd.core.budgets import Budget, Money
from budgetd.core.policy import KeyPolicy, Rules, which
from budgetd.core.sessions import Session

MEMO = 10_000  # answers that are kept ready

_Question = tuple[str, Money, str, str]


class Bindings:
    """The budgets of calls under one set of rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._labels = dict(rules.labels)
        spenders = (*rules.keys.values(), *rules.patterns)
        self._sessions = {key.name: dict(key.sessions) for key in spenders if key.sessions}
        lists = [rules.everything, *self._labels.values(), *(key.budgets for key in spenders)]
        self._by_model = any(budget.models for budgets in lists for budget in budgets)
        self._standing: dict[_Question, tuple[Budget, ...]] = {}
        self._templates: dict[_Question, tuple[Budget, ...]] = {}

    def of_key(self, key: str, policy: KeyPolicy, money: Money) -> tuple[Budget, ...]:
        """What binds a key as a whole: its own budgets and everybody's, whatever models they count."""
        return tuple(
            budget
            for budget in (*_own(key, policy), *self._rules.everything)
            if budget.counts == money and not budget.per
        )

    def of_label(self, label: str) -> tuple[Budget, ...]:
        """The budgets of a label, in either money; () if no name or pattern stands for it."""
        return _of_name(self._labels, label, f"label:{label}")

    def standing(
        self, key: str, policy: KeyPolicy, money: Money, label: str | None, model: str
    ) -> tuple[Budget, ...]:
        """What binds a call whatever its session: its key's budgets, everybody's and its label's."""
        question = (key, money, (self._labels and label) or "", self._asked(model))
        ready = self._standing.get(question)
        if ready is None:
            labels = self.of_label(label) if label else ()
            ready = _counting((*self.of_key(key, policy, money), *labels), money, model)
            _keep(self._standing, question, ready)
        return ready

    def templates(
        self, key: str, policy: KeyPolicy, money: Money, model: str
    ) -> tuple[Budget, ...]:
        """The budgets that each session, or each agent, of a key has to itself: not bound yet."""
        question = (key, money, "", self._asked(model))
        ready = self._templates.get(question)
        if ready is None:
            found = (*_own(key, policy), *self._rules.everything)
            ready = _counting((budget for budget in found if budget.per), money, model)
            _keep(self._templates, question, ready)
        return ready

    def of_sessions(
        self, key: str, policy: KeyPolicy, money: Money, model: str, path: Sequence[Session]
    ) -> tuple[Budget, ...]:
        """What binds a call by its session. `path` is the session and those above it, its root
        last; () if it has none.
        """
        if not path:
            return ()
        tree, agent = f"session:{path[0].root}", f"agent:{path[0].id}"
        found = [
            replace(budget, subject=tree if budget.per == "session" else agent)
            for budget in self.templates(key, policy, money, model)
        ]
        named = self._sessions.get(policy.name, {})
        for session in path if named else ():
            its_own = _of_name(named, session.ref, f"session:{session.id}")
            found += _counting(_watched(its_own, policy), money, model)
        return _apart(found)

    def at_session(self, key: str, policy: KeyPolicy, session: Session) -> tuple[Budget, ...]:
        """The budgets that sit on a session itself, in either money and for whatever models. Those
        that count its whole tree sit on its root.
        """
        own = (*_own(key, policy), *self._rules.everything)
        found = [replace(b, subject=f"agent:{session.id}") for b in own if b.per == "agent"]
        subject = f"session:{session.id}"
        if session.root == session.id:
            found += [replace(b, subject=subject) for b in own if b.per == "session"]
        named = self._sessions.get(policy.name, {})
        return _apart((*found, *_watched(_of_name(named, session.ref, subject), policy)))

    def _asked(self, model: str) -> str:
        """The model, where it makes a difference: model names are without number."""
        return model if self._by_model else ""


def _own(key: str, policy: KeyPolicy) -> tuple[Budget, ...]:
    own = policy.budgets
    if policy.name != key:
        own = tuple(replace(budget, subject=f"key:{key}") for budget in own)
    return _watched(own, policy)


def _watched(budgets: tuple[Budget, ...], policy: KeyPolicy) -> tuple[Budget, ...]:
    """A key's budgets: they observe if it does."""
    if not policy.observe:
        return budgets
    return tuple(replace(budget, observe=True) for budget in budgets)


def _of_name(
    by_name: Mapping[str, tuple[Budget, ...]], name: str, subject: str
) -> tuple[Budget, ...]:
    """The budgets that a name has by itself, or by the first pattern that matches it."""
    entry = which(by_name, name)
    if entry is None:
        return ()
    return tuple(replace(budget, subject=subject) for budget in by_name[entry])


def _counting(budgets: Iterable[Budget], money: Money, model: str) -> tuple[Budget, ...]:
    return tuple(b for b in budgets if b.counts == money and b.counts_model(model))


def _apart(budgets: Iterable[Budget]) -> tuple[Budget, ...]:
    """The same budgets, each with a name that no other of its subject has: the configuration sees
    to it, and nothing may hang on that.
    """
    found: dict[tuple[str, str], Budget] = {}
    for budget in budgets:
        name, number = budget.name, 1
        while (budget.subject, name) in found:
            number += 1
            name = f"{budget.name} ({number})"
        found[(budget.subject, name)] = replace(budget, name=name) if number > 1 else budget
    return tuple(found.values())


def _keep(
    memo: dict[_Question, tuple[Budget, ...]], question: _Question, ready: tuple[Budget, ...]
) -> None:
    if len(memo) >= MEMO:
        memo.clear()
    memo[question] = ready
