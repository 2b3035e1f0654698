"""The model table: what budgetd ships, and how it is asked."""

from __future__ import annotations

from importlib.resources import files

import pytest

from budgetd.config.models import ModelTable
from budgetd.core.tariff import ModelLimits

TABLE = ModelTable.load()


@pytest.mark.parametrize(
    ("provider", "model", "limits"),
    [
        ("openai", "gpt-4.1", ModelLimits(1_047_576, 32_768, reasoning=False)),
        ("openai", "gpt-4-1", ModelLimits(1_047_576, 32_768, reasoning=False)),
        ("anthropic", "claude-haiku-4-5-20251001", ModelLimits(200_000, 64_000, reasoning=True)),
        ("anthropic", "anthropic/claude-haiku-4.5", ModelLimits(200_000, 64_000, reasoning=True)),
        ("google", "gemini-2.5-pro", ModelLimits(1_048_576, 65_536, reasoning=True)),
        ("gemini", "models/gemini-2.5-pro", ModelLimits(1_048_576, 65_536, reasoning=True)),
    ],
)
def test_limits_are_found_by_exact_names(provider: str, model: str, limits: ModelLimits) -> None:
    assert TABLE.limits(provider, model) == limits


def test_what_is_not_named_is_unknown() -> None:
    assert TABLE.limits("openai", "gpt-4.1-ultra") is None
    assert TABLE.limits("nobody", "gpt-4.1") is None


def test_every_direct_provider_is_there_and_every_figure_is_a_count() -> None:
    assert set(TABLE.providers) == {
        *("anthropic", "cerebras", "deepseek", "fireworks", "google", "groq", "minimax", "mistral"),
        *("moonshotai", "openai", "perplexity", "together", "x-ai", "zai"),
    }
    for index in TABLE.providers.values():
        for limits in dict(index.items()).values():
            assert all(
                count is None or (type(count) is int and count > 0)
                for count in (limits.context, limits.max_output)
            )


def test_the_table_says_where_it_is_from_and_under_what_licence() -> None:
    assert TABLE.source.startswith("litellm ")
    notice = (files("budgetd.config") / "models.NOTICE").read_text(encoding="utf-8")
    assert f"LiteLLM {TABLE.source.removeprefix('litellm ')}" in notice
    assert "Permission is hereby granted, free of charge" in notice
