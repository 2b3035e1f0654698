"""The model of sessions that the ledger is held against: who is whose parent, and plain integers.

Nothing is summed until it is asked for: a tree's figures are added up from its calls, each time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from budgetd.core.sessions import Kind, session_id
from budgetd.core.turns import Turn
from budgetd.ledger import recall


@dataclass
class Spoken:
    """A call: whose it is, and what is known of it."""

    session: str
    kind: Kind
    retried: bool
    cost: int = 0
    is_turn: bool = False  # it has a row: it may have cost something
    number: int = 0
    parts: int = 0  # cold and re-read
    cause: str = ""


@dataclass
class Forest:
    """All sessions, by our ids."""

    parents: dict[str, str | None] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    context: dict[str, int] = field(default_factory=dict)
    calls: dict[str, Spoken] = field(default_factory=dict)

    def root(self, one: str) -> str:
        while (above := self.parents[one]) is not None:
            one = above
        return one

    def enter(self, call: str, key: str, refs: Sequence[str], kind: Kind, *, retried: bool) -> None:
        """A call of the first of these sessions was admitted, which is said to be below the others."""
        above: str | None = None
        for ref in reversed(refs):
            one = session_id(key, ref)
            free = self.parents.get(one) is None and (above is None or self.root(above) != one)
            if one not in self.parents or (free and above is not None):
                self.parents[one] = above
            above = one
        if above is not None:
            self.calls[call] = Spoken(above, kind, retried)

    def end(self, call: str, cost: int, turn: Turn | None, *, sent: bool) -> None:
        """An attempt of a call ended."""
        spoken = self.calls.get(call)
        if spoken is None or not sent:
            return
        self._note(spoken)
        spoken.cost += cost
        if turn is not None:
            spoken.number, spoken.cause = turn.number, turn.split.cause
            spoken.parts += turn.split.cold + turn.split.reread
            if turn.kind == "turn":
                one = spoken.session
                self.turns[one] = max(self.turns.get(one, 0), turn.number)
                if turn.makeup is not None:
                    self.context[one] = turn.makeup.input + turn.makeup.output

    def adjust(self, call: str, amount: int) -> None:
        """A call was corrected."""
        spoken = self.calls.get(call)
        if spoken is not None:
            self._note(spoken)
            spoken.cost += amount

    def _note(self, spoken: Spoken) -> None:
        if not spoken.is_turn:
            spoken.is_turn = True
            side = "work" if spoken.kind == "turn" else "side"
            spoken.cause = "retry" if spoken.retried else side

    def check(self, db: sqlite3.Connection) -> None:
        """That the ledger says the same, row for row."""
        own = {one: [0, 0] for one in self.parents}
        tree = {one: [0, 0] for one in self.parents}
        for spoken in self.calls.values():
            for sums in (own[spoken.session], tree[self.root(spoken.session)]):
                sums[0] += spoken.is_turn
                sums[1] += spoken.cost
        expected = {
            one: (
                *(parent, self.root(one), *own[one], self.turns.get(one, 0)),
                *(self.context.get(one, 0), *tree[one]),
            )
            for one, parent in self.parents.items()
        }
        rows = db.execute(
            "SELECT id, parent, root, calls, cost, turns, context, tree_calls, tree_cost FROM session"
        )
        assert {row[0]: row[1:] for row in rows} == expected
        turns = db.execute("SELECT call, session, kind, number, cause, cold + reread FROM turn")
        assert {row[0]: row[1:] for row in turns} == {
            call: (spoken.session, spoken.kind, spoken.number, spoken.cause, spoken.parts)
            for call, spoken in self.calls.items()
            if spoken.is_turn
        }

    def check_recalled(self, db: sqlite3.Connection) -> None:
        """That a daemon which starts now would know all of them."""
        found = {one.session.id: one for one in recall.load(db, 3, 8)}
        for one in recall.load(db, 1_000, 8):
            place = self.parents[one.session.id], self.root(one.session.id)
            assert (one.session.parent, one.session.root) == place
            assert (one.turns, one.context) == (
                self.turns.get(one.session.id, 0),
                self.context.get(one.session.id, 0),
            )
            found.pop(one.session.id, None)
        assert not found
