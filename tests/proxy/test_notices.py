"""Refusals in words: every budget named, the later reset told, in local time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from budgetd.core.budgets import Balance, Budget, Busy, Refuse
from budgetd.core.windows import Calendar, Fixed, Span, Total
from budgetd.ledger.book import Stopped
from budgetd.proxy.notices import iso, notice_of, reset_words, span_words

NOW = 1_795_000_000_000  # 2026-11-18 11:06:40 UTC
MINUTE, HOUR = 60_000, 3_600_000
DOLLAR = 10**12


@pytest.fixture(autouse=True)
def _in_new_york() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def balance(
    name: str, end: int | None, *, spent: int = 2 * DOLLAR, limit: int = 2 * DOLLAR
) -> Balance:
    """A budget's window that ends at an instant."""
    window = Total() if end is None else Fixed(5 * HOUR)
    return Balance(Budget(name, "key:team", limit, window), Span(0, end), spent, held=DOLLAR // 4)


def test_one_spent_budget() -> None:
    reset = NOW + 37 * MINUTE
    notice = notice_of(Refuse((balance("5h", reset),), DOLLAR, reset), "c1", "team", NOW)
    assert notice.reason == "spent"
    assert notice.message == (
        "Usage limit reached: budget 5h: $2.00 of $2.00 spent. Resets at 06:43 (in 37 min)."
    )
    assert notice.plain == "Usage limit reached: budget 5h. Resets at 06:43 (in 37 min)."
    assert notice.resets_at == reset
    assert notice.details == {
        "origin": "budgetd",
        "decision": "c1",
        "reason": "spent",
        "budget": "5h",
        "subject": "key:team",
        "window": "5h",
        "limit_usd": "2",
        "spent_usd": "2",
        "held_usd": "0.25",
        "resets_at": "2026-11-18T11:43:40Z",
        "violated": ["5h"],
        "needs_usd": "1",
        "advice": "wait, or run: budgetd topup team AMOUNT",
    }


def test_two_spent_budgets_are_both_named_with_the_later_reset() -> None:
    sooner, later = (
        balance("5h", NOW + HOUR),
        balance("week", NOW + 30 * HOUR, limit=9 * DOLLAR, spent=9 * DOLLAR),
    )
    for order in ((sooner, later), (later, sooner)):
        notice = notice_of(Refuse(order, DOLLAR, NOW + 30 * HOUR), "c1", "team", NOW)
        assert "budget 5h" in notice.message
        assert "budget week" in notice.message
        assert "Resets at 12:06 on Thu 19 Nov (in 30 h)." in notice.message
        assert notice.details["budget"] == "week"
        assert notice.details["limit_usd"] == "9"
        assert set(notice.details["violated"]) == {"5h", "week"}


def test_a_call_that_no_window_could_pay_for() -> None:
    found = balance("5h", NOW + HOUR, spent=0)
    notice = notice_of(Refuse((found,), 3 * DOLLAR, NOW + HOUR), "c1", "team", NOW)
    assert "Waiting will not help" in notice.message
    assert "$3.00" in notice.message


def test_money_that_is_left_but_too_little() -> None:
    found = balance("5h", NOW + HOUR, spent=DOLLAR)
    notice = notice_of(Refuse((found,), 3 * DOLLAR // 2, NOW + HOUR), "c1", "team", NOW)
    assert "$1.00 of $2.00 spent, and this call may need $1.50" in notice.message


def test_a_budget_that_never_resets() -> None:
    notice = notice_of(Refuse((balance("total", None),), DOLLAR, None), "c1", "team", NOW)
    assert notice.message.endswith("It never resets.")
    assert notice.details["resets_at"] is None


HERE = "session:0123456789abcdef"


def scoped(name: str, subject: str, *, end: int | None = None, **of_budget: Any) -> Balance:
    """A spent budget that sits on something else than a key."""
    found = balance(name, end)
    return replace(found, budget=replace(found.budget, subject=subject, **of_budget))


WORDS: tuple[tuple[Balance, str, str], ...] = (
    (
        scoped("session", HERE, per="session"),
        (
            "budget session: $2.00 of $2.00 spent by this session. It never resets."
            " A new session begins with nothing spent."
        ),
        "begin a new session, or run: budgetd topup session:0123456789abcdef AMOUNT",
    ),
    (
        scoped("agent 5h", "agent:0123456789abcdef", end=NOW + HOUR, per="agent"),
        "budget agent 5h: $2.00 of $2.00 spent by this agent. Resets at 07:06 (in 1 h).",
        "wait, or begin a new session, or run: budgetd topup session:0123456789abcdef AMOUNT",
    ),
    (
        scoped("night", HERE, end=NOW + HOUR),
        "budget night (5h): $2.00 of $2.00 spent by this session. Resets at 07:06 (in 1 h).",
        "wait, or begin a new session, or run: budgetd topup session:0123456789abcdef AMOUNT",
    ),
    (
        scoped("week", "label:thesis", end=NOW + HOUR),
        "budget week (5h): $2.00 of $2.00 spent under thesis. Resets at 07:06 (in 1 h).",
        "wait, or raise budget week in the configuration",
    ),
    (
        scoped("5h", "all", end=NOW + HOUR),
        "budget 5h: $2.00 of $2.00 spent. Resets at 07:06 (in 1 h).",
        "wait, or raise budget 5h in the configuration",
    ),
    (
        scoped("total", "label:thesis"),
        "budget total: $2.00 of $2.00 spent under thesis. It never resets.",
        "raise budget total in the configuration",
    ),
    (
        scoped("5h of claude-opus-*", "key:team", end=NOW + HOUR, models=("claude-opus-*",)),
        "budget 5h of claude-opus-*: $2.00 of $2.00 spent. Resets at 07:06 (in 1 h).",
        "wait, or run: budgetd topup team AMOUNT",
    ),
)


@pytest.mark.parametrize(("found", "words", "advice"), WORDS, ids=[w[0].budget.name for w in WORDS])
def test_a_refusal_says_whose_spending_it_was_and_what_helps(
    found: Balance, words: str, advice: str
) -> None:
    notice = notice_of(Refuse((found,), DOLLAR, found.span.end), "c1", "team", NOW)
    assert notice.message == f"Usage limit reached: {words}"
    assert (notice.details["advice"], notice.details["subject"]) == (advice, found.budget.subject)


def test_what_helps_must_help_against_all_of_them() -> None:
    one, other = scoped("session", HERE, per="session"), scoped("agent", "agent:x", per="agent")
    pairs = (
        ((one, other), "begin a new session, or raise budget session, agent in the configuration"),
        ((one, balance("5h", NOW)), "raise budget session, 5h in the configuration"),
        (
            (one, scoped("own", "agent:0123456789abcdef", per="agent")),
            "begin a new session, or run: budgetd topup session:0123456789abcdef AMOUNT",
        ),
    )
    for found, advice in pairs:
        notice = notice_of(Refuse(found, DOLLAR, None), "c1", "team", NOW)
        assert notice.details["advice"] == advice
    mixed = (one, scoped("total", "label:x"))  # a new session does not help against the label's
    notice = notice_of(Refuse(mixed, DOLLAR, None), "c1", "team", NOW)
    assert "new session" not in notice.message + notice.plain


def test_a_new_session_does_not_help_a_call_that_is_too_dear_for_any() -> None:
    found = replace(scoped("session", HERE, per="session"), settled=0)
    notice = notice_of(Refuse((found,), 3 * DOLLAR, None), "c1", "team", NOW)
    assert "Waiting will not help" in notice.message
    assert "new session" not in notice.message + notice.plain


def test_busy() -> None:
    notice = notice_of(Busy((balance("5h", NOW + HOUR), balance("day", None))), "c1", "team", NOW)
    assert notice.reason == "busy"
    assert "5h, day" in notice.message
    assert "Usage limit" not in notice.message  # words on which clients give up for good
    assert notice.resets_at is None


def test_the_kill_switch() -> None:
    key = notice_of(Stopped("key:team", NOW, "lunch"), "c1", "team", NOW)
    assert key.reason == "stopped"
    assert key.message == "Usage limit reached: the owner has stopped key team (lunch)."
    assert key.details["advice"] == "the owner can lift it: budgetd stop team --lift"
    everybody = notice_of(Stopped("all", NOW, ""), "c1", "team", NOW)
    assert everybody.message == "Usage limit reached: the owner has stopped all keys."
    assert everybody.details["advice"] == "the owner can lift it: budgetd stop --all --lift"


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (1, "1 s"),
        (119_000, "119 s"),
        (119_001, "2 min"),
        (120_000, "2 min"),
        (120_001, "3 min"),
        (59 * MINUTE, "59 min"),
        (60 * MINUTE, "1 h"),
        (60 * MINUTE + 1, "1 h 1 min"),
        (47 * HOUR + 59 * MINUTE, "47 h 59 min"),
        (48 * HOUR, "2 d"),
        (147 * HOUR, "6 d 3 h"),
    ],
)
def test_spans(ms: int, words: str) -> None:
    assert span_words(ms) == words


def test_instants_are_rounded_up_so_that_nobody_comes_back_too_early() -> None:
    assert iso(None) is None
    assert iso(1000) == "1970-01-01T00:00:01Z"
    assert iso(1001) == "1970-01-01T00:00:02Z"


def test_reset_times_are_told_in_local_time() -> None:
    assert reset_words(None, NOW) == "It never resets."
    assert reset_words(NOW + 90_000, NOW) == "Resets at 06:08:10 (in 90 s)."
    assert reset_words(NOW + HOUR, NOW) == "Resets at 07:06 (in 1 h)."
    midnight = NOW + 24 * HOUR
    assert reset_words(midnight, NOW) == "Resets at 06:06 on Thu 19 Nov (in 24 h)."


def test_a_calendar_window_is_described() -> None:
    budget = Budget("month", "key:team", DOLLAR, Calendar("month", "UTC"))
    notice = notice_of(Busy((Balance(budget, Span(0, NOW)),)), "c", "team", NOW)
    assert notice.details["window"]
