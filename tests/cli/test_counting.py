"""Tests of the verbs around a counter: count, evaluate, prelabel, import; the bundle's graph is a plain threshold."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from candling.cli.run import run
from candling.data.annotations import Annotation, read_annotations, write_annotations
from candling.data.samples.numbered import load_cells
from candling.measure.count_spread import CountSpread
from candling.pixels.read import read_image, windows
from candling.recipe import Recipe
from candling.runtime.bundle import Card, DataFacts, LimitsFile, save_bundle
from candling.runtime.counting import COUNTING, Counting, encode_counting
from candling.runtime.learned import FIT, LEARNED, encode_learned
from candling.scenes.cells import draw_cells, write_dataset
from candling.train.export import export
from candling.workflow import cell_results

LEVEL = 0.06


class Bright(nn.Module):
    """Calls everything brighter than a level the inside of a cell."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give the outputs of a counter."""
        inside = torch.sigmoid(400.0 * (nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False) - LEVEL))
        cells = torch.cat((1.0 - inside, inside, torch.zeros_like(inside)), dim=1)
        return {"cells": cells, "covered_share": inside.mean(dim=(1, 2, 3))}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn fields, two of them empty."""
    folder = tmp_path_factory.mktemp("cells") / "fields"
    return write_dataset(folder, seed=3, images=6, height=96, width=128, cells=(4, 8))


@pytest.fixture(scope="module")
def counter(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that learned from the first two fields, or says so."""
    recipe = Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": 64, "width": 64, "white": 4095},
            "method": {"name": "unet"},
            "limits": {"scores": ["covered_share"]},
        }
    )
    exported = export(Bright(), torch.rand(3, 1, 64, 64), batches=(1,))
    facts = DataFacts(name="fields", sha256="0" * 64, counts={"fit": 2})
    card = Card(
        name="drawn", method="unet", created=datetime(2026, 1, 1, tzinfo=UTC), candling="0", data=facts, witness={}
    )
    spreads = {"cell": CountSpread(0.5, 0.9, 12)}
    counting = Counting({"cell": 0.5}, 0.0, border_px=2, least_px=10, reach_px=2, step_px=2, spreads=spreads)
    learned = encode_learned([(FIT, load_cells(fields).set.samples[:2])])
    folder = tmp_path_factory.mktemp("bundle") / "cells.bundle"
    return save_bundle(
        folder,
        graph=exported.graph,
        recipe=recipe,
        limits=LimitsFile(entries=()),
        card=card,
        extra={COUNTING: encode_counting(counting), LEARNED: learned},
    ).path


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Run a command with --json."""
    code = run([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out.strip() else {}, err


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_count_leaves_tables_annotations_and_pictures(counter, fields, tmp_path, capsys):
    """One row an image, one a cell, one annotation a cell, one picture an image; the originals stay as they were."""
    before = {path: path.read_bytes() for path in fields.rglob("*.png")}
    out = tmp_path / "out"
    code, said, _ = answer(capsys, "count", counter, fields / "images", "--out", out, "--pixel-size", "0.5")
    assert code == 0
    counts, cells = rows(out / "counts.csv"), rows(out / "cells.csv")
    assert len(counts) == said["images"] == 6
    assert len(cells) == said["cells"] == sum(int(row["count"]) for row in counts)
    assert said["cells"] > 0
    found = read_annotations(out / "voc")
    assert sum(len(one.objects) for one in found.images) == said["cells"]
    assert found.unreviewed == said["cells"]
    assert len(list((out / "overlays").iterdir())) == 6
    for row, told in zip(counts, said["counts"], strict=True):
        half = 0.5 * max(int(row["count"]), 1) ** 0.5
        assert int(row["count_low"]) == max(0, np.ceil(int(row["count"]) - half))
        assert int(row["count_high"]) == np.floor(int(row["count"]) + half)
        assert told["intervals"] == {"cell": [int(row["count_low"]), int(row["count_high"])]}
    area = {row["image"]: int(row["covered_px"]) for row in counts}
    for name, covered in area.items():
        assert covered == sum(int(row["area_px"]) for row in cells if row["image"] == name)
    assert float(counts[0]["covered_um2"]) == pytest.approx(0.25 * int(counts[0]["covered_px"]))
    assert before == {path: path.read_bytes() for path in fields.rglob("*.png")}


def test_an_unreadable_picture_is_named_and_stops_nothing(counter, fields, tmp_path, capsys):
    """The others are counted; its reason is in unread.csv."""
    folder = tmp_path / "in"
    shutil.copytree(fields / "images", folder)
    (folder / "broken.png").write_bytes(b"no picture")
    code, said, _ = answer(capsys, "count", counter, folder, "--out", tmp_path / "out", "--no-overlays")
    assert code == 0
    assert said["images"] == 6
    assert [Path(one["path"]).name for one in said["unread"]] == ["broken.png"]
    assert "broken.png" in rows(tmp_path / "out" / "unread.csv")[0]["path"]
    assert not (tmp_path / "out" / "overlays").exists()


def test_two_pictures_of_one_name_are_told_apart(counter, fields, tmp_path, capsys):
    """The second is called by its folder as well."""
    picture = next((fields / "images").iterdir())
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(picture, tmp_path / "in" / name / "one.png")
    code, said, _ = answer(capsys, "count", counter, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 0
    assert [one["image"] for one in said["counts"]] == ["one.png", "b_one.png"]


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--layout", "instances"), "voc"), (("--pixel-size", "0"), "micrometres"), (("--engine", "x"), "onnxruntime")],
)
def test_impossible_options_are_refused(counter, fields, tmp_path, capsys, words, told):
    """One sentence says what there is."""
    code, _, err = answer(capsys, "count", counter, fields / "images", "--out", tmp_path / "out", *words)
    assert code == 2
    assert told in err
    assert not (tmp_path / "out").exists()


def test_evaluate_measures_a_counter_on_what_it_did_not_learn(counter, fields, tmp_path, capsys):
    """The two learned fields are left out; every figure of a counter is there."""
    code, said, _ = answer(capsys, "evaluate", counter, fields, "--out", tmp_path / "out", "--rounds", "100")
    assert code == 0
    assert said["images"] == 4
    assert {"map_50", "map", "f1_50", "count_mae", "count_bias", "per_class", "area_dice"} <= said.keys()
    assert said["empty_images"] == 2
    assert said["empty_wrong"] == 0
    table = rows(tmp_path / "out" / "images.csv")
    errors = [abs(int(row["error"])) for row in table]
    assert said["count_mae"]["value"] == pytest.approx(np.mean(errors))
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["notes"]


def test_evaluate_names_what_is_missing(counter, fields, tmp_path, capsys):
    """A folder without masks is no data set of cells, and says how one looks."""
    code, _, err = answer(capsys, "evaluate", counter, fields / "images", "--out", tmp_path / "out")
    assert code == 3
    assert "labels" in err


def test_a_correction_comes_back(counter, fields, tmp_path, capsys):
    """What prelabel wrote, one box taken away and one added, comes back as reviewed, rejected and a person's."""
    out = tmp_path / "out"
    code, said, _ = answer(capsys, "prelabel", counter, fields / "images", "--out", out)
    assert code == 0
    assert read_image(next((out / "images").iterdir())).dtype == np.uint8
    sent = read_annotations(out / "voc")
    assert sent.unreviewed == said["cells"]
    fullest = max(sent.images, key=lambda one: len(one.objects))
    file = out / "voc" / f"{Path(fullest.image).stem}.xml"
    back = tmp_path / "back"
    back.mkdir()
    shutil.copy(file, back)
    first = fullest.objects[0]
    text = (back / file.name).read_text()
    begin, end = text.index("<object>"), text.index("</object>") + len("</object>")
    (back / file.name).write_text(text[:begin] + text[end:])
    code, took, _ = answer(capsys, "import", out / "voc", back, "--out", tmp_path / "reviewed.csv")
    assert code == 0
    assert (took["images"], took["removed"], took["kept"]) == (1, 1, len(fullest.objects) - 1)
    assert took["unreviewed"] == said["cells"] - len(fullest.objects)
    kept = read_annotations(tmp_path / "reviewed.csv", layout="csv")
    mine = next(one for one in kept.images if one.image == fullest.image)
    assert [one.review.value for one in mine.objects].count("rejected") == 1
    assert any(one.left == first.left and one.review.value == "rejected" for one in mine.objects)


