"""Names: every spelling that is one name, and none that only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.names import NameIndex, dashed, is_dated, spellings

OWN = frozenset({"anthropic", "models"})


def index(*names: str) -> NameIndex[str]:
    return NameIndex(((name, name) for name in names), OWN)


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("claude-opus-4-6", "claude-opus-4-6"),
        (" Claude-Opus-4-6 ", "claude-opus-4-6"),
        ("claude-opus-4.6", "claude-opus-4-6"),
        ("claude-opus-4-6", "claude-opus-4.6"),
        ("anthropic/claude-opus-4-6", "claude-opus-4-6"),
        ("models/anthropic/claude-opus-4-6", "claude-opus-4-6"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("anthropic/claude-opus-4.6-20260205[1m]", "claude-opus-4-6"),
        ("claude-opus-4-6-20260205", "claude-opus-4-6"),
        ("claude-opus-4-6-2026-02-05", "claude-opus-4-6"),
        ("claude-opus-4-6@20260205", "claude-opus-4-6"),
        ("gpt-4o-20240513", "gpt-4o-2024-05-13"),
        ("gpt-4o@20240513", "gpt-4o-2024-05-13"),
        ("sonnet-2025-05-14", "sonnet-20250514"),
        ("sonnet-20250514", "sonnet@20250514"),
        ("meta/llama-3.1-8b", "meta/llama-3.1-8b"),
        ("MiniMax-M2", "MiniMax-M2"),
    ],
)
def test_a_spelling_finds_its_name(asked: str, known: str) -> None:
    assert index(known, "something-else").find(asked) == known


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("minimax-m2.5", "minimax-m2"),
        ("claude-opus-4-6-fast", "claude-opus-4-6"),
        ("gemini-2.5-pro-ultra", "gemini-2.5-pro"),
        ("deepseek-v4-pro-max", "deepseek-v4-pro"),
        ("deepseek-v4", "deepseek-v4-pro"),
        ("openai/gpt-5", "gpt-5"),  # another's prefix
        ("gpt-4-0613", "gpt-4"),  # no whole date
        ("gpt-4o-20241399", "gpt-4o"),  # no date at all
        ("gpt-4o-2024-0513", "gpt-4o"),
        ("gpt-5-latest", "gpt-5"),
        ("gpt-5", "gpt-5-latest"),
        ("model:nitro", "model"),
        ("", "gpt-5"),
        ("anthropic/", "gpt-5"),
    ],
)
def test_a_likeness_does_not(asked: str, known: str) -> None:
    assert index(known).find(asked) is None


def test_a_dated_name_is_its_own_before_it_is_the_undated_one() -> None:
    assert index("gpt-4o", "gpt-4o-2024-05-13").find("gpt-4o-20240513") == "gpt-4o-2024-05-13"


def test_the_first_of_one_name_stays_and_dashes_that_two_share_find_neither() -> None:
    both = NameIndex([("a-1.5", "dots"), ("a-1-5", "dashes"), ("A-1.5", "late")], ())
    assert both.find("a-1.5") == "dots"
    assert both.find("a-1-5") == "dashes"
    assert NameIndex([("b-1.2.3", "x"), ("b-1.2-3", "y")], ()).find("b-1-2-3") is None
    assert dict(both.items()) == {"a-1.5": "dots", "a-1-5": "dashes"}


@pytest.mark.parametrize(
    ("name", "dated"), [("gpt-4o-2024-05-13", True), ("o@20240513[1m]", True), ("gpt-4o", False)]
)
def test_a_date_is_seen(name: str, dated: bool) -> None:
    assert is_dated(name) is dated


@given(st.text(max_size=40))
def test_any_text_has_spellings_and_the_first_is_itself(text: str) -> None:
    found = list(spellings(text, OWN))
    assert found[0] == text.strip().lower()
    assert dashed(dashed(text)) == dashed(text)
