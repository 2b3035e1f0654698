"""Caps: each at its edge, brakes that let go by themselves, and a minute's spending that is never counted short."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.caps import (
    FIRST_REST_MS,
    LONGEST_REST_MS,
    Breach,
    Caps,
    Conduct,
    Pace,
    Streak,
    breach,
)

NOW = 1_700_000_000_000
MINUTE = 60_000
EVERYTHING: dict[str, Any] = {"calls": 10**9, "turns": 10**9, "context": 10**9, "spent": 10**15}


def failing(times: int, *, request: int = 1, at: int = NOW) -> Streak:
    streak = Streak()
    for _ in range(times):
        streak = streak.failed(request, at)
    return streak


# ------------------------------------------------------------------------------------------ ends


def test_without_caps_anything_goes() -> None:
    assert breach(Caps(), Conduct(NOW, streak=failing(99), **EVERYTHING)) is None


@pytest.mark.parametrize("cap", ["calls", "turns", "context"])
def test_the_last_one_that_is_allowed_goes_and_the_next_does_not(cap: str) -> None:
    last: dict[str, Any] = {cap: 50}
    beyond: dict[str, Any] = {cap: 51}
    assert breach(Caps(**last), Conduct(NOW, **last)) is None
    assert breach(Caps(**last), Conduct(NOW, **beyond)) == Breach(cap, 50, 51, None)  # type: ignore[arg-type]  # by name


def test_a_call_that_is_no_turn_is_not_held_to_the_turns() -> None:
    assert breach(Caps(turns=1), Conduct(NOW, calls=9, turns=0)) is None


# ---------------------------------------------------------------------------------------- brakes


def test_errors_in_a_row_close_the_way_for_a_rest() -> None:
    caps = Caps(errors=3)
    assert breach(caps, Conduct(NOW, streak=failing(2))) is None
    closed = Breach("errors", 3, 3, NOW + FIRST_REST_MS)
    for at in (NOW, NOW + FIRST_REST_MS - 1):
        assert breach(caps, Conduct(at, request=2, streak=failing(3))) == closed
    assert breach(caps, Conduct(NOW + FIRST_REST_MS, streak=failing(3))) is None


def test_each_further_error_doubles_the_rest_up_to_a_quarter_of_an_hour() -> None:
    rests = []
    for errors in (3, 4, 5, 6, 7, 8, 9, 10**6):
        found = breach(Caps(errors=3), Conduct(NOW, streak=Streak(errors, 1, 1, NOW)))
        assert found is not None
        assert found.until is not None
        rests.append((found.until - NOW) // 1000)
    assert rests == [30, 60, 120, 240, 480, 900, 900, 900]
    assert LONGEST_REST_MS == 900_000


def test_the_rest_is_counted_from_the_last_error() -> None:
    streak = failing(2).failed(1, NOW + 5_000)
    found = breach(Caps(errors=3), Conduct(NOW + 6_000, streak=streak))
    assert found == Breach("errors", 3, 3, NOW + 35_000)


def test_one_success_forgets_all_errors() -> None:
    assert breach(Caps(errors=1, failures=1), Conduct(NOW, request=1, streak=Streak())) is None
    assert Streak().failed(7, NOW) == Streak(1, 1, 7, NOW)


def test_only_the_request_that_failed_again_and_again_has_to_rest() -> None:
    caps = Caps(failures=2)
    streak = failing(2, request=5)
    assert breach(caps, Conduct(NOW, request=6, streak=streak)) is None
    assert breach(caps, Conduct(NOW, request=5, streak=failing(1, request=5))) is None
    closed = Breach("failures", 2, 2, NOW + FIRST_REST_MS)
    assert breach(caps, Conduct(NOW, request=5, streak=streak)) == closed
    assert breach(Caps(failures=1), Conduct(NOW, request=6, streak=streak)) is None
    # Nor for ever: a provider that was down comes back.
    assert breach(caps, Conduct(NOW + FIRST_REST_MS, request=5, streak=streak)) is None


def test_another_request_that_fails_counts_as_an_error_and_begins_its_own_row() -> None:
    streak = failing(3, request=5).failed(6, NOW).failed(5, NOW + 1)
    assert streak == Streak(errors=5, failures=1, request=5, at=NOW + 1)
    # The digest 0 is a request like others.
    assert Streak().failed(0, NOW).failures == 1


@given(
    cap=st.integers(1, 20),
    waits=st.lists(st.integers(0, 2 * LONGEST_REST_MS), min_size=1, max_size=60),
)
def test_whoever_comes_back_when_told_is_let_through(cap: int, waits: list[int]) -> None:
    # Everything fails; between calls the agent waits as it likes. No rest is longer than the
    # longest, and none is longer than was said.
    streak, now = Streak(), NOW
    for wait in waits:
        now += wait
        found = breach(Caps(errors=cap, failures=cap), Conduct(now, request=1, streak=streak))
        if found is not None:
            assert found.until is not None
            assert now < found.until <= now + LONGEST_REST_MS
            now = found.until
            assert (
                breach(Caps(errors=cap, failures=cap), Conduct(now, 1, request=1, streak=streak))
                is None
            )
        streak = streak.failed(1, now)


def test_a_clock_that_was_set_back_does_not_lengthen_a_rest() -> None:
    late = failing(3)
    assert breach(Caps(errors=3), Conduct(NOW - MINUTE, streak=late)) is not None
    assert breach(Caps(errors=3), Conduct(NOW - MINUTE - 1, streak=late)) is None


def test_haste_is_stopped_until_enough_of_it_is_a_minute_ago() -> None:
    caps = Caps(dollars_per_minute=100)
    assert breach(caps, Conduct(NOW, spent=99)) is None
    closed = Breach("dollars_per_minute", 100, 100, NOW + 7)
    assert breach(caps, Conduct(NOW, spent=100, frees=NOW + 7)) == closed


# --------------------------------------------------------------------------------- several at once


def test_of_several_caps_the_one_that_ends_the_session_is_told_in_their_order() -> None:
    caps = Caps(calls=1, turns=1, errors=1, dollars_per_minute=1, context=1)
    conduct: dict[str, Any] = {"streak": failing(1), "spent": 1, "frees": NOW + 1}
    for cap, without in (
        ("calls", {}),
        ("turns", {"calls": 0}),
        ("context", {"calls": 0, "turns": 0}),
    ):
        facts: dict[str, Any] = {"calls": 2, "turns": 2, "context": 2} | without
        found = breach(caps, Conduct(NOW, **facts, **conduct))
        assert found == Breach(cap, 1, 2, None)  # type: ignore[arg-type]  # by name


def test_of_several_brakes_the_one_that_lets_go_last_is_told() -> None:
    caps = Caps(errors=2, failures=1, dollars_per_minute=10)
    streak = failing(2)  # errors at their first rest, failures at their second
    for frees, expected in (
        (NOW + 1, Breach("failures", 1, 2, NOW + 60_000)),
        (NOW + 60_001, Breach("dollars_per_minute", 10, 20, NOW + 60_001)),
        (None, Breach("dollars_per_minute", 10, 20, None)),  # never
    ):
        conduct = Conduct(NOW, request=1, streak=streak, spent=20, frees=frees)
        assert breach(caps, conduct) == expected


# ----------------------------------------------------------------------------------------- words


def test_what_a_breach_says() -> None:
    said = {
        Breach("calls", 1000, 1001): "this would be call 1,001 of the session; the cap is 1,000",
        Breach("turns", 30, 31): "this would be turn 31 of the session; the cap is 30",
        Breach(
            "context", 150_000, 150_001
        ): "this call would have 150,001 tokens of context; the cap is 150,000",
        Breach("errors", 5, 6, NOW): "6 calls in a row have failed; the cap is 5",
        Breach("failures", 3, 3, NOW): "the same request has failed 3 times in a row; the cap is 3",
        Breach(
            "dollars_per_minute", 2 * 10**12, 2_504 * 10**9, NOW
        ): "$2.50 was spent in the last minute; the cap is $2.00",
    }
    assert {found: found.words for found in said} == said


# ------------------------------------------------------------------------------------------ pace


def test_spending_counts_for_a_minute_and_at_most_a_second_more() -> None:
    pace = Pace()
    pace.spend(5, NOW)
    assert pace.spent(NOW + MINUTE) == 5
    assert pace.spent(NOW + MINUTE + 999) == 5
    assert pace.spent(NOW + MINUTE + 1000) == 0


def test_many_calls_of_a_second_are_one_bucket() -> None:
    pace = Pace()
    for millisecond in range(1000):
        pace.spend(1, NOW + millisecond)
    assert (len(pace._buckets), pace.spent(NOW + 999)) == (1, 1000)


def test_nothing_is_spent_by_a_refund() -> None:
    pace = Pace()
    for pico in (7, 0, -5):
        pace.spend(pico, NOW)
    assert pace.spent(NOW) == 7


moments = st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 10**12)), max_size=200)


@given(moments)
def test_a_minutes_spending_is_exact_but_for_the_second_that_is_just_gone(spendings: list) -> None:
    pace, now, all_of_it = Pace(), NOW + 345, []
    for wait, pico in spendings:
        now += wait
        pace.spend(pico, now)
        all_of_it.append((now, pico))
        least = sum(pico for at, pico in all_of_it if now - at <= MINUTE)
        most = sum(pico for at, pico in all_of_it if now - at < MINUTE + 1000)
        assert least <= pace.spent(now) <= most
        assert len(pace._buckets) <= 61


@given(moments, st.integers(1, 3 * 10**12))
def test_it_frees_at_the_first_instant_at_which_less_is_spent(spendings: list, limit: int) -> None:
    pace, now = Pace(), NOW
    for wait, pico in spendings:
        now += wait
        pace.spend(pico, now)
    frees = pace.frees(limit, now)
    assert frees is not None
    if frees > now:
        assert pace.spent(frees - 1) >= limit
    assert pace.spent(frees) < limit
    assert now <= frees <= now + MINUTE + 1000


def test_a_limit_of_nothing_never_frees() -> None:
    pace = Pace()
    pace.spend(5, NOW)
    assert pace.frees(0, NOW) is None
    assert pace.frees(1, NOW) == NOW + MINUTE + 1000


def test_calls_that_come_with_an_earlier_now_do_not_make_spending_older() -> None:
    # Two calls side by side read the clock in turn, one of them always half a second ago.
    pace = Pace()
    pace.spend(5, NOW)
    for _ in range(100):
        pace.spend(1, NOW + 1_000)
        assert pace.spent(NOW + 500) >= 5
    assert pace.spent(NOW + MINUTE) == 105
    assert pace.spent(NOW + MINUTE + 2_000) == 0


def test_a_clock_that_was_set_back_by_a_minute_moves_nothing() -> None:
    pace = Pace()
    pace.spend(5, NOW)
    assert pace.spent(NOW - MINUTE) == 5
    assert pace.spent(NOW + MINUTE) == 5


def test_a_clock_that_was_set_back_takes_the_spending_along() -> None:
    pace, back = Pace(), NOW - 3_600_000
    pace.spend(5, NOW - 20_000)
    pace.spend(3, NOW)
    assert pace.spent(back) == 8
    pace.spend(2, back + 1_000)
    assert pace.spent(back + MINUTE - 20_000) == 10
    assert pace.spent(back + MINUTE - 19_000) == 5  # 20 seconds older than the others, as ever
    assert pace.spent(back + MINUTE + 2_000) == 0
