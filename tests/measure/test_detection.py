"""Average precision agrees with the definitions it is named after, no box is left out, and scores are chosen well."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from candling.errors import DataError, UsageError
from candling.measure.by_image import draw_images, figure_with_interval
from candling.measure.detection import (
    COCO_IOUS,
    Outcome,
    average_precision,
    choose_score,
    mean_average_precision,
    merit_at,
    outcome_at,
    plain_average_precision,
    thesis_average_precision,
)
from candling.measure.matching import Found, Matched, Truth, iou_matrix, match_boxes, match_images


def boxes(count, rng, *, side=200.0):
    corner = rng.uniform(0, side, (count, 2))
    return np.hstack([corner, corner + rng.uniform(8, 30, (count, 2))])


def scene(rng, *, objects=25, extra=6, ignored=0.0):
    """Draw objects of two classes and boxes near most of them."""
    true = boxes(objects, rng)
    labels = rng.choice(["N", "RBC"], objects)
    seen = rng.random(objects) < 0.8
    near = true[seen] + rng.normal(0, 2.0, (int(seen.sum()), 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    found = np.vstack([near, boxes(extra, rng)])
    said = np.concatenate([labels[seen], rng.choice(["N", "RBC"], extra)])
    scores = rng.random(len(found)).round(2)  # with ties
    return Found(found, list(said), scores), Truth(true, list(labels), rng.random(objects) < ignored)


def iou_of(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def coco_by_hand(images, label, threshold):
    """The COCO evaluation written down step by step from its description, box by box."""
    ranked, objects = [], 0
    for found, truth in images:
        real = [k for k in range(len(truth.boxes)) if truth.labels[k] == label]
        objects += sum(not truth.ignored[k] for k in real)
        real.sort(key=lambda k: truth.ignored[k])  # those that count come first
        taken = set()
        mine = [k for k in range(len(found.boxes)) if found.labels[k] == label]
        for at in sorted(mine, key=lambda k: -found.scores[k]):
            best, which = min(threshold, 1 - 1e-10), None
            for k in real:
                if k in taken and not truth.ignored[k]:
                    continue
                if which is not None and not truth.ignored[which] and truth.ignored[k]:
                    break
                overlap = iou_of(found.boxes[at], truth.boxes[k])
                if overlap >= best:
                    best, which = overlap, k
            if which is None:
                ranked.append((-found.scores[at], False))
            elif not truth.ignored[which]:
                taken.add(which)
                ranked.append((-found.scores[at], True))
    if not objects:
        return None
    ranked.sort(key=lambda pair: pair[0])
    recall, precision, hits = [], [], 0
    for number, (_, hit) in enumerate(ranked, start=1):
        hits += hit
        recall.append(hits / objects)
        precision.append(hits / number)
    area = 0.0
    for point in np.linspace(0, 1, 101):
        area += max((p for p, r in zip(precision, recall, strict=True) if r >= point), default=0.0)
    return area / 101


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_average_precision_is_cocos(seed, ignored):
    """On drawn scenes with ties, two classes and ignored objects, every overlap gives what COCO's description gives."""
    rng = np.random.default_rng(seed)
    images = [scene(rng, ignored=ignored) for _ in range(5)]
    for label in ("N", "RBC"):
        for iou in (0.5, 0.75, 0.9):
            ours = average_precision(match_images(images, label=label, iou=iou))
            assert ours == pytest.approx(coco_by_hand(images, label, iou), abs=1e-12)
    every = [coco_by_hand(images, label, iou) for label in ("N", "RBC") for iou in COCO_IOUS]
    assert mean_average_precision(images, labels=("N", "RBC", "absent")) == pytest.approx(np.mean(every), abs=1e-12)


