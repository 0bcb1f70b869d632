"""Running labelled images through an inspector and measuring it, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper

from candling.data.samples import Sample, SampleSet, load_samples
from candling.errors import BundleError, SamplesError
from candling.pixels.heatmap import encode_png
from candling.recipe import parse_recipe
from candling.runtime.bundle import Card, DataFacts, LimitEntry, LimitsFile, MapRange, save_bundle
from candling.runtime.inspector import Inspector
from candling.runtime.references import encode_references
from candling.types import Box, Inspection, Limit, Prediction, Reason, Verdict
from candling.workflow.evaluate import evaluate, evaluated_samples
from candling.workflow.report import render_report

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RECIPE = parse_recipe(
    """
[story]
product = "Squares"
source = "drawn"
[prepare]
channels = 1
height = 32
width = 32
[method]
name = "autoencoder"
[limits]
scores = ["brightest"]
""",
    where="test",
)
ENTRY = LimitEntry(
    region="whole",
    score="brightest",
    high=0.5,
    typical=0.25,
    goal="quantile",
    value=0.95,
    samples_good=9,
    chosen_at=NOW,
)
LIMITS = LimitsFile(entries=(ENTRY,), map_range=MapRange(typical=0.2, highest=0.5))
CARD = Card(
    name="squares",
    method="autoencoder",
    created=NOW,
    candling="0.1.0",
    data=DataFacts(name="squares", sha256="0" * 64, counts={"fit": 9}),
)


@dataclass
class FakeInspector:
    """Judges an image by its brightest pixel over 255: limit 0.5, typical 0.25; the map is the image itself."""

    limits_file: LimitsFile = LIMITS

    def __post_init__(self) -> None:
        bundle = {"path": Path("squares.bundle"), "sha256": "b" * 64, "recipe": RECIPE, "card": CARD}
        self.bundle = SimpleNamespace(**bundle, limits=self.limits_file, read_extra=lambda _name: None)
        self.bundle.read_graph = lambda: b""  # a graph of nothing
        self.predictor = SimpleNamespace(engine=SimpleNamespace(has_map=False), prepared=lambda _frame: ())
        self.recipe = RECIPE
        self.limits = {("whole", "brightest"): Limit(high=0.5, typical=0.25)}
        self.engine = SimpleNamespace(
            name="onnxruntime",
            precision="float32",
            input_shape=(1, 32, 32),
            has_nearest=False,
            score_names=("brightest",),
        )

    def inspect(self, frame, *, product="", reconstructions=False, nearest=False):
        values = frame.astype(np.float32) / 255
        score = float(values.max())
        limit = self.limits["whole", "brightest"]
        patch = Prediction("whole", Box(0, 0, *frame.shape), {"brightest": score}, values)
        times = {"read": 1.0, "predict": 3.0}
        return Inspection(product, limit.judge(score), limit.severity(score), (), (patch,), times, "b")

    def inspect_files(self, paths, *, maps=True, reconstructions=False, nearest=False):
        for path in paths:
            frame = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if frame is None:
                reason = Reason(f"{path.name}: no PNG")
                yield Inspection(str(path), Verdict.REJECT, math.inf, (reason,), (), {"read": 0.1}, "b")
            else:
                yield self.inspect(frame, product=str(path))


def square(level: int, *, size: int = 32) -> np.ndarray:
    """A dark frame with a 4 x 4 square of a level."""
    frame = np.full((size, size), 10, np.uint8)
    frame[8:12, 8:12] = level
    return frame


def save(path: Path, frame: np.ndarray) -> Path:
    """Write a frame as PNG into folders that may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(frame))
    return path


@pytest.fixture
def squares(tmp_path):
    """Four good images (one too bright), five defects (two too dark), masks that mark the squares."""
    root = tmp_path / "squares"
    save(root / "train/good/0.png", square(60))
    for index, level in enumerate((51, 64, 102, 178)):  # severities -0.2, 0.004, 0.6, 1.8
        save(root / f"test/good/{index}.png", square(level))
    for label, levels in (("bright", (255, 204, 153)), ("dim", (77, 115))):
        for index, level in enumerate(levels):
            save(root / f"test/{label}/{index}.png", square(level))
            mask = np.where(square(255) == 255, 255, 0).astype(np.uint8)
            save(root / f"ground_truth/{label}/{index}_mask.png", mask)
    return root


def run(root: Path, **options):
    """Evaluate with a fixed clock and few rounds."""
    options = {"rounds": 50, "clock": lambda: NOW} | options
    return evaluate(options.pop("inspector", FakeInspector()), load_samples(root), **options)


