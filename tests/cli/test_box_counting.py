"""The verbs around a counter of boxes: count, evaluate, prelabel; the bundle's graph boxes what is bright."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from candling.cli.run import run
from candling.data.annotations import AnnotatedImage, Annotation, AnnotationSet, read_annotations, write_annotations
from candling.data.boxed import load_boxed
from candling.recipe import Recipe
from candling.runtime.boxes import DETECTING, Detecting, encode_detecting
from candling.runtime.bundle import Card, DataFacts, LimitsFile, save_bundle
from candling.runtime.learned import FIT, LEARNED, encode_learned
from candling.train.export import export

SIDE = 8


class Bright(nn.Module):
    """Boxes the cells of a grid; grey ones are red cells, white ones white cells."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give boxes as the contract has them."""
        level = nn.functional.avg_pool2d(image, SIDE)
        rows, columns = level.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows) * SIDE, torch.arange(columns) * SIDE, indexing="ij")
        boxes = torch.stack((x, y, x + SIDE, y + SIDE), dim=2).flatten(0, 1).float()
        values = level.flatten(1)
        sure = torch.stack((1 - 4 * (values - 0.5).abs(), 1 - 4 * (values - 1.0).abs()), dim=2).clamp(min=0.0)
        labels = torch.arange(2).repeat(rows * columns)
        return {
            "boxes": boxes.repeat_interleave(2, dim=0).expand(image.shape[0], -1, -1),
            "labels": labels.unsqueeze(0).expand(image.shape[0], -1),
            "confidences": sure.flatten(1),
            "largest_confidence": sure.flatten(1).amax(dim=1),
        }


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images as the VOC kit has them: red cells and a white one on a grid; two for "train", three for "val"."""
    root = tmp_path_factory.mktemp("cells") / "smears"
    (root / "JPEGImages").mkdir(parents=True)
    images = []
    for number in range(5):
        frame, objects = np.zeros((48, 64), np.uint8), []
        for at in range(number + 1):
            left, top, white = 8 * at, 16, at == 0
            frame[top : top + SIDE, left : left + SIDE] = 255 if white else 128
            objects.append(Annotation("white" if white else "red", left, top, left + SIDE, top + SIDE))
        cv2.imwrite(str(root / "JPEGImages" / f"I{number}.png"), frame)
        images.append(AnnotatedImage(f"I{number}.png", tuple(objects), 64, 48))
    write_annotations(AnnotationSet(tuple(images)), root / "Annotations", layout="voc")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("I0\nI1\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("I2\nI3\nI4\n")
    return root


@pytest.fixture(scope="module")
def counter(smears: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that learned from the list "train", or says so."""
    recipe = Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": 48, "width": 64},
            "method": {"name": "faster_rcnn"},
            "limits": {"scores": ["largest_confidence"]},
        }
    )
    exported = export(Bright(), torch.zeros(3, 1, 48, 64), batches=(1,))
    facts = DataFacts(name="smears", sha256="0" * 64, counts={"fit": 2})
    card = Card(
        name="drawn",
        method="faster_rcnn",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        candling="0",
        data=facts,
        witness={},
    )
    learned = encode_learned([(FIT, load_boxed(smears).set.samples[:2])])
    detecting = encode_detecting(Detecting({"red": 0.5, "white": 0.5}, 0.5, 1.0, 100))
    return save_bundle(
        tmp_path_factory.mktemp("bundle") / "boxes.bundle",
        graph=exported.graph,
        recipe=recipe,
        limits=LimitsFile(entries=()),
        card=card,
        extra={DETECTING: detecting, LEARNED: learned},
    ).path


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Run a command with --json."""
    code = run([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out.strip() else {}, err


def test_count_tells_the_classes_apart(counter, smears, tmp_path, capsys):
    """A row an image and class, a row a cell, annotations with their classes."""
    out = tmp_path / "out"
    code, said, _ = answer(capsys, "count", counter, smears / "JPEGImages", "--out", out)
    assert code == 0
    assert said["cells"] == 15
    with (out / "counts.csv").open(newline="", encoding="utf-8") as file:
        counts = {(row["image"], row["class"]): int(row["count"]) for row in csv.DictReader(file)}
    assert counts == {(f"I{n}.png", name): (n if name == "red" else 1) for n in range(5) for name in ("red", "white")}
    found = {image.image: image.counts for image in read_annotations(out / "voc").images}
    assert found["I4.png"] == {"white": 1, "red": 4}


def test_evaluate_measures_on_the_list_val(counter, smears, tmp_path, capsys):
    """Every figure that was promised, on the three images that were not learned from."""
    code, said, _ = answer(capsys, "evaluate", counter, smears, "--out", tmp_path / "out", "--rounds", "100")
    assert code == 0
    assert said["images"] == 3
    assert {"map_50", "map", "f1_50", "count_mae", "count_bias", "per_class"} <= said.keys()
    assert said["map_50"]["value"] == pytest.approx(1.0)
    assert said["count_mae"]["value"] == 0.0
    assert said["per_class"]["red"]["objects"] == 9
    assert (tmp_path / "out" / "images.csv").is_file()


def test_people_read_a_table(counter, smears, tmp_path, capsys):
    """The same figures in words."""
    assert run(["evaluate", str(counter), str(smears), "--out", str(tmp_path / "out"), "--rounds", "100"]) == 0
    out, _ = capsys.readouterr()
    assert "white: average precision at 0.5" in out


def test_images_that_were_learned_from_are_not_measured_on(counter, smears, tmp_path, capsys):
    """Where the list "val" is those learned from, nothing is left to measure on, and it is said."""
    (tmp_path / "set").mkdir()
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / "set" / name).symlink_to(smears / name)
    lists = tmp_path / "set" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("I0\nI1\n")
    code, _, err = answer(capsys, "evaluate", counter, tmp_path / "set", "--out", tmp_path / "out")
    assert code != 0
    assert "learned from" in err


def test_boxes_go_out_to_be_corrected(counter, smears, tmp_path, capsys):
    """Prelabel writes them with their classes and as unreviewed."""
    code, said, _ = answer(capsys, "prelabel", counter, smears / "JPEGImages", "--out", tmp_path / "out")
    assert code == 0
    assert said["cells"] == 15
    assert read_annotations(tmp_path / "out" / "voc").unreviewed == 15
