"""Dollars as integers.

Owns the unit (pico-dollars), the only ways in and out of it, and the one rounding. Every sum in
budgetd is an `int` of pico-dollars; a `Decimal` appears only at the edges and a float nowhere: 46
first-party token prices are not whole nano-dollars, all are whole pico-dollars, and int64 holds
$9.2 million of those.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, DecimalException, localcontext

PICO_PER_USD = 10**12
MAX_PICO = 2**63 - 1  # SQLite's INTEGER

_SHAPE = "a dollar amount is a decimal number like 2.50"


class AmountError(ValueError):
    """The text is no dollar amount that budgetd can hold."""


def pico_from_usd(amount: str | int | Decimal) -> int:
    """Dollars to pico-dollars, rounded up to the next whole one. Raises AmountError (not a number,
    or too large).

    A float is refused by type: its decimal text is the caller's to give, so that 0.1 means a tenth.
    So is a truth value.
    """
    if isinstance(amount, (float, bool)):
        raise AmountError(f"{_SHAPE}, not a {type(amount).__name__}")
    try:
        with localcontext() as exact:
            exact.prec = 60
            exact.rounding = ROUND_CEILING  # of more than 60 digits too
            pico = (Decimal(amount) * PICO_PER_USD).to_integral_value()
    except (DecimalException, ValueError) as error:  # an exponent without bounds overflows
        raise AmountError(f"{_SHAPE}, not {amount!r}") from error
    if not pico.is_finite() or abs(pico) > MAX_PICO:
        raise AmountError(f"{amount} dollars is more than a ledger row can hold")
    return int(pico)


def usd_text(pico: int) -> str:
    """Pico-dollars as an exact decimal string without trailing zeros: 2500000000000 -> "2.5", for
    JSON.
    """
    sign = "-" if pico < 0 else ""
    whole, rest = divmod(abs(pico), PICO_PER_USD)
    fraction = f"{rest:012d}".rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def usd_display(pico: int) -> str:
    """Pico-dollars for a person: "$2.50", "$0.0042". Cents from a dollar up, four significant
    places below.
    """
    sign = "-" if pico < 0 else ""
    size = abs(pico)
    if size >= PICO_PER_USD or size == 0:
        cents = (size + PICO_PER_USD // 200) // (PICO_PER_USD // 100)
        return f"{sign}${cents // 100:,}.{cents % 100:02d}"
    # The places a person needs to see that it is not nothing: two digits after the leading zeros, four at least.
    places = 4
    while places < 12 and size * 10**places < 10 * PICO_PER_USD:
        places += 1
    unit = PICO_PER_USD // 10**places
    scaled = (size + unit // 2) // unit
    text = f"{scaled:0{places + 1}d}"
    text = f"{text[:-places]}.{text[-places:]}"
    head, _, tail = text.partition(".")
    tail = tail.rstrip("0").ljust(2, "0")
    return f"{sign}${head}.{tail}"


def ceil_ratio(amount: int, numerator: int, denominator: int) -> int:
    """amount x numerator / denominator, rounded up: the one rounding a charge may get."""
    return -(-amount * numerator // denominator)