def test_five_hundred_right_boxes_give_one():
    """Predictions that are the truth reach 1.0 at 500 boxes an image; a cap of 100 boxes would give a fifth."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(25), np.arange(20)), axis=-1).reshape(-1, 2) * 20.0
    true = np.hstack([corners, corners + 15.0])
    image = Found(true, ["N"] * 500, rng.random(500)), Truth(true, ["N"] * 500)
    assert mean_average_precision([image], labels=["N"]) == 1.0
    assert average_precision(match_images([image], label="N", iou=1.0)) == 1.0
    assert outcome_at(match_images([image], label="N"), 0.0) == Outcome(500, 0, 0)
    top = np.argsort(-image[0].scores)[:100]
    capped = Found(true[top], ["N"] * 100, image[0].scores[top])
    assert average_precision(match_images([(capped, image[1])], label="N")) == pytest.approx(0.2, abs=0.01)


def test_the_thesis_looks_at_found_boxes_only():
    """Image by image it is scikit-learn's figure of the found boxes; one right box among a hundred objects gives 1."""
    rng = np.random.default_rng(1)
    images = [scene(rng) for _ in range(6)]
    wanted = []
    for pair in images:
        matched = match_images([pair], label="N")
        wanted.append(average_precision_score(matched.hits, matched.scores))
    assert thesis_average_precision(images, label="N") == pytest.approx(np.mean(wanted), abs=1e-12)
    true = boxes(100, rng)
    timid = Found(true[:1], ["N"], np.array([0.9])), Truth(true, ["N"] * 100)
    assert thesis_average_precision([timid], label="N") == 1.0
    assert average_precision(match_images([timid], label="N")) == pytest.approx(2 / 101)  # recalls 0 and 0.01
    nothing = Found(np.zeros((0, 4)), [], np.zeros(0)), Truth(np.zeros((0, 4)), [])
    assert thesis_average_precision([timid, nothing], label="N") == 1.0
    assert thesis_average_precision([nothing], label="N") is None


def test_without_interpolation_it_is_scikit_learns():
    """Missed objects, ranked last of all, are what scikit-learn needs to know of them."""
    rng = np.random.default_rng(2)
    matched = match_images([scene(rng) for _ in range(5)], label="N")
    found = np.sum(matched.hits) / matched.truths.sum()
    reference = average_precision_score(matched.hits, matched.scores) * found
    assert plain_average_precision(matched) == pytest.approx(reference, abs=1e-12)
    empty = Matched(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), np.array([3]))
    assert (plain_average_precision(empty), average_precision(empty)) == (0.0, 0.0)
    assert average_precision(Matched(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), np.array([0]))) is None


def test_weights_are_repeated_images():
    """An image that counts twice gives what it gives when it is there twice; so resampling needs no second matching."""
    rng = np.random.default_rng(3)
    images = [scene(rng) for _ in range(4)]
    for number in range(4):  # no score twice: the order among equals would differ
        found, truth = images[number]
        images[number] = Found(found.boxes, found.labels, found.scores + rng.random(len(found.scores)) * 1e-3), truth
    times = np.array([2, 0, 1, 3])
    repeated = [image for image, many in zip(images, times, strict=True) for _ in range(many)]
    once, twice = match_images(images, label="N"), match_images(repeated, label="N")
    for figure in (average_precision, plain_average_precision):
        assert figure(once, times=times) == pytest.approx(figure(twice), abs=1e-12)
    assert outcome_at(once, 0.4, times=times) == outcome_at(twice, 0.4)


def test_each_object_is_found_once_and_by_its_class():
    """The surer of two boxes on one object is right, the other false; a box of another class finds nothing."""
    truth = Truth(np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]]), ["N", "RBC"])
    found = Found(
        np.array([[0.0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10]]), ["N", "N", "N"], np.array([0.5, 0.9, 1])
    )
    assert match_boxes(found, truth).tolist() == [-1, 0, -1]
    assert match_boxes(found, truth, iou=1.0).tolist() == [-1, 0, -1]


def test_boxes_on_ignored_objects_count_for_nothing():
    """Debris that is found is neither right nor false, and debris that is not found is not missed."""
    truth = Truth(np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]]), ["N", "N"], np.array([False, True]))
    found = Found(np.array([[20.0, 0, 30, 10], [21, 0, 30, 10], [50, 0, 60, 10]]), ["N"] * 3, np.array([0.9, 0.8, 0.7]))
    assert match_boxes(found, truth).tolist() == [-2, -2, -1]
    assert outcome_at(match_images([(found, truth)], label="N"), 0.0) == Outcome(found=0, missed=1, false=1)


