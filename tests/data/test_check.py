"""The data-set doctor finds what is wrong, says nothing about what is right, and shows it on one page."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from candling.data.check import Severity, check, write_html
from candling.data.check.repeats import is_near
from candling.errors import SamplesError
from candling.scenes.capsules import draw_capsule, draw_defect, write_dataset

SIZE = 128


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    return write_dataset(
        tmp_path_factory.mktemp("drawn") / "capsules", seed=1, size=SIZE, good_train=24, good_test=3, per_defect=5
    )


@pytest.fixture
def clean(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "capsules")


def save(path, picture, *options):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture, *options)


def load(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def found(report, kind):
    findings = [finding for finding in report.findings if finding.kind == kind]
    assert findings, f"no {kind} among {[finding.kind for finding in report.findings]}"
    return findings[0]


def names(finding):
    return [path.name for path in finding.paths]


def test_a_drawn_set_has_no_fault(clean):
    """A clean set of pictures that all look alike gives no finding at all."""
    report = check(clean)
    assert report.findings == ()
    assert report.ok
    assert (report.images, report.masks) == (24 + 3 + 25, 25)
    assert report.summary() == "52 images and 25 masks checked: nothing to report"


def test_progress_counts_every_file(clean):
    """Progress is told once for each image and mask, ending at all of them."""
    told = []
    check(clean, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 77) for number in range(1, 78)]


def test_an_unreadable_image_is_an_error_in_the_readers_words(clean):
    """A text file named .png is reported with its path and what it is, and the other images are still checked."""
    (clean / "train/good/zzz.png").write_text("hello")
    report = check(clean)
    finding = found(report, "unreadable")
    assert finding.severity is Severity.ERROR
    assert "zzz.png" in finding.sentence
    assert report.images == 53
    assert not report.ok


def test_odd_size_depth_and_channels_are_named_against_the_majority(clean):
    """One smaller, one 16-bit and one colour image are each named, with what they are."""
    good = clean / "train/good"
    save(good / "000.png", load(good / "000.png")[:100])
    save(good / "001.png", load(good / "001.png").astype(np.uint16) * 257)
    save(good / "002.png", cv2.cvtColor(load(good / "002.png"), cv2.COLOR_GRAY2BGR))
    report = check(clean)
    assert (names(found(report, "odd_size")), found(report, "odd_size").remarks) == (["000.png"], ("128 x 100 px",))
    assert (names(found(report, "odd_depth")), found(report, "odd_depth").remarks) == (["001.png"], ("16 bits",))
    assert (names(found(report, "odd_channels")), found(report, "odd_channels").remarks) == (["002.png"], ("colour",))


def test_sizes_that_all_differ_a_little_are_one_note(tmp_path):
    """Where no size is usual and they are near each other, one note says from what to what they run."""
    for number in range(30):
        picture = draw_capsule(np.random.default_rng(number), size=96)
        save(tmp_path / f"{number}.png", picture[: 96 - number % 5, : 96 - number % 7])
    finding = found(check(tmp_path), "mixed_sizes")
    assert finding.severity is Severity.NOTE
    assert "90 x 92 to 96 x 96 px" in finding.sentence


def test_exact_copies_are_judged_by_where_they_lie(clean):
    """The same bytes: in one class a warning, in two splits an error, under two labels an error."""
    good = clean / "train/good"
    shutil.copy(good / "003.png", good / "copy.png")
    shutil.copy(good / "004.png", clean / "test/good/leak.png")
    shutil.copy(good / "005.png", clean / "test/crack/liar.png")
    report = check(clean)
    assert (found(report, "duplicate").severity, names(found(report, "duplicate"))) == (
        Severity.WARNING,
        ["003.png", "copy.png"],
    )
    assert found(report, "duplicate_across_splits").severity is Severity.ERROR
    assert set(names(found(report, "duplicate_across_splits"))) == {"004.png", "leak.png"}
    assert found(report, "label_conflict").severity is Severity.ERROR
    assert set(names(found(report, "label_conflict"))) == {"005.png", "liar.png"}


def reencoded(picture):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_UNCHANGED)


CHANGES = {
    "jpeg": reencoded,
    "brighter": lambda picture: cv2.convertScaleAbs(picture, alpha=1.05, beta=4),
    "shifted": lambda picture: np.roll(picture, (1, -1), axis=(0, 1)),
    "smaller": lambda picture: cv2.resize(picture, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_are_found(tmp_path, change):
    """A re-encoded, brighter, shifted or smaller copy in another split is an error; nothing else is taken for one."""
    for number in range(24):
        picture = draw_capsule(np.random.default_rng(number), size=256)
        save(tmp_path / f"train/good/{number}.png", picture)
    save(tmp_path / "test/good/near.png", CHANGES[change](load(tmp_path / "train/good/7.png")))
    groups = [finding for finding in check(tmp_path).findings if finding.kind.startswith("near_")]
    assert [(finding.kind, set(names(finding))) for finding in groups] == [
        ("near_duplicate_across_splits", {"7.png", "near.png"})
    ]


def test_a_small_defect_makes_another_picture():
    """The same capsule with and without a crack is not one picture: the crack stands out of the rest."""
    for seed in range(5):
        good = draw_capsule(np.random.default_rng(seed), size=192, difficulty=0.0)
        defect, _ = draw_defect("crack", np.random.default_rng(seed), size=192, difficulty=0.0)
        assert is_near(good, reencoded(good))
        assert not is_near(good, defect)


@pytest.mark.parametrize("name", ["mvtec_capsule", "mvtec_grid", "kolektor_sdd"])
def test_real_sets_raise_no_false_alarm(real_data, name):
    """Photographs of products in a fixture are not taken for copies of each other, nor called badly exposed."""
    kinds = {finding.kind for finding in check(real_data(name)).findings}
    assert kinds <= {"product_across_splits", "mixed_sizes"}


@pytest.mark.parametrize("name", ["mvtec_capsule", "mvtec_bottle", "aws_cookie"])
def test_real_copies_are_found(real_data, tmp_path, name):
    """Each kind of copy of a real photograph is found among the others."""
    source = real_data(name) / "train" / "good"
    for path in sorted(source.iterdir())[:20]:
        shutil.copy(path, tmp_path / path.name)
    victim = sorted(source.iterdir())[5]
    for change, function in CHANGES.items():
        save(tmp_path / f"zz_{change}.png", function(load(victim)))
    groups = [set(names(f)) for f in check(tmp_path).findings if f.kind == "near_duplicate"]
    assert {victim.name, *(f"zz_{change}.png" for change in CHANGES)} in groups


def test_two_photographs_of_one_bottle_are_found(real_data):
    """The bottle set holds one bottle photographed twice in a row, and nothing else alike."""
    findings = check(real_data("mvtec_bottle")).findings
    assert [(finding.kind, names(finding)) for finding in findings] == [("near_duplicate", ["069.png", "070.png"])]


def test_commutators_in_two_splits_are_a_warning(real_data):
    """KolektorSDD's cracks show commutators whose good sides are trained on: a warning, for no good side is tested."""
    finding = found(check(real_data("kolektor_sdd")), "product_across_splits")
    assert finding.severity is Severity.WARNING
    assert "20 products" in finding.sentence


