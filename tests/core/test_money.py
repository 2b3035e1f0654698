"""Money: exact in, exact out, one rounding, always upwards."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from budgetd.core.money import (
    MAX_PICO,
    PICO_PER_USD,
    AmountError,
    ceil_ratio,
    pico_from_usd,
    usd_display,
    usd_text,
)

PICO = st.integers(-MAX_PICO, MAX_PICO)


@pytest.mark.parametrize(
    ("amount", "pico"),
    [
        ("2.50", 2_500_000_000_000),
        (2, 2_000_000_000_000),
        (Decimal("0.000000000001"), 1),
        ("0.0000000000001", 1),  # a tenth of a pico-dollar, rounded up
        ("0.0000000000010001", 2),
        ("-0.0000000000019", -1),  # up is towards zero
        ("0", 0),
        ("1e-6", 1_000_000),
        ("9223372.036854775807", MAX_PICO),
        ("1." + "0" * 70 + "1", PICO_PER_USD + 1),  # beyond the precision, still up
    ],
)
def test_dollars_become_pico_dollars(amount: str | int | Decimal, pico: int) -> None:
    assert pico_from_usd(amount) == pico


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "two",
        "nan",
        "sNaN",
        "inf",
        "-Infinity",
        "1e7",
        "9223372.0368547758071",
        "1e999999",
        "$2",
        "2,50",
    ],
)
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(AmountError):
        pico_from_usd(amount)


@pytest.mark.parametrize("amount", [0.1, 1.0, True, False])
def test_a_binary_float_or_a_truth_value_is_refused(amount: float) -> None:
    with pytest.raises(AmountError, match="decimal number"):
        pico_from_usd(amount)  # type: ignore[arg-type]  # what a careless caller does


@given(PICO)
@example(0)
@example(MAX_PICO)
def test_text_says_it_exactly(pico: int) -> None:
    assert pico_from_usd(usd_text(pico)) == pico


def test_text_has_no_trailing_zeros() -> None:
    assert usd_text(2_500_000_000_000) == "2.5"
    assert usd_text(-1) == "-0.000000000001"
    assert usd_text(3 * PICO_PER_USD) == "3"
    assert usd_text(0) == "0"


@pytest.mark.parametrize(
    ("pico", "shown"),
    [
        (0, "$0.00"),
        (2_500_000_000_000, "$2.50"),
        (1_234_567_894_999_999_999, "$1,234,567.89"),
        (995_000_000_000 + 10**12, "$2.00"),  # $1.995: half up
        (500_000_000_000, "$0.50"),
        (999_999_000_000, "$1.00"),
        (4_200_000_000, "$0.0042"),
        (500_000_000, "$0.0005"),
        (123_456, "$0.00000012"),
        (1, "$0.000000000001"),
        (-2_500_000_000_000, "-$2.50"),
        (-4_200_000_000, "-$0.0042"),
    ],
)
def test_a_person_sees_cents_and_never_nothing(pico: int, shown: str) -> None:
    assert usd_display(pico) == shown


@given(PICO.filter(bool))
def test_what_is_shown_is_near_and_not_zero(pico: int) -> None:
    shown = usd_display(pico)
    value = Fraction(shown.replace("$", "").replace(",", "")) * PICO_PER_USD
    assert value != 0
    assert abs(value - pico) * 20 <= abs(pico)


@given(st.integers(0, 10**18), st.integers(0, 1000), st.integers(1, 1000))
def test_a_ratio_is_rounded_up_once(amount: int, numerator: int, denominator: int) -> None:
    exact = Fraction(amount * numerator, denominator)
    assert 0 <= ceil_ratio(amount, numerator, denominator) - exact < 1
