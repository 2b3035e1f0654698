"""Trusted time against clocks that step, slew, sleep and lie.

`Box` is a machine whose true time, wall clock and boot clock the test moves; it keeps the belief and
checks at every reading that time did not go back unless the test said so.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from budgetd.core.trusted_time import (
    DATE_TOLERANCE_MS,
    NOISE_MS,
    SMALL_STEP_MS,
    STEADY_MS,
    TrustedTime,
    begin,
)
from budgetd.core.windows import Calendar, Fixed, FixedDaily, Window, span_at

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = 1_780_056_000_000  # some noon in UTC


class Box:
    """A machine. `true` is the real time, which a good provider's Date shows, floored to a second."""

    def __init__(self, *, high_water: int | None = None, wrong: int = 0) -> None:
        self.true = NOON
        self.wall = NOON + wrong
        self.boot = 12_345
        self.belief = begin(self.wall, self.boot, high_water)
        self.now = self.read()

    def read(self) -> int:
        self.belief, now = self.belief.observe(self.wall, self.boot)
        self.now = now
        return now

    def doubts(self) -> bool:
        return self.belief.doubt is not None

    def pass_time(self, ms: int) -> Box:
        """Real time passes, awake or suspended: wall and boot both count it."""
        self.true += ms
        self.wall += ms
        self.boot += ms
        return self

    def step(self, ms: int) -> Box:
        """Somebody sets the wall clock."""
        self.wall += ms
        return self

    def date(self, ms: int | None = None) -> Box:
        """A response arrives, by default from a provider whose clock is right."""
        stamp = (self.true if ms is None else ms) // SECOND * SECOND
        self.belief = self.belief.witness(stamp, self.wall, self.boot)
        return self


# ----------------------------------------------------------------------------------- nothing is odd


def test_a_quiet_clock_changes_nothing() -> None:
    box = Box()
    first = box.belief
    for _ in range(1000):
        assert box.pass_time(977).read() == box.wall
        box.date()
        assert box.belief is first
        assert not box.doubts()


@pytest.mark.parametrize("jitter", [-(NOISE_MS - 1), -1, 1, NOISE_MS - 1])
def test_noise_between_two_readings_is_no_event(jitter: int) -> None:
    box = Box()
    first = box.belief
    box.pass_time(MINUTE).step(jitter)
    assert box.read() == NOON + MINUTE
    assert box.date().read() == NOON + MINUTE
    assert box.date(box.wall).read() == NOON + MINUTE
    assert box.belief is first


def test_a_suspend_moves_both_clocks_and_is_no_event() -> None:
    box = Box()
    first = box.belief
    assert box.pass_time(9 * HOUR).read() == NOON + 9 * HOUR
    assert box.belief is first


# -------------------------------------------------------------------------------------- small steps


def test_a_small_step_ahead_is_followed_in_silence() -> None:
    box = Box()
    assert box.step(59 * SECOND).read() == NOON + 59 * SECOND
    assert not box.doubts()


def test_a_small_step_back_makes_time_stand_still() -> None:
    box = Box()
    assert box.step(-59 * SECOND).read() == NOON
    assert not box.doubts()
    assert box.pass_time(58 * SECOND).read() == NOON
    assert box.pass_time(2 * SECOND).read() == NOON + SECOND == box.wall


@pytest.mark.parametrize("per_mille", [-83, 83])
def test_slewing_is_followed_for_as_long_as_it_lasts(per_mille: int) -> None:
    box = Box()
    for _ in range(3 * 3600):
        box.pass_time(SECOND).step(per_mille)
        assert abs(box.read() - box.wall) < SMALL_STEP_MS
        assert not box.doubts()
    assert abs(box.wall - box.true) > 14 * MINUTE


def test_many_small_steps_are_no_way_around_the_doubt() -> None:
    box = Box()
    for _ in range(600):
        box.pass_time(SECOND).step(10 * SECOND).read()
    assert box.doubts()
    assert box.now - box.true <= SMALL_STEP_MS + box.boot // 10


def test_the_allowance_for_small_steps_comes_back() -> None:
    box = Box()
    box.step(50 * SECOND).read()
    box.step(20 * SECOND).read()
    assert box.doubts()
    box.pass_time(2 * MINUTE).read()
    assert not box.doubts()
    assert box.now == box.wall


# ----------------------------------------------------------------------------------- a jump forward


def test_a_jump_ahead_is_doubted_and_time_goes_on() -> None:
    box = Box()
    box.step(3 * HOUR)
    assert box.read() == NOON
    assert box.pass_time(10 * MINUTE).read() == NOON + 10 * MINUTE
    doubt = "the clock jumped 3h ahead; waiting for an upstream Date or 15m steady"
    assert box.belief.doubt == doubt


def test_in_doubt_nothing_changes_from_call_to_call() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    doubting = box.belief
    box.pass_time(MINUTE).read()
    assert box.belief is doubting


