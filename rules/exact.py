"""Arithmetic on scaled integers: exact whatever the order, GB/T 8170 half-even where a digit must go."""

from decimal import Decimal

import polars as pl


def half_even(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """numerator / denominator rounded to an integer, ties to even (GB/T 8170-2008 cl. 3.2).

    Int128 in, Int128 out; the denominator is positive. Floor division makes negative ties come out even as well.
    """
    floor = numerator // denominator
    rest2 = (numerator - floor * denominator) * 2
    up = (rest2 > denominator) | ((rest2 == denominator) & (floor % 2 == 1))
    return floor + up.cast(pl.Int128)


def scaled(value: Decimal, decimals: int) -> int:
    """The decimal as an integer of 10^-decimals. Raises ValueError where digits would be lost."""
    shifted = value.scaleb(decimals)
    if shifted != shifted.to_integral_value():
        raise ValueError(f"{value} has more than {decimals} decimals")
    return int(shifted)


def decimals_of(value: Decimal) -> int:
    """How many decimals it takes to write the value."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