def test_rates_are_those_counted_by_hand(squares):
    """1 of 4 good rejected, 2 of 5 defects missed: rates, intervals and F1 = 2*3 / (5 + 3 + 1)."""
    found = run(squares)
    assert found.figures["false_reject_rate"].value == 1 / 4
    assert found.figures["missed_defect_rate"].value == 2 / 5
    assert found.figures["missed_defect_rate"].low == pytest.approx(0.0527, abs=1e-4)
    assert found.figures["missed_defect_rate"].high == pytest.approx(0.8534, abs=1e-4)
    assert found.figures["f1"].value == pytest.approx(6 / 9)
    assert [image.name for image in found.missed_defects] == ["test/dim/0.png", "test/dim/1.png"]
    assert [image.name for image in found.false_rejects] == ["test/good/3.png"]


def test_ranking_figures_are_those_counted_by_hand(squares):
    """Of 20 pairs of a defect and a good image 16 stand in the right order; best F1 rejects all but two."""
    found = run(squares)
    assert found.figures["image_auroc"].value == pytest.approx(16 / 20)
    assert found.figures["image_auroc"].low <= 0.8 <= found.figures["image_auroc"].high
    # by falling level: defect defect good defect defect good defect good good
    assert found.figures["image_ap"].value == pytest.approx((1 + 1 + 3 / 4 + 4 / 5 + 5 / 7) / 5)
    assert found.figures["best_f1"].value == pytest.approx(10 / 12)
    middle = ((77 + 64) / 2 / 255 - 0.25) / 0.25
    assert found.best_severity == pytest.approx(middle, abs=1e-6)


def test_pixel_figures_count_good_images_and_masks(squares):
    """Every marked pixel but those of the dim squares is brighter than all good ones: worked out by hand."""
    found = run(squares)
    good = 4 * 32 * 32 + 5 * (32 * 32 - 16)
    brighter = {255: 0, 204: 0, 153: 16, 77: 32, 115: 16}  # good pixels above each square's level
    auroc = np.mean([1 - above / good for above in brighter.values()])
    assert found.figures["pixel_auroc"].value == pytest.approx(auroc, abs=1e-9)
    assert found.figures["aupro"].value == pytest.approx(1.0, abs=0.01)
    assert all(image.has_mask for image in found.images)


def test_each_class_stands_against_all_good_images(squares):
    """Bright: all found, 11 of 12 pairs right; dim: none found, 5 of 8 pairs right."""
    bright, dim = run(squares).classes
    assert (bright.label, bright.count, bright.detected, bright.missed) == ("bright", 3, 3, 0)
    assert bright.missed_defect_rate.value == 0
    assert bright.missed_defect_rate.high == pytest.approx(0.7076, abs=1e-4)
    assert bright.image_auroc.value == pytest.approx(11 / 12)
    assert (dim.detected, dim.missed) == (0, 2)
    assert dim.image_auroc.value == pytest.approx(5 / 8)


def test_an_unreadable_image_is_a_recorded_reject(squares):
    """A text file named .png among the defects counts as found and is listed; the rest goes on."""
    (squares / "test/dim/9.png").write_text("no image")
    found = run(squares)
    assert [image.name for image in found.unreadable] == ["test/dim/9.png"]
    assert found.figures["missed_defect_rate"].value == 2 / 6
    assert found.unreadable[0].reason == "9.png: no PNG"
    assert found.figures["image_auroc"].value == pytest.approx(20 / 24)
    assert all(example.result.readable for example in found.examples)


def test_without_masks_the_pixel_figures_say_why(squares):
    """No ground truth: null with a reason, everything else as before."""
    shutil.rmtree(squares / "ground_truth")
    found = run(squares)
    for name in ("pixel_auroc", "pixel_ap", "aupro"):
        assert found.figures[name].as_dict() == {
            "value": None,
            "low": None,
            "high": None,
            "reason": "the data hold no masks",
        }
    assert found.figures["image_auroc"].value == pytest.approx(16 / 20)


def test_a_mask_of_another_shape_is_left_out_and_named(squares):
    """A mask with other proportions than its image cannot be compared; one of another resolution can."""
    save(squares / "ground_truth/dim/0_mask.png", np.full((20, 60), 255, np.uint8))
    large = np.zeros((64, 64), np.uint8)
    large[16:24, 16:24] = 255
    save(squares / "ground_truth/dim/1_mask.png", large)
    found = run(squares)
    assert sum(image.has_mask for image in found.images) == 8
    assert any("0_mask.png" in note and "not shaped like its image" in note for note in found.notes)


