"""A kit inspected by a bundle: every run judged, the tables written, what is incomplete refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from candling.data.kit import read_kit, read_machine_runs
from candling.data.samples import group_acquisitions, load_samples
from candling.decide.qualification import KitEntry, Plan
from candling.errors import KitError
from candling.runtime.inspector import Inspector
from candling.types import Verdict
from candling.workflow.qualify import inspect_kit, qualify_bundle, qualify_tables, to_json, write_qualification
from candling.workflow.strips import inspect_all

PLAN = Plan(k=2, n=3, least_defects_rejected=0.5, least_good_accepted=0.5)
BRIGHT = (1, "neck", 2, 200)
PLACES = ("vial 1, neck, frame 2",)


@pytest.fixture
def inspector(building, tmp_path):
    return Inspector.load(building.strip_bundle(tmp_path / "b"), engine="onnxruntime", threads=1)


@pytest.fixture
def strips(building):
    """Two good containers, a defect seen in two of three runs, and one of training; three runs each."""
    good = [
        (name, "good", "kit", run, building.strip_frames(grey=80 + 5 * at + run))
        for at, name in enumerate(("G1", "G2"))
        for run in range(3)
    ]
    bad = [
        ("D1", "burn", "kit", run, building.strip_frames(grey=70 + run, bright=BRIGHT if run else None), (1, "neck"))
        for run in range(3)
    ]
    return [*good, *bad, ("T1", "good", "train", 0, building.strip_frames(grey=60))]


def test_every_run_of_every_container_is_judged(building, inspector, strips, tmp_path):
    """Training is no part of the kit; class and severity come from the table."""
    building.strip_table(tmp_path / "kit", strips)
    seen = []
    found = inspect_kit(inspector, tmp_path / "kit", progress=lambda done, total: seen.append((done, total)))
    assert [(e.product, e.defect, e.severity) for e in found.kit] == [
        ("G1", None, None),
        ("G2", None, None),
        ("D1", "burn", "major"),
    ]
    verdicts = [(one.product, one.run, str(one.verdict)) for one in found.runs]
    assert verdicts[:6] == [(name, str(run), "accept") for name in ("G1", "G2") for run in range(3)]
    assert verdicts[6:] == [("D1", "0", "accept"), ("D1", "1", "reject"), ("D1", "2", "reject")]
    assert [one.places for one in found.runs[5:8]] == [(), (), PLACES]
    assert found.runs[7].score == pytest.approx(200 / 255 / 0.5, abs=1e-4)
    assert seen[-1] == (9, 9)


@pytest.mark.parametrize("same_place", [False, True])
def test_the_tables_written_qualify_alike(building, inspector, strips, tmp_path, same_place):
    """Two of three classify; what was decided can be qualified again from the tables alone."""
    building.strip_table(tmp_path / "kit", strips)
    manual = tmp_path / "manual.csv"
    rows = [
        f"{name},I{who},{turn},{int(name == 'D1')}" for name in ("G1", "G2", "D1") for who in (1, 2) for turn in (1, 2)
    ]
    manual.write_text("\n".join(["container,inspector,round,reject", *rows]))
    out = tmp_path / "report"
    out.mkdir()
    plan = replace(PLAN, same_place=same_place)
    found, provenance = qualify_bundle(inspector, tmp_path / "kit", out, manual=manual, plan=plan)
    data = to_json(found, provenance)
    assert data["run_policy"]["good_accepted"]["value"] == data["run_policy"]["defects_rejected"]["value"] == 1.0
    assert data["rze_manual"]["value"] == 1.0
    assert data["rze_machine"]["value"] == pytest.approx(2 / 3)
    assert data["provenance"]["bundle_hash"] == inspector.bundle.sha256
    assert data["provenance"]["versions"]["onnxruntime"]
    write_qualification(found, provenance, out)
    page = (out / "qualification.html").read_text()
    assert inspector.bundle.sha256 in page
    assert ("at the same place" in page) == same_place
    again, _ = qualify_tables(out / "kit.csv", out / "machine.csv", manual, plan=plan)
    assert again == found
    assert read_kit(out / "kit.csv")[0] == KitEntry("G1")
    assert len(read_machine_runs(out / "machine.csv")) == 9


def test_a_kit_judged_already_is_not_judged_again(building, inspector, strips, tmp_path, monkeypatch):
    """The same verdicts, scores and places, without the engine; one too few is an error."""
    table = building.strip_table(tmp_path / "kit", strips)
    found = inspect_kit(inspector, table)
    kit = [sample for sample in load_samples(table) if sample.split == "kit"]
    judged = list(inspect_all(inspector, group_acquisitions(kit, inspector.recipe.frames)))
    monkeypatch.setattr("candling.workflow.qualify.inspected.inspect_all", None)
    assert inspect_kit(inspector, table, inspections=judged) == found
    with pytest.raises(ValueError, match="shorter"):
        inspect_kit(inspector, table, inspections=judged[:-1])


def test_a_run_that_cannot_be_judged_is_a_reject(building, inspector, strips, tmp_path):
    """A torn frame: the run counts, and its score is no number that is smaller than another."""
    table = building.strip_table(tmp_path / "kit", strips)
    (table.parent / "G1_1_07.png").write_bytes(b"torn")
    found = inspect_kit(inspector, table)
    assert (found.runs[1].verdict, found.runs[1].score) == (Verdict.REJECT, float("inf"))
    out = tmp_path / "report"
    out.mkdir()
    qualification, provenance = qualify_bundle(inspector, table, out, plan=PLAN)
    json.dumps(to_json(qualification, provenance), allow_nan=False)


def test_a_container_without_all_its_runs_is_refused(building, inspector, strips, tmp_path):
    """A kit is complete."""
    table = building.strip_table(tmp_path / "kit", strips[1:])
    with pytest.raises(KitError, match="container 'G1' has 2 of 3 runs"):
        qualify_bundle(inspector, table, tmp_path, plan=PLAN)


def test_an_acquisition_without_a_frame_is_a_rejected_run(building, inspector, strips, tmp_path):
    """Never an accept."""
    name, label, split, run, frames = strips[0]
    table = building.strip_table(tmp_path / "kit", [(name, label, split, run, frames[:2]), *strips[1:]])
    assert inspect_kit(inspector, table).runs[0].verdict is Verdict.REJECT


def test_a_container_that_was_learned_from_is_refused(building, inspector, strips, tmp_path):
    """It proves nothing."""
    leak = ("G2", "good", "train", 9, building.strip_frames(grey=61))
    with pytest.raises(KitError, match="container 'G2' is in split 'train' as well"):
        inspect_kit(inspector, building.strip_table(tmp_path / "kit", [*strips, leak]))


def test_a_container_with_two_labels_is_refused(building, inspector, strips, tmp_path):
    """Good in one run and a burn in another."""
    twice = ("G2", "burn", "kit", 7, building.strip_frames(grey=61))
    with pytest.raises(KitError, match="container 'G2' has two labels"):
        inspect_kit(inspector, building.strip_table(tmp_path / "kit", [*strips, twice]))


def test_a_word_that_is_no_severity_is_refused(building, inspector, strips, tmp_path):
    """As in a kit's table."""
    table = building.strip_table(tmp_path / "kit", strips)
    table.write_text(table.read_text().replace("major", "ugly"))
    with pytest.raises(KitError, match="D1: no severity 'ugly'"):
        inspect_kit(inspector, table)


def test_products_of_one_frame_qualify_too(building, tmp_path):
    """Each image is a run of its product."""
    inspector = Inspector.load(building.bundle(tmp_path / "b"), engine="onnxruntime")
    rows = ["path,label,split,product,run"]
    for name, grey in (("A", 40), ("B", 200)):
        for run in range(3):
            building.picture(tmp_path / f"{name}{run}.png", grey + run)
            rows.append(f"{name}{run}.png,{'good' if name == 'A' else 'burn'},kit,{name},{run}")
    (tmp_path / "samples.csv").write_text("\n".join(rows))
    found = inspect_kit(inspector, tmp_path)
    assert [str(run.verdict) for run in found.runs] == ["accept"] * 3 + ["reject"] * 3
