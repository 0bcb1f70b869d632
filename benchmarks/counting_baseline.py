"""Count nuclei without learning, by a threshold and connected components: what every counter here must beat.

    python benchmarks/counting_baseline.py

Two thresholds: Otsu's of each image, and one for all, chosen on half of the images. Each with no histogram matching,
with one template and with one for each contrast group, learned on that half; the other half is measured. Minutes.
"""

from __future__ import annotations

import cv2
import numpy as np
from record import DATA, record

from candling.data.annotations import AnnotatedImage, read_annotations
from candling.measure.matching import Found, Truth
from candling.pixels.histogram import learn_matcher
from candling.pixels.read import read_image
from candling.workflow.count_figures import evaluate_counts

SETS = {"bbbc039_nuclei": {"white": 4095, "least_px": 30}}
LEVELS = 16
GAIN = 4.0


def pieces(frame: np.ndarray, level: float, least_px: int) -> tuple[np.ndarray, np.ndarray]:
    smooth = cv2.GaussianBlur(frame, (0, 0), 1.0)
    _, _, stats, _ = cv2.connectedComponentsWithStats((smooth > level).astype(np.uint8))
    stats = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= least_px].astype(float)
    left, top, width, height = stats[:, :4].T
    return np.stack([left, top, left + width, top + height], axis=1), stats[:, cv2.CC_STAT_AREA]


def otsu(frame: np.ndarray) -> float:
    level, _ = cv2.threshold(cv2.GaussianBlur(frame, (0, 0), 1.0), 0, 1, cv2.THRESH_OTSU)
    return level


def count(image: AnnotatedImage) -> int:
    return sum(image.counts.values())


def best_level(frames: list[np.ndarray], images: list[AnnotatedImage], least_px: int) -> float:
    levels = np.unique(
        np.quantile(np.concatenate([frame.ravel()[::97] for frame in frames]), np.linspace(0.3, 0.995, LEVELS))
    )
    errors = [
        np.mean([abs(len(pieces(f, level, least_px)[0]) - count(i)) for f, i in zip(frames, images, strict=True)])
        for level in levels
    ]
    return float(levels[int(np.argmin(errors))])


def measure(frames: list[np.ndarray], images: list[AnnotatedImage], levels: list[float], least_px: int) -> dict:
    pairs = []
    for frame, image, level in zip(frames, images, levels, strict=True):
        boxes, areas = pieces(frame, level, least_px)
        ignored = np.array([one.difficult for one in image.objects], bool)
        truth = Truth(image.boxes, ["N"] * len(image.objects), ignored)
        pairs.append((Found(boxes, ["N"] * len(boxes), areas), truth))
    figures = evaluate_counts(pairs, scores={"N": 0.0}, rng=np.random.default_rng(0), rounds=300).as_json()[
        "per_class"
    ]["N"]
    names = ("count_mae", "count_bias", "count_relative", "count_growth", "f1_50", "by_density")
    return {name: figures[name] for name in names}


def main() -> None:
    found: dict[str, dict] = {}
    for name, facts in SETS.items():
        folder, least_px = DATA / name, facts["least_px"]
        images = read_annotations(folder / "labels", images=folder / "images", least_px=least_px).images
        frames = [read_image(folder / "images" / image.image) for image in images]
        order = np.random.default_rng(0).permutation(len(images))
        half = {part: [int(at) for at in order[start::2]] for start, part in enumerate(("learn", "test"))}
        found[name] = {"images": len(half["test"])}
        for way in ("none", "global", "selective"):
            shown = frames
            if way != "none":
                matcher = learn_matcher([frames[at] for at in half["learn"]], way, gain=GAIN, white=facts["white"])
                shown = [matcher.match(frame) for frame in frames]
            learn, test = ([shown[at] for at in half[part]] for part in ("learn", "test"))
            truth = [images[at] for at in half["test"]]
            level = best_level(learn, [images[at] for at in half["learn"]], least_px)
            found[name][way] = {
                "otsu": measure(test, truth, [otsu(frame) for frame in test], least_px),
                "one threshold": measure(test, truth, [level] * len(test), least_px),
            }
    record("counting_baseline", found)


if __name__ == "__main__":
    main()
