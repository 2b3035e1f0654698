"""The ledger against a model of plain dictionaries, over whatever Hypothesis thinks of.

Real SQLite files, real windows; the model is a few integers for each window and each attempt. After every
step the two agree to the pico-dollar, and what is spent and held is within every limit that binds.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

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
from budgetd.core.settlement import Settlement
from budgetd.core.windows import Fixed, Total, identity, span_at
from budgetd.ledger import book, desk
from budgetd.ledger.writer import connect
from tests.ledger.entries import HOUR, NOW, reservation

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
    cost: int = 0
    open: bool = True


@dataclass
class Model:
    windows: dict[Slot, Window] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
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


keys = st.sampled_from(KEYS)
picks = st.integers(0, 40)


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

    @rule(key=keys, least=st.integers(0, 60), more=st.integers(0, 60))
    def admit_a_small_call(self, key: str, least: int, more: int) -> None:
        self.admit(key, least, more)

    @rule(key=keys, least=st.integers(40, 250), more=st.integers(0, 600))
    def admit_a_large_call(self, key: str, least: int, more: int) -> None:
        self.admit(key, least, more)

    @rule(key=keys, holds=st.lists(st.integers(20, 200), min_size=2, max_size=6))
    def admit_many(self, key: str, holds: list[int]) -> None:
        for hold in holds:
            self.admit(key, hold, 0)

    def admit(self, key: str, least: int, more: int) -> None:
        budgets = budgets_of(key)
        for budget in budgets:
            self.model.slot(budget, self.now)
        word, hold = self.model.expected(key, least, least + more, self.now)
        wanted = reservation(*budgets, hold=least + more, least=least, key=key)
        outcome = book.admit(self.db, wanted, self.now)
        assert WORDS[type(outcome)] == word
        if isinstance(outcome, Admit):
            assert outcome.hold == outcome.output == hold
            slots = [self.model.slot(budget, self.now) for budget in budgets]
            for slot in slots:
                self.model.windows[slot].held += hold
            self.model.attempts[wanted.attempt] = Attempt(slots, hold)
            self.last = self.now

    def one(self, which: int, *, of_open: bool) -> str:
        names = [name for name, known in self.model.attempts.items() if known.open or not of_open]
        return names[which % len(names)]

    @precondition(some_open)
    @rule(which=picks, share=st.integers(0, 100), estimated=st.booleans())
    def settle(self, which: int, share: int, *, estimated: bool) -> None:
        attempt = self.one(which, of_open=True)
        cost = self.model.attempts[attempt].hold * share // 100
        self.end(attempt, Settlement("uncertain" if estimated else "settled", cost, estimated))

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

    def end(self, attempt: str, done: Settlement) -> None:
        known = self.model.attempts.get(attempt)
        fresh = known is not None and known.open
        assert book.settle(self.db, attempt, done, self.now) == fresh
        if known is None or not fresh:
            return
        for slot in known.slots:
            self.model.windows[slot].held -= known.hold
        known.cost, known.open = done.cost, False
        self.model.book(known, done.cost, above=max(done.cost - known.hold, 0))

    @precondition(some_made)
    @rule(which=picks, amount=st.integers(-200, 100))
    def adjust(self, which: int, amount: int) -> None:
        attempt = self.one(which, of_open=False)
        known = self.model.attempts[attempt]
        found = desk.adjust(self.db, attempt.partition(".")[0], amount, "", self.now)
        if known.open:
            assert found is None
            return
        amount = max(amount, -known.cost)
        assert found == desk.Adjusted(attempt, known.cost, known.cost + amount)
        known.cost += amount
        self.model.book(known, amount, above=max(amount, 0))

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
        self.admit("a", 1, 1)
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
        lost = [known for known in self.model.attempts.values() if known.open]
        assert book.recover(self.db, self.now) == len(lost)
        for known in lost:
            for slot in known.slots:
                self.model.windows[slot].held -= known.hold
            known.cost, known.open = known.hold, False
            self.model.book(known, known.hold)

    @rule(key=st.sampled_from(KEYS))
    def a_transaction_is_rolled_back(self, key: str) -> None:
        self.db.execute("BEGIN")
        book.admit(self.db, reservation(*budgets_of(key), hold=10, key=key), self.now)
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
    """The invariants are no decoration: one pico-dollar more in one window is found."""
    machine = LedgerMachine()
    machine.open_a_new_ledger()
    with closing(machine.db):
        machine.admit("a", 10, 0)
        machine.the_windows_are_those_of_the_model()
        machine.db.execute("UPDATE window SET held = held + 1 WHERE budget = 'day'")
        for check in (
            machine.the_windows_are_those_of_the_model,
            machine.every_counter_is_the_sum_of_its_rows,
        ):
            try:
                check()
            except AssertionError:
                continue
            raise LookupError(f"{check.__name__} saw nothing")
    machine.directory.cleanup()
