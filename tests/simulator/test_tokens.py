"""The toy tokenizer's promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from budgetd.simulator.tokens import clip, count, picture, spell, utf8


def test_four_bytes_are_a_token():
    assert [count("x" * size) for size in range(1, 10)] == [0, 1, 1, 1, 2, 2, 2, 2, 3]


@given(st.text())
def test_never_more_than_one_token_for_two_bytes(text: str):
    assert count(text) * 2 <= len(utf8(text))


@given(st.integers(0, 500))
def test_a_spelled_text_has_as_many_tokens_as_asked(tokens: int):
    assert count(spell(tokens)) == tokens


@given(st.text(), st.integers(0, 20))
def test_a_clipped_text_is_a_start_that_fits(text: str, tokens: int):
    assert count(clip(text, tokens)) <= tokens
    assert text.startswith(clip(text, tokens))


def test_lone_surrogates_count():
    assert count("\ud83d") == 1


def test_a_picture_is_no_longer_than_its_payload_and_at_most_1024_tokens():
    assert len(picture("abc")) == 3
    assert count(picture("A" * 1_000_000)) == 1024
    assert picture("A" * 5000) != picture("B" * 5000)