def test_the_labour_of_a_correction_is_told_image_by_image(counter, fields, tmp_path, capsys):
    """One box moved, one taken away and one added in the fullest image; the others came back as they were."""
    out = tmp_path / "out"
    assert answer(capsys, "prelabel", counter, fields / "images", "--out", out)[0] == 0
    sent = read_annotations(out / "voc")
    fullest = max(sent.images, key=lambda one: len(one.objects))
    moved, _, *kept = fullest.objects
    by_hand = Annotation("cell", 100.0, 70.0, 120.0, 90.0)
    corrected = (replace(moved, left=moved.left + 3.0, right=moved.right + 3.0), *kept, by_hand)
    back = [replace(one, objects=corrected) if one is fullest else one for one in sent.images]
    write_annotations(type(sent)(tuple(back)), tmp_path / "back", layout="voc")
    words = (out / "voc", tmp_path / "back", "--out", tmp_path / "reviewed.csv", "--labour", tmp_path / "labour.csv")
    code, took, _ = answer(capsys, "import", *words)
    assert code == 0
    assert (took["moved"], took["added"], took["removed"], took["unreviewed"]) == (1, 1, 1, 0)
    table = {row["image"]: row for row in rows(tmp_path / "labour.csv")}
    assert len(table) == 7
    mine, whole = table[fullest.image], table["all"]
    assert [mine[key] for key in ("moved", "added", "removed", "kept")] == ["1", "1", "1", str(len(kept))]
    assert [whole[key] for key in ("moved", "added", "removed", "kept")] == ["1", "1", "1", str(took["kept"])]
    assert float(whole["saved"]) == pytest.approx(took["saved"], abs=1e-4)
    code, _, err = answer(capsys, "import", *words[:3], tmp_path / "other.csv", *words[4:])
    assert code != 0
    assert "labour.csv" in err
    assert not (tmp_path / "other.csv").exists()


