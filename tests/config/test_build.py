"""Settings as the core's rules: presets, windows, money, fingerprints."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from budgetd.config.build import price_overrides
from budgetd.config.load import load
from budgetd.config.presets import PRESETS
from budgetd.core import policy
from budgetd.core.budgets import Budget
from budgetd.core.caps import Caps
from budgetd.core.windows import Calendar, Fixed, FixedDaily, Total

HOUR = 3_600_000
CENT = 10**10


@pytest.fixture
def rules(tmp_path):
    def from_text(text: str, **environ: str) -> policy.Rules:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        loaded = load(path, {"HOME": str(tmp_path), "TZ": "Europe/Berlin", **environ})
        return loaded.rules(fingerprint=lambda text: f"cf_{text}", generation=3)

    return from_text


def test_nothing_written_is_five_dollars_in_five_hours_for_everybody(rules):
    built = rules("")
    assert built.generation == 3
    assert list(built.keys) == [built.default_key] == ["default"]
    assert built.keys["default"].budgets == (
        Budget("5h", "key:default", 500 * CENT, Fixed(5 * HOUR)),
    )
    assert (built.patterns, built.everything, built.routes, built.unpriced_paths) == (
        (),
        (),
        (),
        (),
    )
    assert built.defaults == {"openai_chat": "openai", "anthropic": "anthropic"}
    assert (built.limits, built.patience, built.estimation) == (
        policy.Limits(),
        policy.Patience(),
        policy.Estimation(),
    )


def test_every_usual_provider_is_there(rules):
    built = rules("").providers
    assert set(built) == set(PRESETS)
    assert built["anthropic"] == policy.Provider(
        name="anthropic",
        base_urls={"anthropic": "https://api.anthropic.com"},
        catalogue="anthropic",
        credential_prefixes=("sk-ant-",),
        plan_prefixes=("sk-ant-oat",),
        unknown_price="ceiling",
        asks_stream_usage=True,
    )
    assert built["ollama"].unknown_price == "free"
    assert not built["ollama"].needs_credential
    assert built["openrouter"].base_urls == dict.fromkeys(
        ("openai_chat", "anthropic"), "https://openrouter.ai/api"
    )
    for provider in built.values():
        assert all(not url.endswith("/") for url in provider.base_urls.values())


def test_presets_know_what_providers_have():
    ours = {"name", "credential", "plan"}
    assert {field.name for field in fields(policy.Provider)} - ours == {
        field.name for field in fields(next(iter(PRESETS.values())))
    }


def test_what_is_written_wins_over_the_preset(rules):
    built = rules(
        """
providers:
  openai: {base_url: "http://127.0.0.1:9/v1/", credential: {env: KEY}, stream_usage: no, unknown_price: deny}
  team: {preset: anthropic, billing: subscription, credential_prefixes: [], dialects: [anthropic]}
  mine: {base_url: "https://x.example", dialects: [openai_chat, anthropic], bills_aborted: yes}
  known: {base_url: "https://y.example", dialects: [openai_chat], catalogue: perplexity}
  router: {preset: openrouter, dialects: [anthropic]}
""",
        KEY="k",
    ).providers
    assert built["openai"].base_urls == {"openai_chat": "http://127.0.0.1:9/v1"}
    assert built["openai"].credential == policy.Secret("k")
    assert not built["openai"].asks_stream_usage
    assert built["openai"].unknown_price == "deny"
    assert built["openai"].catalogue == "openai"
    assert (built["team"].plan, built["team"].credential_prefixes) == (True, ())
    assert built["team"].base_urls == {"anthropic": "https://api.anthropic.com"}
    assert built["mine"].base_urls == dict.fromkeys(
        ("openai_chat", "anthropic"), "https://x.example"
    )
    assert (built["mine"].unknown_price, built["mine"].catalogue) == ("deny", None)
    assert not built["mine"].asks_stream_usage
    assert built["mine"].bills_aborted
    assert (built["known"].unknown_price, built["known"].catalogue) == ("ceiling", "perplexity")
    assert list(built["router"].base_urls) == ["anthropic"]


def test_windows(rules):
    budgets = (
        rules("""
keys:
  a:
    budgets:
      - 1 per 5h
      - {limit: 1, every: 90m, anchor: 2026-07-01T06:00}
      - {limit: 1, every: 2h, anchor: "2026-07-01T06:00+00:00"}
      - {limit: 1, every: 6h, align: day, reset_at: 04:30}
      - 1 per day
      - {limit: 1, every: week, weekday: Sun, reset_at: "04:00", timezone: UTC}
      - {limit: 1, every: month, day: 31}
      - 1 total
""")
        .keys["a"]
        .budgets
    )
    summer = int(datetime(2026, 7, 1, 4, tzinfo=UTC).timestamp()) * 1000
    assert [(budget.name, budget.window) for budget in budgets] == [
        ("5h", Fixed(5 * HOUR)),
        ("90m", Fixed(HOUR * 3 // 2, summer)),
        ("2h", Fixed(2 * HOUR, summer + 2 * HOUR)),
        ("6h", FixedDaily(6 * HOUR, "Europe/Berlin", 270)),
        ("day", Calendar("day", "Europe/Berlin")),
        ("week", Calendar("week", "UTC", 240, 6)),
        ("month", Calendar("month", "Europe/Berlin", 0, 0, 31)),
        ("total", Total()),
    ]


def test_keys_patterns_and_budgets(rules):
    built = rules(
        """