def test_without_defects_only_false_rejects_are_known(tmp_path):
    """A plain folder of good images: the false-reject rate, and a reason for everything else."""
    for index, level in enumerate((51, 204)):
        save(tmp_path / "plain" / f"{index}.png", square(level))
    found = run(tmp_path / "plain")
    assert found.figures["false_reject_rate"].value == 0.5
    assert found.figures["missed_defect_rate"].reason == "the data hold no image with a defect"
    assert found.figures["image_auroc"].value is None
    assert found.best_severity is None
    assert any("no test split" in note for note in found.notes)
    assert "Squares" in render_report(found)


def test_a_layout_without_good_test_images_is_evaluated_whole(tmp_path):
    """good/ beside defect folders: without good images no rate would be whole, so all are taken, with a warning."""
    for label in ("good", "dent"):
        save(tmp_path / "set" / label / "0.png", square(60))
    chosen, notes = evaluated_samples(load_samples(tmp_path / "set"))
    assert {sample.label for sample in chosen} == {"good", "dent"}
    assert len(notes) == 1


def test_a_test_split_is_taken_alone(squares):
    """Training images of the MVTec layout are not evaluated, and nothing is warned of."""
    chosen, notes = evaluated_samples(load_samples(squares))
    assert {sample.split for sample in chosen} == {"test"}
    assert notes == ()


def test_an_empty_set_is_refused(tmp_path):
    """Nothing to evaluate is one sentence, not a division by zero."""
    with pytest.raises(SamplesError, match="no labelled image"):
        evaluate(FakeInspector(), SampleSet(tmp_path, "table", ()))


def test_limits_chosen_on_these_images_are_warned_of(squares):
    """When calibration saw the very same images the reader is told; weak limits tell their own note."""
    data_hash = run(squares).origin.data_hash
    entry = ENTRY.model_copy(update={"data": data_hash, "note": "Too few images."})
    inspector = FakeInspector(LimitsFile(entries=(entry,)))
    notes = run(squares, inspector=inspector).notes
    assert any("these very images" in note for note in notes)
    assert "Too few images." in notes
    assert not any("these very images" in note for note in run(squares).notes)


def test_several_images_of_one_product_are_told(squares):
    """Images of one product are resampled together, and the reader is told that rates count each image."""
    samples = load_samples(squares)
    named = tuple(
        Sample(s.path, s.label, s.split, product=f"p{index // 2}", mask=s.mask) for index, s in enumerate(samples)
    )
    found = evaluate(FakeInspector(), SampleSet(samples.root, samples.layout, named), rounds=20, clock=lambda: NOW)
    assert any("9 images show" in note for note in found.notes)


def test_the_gallery_shows_misjudged_images_first(squares):
    """Missed defects, then false rejects, then right ones; each with original, map and overlay."""
    found = run(squares)
    groups = list(dict.fromkeys(example.group for example in found.examples))
    assert groups == ["Missed defects", "False rejects", "Defects found", "Good images accepted"]
    assert [panel.caption for panel in found.examples[0].panels] == ["original", "anomaly map", "overlay"]
    assert all(panel.jpeg[:3] == b"\xff\xd8\xff" for example in found.examples for panel in example.panels)
    assert run(squares, most_examples=0).examples == ()
    assert len(run(squares, most_examples=3).examples) == 3


def test_the_gallery_stops_before_the_report_grows_heavy(squares, monkeypatch):
    """Noise compresses badly: when the bytes are spent, no further example is drawn."""
    everything = run(squares).examples
    sizes = [sum(len(panel.jpeg) for panel in example.panels) for example in everything]
    monkeypatch.setattr("candling.workflow.evaluate.MOST_PICTURE_BYTES", sum(sizes[:2]) + 1)
    assert len(run(squares).examples) == 2


def test_timings_are_of_the_line(squares):
    """4 ms an image, 3 of them in the graph: 250 images a second, 75 %."""
    timings = run(squares).timings
    assert timings.images_per_second == pytest.approx(250)
    assert timings.graph_share == pytest.approx(0.75)
    assert timings.steps["total"].median == pytest.approx(4.0)
    assert list(timings.steps) == ["read", "predict", "total"]


def test_the_same_seed_gives_the_same_evaluation(squares):
    """Intervals are resampled from the seed: equal runs, equal bytes; another seed, other intervals."""
    one, two, other = run(squares), run(squares), run(squares, seed=1)
    assert one.json_text() == two.json_text()
    assert render_report(one) == render_report(two)
    assert (
        one.figures["image_auroc"] != other.figures["image_auroc"]
        or one.figures["image_ap"] != other.figures["image_ap"]
    )


