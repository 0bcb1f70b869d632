"""Frames of one product and run belong together; tables say which, and what is wrong where."""

from __future__ import annotations

from pathlib import Path

import pytest

from candling.data.samples import (
    Place,
    Sample,
    content_hash,
    group_acquisitions,
    inspected_frames,
    load_samples,
    test_samples,
)
from candling.errors import SamplesError


def frame(number, *, product="S1", run="0", label="good", split="kit"):
    return Sample(Path(f"{product}_{run}_{number}.png"), label, split, product=product, run=run, frame=str(number))


def test_one_frame_a_product_leaves_every_image_alone():
    """Whatever a table says of runs and frames."""
    samples = [frame(0), frame(7), Sample(Path("a.png"), "good", "test")]
    assert [one.samples for one in group_acquisitions(samples, 1)] == [(sample,) for sample in samples]
    assert group_acquisitions(samples, 1)[2].name == "a.png"


def test_frames_are_brought_together_by_product_and_run_in_their_order():
    """Numbers count as numbers; ranks over a run are left out; runs keep the order of their appearance."""
    samples = [frame(15), frame("darkest"), frame(0, run="1"), frame(7), frame(0), frame(0, split="train")]
    found = group_acquisitions(samples, 3)
    assert [(one.name, [s.frame for s in one.samples]) for one in found] == [
        ("S1 run 0", ["0", "7", "15"]),
        ("S1 run 1", ["0"]),
        ("S1 run 0", ["0"]),
    ]


def test_more_frames_than_are_judged_are_thinned_evenly_when_asked():
    """First, eighth and last of sixteen; too few stay too few."""
    [whole] = group_acquisitions([frame(number) for number in range(16)], 3)
    assert len(whole.samples) == 16
    [chosen] = group_acquisitions([frame(number) for number in range(16)], 3, choose=True)
    assert [sample.frame for sample in chosen.samples] == ["0", "7", "15"]
    assert inspected_frames(chosen, 3) == chosen
    assert [s.frame for s in inspected_frames(whole, 1).samples] == ["0"]
    [short] = group_acquisitions([frame(0), frame(1)], 3, choose=True)
    assert len(short.samples) == 2


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ([Sample(Path("a.png"), "good", "kit", frame="1")], "names no product or no frame, and 3 frames make"),
        ([Sample(Path("a.png"), "good", "kit", product="S1")], "names no product or no frame"),
        ([frame(7), frame("07")], "product 'S1', run 0: frame 7 is there twice"),
        ([frame(0), frame(7, label="burn")], "product 'S1', run 0: its frames are labelled burn and good"),
    ],
)
def test_frames_that_contradict_each_other_are_refused(samples, sentence):
    """In one sentence that names the product."""
    with pytest.raises(SamplesError, match=sentence):
        group_acquisitions(samples, 3)


@pytest.fixture
def table(tmp_path):
    def write(*rows, columns="path,label,split,product,run,frame,defect,severity,vial,region"):
        for row in rows:
            (tmp_path / row.split(",")[0]).write_bytes(row.encode())
        path = tmp_path / "samples.csv"
        path.write_text("\n".join([columns, *rows]) + "\n")
        return path

    return write


def test_a_table_of_strips_says_what_is_wrong_where(table):
    """The class has its own column; vial and region place the defect, and the image stays a whole frame."""
    good, bad = load_samples(table("a.png,good,kit,S1,0,7,,,,", "b.png,defect,kit,S2,3,15,burn,major,4,r2_liquid"))
    assert (good.product, good.run, good.frame, good.place, good.region) == ("S1", "0", "7", None, None)
    assert (bad.label, bad.severity, bad.place, bad.region) == ("burn", "major", Place(4, "r2_liquid"), None)
    assert (bad.run, bad.frame) == ("3", "15")


def test_without_a_column_for_vials_a_region_is_what_the_image_shows(table):
    """As ever."""
    [sample] = load_samples(table("a.png,good,neck", columns="path,label,region"))
    assert (sample.region, sample.place) == ("neck", None)


def test_a_vial_is_counted_from_one(table):
    """Anything else is refused with its row."""
    with pytest.raises(SamplesError, match="row 1: no vial '0'; count vials from 1"):
        load_samples(table("a.png,good,kit,S1,0,7,,,0,"))


def test_a_kit_is_tested_on(table):
    """It is the test split of a qualification, and no part of training."""
    samples = load_samples(table("a.png,good,kit,S1,0,7,,,,", "b.png,good,train,S2,0,7,,,,"))
    assert [sample.product for sample in test_samples(samples)] == ["S1"]


def test_the_hash_sees_which_run_an_image_is_of(table):
    """Two kits that differ in a run only are two; where no runs are named the hash is the old one."""
    hashes = {content_hash(load_samples(table(f"a.png,good,kit,S1,{run},7,,,,").resolve())) for run in (0, 1)}
    assert len(hashes) == 2


def test_a_folder_that_holds_a_table_is_what_the_table_says(table):
    """Whatever its folders are called."""
    path = table("a.png,good,calibration,S1,0,7,,,,")
    (path.parent / "train").mkdir()
    (path.parent / "train" / "b.png").write_bytes(b"")
    found = load_samples(path.parent)
    assert (found.layout, found.root) == ("table", path.parent)
    assert [sample.path.name for sample in found] == ["a.png"]
