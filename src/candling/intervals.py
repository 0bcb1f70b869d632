"""Exact binomial intervals (Clopper and Pearson 1934) without scipy; knows no verdict and no score.

A rate seen on few images says little: no false reject among 23 good images still allows a rate of 14.8 %. Both
``decide`` and ``measure`` state rates with these intervals, so the arithmetic lives below them.

Two readings of "95 %" are in use, and they differ:

* two-sided, :func:`clopper_pearson`: 2.5 % on each side; zero of 23 gives [0, 14.8 %];
* one-sided, :func:`upper_bound`: all 5 % on one side; zero of 59 gives at most 5.0 %, the figure of qualification
  tables.
"""

from __future__ import annotations

import math

from candling.errors import UsageError
from candling.types import Interval

__all__ = ["clopper_pearson", "samples_to_show", "upper_bound"]


def clopper_pearson(hits: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Give a rate with its exact two-sided interval: each side is missed with probability (1 - confidence) / 2 at most.

    Args:
        hits: how often it happened, 0 to ``total``.
        total: how many independent samples were looked at, at least 1.
        confidence: of the interval as a whole, inside (0, 1).

    Returns:
        ``hits / total`` with both ends in [0, 1]; they agree with the beta quantiles of scipy to 1e-9.

    Raises:
        UsageError: a count or the confidence is out of range.

    Source: Clopper and Pearson 1934, Biometrika 26, 404.

    >>> interval = clopper_pearson(0, 23)
    >>> interval.low, round(interval.high, 3)
    (0.0, 0.148)
    """
    _check(hits, total, confidence)
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _beta_quantile(tail, hits, total - hits + 1)
    high = 1.0 if hits == total else _beta_quantile(1.0 - tail, hits + 1, total - hits)
    return Interval(hits / total, low, high)


def upper_bound(hits: int, total: int, *, confidence: float = 0.95) -> float:
    """Bound a rate from above, one-sided: the true rate is larger with probability 1 - confidence at most.

    Equals the upper end of :func:`clopper_pearson` at the confidence ``2 * confidence - 1``.

    Args:
        hits: how often it happened, 0 to ``total``.
        total: how many independent samples were looked at, at least 1.
        confidence: of the bound, inside (0, 1).

    Returns:
        A rate in (0, 1].

    Raises:
        UsageError: a count or the confidence is out of range.

    >>> [round(100 * upper_bound(0, total), 1) for total in (59, 120, 141, 299)]
    [5.0, 2.5, 2.1, 1.0]
    """
    _check(hits, total, confidence)
    return 1.0 if hits == total else _beta_quantile(confidence, hits + 1, total - hits)


def samples_to_show(rate: float, *, confidence: float = 0.95) -> int:
    """Count the samples that show a rate, one-sided, when not one of them is a hit.

    Args:
        rate: the rate to be shown, inside (0, 1).
        confidence: of the bound, inside (0, 1).

    Returns:
        The smallest total whose ``upper_bound(0, total)`` is at most ``rate``.

    Raises:
        UsageError: the rate or the confidence is out of range.

    >>> samples_to_show(0.05), samples_to_show(0.01)
    (59, 299)
    """
    if not 0.0 < rate < 1.0:
        raise UsageError(f"a rate of {rate!r} cannot be shown by counting; give one between 0 and 1, both excluded")
    _check(0, 1, confidence)
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-rate)))


def _check(hits: int, total: int, confidence: float) -> None:
    if total < 1:
        raise UsageError(f"a rate needs at least one sample, not {total}")
    if not 0 <= hits <= total:
        raise UsageError(f"{hits} hits among {total} samples is impossible")
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"a confidence of {confidence!r} is impossible; give one between 0 and 1, both excluded")


def _beta_quantile(probability: float, a: float, b: float) -> float:
    """Solve I_x(a, b) = probability for x: Newton's steps inside a bracket, every third step a bisection."""
    low, high = 0.0, 1.0
    x = a / (a + b)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    for step in range(400):
        error = _beta_cumulative(x, a, b) - probability
        low, high = (low, x) if error > 0.0 else (x, high)
        density = math.exp((a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x) - log_beta)
        newton = x - error / density if density > 0.0 else math.nan
        following = newton if low < newton < high and step % 3 != 2 else low + (high - low) / 2.0
        if abs(following - x) <= 1e-15 * following or not low < following < high:
            return following
        x = following
    return x


def _beta_cumulative(x: float, a: float, b: float) -> float:
    """Give the regularised incomplete beta function I_x(a, b), for x inside (0, 1)."""
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )  # x^a (1 - x)^b / B(a, b)
    front = math.exp(log_front)
    if x < (a + 1.0) / (a + b + 2.0):  # there the fraction converges fast; otherwise I_x(a, b) = 1 - I_1-x(b, a)
        return front * _beta_fraction(x, a, b) / a
    return 1.0 - front * _beta_fraction(1.0 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of I_x(a, b) by Lentz's method (DLMF 8.17.22)."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0), tiny)
    value = d
    for m in range(1, 100_000):  # about sqrt(max(a, b)) rounds are needed
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + even * d, tiny)
        c = _away_from_zero(1.0 + even / c, tiny)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / _away_from_zero(1.0 + odd * d, tiny)
        c = _away_from_zero(1.0 + odd / c, tiny)
        value *= d * c
        if abs(d * c - 1.0) < 1e-16:
            break
    return value


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
