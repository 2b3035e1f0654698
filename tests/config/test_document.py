"""YAML as plain data with lines: nothing mangled, nothing duplicated, nothing that can hang or crash the reader."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.config.document import MAX_BYTES, parse
from budgetd.config.locator import Locator
from budgetd.config.problems import ConfigError, Finding


def data(text):
    return parse(text, "c.yaml").data()


def problem(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml")
    (only,) = caught.value.problems
    return str(only)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:00", "22:00"),
        ("04:00", "04:00"),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("2026-01-01", "2026-01-01"),
        ("2.50", Decimal("2.50")),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("0123", 123),
        (".inf", ".inf"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("|\n    a\n    b", "a\nb"),
        ("[1, a]", [1, "a"]),
        ("{}", {}),
    ],
)
def test_scalars_mean_what_yaml_1_2_says_and_keep_their_digits(text, value):
    (read,) = data(f"key: {text}").values()
    assert read == value
    assert str(read) == str(value)


def test_keys_are_text():
    assert data("1: a\ntrue: b\n2.50: c\n? d\n: e") == {
        "1": "a",
        "true": "b",
        "2.50": "c",
        "d": "e",
    }


def test_an_empty_file_is_an_empty_map():
    assert data("") == data("# nothing\n") == data("---\n...\n") == {}
    assert data(b"\xef\xbb\xbfa: 1") == {"a": 1}


def test_aliases_repeat():
    assert data("a: &x {b: 1}\nc: *x\nd: &y 5\ne: *y") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": 5,
        "e": 5,
    }


def test_lines_lead_to_the_nearest_thing_in_the_file():
    document = parse("a:\n  b:\n    - 1\n    - c: 2\n      d: 3\ne: 4\n", "c.yaml")
    assert document.line(("a", "b", 1, "d")) == 5
    assert document.line(("a", "b", 0)) == 3
    assert document.line(("a", "b", 1, "missing", "deeper")) == 4
    assert document.line(("e",)) == 6
    assert document.line(("nowhere",)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "c.yaml:3: a is written twice, here and on line 1 (keep one of them)"),
        ("a:\n\t- b",
         ("c.yaml:2: not valid YAML: found character '\\t' that cannot start any token (indent with spaces,"
         " not tabs)")),
        ("a: b: c", "c.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("a: [1", "c.yaml:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: !!python/object x", "c.yaml:1: tags (!...) are not used in a configuration"),
        ("a: !secret x", "c.yaml:1: tags (!...) are not used in a configuration"),
        ("a: &x {b: 1}\nc:\n  <<: *x", ("c.yaml:3: merge keys (<<) are not part of YAML 1.2 "
         "(repeat the lines, or use a key pattern)")),
        ("a: *dve\nb: &dev 1", "c.yaml:1: *dve has no &dve before it"),
        ("a: &dev 1\nb: *dve", "c.yaml:2: *dve has no &dve before it (did you mean dev?)"),
        ("&a [*a]", "c.yaml:1: *a has no &a before it"),
        ("? [a]\n: b", "c.yaml:1: a key must be a word, not a list or a map"),
        ("a: 1\n---\nb: 2", "c.yaml:2: a second document begins here (---) (one file holds one configuration)"),
        ("[" * 40, "c.yaml:1: nested deeper than 32 levels"),
        ("a: \x00", "c.yaml: not valid YAML: it has a character that no YAML text may have"),
        (b"a: 1\nb: \xff", "c.yaml:2: not UTF-8 text"),
        (b" " * (MAX_BYTES + 1), "c.yaml: the file is larger than 1 MiB; this cannot be a configuration"),
        ("a: *sk-ant-api03-AbCdEfGh", "c.yaml:1: *(hidden) has no &(hidden) before it"),
    ],
)  # fmt: skip  # a table of texts reads best in rows
def test_what_cannot_be_read_says_where(text, message):
    assert problem(text) == message


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases multiply" in problem("\n".join(lines))


@given(st.one_of(st.text(), st.binary(), st.text(alphabet="[]{}:,-?&*!|>'\"%@`#\n\t aA1.")))
def test_any_text_is_data_or_a_config_error(text):
    with suppress(ConfigError):
        data(text)


def test_a_finding_gets_the_place_that_set_it():
    locator = Locator(parse("a:\n  b: 1", "c.yaml"), {("a", "c"): "BUDGETD_A__C"})
    assert str(locator.problem(Finding(("a", "b"), "is odd"))) == "c.yaml:2: a.b: is odd"
    assert (
        str(locator.problem(Finding(("a", "c", "d"), "is odd"))) == "$BUDGETD_A__C: a.c.d: is odd"
    )
    assert str(locator.problem(Finding(("z",), "is odd", "so"))) == "c.yaml: z: is odd (so)"
    assert str(Locator(None).problem(Finding((), "is odd"))) == "is odd"
