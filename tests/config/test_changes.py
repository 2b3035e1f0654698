"""The journal of a reload: what changed, in an owner's words."""

from __future__ import annotations

import pytest

from budgetd.config.changes import changes
from budgetd.config.load import load

OLD = """\
listen: 127.0.0.1:1
hosts: [a.example]
budgets: 20 per day
keys:
  a: [2.00 per 5h, 10 per week]
  gone: 1 per day
providers:
  openai: {credential: {env: ONE}}
  left: {preset: groq}
routes: [{model: "gpt-*", provider: openai}]
"""
NEW = """\
listen: 127.0.0.1:2
hosts: [a.example, b.example]
budgets: [30 per day]
default_key: {budgets: {limit: 6, every: 5h, align: day}}
keys:
  a: {budgets: [3.00 per 5h, 10 per month], label: thesis, observe: true}
  new-*: 1 per day
providers:
  openai: {credential: {env: TWO}, stream_usage: false}
  came: {preset: groq}
routes: [{model: "gpt-5*", provider: openai}, {model: "o*", provider: openai}]
patience: {idle: 10m}
"""


@pytest.fixture
def settings(tmp_path):
    def from_text(text: str):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(
            path, {"HOME": str(tmp_path), "ONE": "first-secret", "TWO": "second-secret"}
        ).settings

    return from_text


SESSIONS = """\
timezone: UTC
budgets: [9 per day, 5 per session]
labels: {thesis: 1 per day, old: 2 per day, ci-*: 1 per day}
keys:
  a:
    budgets: [1 per day, {limit: 1, every: day, models: [gpt-*], name: few}]
    sessions: {nightly: 1 per day, gone: 1 total}
    caps: {turns_per_session: 5}
  budgets: {budgets: {limit: 1, every: day, name: night}, sessions: {budgets: 1 per day}}
"""
OTHERS = """\
timezone: Europe/Berlin
budgets: [9 per day, 6 per session]
labels: {thesis: [2 per day, 1 total], ci-*: 1 per week, new: [3 per day, 4 total], free: }
keys:
  a:
    budgets: [1 per day, {limit: 1, every: day, models: [gpt-*, o*], name: few}, 2 per agent]
    sessions: {nightly: 1 per day, late: {limit: 3, every: 5h, models: gpt-*}}
    caps: {turns_per_session: 6, dollars_per_minute: 0.5}
    loops: refuse
  budgets: {budgets: {limit: 1, per: session, name: night}, sessions: {budgets: 2 per day}}
"""


def test_changes_of_what_labels_and_sessions_may_spend(settings):
    assert changes(settings(SESSIONS), settings(SESSIONS)) == []
    assert changes(settings(SESSIONS), settings(OTHERS)) == [
        "labels.old: removed",
        "keys.a.sessions.gone: removed",
        "labels.ci-*.day: removed",
        "labels.new: added, 3.00 per day and 4.00 total",
        "labels.free: added, without a budget",
        "keys.a.sessions.late: added, 3.00 per 5h of gpt-*",
        "keys.a.budgets.agent: added, 2.00 per agent",
        "labels.thesis.total: added, 1.00 total",
        "labels.ci-*.week: added, 1.00 per week",
        "timezone: UTC -> Europe/Berlin",
        "budgets.any session.limit: 5.00 -> 6.00 (what was spent stays)",
        "labels.thesis.day.limit: 1.00 -> 2.00 (what was spent stays)",
        "keys.a.budgets.few.models: [gpt-*] -> [gpt-*, o*] (what was spent stays)",
        "keys.a.loops: tell -> refuse",
        "keys.a.caps.turns_per_session: 5 -> 6",
        "keys.budgets.budgets.night.every: day -> total (a new window begins)",
        "keys.budgets.sessions.budgets.day.limit: 1.00 -> 2.00 (what was spent stays)",
        "keys.a.caps.dollars_per_minute: set to 0.50",
        "keys.budgets.budgets.night.per: set to session (a new window begins)",
    ]


def test_nothing_changed(settings):
    assert changes(settings(OLD), settings(OLD)) == []


def test_what_changed(settings):
    lines = changes(settings(OLD), settings(NEW))
    assert lines == [
        "providers.left: removed",
        "keys.gone: removed",
        "keys.a.budgets.week: removed",
        "providers.came: added",
        "keys.new-*: added",
        "keys.a.budgets.month: added, 10.00 per month",
        "listen: 127.0.0.1:1 -> 127.0.0.1:2 (takes effect after a restart)",
        "hosts: [a.example] -> [a.example, b.example]",
        "budgets.day.limit: 20.00 -> 30.00 (what was spent stays)",
        "default_key.budgets.5h.limit: 5.00 -> 6.00 (what was spent stays)",
        "keys.a.budgets.5h.limit: 2.00 -> 3.00 (what was spent stays)",
        "keys.a.observe: false -> true",
        "providers.openai.credential.env: ONE -> TWO",
        "routes[0].model: gpt-* -> gpt-5*",
        "patience.idle: 15m -> 10m",
        "default_key.budgets.5h.align: set to day (a new window begins)",
        "keys.a.label: set to thesis",
        "providers.openai.stream_usage: set to false",
        "routes[1].model: set to o*",
        "routes[1].provider: set to openai",
    ]
    assert "secret" not in "".join(lines)
