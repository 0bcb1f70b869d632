"""The facts of one_class.py: scikit-learn's one-class machine."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import OneClassSVM

from candling.errors import TrainingError
from candling.train.one_class import fit_one_class


@pytest.mark.parametrize("nu", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("dimensions", [2, 20])
def test_it_decides_as_scikit_learn(nu, dimensions):
    """The decisions are scikit-learn's to its own tolerance, and so is what lies outside."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(380, dimensions)), rng.normal(6.0, 0.3, size=(20, dimensions))])
    ours = fit_one_class(points, nu)
    theirs = OneClassSVM(kernel="rbf", gamma="scale", nu=nu).fit(points)
    decisions = theirs.decision_function(points)
    assert ours.gamma == pytest.approx(theirs._gamma)
    scale = np.abs(decisions).max()
    np.testing.assert_allclose(ours.decision(points), decisions, atol=5e-3 * scale + 2e-3)
    clear = np.abs(decisions) > 2e-2 * scale
    assert np.array_equal((ours.decision(points) < 0)[clear], (decisions < 0)[clear])


def test_about_nu_lie_outside():
    """No more than that share lies clearly outside."""
    points = np.random.default_rng(1).normal(size=(1000, 2))
    outside = fit_one_class(points, 0.05).decision(points) < -1e-3
    assert 0.03 <= outside.mean() <= 0.05


def test_points_in_one_place_cannot_be_enclosed():
    """Identical latents are refused in one sentence."""
    with pytest.raises(TrainingError, match="do not differ"):
        fit_one_class(np.ones((9, 3)), 0.1)
