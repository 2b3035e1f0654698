"""Budgets as an owner writes them: short and long, for sessions, agents, models and labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from budgetd.config.budgets import budget_name, budget_words
from budgetd.config.load import Loaded, load

Load = Callable[[str], Loaded]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    def from_text(text: str) -> Loaded:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(path, {"HOME": str(tmp_path)})

    return from_text


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("2.00 per session", "{limit: 2.00, every: total, per: session}"),
        ("$2.00/session", "{limit: 2.00, per: session}"),
        ("0.50 per agent", "{limit: 0.50, every: total, per: agent}"),
        ("0.50 / agent", "{limit: 0.50, per: agent}"),
    ],
)
def test_a_budget_per_session_in_a_line(loaded: Load, short: str, long: str) -> None:
    first = loaded(f"budgets: ['{short}', 9 per day]").settings.budgets
    assert first == loaded(f"budgets: [{long}, 9 per day]").settings.budgets
    assert (first[0].every, first[0].per) == ("total", short.replace("/", " ").split()[-1])
    assert first[1].per is None


def test_a_pattern_of_models_may_stand_without_its_brackets(loaded: Load) -> None:
    text = "budgets: [9 per day, {limit: 1, every: day, models: %s}]"
    one, other = (loaded(text % it).settings.budgets for it in ("claude-*", "[claude-*]"))
    assert one == other
    assert one[1].models == ["claude-*"]


NAMES = (
    ("2 per 5h", "5h", "2.00 per 5h"),
    ("50 total", "total", "50.00 total"),
    ("2 per session", "session", "2.00 per session"),
    ("2 per agent", "agent", "2.00 per agent"),
    ("{limit: 2, every: day, per: session}", "session day", "2.00 per day per session"),
    (
        "{limit: 2, every: 5h, models: [claude-opus-*]}",
        "5h of claude-opus-*",
        "2.00 per 5h of claude-opus-*",
    ),
    (
        "{limit: 2, per: agent, counts: notional, models: [a, b, c, d]}",
        "agent notional of a, b and 2 more",
        "2.00 per agent of a, b and 2 more",
    ),
    ("{limit: 2, every: day, counts: notional}", "day notional", "2.00 per day"),
    ("{limit: 2, per: session, models: [a], name: mine}", "mine", "2.00 per session of a"),
)


@pytest.mark.parametrize(("written", "name", "words"), NAMES, ids=[name for _, name, _ in NAMES])
def test_a_budget_is_called_what_it_is_for(
    loaded: Load, written: str, name: str, words: str
) -> None:
    (budget,) = loaded(f"keys: {{a: [{written}]}}").settings.keys["a"].budgets
    assert (budget_name(budget), budget_words(budget)) == (name, words)


def test_everybodys_budgets_are_called_differently_from_a_keys_own(loaded: Load) -> None:
    text = "budgets: [5 per session, 1 per agent, 9 per day]\nkeys: {a: [2 per session, 1 per day]}"
    settings = loaded(text).settings
    named = [budget_name(budget, shared=True) for budget in settings.budgets]
    assert named == ["any session", "any agent", "day"]


def test_labels_and_sessions_take_every_short_form(loaded: Load) -> None:
    text = """
labels:
  thesis: 10 per week
  "two words": {limit: 1, every: day}
  ci-*: [1 per day, {limit: 5, every: total, models: gpt-*}]
  ci-main:
keys:
  a:
    budgets: 1 per day
    sessions: {nightly: 2 per day, "ses_*": [1 total], spare: }
