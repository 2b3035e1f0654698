"""The ledger against a model of plain dictionaries, over whatever Hypothesis thinks of.

Real SQLite files, real windows; the model is a few integers for each window and each attempt. After every
step the two agree to the pico-dollar, what is spent and held is within every limit that binds, and every
tree of sessions (`tests.ledger.forest`) is the sum of its calls.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from budgetd.core.budgets import Admit, Budget, Busy, Refuse
from budgetd.core.causes import Cause, Split
from budgetd.core.context import Makeup
from budgetd.core.sessions import Kind
from budgetd.core.settlement import Settlement
from budgetd.core.turns import Turn
from budgetd.core.windows import Fixed, Total, identity, span_at
from budgetd.ledger import book, desk
from budgetd.ledger.writer import connect
from tests.ledger.entries import HOUR, NOW, path, reservation
from tests.ledger.forest import Forest

SHORT, LONG = Fixed(5 * HOUR, anchor=NOW), Fixed(24 * HOUR, anchor=NOW)
KEYS = ("a", "b", "watched")

Slot = tuple[str, str, str, int]  # subject, budget, kind, start


def budgets_of(key: str) -> tuple[Budget, ...]:
    """Two of its own and one over everything; the third key only watches its own."""
    watch = key == "watched"
    return (
        Budget("5h", f"key:{key}", 400, SHORT, observe=watch),
        Budget("total", f"key:{key}", 1_500, Total(), observe=watch),
        Budget("day", "all", 900, LONG),
    )


@dataclass
class Window:
    """The model of one window."""

    limit: int
    binds: bool
    settled: int = 0
    held: int = 0
    topped: int = 0
    overdrawn: int = 0  # what adjustments and charges above a hold have added

    def room(self) -> int:
        return self.limit + self.topped - self.settled


@dataclass
class Attempt:
    """The model of one attempt."""

    slots: list[Slot]
    hold: int
    key: str
    cost: int = 0
    open: bool = True


@dataclass
class Model:
    windows: dict[Slot, Window] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    forest: Forest = field(default_factory=Forest)
    stopped: set[str] = field(default_factory=set)
    tally: int = 0

    def slot(self, budget: Budget, now: int) -> Slot:
        found = (
            budget.subject,
            budget.name,
            identity(budget.window),
            span_at(budget.window, now).start,
        )
        self.windows.setdefault(found, Window(budget.limit, not budget.observe))
        return found

    def expected(self, key: str, least: int, wanted: int, now: int) -> tuple[str, int]:
        """What a call that costs 1 for each of `least` to `wanted` tokens should get, and its hold."""
        if self.stopped & {"all", f"key:{key}"}:
            return "stopped", 0
        binding = [self.windows[self.slot(b, now)] for b in budgets_of(key) if not b.observe]
        if any(least > max(w.room(), 0) for w in binding):
            return "refused", 0
        hold = max(least, min([wanted, *(w.room() for w in binding)]))
        if any(hold > max(w.room() - w.held, 0) for w in binding):
            return "busy", 0
        return "admitted", hold

    def book(self, attempt: Attempt, amount: int, *, above: int = 0) -> None:
        for slot in attempt.slots:
            self.windows[slot].settled += amount
            self.windows[slot].overdrawn += above
        self.tally += amount


WORDS = {Admit: "admitted", Busy: "busy", Refuse: "refused", book.Stopped: "stopped"}


@dataclass(frozen=True)
class Said:
    """What a call says of itself: its session and those above it, and what it is."""

    refs: tuple[str, ...] = ()
    kind: Kind = "turn"
    retry_of: str | None = None


keys = st.sampled_from(KEYS)
picks = st.integers(0, 40)
# Six names, any of them above any other: circles, late parents and contradictions included.
refs = st.lists(st.sampled_from("pqrstu"), max_size=3, unique=True).map(tuple)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["turn", "turn", "turn", "side", "cron"])
claims = st.builds(Said, refs, kinds, st.sampled_from([None, None, None, "unknown"]))
causes: st.SearchStrategy[Cause | None] = st.sampled_from([None, "work", "work", "loop", "side"])


def some_made(machine: LedgerMachine) -> bool:
    return bool(machine.model.attempts)


def some_open(machine: LedgerMachine) -> bool:
    return any(known.open for known in machine.model.attempts.values())


class LedgerMachine(RuleBasedStateMachine):
    @initialize()
    def open_a_new_ledger(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "ledger.db"
        self.db = self.connect()
        self.model = Model()
        self.now = NOW
        self.last = 0

    def connect(self) -> sqlite3.Connection:
        db = connect(self.path)
        db.execute("PRAGMA synchronous = OFF")  # durability has a test of its own
        return db

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
            self.directory.cleanup()

    # ------------------------------------------------------------------------------------------ rules

    @rule(key=keys, least=st.integers(0, 60), more=st.integers(0, 60), said=claims)
    def admit_a_small_call(self, key: str, least: int, more: int, said: Said) -> None:
        self.admit(key, least, more, said)

    @rule(key=keys, least=st.integers(40, 250), more=st.integers(0, 600), said=claims)
    def admit_a_large_call(self, key: str, least: int, more: int, said: Said) -> None:
        self.admit(key, least, more, said)

    @rule(key=keys, holds=st.lists(st.integers(20, 200), min_size=2, max_size=6), said=claims)
    def admit_many(self, key: str, holds: list[int], said: Said) -> None:
        for hold in holds:
            self.admit(key, hold, 0, said)

    @precondition(some_made)
    @rule(which=picks, least=st.integers(0, 60), said=claims)
    def try_again(self, which: int, least: int, said: Said) -> None:
        """Another attempt of a call whose last one ended."""
        call, _, number = self.last_of(self.one(which, of_open=False)).partition(".")
        if not self.model.attempts[f"{call}.{number}"].open:
            key = self.model.attempts[f"{call}.{number}"].key
            self.admit(key, least, 0, said, again=(call, int(number) + 1))

    def admit(
        self, key: str, least: int, more: int, said: Said, again: tuple[str | None, int] = (None, 1)
    ) -> None:
        budgets = budgets_of(key)
        for budget in budgets:
            self.model.slot(budget, self.now)
        word, hold = self.model.expected(key, least, least + more, self.now)
        call, number = again
        wanted = reservation(
            *budgets,
            hold=least + more,
            least=least,
            key=key,
            call=call,
            number=number,
            path=path(*said.refs, key=key),
            kind=said.kind,
            retry_of=said.retry_of,
        )
        outcome = book.admit(self.db, wanted, self.now)
        assert WORDS[type(outcome)] == word
        if isinstance(outcome, Admit):
            assert outcome.hold == outcome.output == hold
            slots = [self.model.slot(budget, self.now) for budget in budgets]
            for slot in slots:
                self.model.windows[slot].held += hold
            self.model.attempts[wanted.attempt] = Attempt(slots, hold, key)
            if number == 1:
                made = wanted.call
                retried = said.retry_of is not None
                self.model.forest.enter(made.id, key, said.refs, said.kind, retried=retried)
            self.last = self.now

    def one(self, which: int, *, of_open: bool) -> str:
        names = [name for name, known in self.model.attempts.items() if known.open or not of_open]
        return names[which % len(names)]

    def last_of(self, attempt: str, *, ended: bool = False) -> str:
        """The last attempt of the same call; or the last one that has ended, if any has."""
        call = attempt.partition(".")[0]
        names = [name for name in self.model.attempts if name.startswith(f"{call}.")]
        over = [name for name in names if not self.model.attempts[name].open]
        return over[-1] if ended and over else names[-1]

    @precondition(some_open)
    @rule(which=picks, share=st.integers(0, 100), estimated=st.booleans(), cause=causes)
    def settle(self, which: int, share: int, *, estimated: bool, cause: Cause | None) -> None:
        attempt = self.one(which, of_open=True)
        cost = self.model.attempts[attempt].hold * share // 100
        done = Settlement("uncertain" if estimated else "settled", cost, estimated)
        self.end(attempt, done, self.turn(attempt, cost, share, cause) if cause else None)

    def turn(self, attempt: str, cost: int, share: int, cause: Cause) -> Turn | None:
        """What a call may have been in its session."""
        spoken = self.model.forest.calls.get(attempt.partition(".")[0])
        if spoken is None:
            return None
        cold = cost * share // 200 if cause == "work" else 0
        makeup = Makeup(share, 2, 3, 4, 5) if share % 2 else None
        number = self.model.forest.turns.get(spoken.session, 0) + 1 if spoken.kind == "turn" else 0
        split = Split(cause, cold, cost - cold if share % 3 == 0 and cause == "work" else 0)
        session = path(*"p")[0]  # whose it is the ledger knows
        return Turn(session, spoken.kind, number, split, makeup, 0, None, (), 0, None)

    @precondition(some_open)
    @rule(which=picks)
    def settle_for_all_that_was_held(self, which: int) -> None:
        attempt = self.one(which, of_open=True)
        self.end(attempt, Settlement("settled", self.model.attempts[attempt].hold))

    @precondition(some_open)
    @rule(which=picks, extra=st.integers(1, 60))
    def settle_above_the_hold(self, which: int, extra: int) -> None:
        attempt = self.one(which, of_open=True)
        self.end(attempt, Settlement("settled", self.model.attempts[attempt].hold + extra))

    @precondition(some_open)
    @rule(which=picks, state=st.sampled_from(["not_sent", "known_zero"]))
    def release(self, which: int, state: str) -> None:
        self.end(self.one(which, of_open=True), Settlement(state, 0))  # type: ignore[arg-type]  # one of the literals

    @precondition(some_made)
    @rule(which=picks)
    def settle_whatever_it_is(self, which: int) -> None:
        """Most of them a second time: then nothing happens."""
        self.end(self.one(which, of_open=False), Settlement("settled", 1))
        self.end("never-made.1", Settlement("settled", 1))

    def end(self, attempt: str, done: Settlement, turn: Turn | None = None) -> None:
        known = self.model.attempts.get(attempt)
        fresh = known is not None and known.open
        assert book.settle(self.db, attempt, done, self.now, turn) == fresh
        if known is None or not fresh:
            return
        for slot in known.slots:
            self.model.windows[slot].held -= known.hold
        known.cost, known.open = done.cost, False
        self.model.book(known, done.cost, above=max(done.cost - known.hold, 0))
        call = attempt.partition(".")[0]
        self.model.forest.end(call, done.cost, turn, sent=done.state != "not_sent")

    @precondition(some_made)
    @rule(which=picks, amount=st.integers(-200, 100))
    def adjust(self, which: int, amount: int) -> None:
        attempt = self.last_of(self.one(which, of_open=False), ended=True)
        known = self.model.attempts[attempt]
        call = attempt.partition(".")[0]
        found = desk.adjust(self.db, call, amount, "", self.now)
        if known.open:
            assert found is None
            return
        amount = max(amount, -known.cost)
        assert found == desk.Adjusted(attempt, known.cost, known.cost + amount)
        known.cost += amount
        self.model.book(known, amount, above=max(amount, 0))
        self.model.forest.adjust(call, amount)

    @rule(key=st.sampled_from(KEYS), which=st.integers(0, 2), amount=st.integers(1, 300))
    def top_up(self, key: str, which: int, amount: int) -> None:
        budget = budgets_of(key)[which]
        slot = self.model.slot(budget, self.now)
        self.model.windows[slot].topped += amount
        (found,) = desk.top_up(self.db, (budget,), amount, "", self.now)
        assert found.limit == budget.limit + self.model.windows[slot].topped

    @rule(subject=st.sampled_from(["all", "key:a"]), lasting=st.integers(0, 3))
    def stop(self, subject: str, lasting: int) -> None:
        """Most stops are lifted at once, so that the rest of the ledger has something to do."""
        desk.stop(self.db, subject, "", self.now)
        self.model.stopped.add(subject)
        self.admit("a", 1, 1, Said(("p", "q")))
        if lasting:
            self.lift(subject)

    @precondition(lambda self: self.model.stopped)
    @rule(subject=st.sampled_from(["all", "key:a"]))
    def lift(self, subject: str) -> None:
        assert desk.lift(self.db, subject) == (subject in self.model.stopped)
        self.model.stopped.discard(subject)

    @rule(hours=st.sampled_from([0, 0, 0, 1, 5, 24]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule()
    def the_clock_is_corrected(self) -> None:
        """Back by an hour, into a window that may be over."""
        self.now -= HOUR

    @precondition(some_open)
    @rule(sure=st.integers(0, 2))
    def crash_and_reopen(self, sure: int) -> None:
        if sure == 0:
            self.crash()

    def crash(self) -> None:
        self.db.close()
        self.db = self.connect()
        assert book.last_instant(self.db) == self.last
        lost = {name: known for name, known in self.model.attempts.items() if known.open}
        assert book.recover(self.db, self.now) == len(lost)
        for name, known in lost.items():
            for slot in known.slots:
                self.model.windows[slot].held -= known.hold
            known.cost, known.open = known.hold, False
            self.model.book(known, known.hold)
            self.model.forest.end(name.partition(".")[0], known.hold, None, sent=True)
        self.model.forest.check_recalled(self.db)

    @rule(key=st.sampled_from(KEYS), refs=refs)
    def a_transaction_is_rolled_back(self, key: str, refs: tuple[str, ...]) -> None:
        self.db.execute("BEGIN")
        wanted = reservation(*budgets_of(key), hold=10, key=key, path=path(*refs, key=key))
        book.admit(self.db, wanted, self.now)
        book.settle(self.db, wanted.attempt, Settlement("settled", 5), self.now)
        self.db.execute("ROLLBACK")

    # ------------------------------------------------------------------------------------- invariants

    @invariant()
    def the_windows_are_those_of_the_model(self) -> None:
        rows = self.db.execute(
            "SELECT subject, budget, kind, start, settled, held, topped_up FROM window"
        )
        found = {row[:4]: row[4:] for row in rows}
        for slot, window in self.model.windows.items():
            figures = found.pop(slot, (0, 0, 0))
            assert figures == (window.settled, window.held, window.topped)
        assert not found

    @invariant()
    def no_limit_that_binds_is_passed(self) -> None:
        for window in self.model.windows.values():
            if window.binds:
                most = window.limit + window.topped + window.overdrawn
                assert window.settled + window.held <= most

    @invariant()
    def every_tree_is_the_sum_of_its_calls(self) -> None:
        self.model.forest.check(self.db)

    @invariant()
    def every_counter_is_the_sum_of_its_rows(self) -> None:
        assert desk.audit(self.db) == []
        booked = self.db.execute("SELECT coalesce(sum(cost), 0) FROM tally").fetchone()[0]
        assert booked == self.model.tally

    @invariant()
    def every_attempt_is_tied_to_the_windows_of_its_reservation(self) -> None:
        rows = self.db.execute(
            "SELECT x.attempt, w.subject, w.budget, w.kind, w.start FROM charge x JOIN window w ON w.id = x.window"
        )
        tied: dict[str, set[Slot]] = {}
        for attempt, *slot in rows:
            tied.setdefault(attempt, set()).add(tuple(slot))
        assert tied == {name: set(known.slots) for name, known in self.model.attempts.items()}
        open_now = {
            row[0] for row in self.db.execute("SELECT id FROM attempt WHERE state = 'open'")
        }
        assert open_now == {name for name, known in self.model.attempts.items() if known.open}


LedgerMachine.TestCase.settings = settings(
    max_examples=110, stateful_step_count=50, deadline=None, print_blob=True
)
TestLedger = LedgerMachine.TestCase


def test_the_machine_sees_a_window_that_is_wrong() -> None:
    """The invariants are no decoration: one pico-dollar more in one window, or in one tree, is found."""
    machine = LedgerMachine()
    machine.open_a_new_ledger()
    with closing(machine.db):
        machine.admit("a", 10, 0, Said(("p", "q")))
        for damage, checks in (
            (
                "UPDATE window SET held = held + 1 WHERE budget = 'day'",
                (
                    machine.the_windows_are_those_of_the_model,
                    machine.every_counter_is_the_sum_of_its_rows,
                ),
            ),
            (
                "UPDATE session SET tree_cost = 1 WHERE ref = 'q'",
                (
                    machine.every_tree_is_the_sum_of_its_calls,
                    machine.every_counter_is_the_sum_of_its_rows,
                ),
            ),
        ):
            for check in checks:
                check()
            machine.db.execute("BEGIN")
            machine.db.execute(damage)
            for check in checks:
                with pytest.raises(AssertionError):
                    check()
            machine.db.execute("ROLLBACK")
    machine.directory.cleanup()