def test_suggest_names_the_counts_most_in_doubt(counter, fields, tmp_path, capsys):
    """Most doubtful first: a table, a page that opens offline, and the boxes of just these drawn for correction."""
    out = tmp_path / "out"
    code, said, _ = answer(capsys, "suggest", counter, fields / "images", "--out", out, "--count", "3")
    assert code == 0
    assert len(said) == 3
    doubts = [one["doubt"] for one in said]
    assert doubts == sorted(doubts, reverse=True)
    table = rows(out / "suggested.csv")
    assert [row["path"] for row in table] == [str(Path(one["path"]).resolve()) for one in said]
    assert all(int(row["least"]) <= int(row["count"]) <= int(row["most"]) for row in table)
    page = (out / "suggested.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert "default-src 'none'" in page
    drawn = read_annotations(out / "to_correct" / "voc")
    assert {one.image for one in drawn.images} == {Path(one["path"]).name for one in said}
    assert drawn.unreviewed == sum(len(one.objects) for one in drawn.images)


def test_suggest_leaves_out_what_it_cannot_read(counter, fields, tmp_path, capsys):
    """One is named, all are an error."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert run(["suggest", str(counter), str(fields / "images"), str(broken), "--out", str(tmp_path / "a")]) == 0
    assert "broken.png" in capsys.readouterr().err
    code, _, err = answer(capsys, "suggest", counter, broken, "--out", tmp_path / "b")
    assert code == 3
    assert "readable" in err


def test_an_image_too_large_for_memory_is_counted_in_parts(counter, fields, tmp_path, capsys, monkeypatch):
    """The same rows as from the image read whole; a labelling tool could not open it, so prelabel says so."""
    field = draw_cells(np.random.default_rng(0), height=500, width=700, cells=60, radius_px=8.0)
    picture = tmp_path / "large.tif"
    tifffile.imwrite(picture, field.frame, tile=(64, 64), compression="zlib")
    tables = []
    for name, most in (("whole", 2**26), ("parts", 500 * 700 - 1)):
        monkeypatch.setattr(windows, "MAX_PIXELS", most)
        code, said, _ = answer(capsys, "count", counter, picture, "--out", tmp_path / name)
        assert code == 0
        assert said["cells"] > 20
        tables.append((rows(tmp_path / name / "counts.csv"), rows(tmp_path / name / "cells.csv")))
        assert len(list((tmp_path / name / "overlays").iterdir())) == 1
    assert tables[0] == tables[1]
    monkeypatch.setattr(cell_results, "SAMPLE_PX", 200)
    code, said, _ = answer(capsys, "prelabel", counter, picture, fields / "images", "--out", tmp_path / "drawn")
    assert code == 0
    assert said["images"] == 6
    assert "large.tif" in said["problems"][0]


def test_corrections_of_other_images_are_refused(counter, fields, tmp_path, capsys):
    """Annotations that share no image with what went out are no corrections of it."""
    answer(capsys, "prelabel", counter, fields / "images", "--out", tmp_path / "out")
    other = read_annotations(tmp_path / "out" / "voc")
    renamed = type(other)(tuple(type(one)(f"x{one.image}", one.objects, one.width, one.height) for one in other.images))
    write_annotations(renamed, tmp_path / "other.csv", layout="csv")
    code, _, err = answer(
        capsys, "import", tmp_path / "out" / "voc", tmp_path / "other.csv", "--out", tmp_path / "r.csv"
    )
    assert code == 3
    assert "shares no image" in err


def test_an_inspector_is_no_counter(trained, fields, tmp_path, capsys):
    """A bundle that judges says what it lacks."""
    code, _, err = answer(capsys, "count", trained, fields / "images", "--out", tmp_path / "out")
    assert code == 3
    assert COUNTING in err


def test_a_mask_of_another_size_is_named(counter, fields, tmp_path, capsys):
    """Image and mask must be of one size."""
    shutil.copytree(fields, tmp_path / "in")
    mask = max((tmp_path / "in" / "labels").iterdir())
    cv2.imwrite(str(mask), np.zeros((5, 5), np.uint16))
    code, _, err = answer(capsys, "evaluate", counter, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 3
    assert mask.name in err


def test_inspect_sends_a_counting_bundle_to_count(counter, fields, tmp_path, capsys):
    """It has no limits to judge by; the refusal says what it is for."""
    code, _, told = answer(capsys, "inspect", counter, fields / "images", "--out", tmp_path / "out")
    assert code != 0
    assert "no limit for score 'covered_share'" in told
    assert "it counts, so run `candling count`" in told