def test_overlap_of_boxes():
    """Touching boxes share nothing, a box of no area overlaps nothing, not even itself."""
    some = np.array([[0.0, 0, 4, 4], [4, 0, 8, 4], [2, 2, 2, 2], [0, 0, 2, 4]])
    wanted = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 0, 0], [0.5, 0, 0, 1]]
    np.testing.assert_allclose(iou_matrix(some, some), wanted)


def test_a_score_is_chosen_for_what_matters():
    """For F1 it lies where F1 is best, checked against every score; for counts where the counts err least."""
    rng = np.random.default_rng(4)
    images = [scene(rng, objects=30, extra=25) for _ in range(6)]
    matched = match_images(images, label="N")
    chosen = outcome_at(matched, choose_score(matched)).f1
    assert chosen == max(outcome_at(matched, score).f1 for score in matched.scores)

    def count_error(score):
        counts = np.bincount(matched.image[matched.scores >= score], minlength=6)
        return np.abs(counts - matched.truths).mean()

    by_count = choose_score(matched, goal="count")
    assert count_error(by_count) == min(count_error(score) for score in [*matched.scores, 2.0])
    false = Matched(np.array([0.9, 0.8]), np.array([False, False]), np.array([0, 0]), np.array([0, 0]))
    assert choose_score(false, goal="count") > 0.9
    assert choose_score(Matched(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), np.array([2]))) == 0.5


def test_equally_good_scores_are_told_apart_by_their_counts():
    """One right box and one wrong one in another image: F1 first, then the counts, then the lower score."""
    matched = Matched(np.array([0.9, 0.5]), np.array([True, False]), np.array([0, 1]), np.array([1, 1]))
    f1, error, score = merit_at(matched, 0.3)
    assert (f1, error, score) == (0.5, 0.0, -0.3)
    assert merit_at(matched, 0.7) == (0.667, -0.5, -0.7)
    assert max((merit_at(matched, level), level) for level in (0.6, 0.7, 0.95))[1] == 0.6
    nothing = Matched(np.array([0.4]), np.array([False]), np.array([0]), np.array([0]))
    assert merit_at(nothing, 0.6)[0] == 1.0
    assert merit_at(nothing, 0.3)[0] == 0.0


def test_outcomes_have_words():
    """Nothing found of nothing is perfect; precision, recall and F1 are the usual shares."""
    assert (Outcome(0, 0, 0).f1, Outcome(0, 0, 0).precision, Outcome(0, 0, 0).recall) == (1.0, 1.0, 1.0)
    assert (Outcome(3, 1, 2).precision, Outcome(3, 1, 2).recall) == (0.6, 0.75)


def test_an_interval_comes_from_images():
    """The interval of the average precision holds it, narrows with more images, and repeats with its seed."""
    rng = np.random.default_rng(5)
    widths = []
    for count in (5, 40):
        matched = match_images([scene(rng) for _ in range(count)], label="N")
        times = draw_images(count, rounds=200, rng=np.random.default_rng(0))
        interval = figure_with_interval(lambda n, m=matched: average_precision(m, times=n), times)
        assert interval.low <= interval.value <= interval.high
        assert interval == figure_with_interval(lambda n, m=matched: average_precision(m, times=n), times)
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0]


def test_images_of_one_product_are_drawn_together():
    """Two images of a well always count equally often."""
    times = draw_images(6, rounds=50, rng=np.random.default_rng(0), products=["a", "b", "a", "c", "b", "c"])
    assert (times[:, 0] == times[:, 2]).all()
    assert (times[:, 1] == times[:, 4]).all()
    assert len(np.unique(times[:, 0])) > 1
    with pytest.raises(UsageError, match="2 products were named for 3 images"):
        draw_images(3, rounds=1, rng=np.random.default_rng(0), products=["a", "b"])


def test_bad_boxes_are_refused():
    """Wrong shapes, labels that do not fit, NaN and impossible overlaps."""
    one = np.array([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(DataError, match="found boxes are"):
        Found(one, [], np.array([1.0]))
    with pytest.raises(DataError, match="no finite number"):
        Truth(one * np.nan, ["N"])
    with pytest.raises(DataError, match=r"no score \(NaN\)"):
        Found(one, ["N"], np.array([np.nan]))
    with pytest.raises(UsageError, match="an overlap of 0 is impossible"):
        match_boxes(Found(one, ["N"], np.array([1.0])), Truth(one, ["N"]), iou=0)
