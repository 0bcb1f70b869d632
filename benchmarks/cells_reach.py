"""What a counter can reach untrained: boxes that anchors overlap, masks that come back from three classes.

    python benchmarks/cells_reach.py

No network, half a minute: an upper bound for detectors of these anchors and for segmentations of these classes.
"""

from __future__ import annotations

import numpy as np
from record import DATA, record

from candling.data.annotations import read_annotations
from candling.pixels.instances import inside_and_border, number_instances
from candling.pixels.read import read_image
from candling.train.anchors import THESIS_RATIOS, THESIS_SIDES, Anchors, fit_anchors, grid_anchors, reached

STRIDES = (16, 8, 4)


def reach(boxes: np.ndarray, anchors: Anchors) -> dict[str, float]:
    return {f"iou {iou}": reached(boxes, anchors, iou=iou) for iou in (0.5, 0.7)}


def of_anchors(boxes: np.ndarray) -> dict[str, dict]:
    order = np.random.default_rng(0).permutation(len(boxes))
    learn, test = boxes[order[::2]], boxes[order[1::2]]
    found = {}
    for stride in STRIDES:
        fitted = fit_anchors(learn, 9, stride_px=stride, rng=np.random.default_rng(0))
        thesis = grid_anchors(THESIS_SIDES, THESIS_RATIOS, stride_px=stride)
        found[f"stride {stride}"] = {"thesis": reach(test, thesis), "nine fitted": reach(test, fitted)}
    return found


def main() -> None:
    figures: dict[str, dict] = {}
    nuclei = read_annotations(DATA / "bbbc039_nuclei" / "labels", least_px=30)
    boxes = np.vstack([image.boxes for image in nuclei.images])
    figures["bbbc039_nuclei"] = of_anchors(boxes)
    blood = read_annotations(DATA / "bccd" / "Annotations", images=DATA / "bccd" / "JPEGImages")
    figures["bccd"] = of_anchors(np.vstack([image.boxes for image in blood.images]))
    true = back = area = covered = 0
    for image in nuclei.images:
        labels = read_image(DATA / "bbbc039_nuclei" / "labels" / image.image)
        told = inside_and_border(labels)
        again = number_instances(np.stack([told == kind for kind in range(3)]).astype(np.float32))
        true, back = true + len(image.objects), back + int(again.max())
        area, covered = area + int((labels > 0).sum()), covered + int((again > 0).sum())
    figures["three classes and back"] = {"objects": true, "again": back, "area_share": covered / area}
    record("cells_reach", figures)


if __name__ == "__main__":
    main()