def test_a_date_confirms_a_jump_ahead() -> None:
    box = Box(wrong=-6 * HOUR)
    box.step(6 * HOUR).read()
    assert box.now == NOON - 6 * HOUR
    assert box.date().read() == NOON
    assert not box.doubts()


def test_a_date_can_come_before_the_jump_is_seen() -> None:
    box = Box(wrong=-6 * HOUR)
    box.step(6 * HOUR).date()
    assert box.read() == NOON


def test_time_confirms_a_jump_ahead() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    assert box.pass_time(STEADY_MS - 1).read() == box.true
    assert box.pass_time(1).read() == box.wall
    assert not box.doubts()


def test_steady_time_counts_from_the_last_jump() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    box.pass_time(STEADY_MS - MINUTE).step(2 * MINUTE).read()
    box.pass_time(STEADY_MS - 1).read()
    assert box.now == box.true
    assert box.pass_time(1).read() == box.wall


def test_slewing_while_in_doubt_is_steady() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    for _ in range(15):
        box.pass_time(MINUTE).step(SECOND).read()
    assert box.now == box.wall


def test_a_jump_that_is_taken_back_leaves_nothing_behind() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    box.pass_time(MINUTE).step(-3 * HOUR).read()
    assert not box.doubts()
    assert box.pass_time(STEADY_MS).read() == box.true


def test_a_date_against_a_jump_keeps_it_in_doubt() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    for _ in range(60):
        assert box.pass_time(10 * MINUTE).date().read() == box.true
        assert box.doubts()


def test_between_two_near_readings_a_date_sides_with_the_nearer() -> None:
    ours = Box()
    ours.step(2 * MINUTE).read()
    assert ours.date().read() == NOON
    assert ours.doubts()
    walls = Box(wrong=-2 * MINUTE)
    walls.step(2 * MINUTE).read()
    assert walls.date().read() == NOON
    assert not walls.doubts()


# ------------------------------------------------------------------------------------- a step back


def test_a_step_back_does_not_take_time_along() -> None:
    box = Box()
    box.step(-2 * HOUR)
    assert box.read() == NOON
    assert box.pass_time(9 * HOUR).read() == box.true
    assert box.belief.doubt == (
        "the clock is 2h behind; waiting for an upstream Date that agrees with it"
    )


def test_a_date_confirms_a_step_back() -> None:
    box = Box(wrong=2 * HOUR)
    box.pass_time(MINUTE).step(-2 * HOUR)
    assert box.read() == NOON + 2 * HOUR + MINUTE
    assert box.date().read() == NOON + MINUTE
    assert not box.doubts()
    assert box.belief.floor == NOON + MINUTE


def test_a_small_step_back_is_not_for_a_date_to_confirm() -> None:
    box = Box(wrong=40 * SECOND)
    box.pass_time(MINUTE).read()
    box.step(-40 * SECOND)
    assert box.date().read() == NOON + 100 * SECOND, "time stands still"
    assert box.pass_time(41 * SECOND).read() == box.true


def test_small_steps_back_that_a_date_ends_stand_still_together() -> None:
    box = Box(wrong=55 * SECOND)
    assert box.step(-30 * SECOND).read() == NOON + 55 * SECOND
    assert box.step(-25 * SECOND).date().read() == NOON + 55 * SECOND
    assert box.pass_time(56 * SECOND).read() == box.true


def test_a_wrong_wall_that_time_confirmed_is_corrected() -> None:
    box = Box()
    box.step(3 * HOUR).read()
    assert box.pass_time(STEADY_MS).read() == box.true + 3 * HOUR
    box.step(-3 * HOUR).read()
    assert box.now == box.true + 3 * HOUR
    assert box.date().read() == box.true


# ------------------------------------------------------------------------------------- wrong Dates


@pytest.mark.parametrize("lie", [-400 * 24 * HOUR, -HOUR, -6 * MINUTE, 6 * MINUTE, HOUR])
@pytest.mark.parametrize("step", [0, 3 * HOUR, -3 * HOUR])
def test_a_provider_with_a_wrong_clock_moves_nothing(lie: int, step: int) -> None:
    box = Box()
    box.step(step).read()
    before = box.belief
    box.pass_time(MINUTE).date(box.true + lie)
    assert box.belief is before
    assert box.read() == box.true


@pytest.mark.parametrize(("off", "believed"), [(0, True), (1, False)])
def test_how_far_off_a_date_may_be(off: int, believed: bool) -> None:
    box = Box()
    box.step(3 * HOUR).read()
    box.date(box.wall + DATE_TOLERANCE_MS + off * SECOND)
    assert (box.read() == box.wall) is believed


# ------------------------------------------------------------------------------------------- starts


def test_a_new_ledger_believes_the_wall() -> None:
    assert begin(NOON, 5, None).observe(NOON + 10, 15)[1] == NOON + 10


def test_downtime_is_believed() -> None:
    box = Box(high_water=NOON - 40 * 24 * HOUR)
    assert box.now == NOON
    assert not box.doubts()