def test_progress_is_told_image_by_image(squares):
    """Done and total, up to the last."""
    heard = []
    run(squares, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 9) for done in range(1, 10)]


@pytest.fixture
def bundle(building, tmp_path):
    """A bundle whose graph calls the image its own map, half of it its reconstruction, its maximum the score."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["anomaly_map"], axes=[1], keepdims=0),
        helper.make_node("ReduceMax", ["image"], ["brightest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["image", "half"], ["reconstruction"]),
    ]
    shapes = {"anomaly_map": ["N", 32, 32], "brightest": ["N"], "reconstruction": ["N", 1, 32, 32]}
    outputs = [(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    model = building.model(nodes, outputs, tensors={"half": np.array(0.5, np.float32)})
    limits = LimitsFile(entries=(ENTRY,), map_range=MapRange(typical=0.04, highest=0.5))
    return save_bundle(tmp_path / "b", graph=model.SerializeToString(), recipe=RECIPE, limits=limits, card=CARD)


def test_a_real_bundle_gives_the_same_figures(bundle, squares):
    """Through the real inspector the numbers are those of the stand-in, and reconstructions are in the gallery."""
    found = run(squares, inspector=Inspector.load(bundle, engine="onnxruntime", threads=1))
    expected = run(squares)
    for name in ("image_auroc", "image_ap", "f1", "missed_defect_rate", "false_reject_rate", "pixel_auroc", "aupro"):
        assert found.figures[name].value == pytest.approx(expected.figures[name].value, abs=1e-6)
    captions = [panel.caption for panel in found.examples[0].panels]
    assert captions == ["original", "reconstruction", "anomaly map", "overlay"]
    assert json.loads(found.json_text())["origin"]["bundle_hash"] == bundle.sha256
    assert found.timings.images_per_second > 0
    assert found.filters == ()  # it has no convolution


def test_two_images_are_explained(bundle, squares):
    """The first found defect and the worst false reject, on the page too; an explanation takes many runs."""
    found = run(squares, inspector=Inspector.load(bundle, engine="onnxruntime", threads=1))
    explained = [example for example in found.examples if example.why]
    assert {example.group for example in explained} == {"Defects found", "False rejects"}
    assert all(len(example.why) == 2 for example in explained)
    page = render_report(found)
    assert page.count('class="panels why"') == 2
    assert "What speaks for a defect." in page
    assert not any(example.why for example in run(squares).examples)


def test_the_gallery_shows_the_nearest_good(building, tmp_path, squares):
    """A bundle that remembers good pictures puts each worst place beside the nearest good one, on the page too."""
    pictures = np.stack([square(level) for level in (51, 64, 102)])
    remembering = building.remembering_bundle(tmp_path / "m", pictures, references=encode_references(pictures))
    found = run(squares, inspector=Inspector.load(remembering, engine="onnxruntime", threads=1))
    assert {tuple(panel.caption for panel in example.unlike) for example in found.examples} == {
        ("here", "nearest good")
    }
    bright = next(example for example in found.examples if example.result.name == "test/bright/0.png")
    here, good = (cv2.imdecode(np.frombuffer(panel.jpeg, np.uint8), 0) for panel in bright.unlike)
    assert here.max() > 240
    assert good.max() < 130
    page = render_report(found)
    assert page.count('class="panels unlike"') == len(found.examples)
    assert "Nearest good." in page


def test_a_bundle_that_cannot_show_what_it_remembers_has_the_gallery_of_any_other(building, tmp_path, squares):
    """Without references, and with a graph that remembers nothing, no row is added."""
    pictures = np.stack([square(51)])
    bundle = building.remembering_bundle(tmp_path / "m", pictures)
    for inspector in (Inspector.load(bundle, engine="onnxruntime", threads=1), FakeInspector()):
        found = run(squares, inspector=inspector)
        assert found.examples
        assert not any(example.unlike for example in found.examples)
        page = render_report(found)
        assert 'class="panels unlike"' not in page
        assert "Nearest good." not in page


def test_damaged_references_are_told_before_the_work(building, tmp_path, squares):
    """One sentence that names the file, before the first image is judged."""
    bundle = building.remembering_bundle(tmp_path / "m", np.stack([square(51)]), references=b"torn")
    with pytest.raises(BundleError, match=r"references\.tif: is no PNG"):
        run(squares, inspector=Inspector.load(bundle, engine="onnxruntime", threads=1), progress=pytest.fail)
