"""The graph's boxes are the network's in any order, and are not when one moved, is surer, or is another class."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import TrainingError
from candling.train.same_boxes import same_boxes


def answers(count: int = 40) -> dict[str, np.ndarray]:
    """Boxes of two images."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 200, (2, count, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + 20], axis=2)
    sure = rng.uniform(0.1, 1.0, (2, count)).astype(np.float32)
    return {"boxes": boxes, "labels": rng.integers(0, 3, (2, count)), "confidences": sure}


def test_another_order_is_the_same():
    """What rounding ranks otherwise is there all the same; unsure boxes may be anything."""
    one = answers()
    one["confidences"][:, 0] = 0.01
    other = {name: values[:, ::-1].copy() for name, values in one.items()}
    other["boxes"][:, -1] += 50.0
    other["boxes"][:, 3] += 0.01
    found = dict(same_boxes(one, other, where="here"))
    assert set(found) == {"boxes", "labels", "confidences"}
    assert found["boxes"] == pytest.approx(0.01, abs=1e-4)
    assert found["confidences"] == 0.0


def test_a_single_box_on_a_knife_edge_is_forgiven():
    """Of two boxes that are as sure one may stay for the other; of all of them none."""
    one, other = answers(), answers()
    other["boxes"][0, 5] += 5.0
    assert dict(same_boxes(one, other, where="here"))["boxes"] == 0.0


@pytest.mark.parametrize("name", ["boxes", "labels", "confidences"])
def test_other_boxes_are_refused(name):
    """Moved by two pixels, of another class, or half as sure: the sentence says how many, and where."""
    one, other = answers(), answers()
    changed = {"boxes": one["boxes"] + 2.0, "labels": (one["labels"] + 1) % 3, "confidences": 0.5 * one["confidences"]}
    other[name] = changed[name]
    with pytest.raises(TrainingError, match=r"160 boxes are others \(openvino, batch 3\)"):
        list(same_boxes(one, other, where="openvino, batch 3"))


def test_a_missing_output_is_named():
    """Boxes without labels are none."""
    other = answers()
    del other["labels"]
    with pytest.raises(TrainingError, match="'labels'"):
        list(same_boxes(answers(), other, where="here"))
