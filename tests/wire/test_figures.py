"""Figures from answers: exact, whole, never negative, never an exception."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.wire.figures import (
    MOST_TOKENS,
    count,
    is_count,
    json_object,
    members,
    present,
    text,
    without_surrogates,
    word,
)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (0, 0),
        (7, 7),
        (-7, 0),
        (Decimal("1.2"), 2),
        (Decimal("-0.5"), 0),
        (None, 0),
        (True, 0),
        ("7", 0),
        ([], 0),
        (10**30, MOST_TOKENS),
        (Decimal("1e999999"), MOST_TOKENS),
    ],
)
def test_counts(value: Any, tokens: int) -> None:
    assert count(value) == tokens
    assert isinstance(count(value), int)


def test_stated_or_not() -> None:
    assert all(map(is_count, (0, 5, -1, Decimal("0.1"))))
    assert not any(map(is_count, (None, True, False, "5", 0.5, [], {})))


def test_objects_are_exact() -> None:
    assert json_object(b'{"a": 0.1, "b": 1e999}') == {"a": Decimal("0.1"), "b": Decimal("1e999")}
    assert json_object(b'{"s": "\\ud83d", "a": 0.1}') == {"s": "\ud83d", "a": Decimal("0.1")}
    for other in (b"", b"[]", b"5", b"null", b"nonsense", b"[" * 100_000, b"\xff"):
        assert json_object(other) is None


def test_the_rest() -> None:
    assert (members({"a": 1}), members(None), members([1])) == ({"a": 1}, {}, {})
    assert (text("x"), text(""), text(None), text(5)) == ("x", None, None, None)
    assert (present(b"0"), present(b"null"), present(b"")) == (True, False, False)
    assert (word(b'"m"'), word(b'""'), word(b"5"), word(b"")) == ("m", None, None, None)


@given(st.binary())
def test_surrogates_are_replaced_in_place(data: bytes) -> None:
    assert len(without_surrogates(data)) == len(data)


def test_surrogates() -> None:
    assert (
        without_surrogates(b'"\\ud83d \\uDE00 \\u00e9 \\ufffd"')
        == b'"\\ufffd \\ufffd \\u00e9 \\ufffd"'
    )