def test_good_images_of_one_product_in_two_splits_are_an_error(tmp_path):
    """When a product's good images are learnt and tested, its false rejects look rare: an error."""
    for split, part in (("train", 0), ("train", 1), ("test", 2)):
        picture = draw_capsule(np.random.default_rng(part), size=SIZE)
        save(tmp_path / split / "good" / f"kos01_Part{part}.png", picture)
    assert found(check(tmp_path), "product_across_splits").severity is Severity.ERROR


def test_blank_and_badly_exposed_images_are_found(clean):
    """Black, white, dim and glaring pictures are told from the usual ones."""
    good = clean / "train/good"
    save(good / "000.png", np.zeros((SIZE, SIZE), np.uint8))
    save(good / "001.png", np.full((SIZE, SIZE), 255, np.uint8))
    save(good / "002.png", (load(good / "002.png") * 0.2).astype(np.uint8))
    save(good / "003.png", cv2.convertScaleAbs(load(good / "003.png"), alpha=2.0))
    report = check(clean)
    assert names(found(report, "blank")) == ["000.png", "001.png"]
    assert names(found(report, "under_exposed")) == ["002.png"]
    assert names(found(report, "over_exposed")) == ["003.png"]


def test_masks_that_do_not_fit_are_found(clean):
    """Masks of another size, empty, smooth, full, unreadable, missing, of no image or on a good image."""
    masks = clean / "ground_truth"
    save(masks / "crack/000_mask.png", np.tri(64, dtype=np.uint8))
    save(masks / "crack/001_mask.png", np.zeros((SIZE, SIZE), np.uint8))
    save(masks / "crack/002_mask.png", cv2.GaussianBlur(load(masks / "crack/002_mask.png"), (9, 9), 0))
    save(masks / "poke/000_mask.png", 255 - load(masks / "poke/000_mask.png"))
    (masks / "poke/001_mask.png").write_bytes(b"no picture")
    (masks / "scratch/000_mask.png").rename(masks / "scratch/stray_mask.png")
    save(masks / "good/000_mask.png", np.eye(SIZE, dtype=np.uint8))
    report = check(clean)
    for kind, severity, path in (
        ("mask_size", Severity.ERROR, "crack/000_mask.png"),
        ("mask_empty", Severity.ERROR, "crack/001_mask.png"),
        ("mask_values", Severity.WARNING, "crack/002_mask.png"),
        ("mask_full", Severity.WARNING, "poke/000_mask.png"),
        ("mask_unreadable", Severity.ERROR, "poke/001_mask.png"),
        ("unused_mask", Severity.WARNING, "scratch/stray_mask.png"),
        ("mask_on_good", Severity.ERROR, "good/000_mask.png"),
    ):
        finding = found(report, kind)
        assert (finding.severity, [report.shown(p) for p in finding.paths]) == (severity, [f"ground_truth/{path}"])
    assert [report.shown(path) for path in found(report, "mask_missing").paths] == ["test/scratch/000.png"]


