"""The one form of a message's content: exact numbers, sorted keys, words told from the rest."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.wire.content import (
    MOST_PARTS,
    UnreadableError,
    arguments_of,
    canonical,
    decoded,
    is_nothing,
    is_plain,
    kind_of,
    parts_of,
    squeezed,
    words_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_the_layout_of_a_value_does_not_show(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    again = json.dumps(value, sort_keys=True).encode()
    assert canonical(decoded(raw)) == canonical(decoded(again))


@given(JSON, JSON)
def test_other_values_are_other_bytes(one: Any, other: Any) -> None:
    exactly = [json.dumps(value, sort_keys=True) for value in (one, other)]
    assert (canonical(one) == canonical(other)) == (exactly[0] == exactly[1])


def test_numbers_stay_as_they_were_written() -> None:
    numbers = b"[1,1.0,1.50,1.5,1e999,0.1000000000000000000001,123456789012345678901234567890]"
    assert decoded(numbers)[2] == Decimal("1.50")
    written = canonical(decoded(numbers)).strip(b"[]").split(b",")
    assert len(set(written)) == 7
    assert canonical(decoded(b'["1.5"]')) != canonical(decoded(b"[1.5]"))
    assert canonical(decoded(b"[0.1000000000000000000001]")) != canonical(decoded(b"[0.1]"))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nul", b'"\xff"', b"[" * 100_000, b"9" * 5000, b"[1,]", b"{'a': 1}"]
)
def test_what_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        decoded(raw)


def test_lone_surrogates_are_read_as_they_are() -> None:
    assert decoded(rb'["\ud83d"]') == ["\ud83d"]
    assert decoded('["\ud83d"]'.encode("utf-8", "surrogatepass")) == ["\ud83d"]
    assert canonical(["\ud83d", Decimal("1.5")]) != canonical(["\ud83e", Decimal("1.5")])
    assert canonical(["\ud83d", Decimal("1.5")]) != canonical(["\ud83d", Decimal("2.5")])
    assert canonical({"a": "\ud83d", "b": 1}) == canonical({"b": 1, "a": "\ud83d"})


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (None, {}),
        ("", {}),
        ("{}", {}),
        ('{"b": 1, "a": [2]}', {"a": [2], "b": 1}),
        ({"a": 1}, {"a": 1}),
        ([1], [1]),
        ("ls -l", "ls -l"),
        ('{"a": ', '{"a": '),
        ("\ud83d", "\ud83d"),
        ('{"a": "\ud83d"}', {"a": "\ud83d"}),
    ],
)
def test_arguments(given: Any, arguments: Any) -> None:
    assert arguments_of(given) == arguments


def test_what_says_nothing() -> None:
    nothing: list[Any] = [None, False, "", [], {}]
    assert all(is_nothing(value) for value in nothing)
    assert not any(is_nothing(value) for value in (0, Decimal(0), True, " ", [None], {"a": None}))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, []),
        ("", []),
        ([], []),
        ({}, []),
        ("a", ["a"]),
        ({"text": "a"}, [{"text": "a"}]),
        (["a", "", None, 5], ["a", "", None, 5]),
        (0, [0]),
    ],
)
def test_parts(content: Any, parts: list[Any]) -> None:
    assert list(parts_of(content)) == parts


def test_parts_beyond_counting_are_one() -> None:
    assert len(list(parts_of(["a"] * MOST_PARTS))) == MOST_PARTS
    *few, last = parts_of(["a"] * (MOST_PARTS + 3))
    assert (len(few), last) == (MOST_PARTS, ["a"] * 3)


@pytest.mark.parametrize(
    ("part", "kind", "words", "plain"),
    [
        ({"type": "text", "text": "a"}, "text", "a", True),
        ({"type": "input_text", "text": "a"}, "input_text", "a", True),
        ({"type": "output_text", "text": "a"}, "output_text", "a", True),
        ({"text": "a"}, "", "a", True),
        ({"type": None, "text": "a"}, "", "a", True),
        ({}, "", "", True),
        ({"type": "text", "text": "a", "citations": [1]}, "text", "a", False),
        ({"text": "a", "thought": True}, "", "", False),
        ({"type": "thinking", "text": "a"}, "thinking", "", False),
        ({"type": ["text"], "text": "a"}, "", "", False),
        ({"type": "text", "text": 5}, "text", "", False),
        ({"type": "image"}, "image", "", False),
    ],
)
def test_kinds_of_parts(part: dict[str, Any], kind: str, words: str, plain: bool) -> None:
    assert (kind_of(part), words_of(part), is_plain(part)) == (kind, words, plain)


def test_what_is_no_object_has_no_type() -> None:
    assert [kind_of(value) for value in (None, 5, "text", ["text"])] == [""] * 4
    assert [words_of(value) for value in (None, 5, "text", ["text"])] == ["", "", "text", ""]


def test_words_without_space() -> None:
    assert squeezed(" a\t\r\n\v\fb \u00e9\u2003") == "ab\u00e9".encode()
    assert squeezed("\ud83d") == b"\xed\xa0\xbd"
    every = "".join(map(chr, range(0x110000)))
    assert squeezed(every) == "".join(every.split()).encode("utf-8", "surrogatepass")