def test_a_start_just_behind_the_ledger_stands_still() -> None:
    box = Box(high_water=NOON + 30 * SECOND)
    assert box.now == NOON + 30 * SECOND
    assert not box.doubts()
    assert box.pass_time(31 * SECOND).read() == box.wall


def test_a_start_far_behind_the_ledger_goes_on_from_there() -> None:
    box = Box(high_water=NOON + 5 * HOUR)
    assert box.now == NOON + 5 * HOUR
    assert box.doubts()
    assert box.pass_time(HOUR).read() == NOON + 6 * HOUR
    assert box.date().read() == NOON + HOUR
    assert not box.doubts()


def test_a_board_without_a_battery_finds_its_time() -> None:
    """It boots in 1970, NTP comes later: first the ledger's time, then the right one."""
    last = NOON - 8 * HOUR
    box = Box(high_water=last, wrong=-NOON)
    assert box.now == last
    box.pass_time(MINUTE).step(NOON)
    assert box.read() == last + MINUTE
    assert box.date().read() == box.true


# --------------------------------------------------------------------------------------- properties

WINDOWS: tuple[Window, ...] = (
    Fixed(5 * HOUR),
    FixedDaily(5 * HOUR, "America/New_York"),
    Calendar("day", "Australia/Lord_Howe", 150),
    Calendar("week", "UTC", 240),
)
steps = st.one_of(
    st.integers(-200, 200),
    st.integers(-3 * MINUTE, 3 * MINUTE),
    st.integers(-30 * HOUR, 30 * HOUR),
)
waits = st.one_of(st.integers(0, 200), st.integers(0, 20 * MINUTE), st.integers(0, 9 * HOUR))


class Clockwork(RuleBasedStateMachine):
    """Any history of clocks: time goes back, and a span is reopened, only where a Date allowed it."""

    @initialize(
        high_water=st.one_of(st.none(), st.integers(NOON - 99 * HOUR, NOON + 99 * HOUR)),
        wrong=steps,
    )
    def start(self, high_water: int | None, wrong: int) -> None:
        self.box = Box(high_water=high_water, wrong=wrong)
        self.highest = self.box.now
        assert high_water is None or self.box.now >= high_water

    @rule(ms=waits)
    def wait(self, ms: int) -> None:
        self.box.pass_time(ms)

    @rule(ms=steps)
    def set_the_wall(self, ms: int) -> None:
        self.box.step(ms)

    @rule()
    def set_the_wall_right(self) -> None:
        self.box.step(self.box.true - self.box.wall)

    @rule(lie=st.one_of(st.just(0), steps))
    def answer(self, lie: int) -> None:
        """A Date that is right, or not. If it agrees with an earlier wall, that is the time."""
        box = self.box
        stamp = (box.true + lie) // SECOND * SECOND
        box.date(stamp)
        if abs(stamp - box.wall) <= DATE_TOLERANCE_MS and self.highest - box.wall > SMALL_STEP_MS:
            self.highest = min(self.highest, box.wall)

    @rule()
    def restart(self) -> None:
        """The daemon starts again on what the ledger kept: the last `now`."""
        self.box.belief = begin(self.box.wall, self.box.boot, self.box.now)

    @invariant()
    def time_does_not_go_back(self) -> None:
        if not hasattr(self, "box"):
            return
        box = self.box
        now = box.read()
        assert now >= self.highest
        for window in WINDOWS:
            assert span_at(window, now).start >= span_at(window, self.highest).start
        self.highest = now
        before = box.belief
        assert box.read() == now, "reading again tells the same"
        assert box.belief is before, "and changes nothing"
        if not box.doubts():
            assert abs(box.boot + box.belief.offset - box.wall) < NOISE_MS

    @invariant()
    def a_right_wall_and_a_right_date_end_every_doubt(self) -> None:
        if not hasattr(self, "box"):
            return
        box = self.box
        right = box.belief.witness(box.true // SECOND * SECOND, box.true, box.boot)
        right, now = right.observe(box.true, box.boot)
        if abs(box.boot + box.belief.offset - box.true) > SECOND * 2:
            assert right.doubt is None
            assert 0 <= now - box.true <= SMALL_STEP_MS


TestClockwork = Clockwork.TestCase


@given(st.lists(st.tuples(waits, steps), max_size=40))
def test_without_a_date_time_never_outruns_the_boot_clock_unseen(
    history: list[tuple[int, int]],
) -> None:
    """Between two readings, `now` gains on boot time only by small steps or after steady time."""
    box = Box()
    doubted_since: int | None = None
    for wait, step in history:
        before, since = box.now, box.boot
        box.pass_time(wait).step(step).read()
        gained = box.now - before - (box.boot - since)
        if gained > SMALL_STEP_MS:
            assert doubted_since is not None
            assert box.boot - doubted_since >= STEADY_MS
        if not box.doubts():
            doubted_since = None
        elif doubted_since is None:
            doubted_since = box.boot


def test_a_belief_is_a_value() -> None:
    belief: TrustedTime = begin(NOON, 0, None)
    belief.observe(NOON + HOUR, 0)
    assert belief == begin(NOON, 0, None)
