"""How numbers are said to people: percentages, rates with their interval, durations; knows no page and no file.

The page's script says the same numbers in the same words while the limit moves, so rounding is fixed here: halves go
up, as in ECMAScript's ``toFixed``.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from candling.types import Interval

__all__ = ["count", "fixed", "percent", "rate", "scientific_or_fixed"]


def fixed(value: float, digits: int) -> str:
    """Write a number with so many digits after the point, halves rounded up.

    >>> fixed(0.125, 2), fixed(2.0, 0), fixed(math.inf, 2)
    ('0.13', '2', 'infinite')
    """
    if not math.isfinite(value):
        return "infinite" if value > 0 else "not a number" if math.isnan(value) else "minus infinite"
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))


def percent(share: float) -> str:
    """Write a share as a percentage without its sign, one digit after the point.

    >>> percent(3 / 56), percent(1 / 16), percent(1.0)
    ('5.4', '6.3', '100.0')
    """
    return fixed(share * 100, 1)


def count(number: int, noun: str, *, plural: str = "") -> str:
    """Write how many there are of something.

    >>> count(1, "image"), count(0, "image"), count(2, "false reject")
    ('1 image', '0 images', '2 false rejects')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def rate(hits: int, total: int, interval: Interval, *, confidence: float) -> str:
    """Say a rate with its interval.

    >>> from candling.types import Interval
    >>> rate(3, 56, Interval(3 / 56, 0.0112, 0.1487), confidence=0.95)
    '3 of 56 (5.4 %, 95 % interval 1.1 to 14.9 %)'
    """
    bounds = f"{percent(interval.low)} to {percent(interval.high)} %"
    return f"{hits} of {total} ({percent(hits / total)} %, {fixed(confidence * 100, 0)} % interval {bounds})"


def scientific_or_fixed(value: float) -> str:
    """Write a score with four significant digits, whatever its size.

    >>> scientific_or_fixed(0.038612), scientific_or_fixed(0.0000123456), scientific_or_fixed(12345.6)
    ('0.03861', '1.235e-05', '1.235e+04')
    """
    return format(value, ".4g")
