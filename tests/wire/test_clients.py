"""The refusal table: what each client family is told, and what must never stand in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from budgetd.wire.anthropic import DIALECT as ANTHROPIC
from budgetd.wire.clients import BUSY_SECONDS, MANNERS, Notice, Reason, refuse
from budgetd.wire.identity import FAMILIES
from budgetd.wire.openai_chat import DIALECT as OPENAI

RESET = 1_795_000_000_001


def notice(
    name: str = "research 5h", figures: str = "$1.98 of $2.00", reason: Reason = "spent"
) -> Notice:
    until = "Resets at 14:05 (in 37 min)."
    return Notice(
        reason,
        f"Usage limit reached: budget {name}: {figures} spent. {until}",
        f"Usage limit reached: budget {name}. {until}",
        RESET,
        {
            "origin": "budgetd",
            "budget": name,
            "limit_usd": "2",
            "resets_at": "2026-11-20T14:05:00Z",
            "violated": [name],
            "count": 3,
            "flag": True,
            "none": None,
        },
        until,
    )


# clients.md section 6, and openclaw.md section 4.1: (status, details in the body)
TABLE = {
    "claude_code": (429, True),
    "codex": (429, True),
    "opencode": (402, False),
    "gemini_cli": (429, True),
    "qwen_code": (402, True),
    "pi": (402, False),
    "js_sdk": (429, True),
    "openclaw": (429, True),
    "goose": (403, True),
    "aider": (400, True),
    "python_sdk": (429, True),
    "unknown": (429, True),
}


def test_every_family_has_its_manner() -> None:
    assert set(TABLE) == set(MANNERS) == FAMILIES


@pytest.mark.parametrize("family", TABLE)
def test_the_table(family: str) -> None:
    status, in_body = TABLE[family]
    complaint, headers = refuse(notice(), family)
    assert complaint.status == status
    assert complaint.message == notice().message
    assert headers["x-should-retry"] == "false"
    assert headers["x-budgetd-reason"] == "spent"
    assert "retry-after" not in headers
    assert (complaint.details == notice().details) == in_body
    if not in_body:
        assert complaint.details is None
        assert headers["x-budgetd-budget"] == "research 5h"
        assert headers["x-budgetd-limit-usd"] == "2"
        assert headers["x-budgetd-resets-at"] == "2026-11-20T14:05:00Z"
        assert headers["x-budgetd-count"] == "3"
        assert not {"x-budgetd-violated", "x-budgetd-flag", "x-budgetd-none"} & set(headers)


def test_an_unheard_of_family_is_unknown() -> None:
    assert refuse(notice(), "new client") == refuse(notice(), "unknown")


def test_codex_shows_our_words_and_the_time() -> None:
    complaint, headers = refuse(notice("naïve"), "codex")
    error = json.loads(OPENAI.error(complaint))["error"]
    assert (error["type"], error["code"]) == ("usage_limit_reached", "usage_limit_reached")
    assert error["resets_at"] == 1_795_000_001  # seconds, rounded up: never early
    assert headers["x-codex-promo-message"] == notice("na?ve").message
    never = Notice("stopped", "m", "p", None, {})
    assert "resets_at" not in json.loads(OPENAI.error(refuse(never, "codex")[0]))["error"]


RETRIED = re.compile(
    r"429|500|502|503|504|524|rate.?limit|too many requests|try again (later|in)|resource.?exhausted"
    r"|timeout|timed out|overloaded|quota|unavailable|capacity",
    re.IGNORECASE,
)
DISABLED = re.compile(
    r"out of budget|insufficient[_ -]?quota|current quota|quota|billing|credit|balance|subscription"
    r"|per minute|\brpm\b|\btpm\b|try again in",
    re.IGNORECASE,
)
NASTY = [
    ("429", "$5.00 of $5.00"),
    ("team", "$500.12 of $500.00"),
    ("team", "$1,504.00 of $1,429.00"),
    ("rate limit", "$1.00 of $1.00"),
    ("Too Many Requests", "$429.00 of $502.00"),
    ("timeouts", "$1.00 of $1.00"),
    ("resource exhausted", "$1.00 of $1.00"),
    ("overloaded-503", "$1.00 of $1.00"),
    ("try again in 7s", "$1.00 of $1.00"),
]
BILLS = [
    "out of budget",
    "insufficient_quota",
    "current quota",
    "billing",
    "tpm",
    "per minute",
    "credits",
]


@pytest.mark.parametrize("family", ["opencode", "pi"])
@pytest.mark.parametrize(("name", "figures"), NASTY)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_no_traps_for_clients_that_scan(family: str, name: str, figures: str, dialect: Any) -> None:
    complaint, headers = refuse(notice(name, figures), family)
    body = dialect.error(complaint).decode()
    assert not RETRIED.search(body)
    assert complaint.status == 402
    assert "Usage limit reached" in body
    assert "Resets at 14:05" in body  # the time is told whatever the budget is called
    assert headers["x-budgetd-budget"] == name  # and the rest stands in headers


@pytest.mark.parametrize("family", ["js_sdk", "openclaw", "unknown"])
@pytest.mark.parametrize("name", BILLS)
def test_nothing_that_disables_a_key(family: str, name: str) -> None:
    complaint, headers = refuse(notice(name), family)
    body = OPENAI.error(complaint).decode()
    assert complaint.status == 429  # never 402
    assert not DISABLED.search(body)
    assert json.loads(body)["error"]["message"].startswith(
        "Usage limit reached"
    )  # OpenClaw gives up on these
    assert "Resets at 14:05" in body
    assert headers["x-budgetd-budget"] == name


def test_claude_code_is_not_told_of_an_overload() -> None:
    complaint, _ = refuse(notice("overloaded_error"), "claude_code")
    assert b"overloaded_error" not in ANTHROPIC.error(complaint)
    assert json.loads(ANTHROPIC.error(complaint))["error"]["type"] == "rate_limit_error"


def test_words_when_all_else_is_a_trap() -> None:
    trapped = Notice("spent", "429", "quota", None, {}, "Resets in 503 s.")
    assert refuse(trapped, "pi")[0].message.startswith("Usage limit reached: this budget is spent.")
    assert refuse(Notice("stopped", "429", "quota", None, {}), "pi")[0].message.startswith(
        "Usage limit"
    )
    plain = Notice("stopped", "429", "Usage limit reached: stopped.", None, {})
    assert refuse(plain, "pi")[0].message == "Usage limit reached: stopped."


@pytest.mark.parametrize("family", TABLE)
def test_busy_is_worth_a_retry_for_everybody(family: str) -> None:
    told = replace(notice(reason="busy"), retry_after=BUSY_SECONDS)
    complaint, headers = refuse(told, family)
    assert (complaint.status, complaint.code) == (429, "busy")
    assert headers == {
        "retry-after": str(BUSY_SECONDS),
        "x-should-retry": "true",
        "x-budgetd-reason": "busy",
    }
    assert BUSY_SECONDS <= 60  # beyond it some clients give up and others sleep


def test_headers_hold_nothing_but_printable_ascii() -> None:
    _, headers = refuse(notice("a\r\nSet-Cookie: x\x7f é"), "pi")
    assert headers["x-budgetd-budget"] == "a??Set-Cookie: x? ?"