timezone: UTC
budgets: 20 per day
default_key: {budgets: 0 per day, provider: groq, client: codex, label: strays, observe: true}
keys:
  b-*: 1 per day
  a:
    budgets: [{limit: 0.000000000001, every: day, counts: notional, observe: yes, name: drip}]
    provider: openai
    client: claude-code
    label: thesis
    observe: true
    expires: 2030-01-01T00:00
    accounts: [acct-1]
    credentials: [{env: ONE}, {fingerprint: cf_0123456789abcdef}]
  "*": 2 per day
  c: {budgets: 1 per day, custody: issued, provider: ollama}
routes:
  - {model: "llama*", provider: ollama}
unpriced_paths: [/v1/files]
limits: {open_calls: 5}
patience: {connect: 1500ms}
estimation: {image_tokens: 9}
""",
        ONE="1",
    )
    assert [pattern.name for pattern in built.patterns] == ["b-*", "*"]
    assert built.patterns[0].budgets[0].subject == "key:b-*"
    assert built.everything[0].subject == "all"
    assert built.keys["a"] == policy.KeyPolicy(
        name="a",
        budgets=(
            Budget("drip", "key:a", 1, Calendar("day", "UTC"), counts="notional", observe=True),
        ),
        provider="openai",
        client="claude_code",
        fingerprints=frozenset({"cf_1", "cf_0123456789abcdef"}),
        accounts=frozenset({"acct-1"}),
        label="thesis",
        expires=int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()) * 1000,
        observe=True,
    )
    default = built.keys["default"]
    assert (default.budgets[0].limit, default.provider, default.client) == (0, "groq", "codex")
    assert (default.label, default.observe) == ("strays", True)
    assert built.keys["c"].custody == "issued"
    assert built.routes == (policy.Route("llama*", "ollama"),)
    assert built.unpriced_paths == ("/v1/files",)
    assert built.limits.open_calls == 5
    assert built.patience.connect == 1.5
    assert built.estimation.image_tokens == 9


def test_notional_budgets_are_called_so(rules):
    budgets = rules("budgets: [1 per day, {limit: 9, every: day, counts: notional}]").everything
    assert [budget.name for budget in budgets] == ["day", "day notional"]


def test_budgets_of_sessions_models_and_labels(rules):
    built = rules(
        """
timezone: UTC
budgets: [5 per session, 9 per day]
labels: {thesis: 3 per week, ci-*: [{limit: 1, every: day, models: [gpt-*, o?]}]}
default_key: {budgets: 1 per day, sessions: {x: 1 total}, loops: observe, caps: {turns_per_session: 1}}
keys:
  a:
    budgets: [2 per session, {limit: 1, every: day, per: agent, models: claude-*, observe: true}]
    sessions: {nightly: 2 per day, ci-*: [1 total, {limit: 1, every: 5h, counts: notional}]}
    loops: refuse
    caps:
      calls_per_session: 1
      turns_per_session: 2
      consecutive_errors: 3
      identical_failures: 4
      dollars_per_minute: 0.50
      context_tokens: 5
  b-*: 1 per day
"""
    )
    day, week = Calendar("day", "UTC"), Calendar("week", "UTC")
    assert built.everything == (
        Budget("any session", "all", 500 * CENT, Total(), per="session"),
        Budget("day", "all", 900 * CENT, day),
    )
    assert built.labels == (
        ("thesis", (Budget("week", "label:thesis", 300 * CENT, week),)),
        (
            "ci-*",
            (Budget("day of gpt-*, o?", "label:ci-*", 100 * CENT, day, models=("gpt-*", "o?")),),
        ),
    )
    key = built.keys["a"]
    opus = Budget("agent day of claude-*", "key:a", 100 * CENT, day, observe=True)
    assert key.budgets == (
        Budget("session", "key:a", 200 * CENT, Total(), per="session"),
        replace(opus, per="agent", models=("claude-*",)),
    )
    total = Budget("total", "session:ci-*", 100 * CENT, Total())
    flat = Budget("5h notional", "session:ci-*", 100 * CENT, Fixed(5 * HOUR), counts="notional")
    assert key.sessions == (
        ("nightly", (Budget("day", "session:nightly", 200 * CENT, day),)),
        ("ci-*", (total, flat)),
    )
    assert (key.loops, key.caps) == ("refuse", Caps(1, 2, 3, 4, 50 * CENT, 5))
    default = built.keys["default"]
    assert (default.loops, default.caps) == ("observe", Caps(turns=1))
    assert [name for name, _ in default.sessions] == ["x"]
    (pattern,) = built.patterns
    assert (pattern.loops, pattern.caps, pattern.sessions) == ("tell", Caps(), ())


def test_the_operators_prices(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "providers:\n  openai:\n    prices:\n"
        "      gpt-x: {input: 2.50, output: 10, cache_read: 0.0625}\n      tiny: {free: true}\n"
    )
    assert price_overrides(load(path, {"HOME": str(tmp_path)}).settings) == {
        "openai": {
            "gpt-x": {
                "input": Decimal("2.50"),
                "output": Decimal(10),
                "cache_read": Decimal("0.0625"),
            },
            "tiny": {"free": True},
        }
    }