def test_palette_masks_and_one_bit_masks_fit(real_data):
    """The fibre masks, some of 1 bit and some of a palette, are no fault."""
    report = check(real_data("nanofibre_sem"))
    assert report.masks == 25
    assert not [finding.kind for finding in report.findings if finding.kind.startswith("mask")]


def test_too_few_images_are_said(tmp_path):
    """One good image is an error; five are a warning; no defect is a note."""
    save(tmp_path / "a.png", draw_capsule(np.random.default_rng(0), size=SIZE))
    assert found(check(tmp_path), "too_few_good").severity is Severity.ERROR
    for number in range(4):
        save(tmp_path / f"{number}.png", draw_capsule(np.random.default_rng(1 + number), size=SIZE))
    assert found(check(tmp_path), "few_good").severity is Severity.WARNING
    assert found(check(tmp_path), "no_defects").severity is Severity.NOTE


def test_files_nobody_uses_are_said(clean):
    """An image beside the layout and a picture of a foreign format are warnings."""
    save(clean / "overview.png", draw_capsule(np.random.default_rng(99), size=SIZE))
    (clean / "train/good/phone.webp").write_bytes(b"RIFF")
    report = check(clean)
    assert names(found(report, "unused_image")) == ["overview.png"]
    assert names(found(report, "foreign_format")) == ["phone.webp"]


def test_no_data_set_is_one_sentence(tmp_path):
    """An empty folder is refused, not reported on."""
    with pytest.raises(SamplesError, match="empty"):
        check(tmp_path)


def test_the_report_is_plain_json_and_one_page(clean, tmp_path):
    """The JSON names files from the root; the page shows them, escapes what it is told and loads nothing."""
    shutil.copy(clean / "train/good/003.png", clean / "train/good/<b>copy.png")
    (clean / "train/good/broken.png").write_text("hello")
    report = check(clean)
    answer = json.loads(json.dumps(report.to_json()))
    assert (answer["errors"], answer["warnings"], answer["ok"]) == (1, 1, False)
    assert answer["findings"][1]["paths"] == ["train/good/003.png", "train/good/<b>copy.png"]
    assert {"split": "train", "label": "good", "images": 26} in answer["counts"]
    write_html(report, tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text()
    assert "&lt;b&gt;copy.png" in page
    assert "<b>copy" not in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_the_worst_comes_first(clean):
    """Findings are ordered error, warning, note."""
    shutil.rmtree(clean / "ground_truth")
    shutil.copy(clean / "train/good/003.png", clean / "train/good/copy.png")
    (clean / "train/good/broken.png").write_text("hello")
    severities = [finding.severity for finding in check(clean).findings]
    assert severities == [Severity.ERROR, Severity.WARNING, Severity.NOTE]
