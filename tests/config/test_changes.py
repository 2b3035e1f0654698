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


def test_nothing_changed(settings):
    assert changes(settings(OLD), settings(OLD)) == []


def test_what_changed(settings):
    lines = changes(settings(OLD), settings(NEW))
    assert lines == [
        "providers.left: removed",
        "keys.a.budgets.week: removed",
        "keys.gone: removed",
        "providers.came: added",
        "keys.a.budgets.month: added, 10.00 per month",
        "keys.new-*: added",
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
