"""The formulas on counts: one row or many give the same, and empty places change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candling.measure.anomaly.counts import area_under_roc, partial_area, precision_area, running_f1

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12).filter(
    lambda row: sum(good for good, _ in row) > 0 and sum(defect for _, defect in row) > 0
)


@given(ROWS)
def test_an_empty_place_changes_no_area(row):
    """Places without any item, anywhere, leave every area as it is."""
    good, defect = np.array(row, float).T
    spread = [np.insert(part, [0, part.size // 2, part.size], 0.0) for part in (good, defect)]
    assert area_under_roc(*spread) == pytest.approx(area_under_roc(good, defect))
    assert precision_area(*spread) == pytest.approx(precision_area(good, defect))
    for limit in (0.1, 0.3, 1.0):
        gain = defect / defect.sum()
        assert partial_area(spread[0], spread[1] / defect.sum(), limit) == pytest.approx(
            partial_area(good, gain, limit)
        )


@given(ROWS)
def test_many_rows_are_as_many_single_ones(row):
    """Stacked rows, as the bootstrap uses them, give what each row gives alone."""
    good, defect = np.array(row, float).T
    rows = [np.stack([part, part[::-1]]) for part in (good, defect)]
    for formula in (area_under_roc, precision_area, running_f1):
        stacked = formula(*rows)
        np.testing.assert_allclose(stacked[0], formula(good, defect))
        np.testing.assert_allclose(stacked[1], formula(good[::-1], defect[::-1]))


@given(ROWS)
def test_the_whole_partial_area_is_the_area(row):
    """Up to a false-reject rate of 1 the partial area with the share of defects as gain is the area under the ROC."""
    good, defect = np.array(row, float).T
    assert partial_area(good, defect / defect.sum(), 1.0) == pytest.approx(area_under_roc(good, defect))