default_key: {budgets: 1 per day, sessions: {x: 1 total}}
"""
    it = loaded(text)
    assert it.warnings == ()
    labels = it.settings.labels
    assert [len(budgets) for budgets in labels.values()] == [1, 1, 2, 0]
    sessions = it.settings.keys["a"].sessions
    assert {name: len(budgets) for name, budgets in sessions.items()} == {
        "nightly": 1,
        "ses_*": 1,
        "spare": 0,
    }
    assert list(it.settings.default_key.sessions) == ["x"]


WARNED = (
    (
        "only sessions are limited",
        "keys: {a: 2 per session}",
        (
            "keys.a: each session is limited, but nothing limits how many there are"
            " (add a budget over all of them, like 20.00 per day)"
        ),
    ),
    (
        "the default key's too",
        "default_key: 2 per session",
        (
            "default_key: each session is limited, but nothing limits how many there are"
            " (add a budget over all of them, like 20.00 per day)"
        ),
    ),
    (
        "only some models are limited",
        "keys: {a: {budgets: [{limit: 1, every: day, models: [claude-*]}]}}",
        (
            "keys.a: calls of other models are not limited"
            " (add a budget without models, like 20.00 per day)"
        ),
    ),
    (
        "only the label's budget",
        "keys: {a: {label: thesis}}\nlabels: {th*: 9 per day}",
        (
            "keys.a: only its label limits it, and a caller may name another one in its URL"
            " (give it budgets, like [2.00 per 5h])"
        ),
    ),
    (
        "a label without budgets",
        "keys: {a: {label: thesis}}\nlabels: {thesis: , th*: 9 per day}",
        "keys.a: has no budget: nothing limits it (give it budgets, like [2.00 per 5h])",
    ),
    (
        "an agent's budget above its session's",
        "keys: {a: [9 per day, 2 per session, 2 per agent]}",
        "keys.a.budgets[2]: never reached: the budget per session is not larger, and counts all its agents",
    ),
    (
        "a pattern of labels that is shadowed",
        "labels: {ci-1*: 1 per day, ci-*: 1 per day, ci-2*: 1 per day, ci-3: 1 per day}",
        "labels.ci-2*: never used: ci-* above matches the same names (swap them)",
    ),
    (
        "a pattern of sessions that is shadowed",
        "keys: {a: {budgets: 9 per day, sessions: {'*': 1 total, b?: 1 total}}}",
        "keys.a.sessions.b?: never used: * above matches the same names (swap them)",
    ),
    (
        "more turns than calls",
        "default_key: {caps: {turns_per_session: 9, calls_per_session: 8}}",
        (
            "default_key.caps.turns_per_session: never reached: calls_per_session is smaller,"
            " and every turn is a call"
        ),
    ),
    (
        "more identical failures than errors",
        "keys: {a: {budgets: 1 per day, caps: {identical_failures: 4, consecutive_errors: 3}}}",
        (
            "keys.a.caps.identical_failures: never reached: consecutive_errors is smaller,"
            " and each of them is an error"
        ),
    ),
)


@pytest.mark.parametrize(("text", "warning"), [w[1:] for w in WARNED], ids=[w[0] for w in WARNED])
def test_what_is_probably_not_meant_is_a_warning(loaded: Load, text: str, warning: str) -> None:
    (found,) = loaded(text).warnings
    assert (str(found).partition(": ")[2], found.line is not None) == (warning, True)


FINE = (
    "keys: {a: [2 per session, 9 per day]}",
    "budgets: 9 per day\nkeys: {a: 2 per session}",
    "keys: {a: [9 per day, {limit: 1, every: day, models: [claude-*]}]}",
    "keys: {a: [9 per day, 2 per session, 1.99 per agent]}",
    "keys: {a: [9 per day, 2 per session, {limit: 3, per: agent, models: [x]}]}",
    "keys: {a: [9 per day, 2 per session, {limit: 3, per: agent, every: day}]}",
    "keys: {a: {budgets: 9 per day, caps: {turns_per_session: 8, calls_per_session: 8}}}",
    "keys: {a: {budgets: 9 per day, caps: {identical_failures: 3, consecutive_errors: 3}}}",
    "budgets: 5 per session\nkeys: {a: [9 per day, 2 per session]}\ndefault_key: 1 per day",
    "keys: {a: [9 per day, 1 per session], b: [9 per day, 1 per session]}",
)


@pytest.mark.parametrize("text", FINE)
def test_what_may_well_be_meant_is_not(loaded: Load, text: str) -> None:
    assert loaded(text).warnings == ()
