"""Folders and tables become samples, or say in one sentence why not, and no product is torn apart by a split."""

from __future__ import annotations

import os
import re
import shutil
import sys

import pytest

from candling.data import samples as module
from candling.data.samples import (
    content_hash,
    load_samples,
    natural_key,
    product_of,
    split_hold_out,
    split_test,
    table_of,
    training_samples,
)
from candling.data.samples.sample import Sample
from candling.errors import MissingExtraError, SamplesError


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def told(samples, root):
    return [(s.path.relative_to(root).as_posix(), s.label, s.split) for s in samples]


def test_public_names_are_complete():
    """The room offers what it lists."""
    assert all(hasattr(module, name) for name in module.__all__)


def test_mvtec_layout(tmp_path):
    """Training comes first; classes and files follow in natural order; masks and splits are found."""
    put(
        tmp_path,
        *("train/good/10.png", "train/good/9.png", "test/good/000.png", "test/poke/000.PNG", "test/crack/000.jpg"),
        *("ground_truth/crack/000_mask.png", "license.txt", "train/good/.hidden.png", "__MACOSX/train/good/9.png"),
    )
    found = load_samples(tmp_path)
    assert (found.layout, told(found, tmp_path)) == (
        "mvtec",
        [
            ("train/good/9.png", "good", "train"),
            ("train/good/10.png", "good", "train"),
            ("test/crack/000.jpg", "crack", "test"),
            ("test/good/000.png", "good", "test"),
            ("test/poke/000.PNG", "poke", "test"),
        ],
    )
    masks = [sample.mask for sample in found]
    assert masks == [None, None, tmp_path / "ground_truth/crack/000_mask.png", None, None]
    assert [sample.path.name for sample in training_samples(found)] == ["9.png", "10.png"]
    assert len(module.test_samples(found)) == 3


def test_a_mask_belongs_to_the_test_image_not_to_the_training_image_of_its_name(tmp_path):
    """Names repeat between splits: ground_truth/good/000_mask.png is about test/good/000.png."""
    put(tmp_path, "train/good/000.png", "test/good/000.png", "ground_truth/good/000_mask.png")
    assert [(s.split, s.mask is not None) for s in load_samples(tmp_path)] == [("train", False), ("test", True)]


def test_plain_folder_is_good(tmp_path):
    """Images lying directly in a folder are good images to learn from."""
    put(tmp_path, "b.png", "a.TIFF", "notes.txt")
    found = load_samples(tmp_path)
    assert (found.layout, told(found, tmp_path)) == ("plain", [("a.TIFF", "good", "train"), ("b.png", "good", "train")])


@pytest.mark.parametrize("good", ["good", "normal", "Good"])
def test_good_and_defect_folders(tmp_path, good):
    """A folder good or normal is for training, every other class for testing; subfolders are searched."""
    put(tmp_path, f"{good}/monday/1.png", "scratch/1.bmp", "gt/1_gt.png")
    found = load_samples(tmp_path)
    assert found.layout == "folders"
    assert sorted((s.label, s.split) for s in found) == [("good", "train"), ("scratch", "test")]
    assert [s.mask for s in found if not s.is_good] == [tmp_path / "gt/1_gt.png"]


def test_a_flat_mask_folder_gives_no_mask_that_could_be_anothers(tmp_path):
    """Where two defect images have one name, a mask of that name could be either's and is given to neither."""
    put(tmp_path, "good/1.png", "crack/1.png", "poke/1.png", "crack/2.png", "masks/1.png", "masks/2.png")
    masks = {s.path.relative_to(tmp_path).as_posix(): s.mask for s in load_samples(tmp_path)}
    assert [name for name, mask in masks.items() if mask is not None] == ["crack/2.png"]


def test_validation_is_a_split_of_its_own(tmp_path):
    """MVTec AD 2 and others bring a validation folder: its images are neither learnt nor tested."""
    put(tmp_path, "train/good/1.png", "validation/good/2.png", "test/bad/3.png")
    found = load_samples(tmp_path)
    assert [s.split for s in found] == ["train", "validation", "test"]
    assert (len(training_samples(found)), len(module.test_samples(found))) == (1, 1)


def test_products_come_from_a_manifest(tmp_path):
    """A manifest beside the images names the patient by class and file; a name alone is enough where it is unique."""
    put(tmp_path, "normal/a.png", "normal/b.png", "odd/a.png")
    (tmp_path / "manifest.csv").write_text("file,class,patient\na.png,normal,P1\na.png,odd,P2\n")
    assert [s.product for s in load_samples(tmp_path)] == ["P1", None, "P2"]
    (tmp_path / "manifest.csv").write_text("path,product\nnormal/a.png,P3\nb.png,P4\n")
    assert [s.product for s in load_samples(tmp_path)] == ["P3", "P4", None]


def test_a_limit_is_spread_over_each_class(tmp_path):
    """At most so many of each split and label, from all over the natural order."""
    put(tmp_path, *(f"good/{n}.png" for n in range(10)), "poke/1.png")
    assert [s.path.stem for s in load_samples(tmp_path, limit=3)] == ["0", "3", "6", "1"]
    with pytest.raises(SamplesError, match="at least 1"):
        load_samples(tmp_path, limit=0)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), r"the folder is empty; put images"),
        (("a.txt", "b.txt", "c.webp"), r"no image of a format that is read .*2 x \.txt, 1 x \.webp"),
        (("train/good/readme.txt",), r"no image"),
        (("images/1.png", "labels/1.png"), r"no folder is called good or normal \(found: images, labels\); rename"),
        (("bottle/train/good/1.png", "cable/train/good/1.png"), r"several data sets \(bottle, cable\); give one"),
        (("1.png", "scratch/2.png"), r"1 images lie beside folders with images \(scratch\).*move the good ones"),
        (("test/1.png", "train/good/1.png"), r"1 images lie beside the class folders"),
        (("test/crack/1.png", "train/bad/2.png"), r"none of the 2 images is good \(found: bad, crack\); put good"),
    ],
)
def test_folders_that_cannot_be_used_are_told_why(tmp_path, names, sentence):
    """Each wrong folder gets one sentence that names it, the cause and the remedy."""
    put(tmp_path, *names)
    with pytest.raises(SamplesError, match=sentence) as caught:
        load_samples(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_path_is_told(tmp_path):
    """A missing folder and a file that is no table are one sentence each."""
    with pytest.raises(SamplesError, match="no such folder or table"):
        load_samples(tmp_path / "nowhere")
    with pytest.raises(SamplesError, match="neither a folder nor a table"):
        load_samples(put(tmp_path, "image.png") / "image.png")


@pytest.fixture
def images(tmp_path):
    return put(tmp_path / "set", "a.png", "b.png", "c.png", "m.png", "../outside.png")


TABLE = """\
 Path ;label;product;region;split;mask;remark
a.png;Good;P1;;;;x
b.png;normal;;flag;validation;;
../outside.png;crack;P2;;;m.png;
"""


def test_csv_table(images):
    """Separators and headers as spreadsheets write them; empty cells are unknown; paths may leave the folder."""
    (images / "t.csv").write_text(TABLE, encoding="utf-8-sig")
    found = load_samples(images / "t.csv")
    assert found.layout == "table"
    assert found.samples == (
        Sample(images / "a.png", "good", "train", product="P1"),
        Sample(images / "b.png", "good", "validation", region="flag"),
        Sample(images / "../outside.png", "crack", "test", product="P2", mask=images / "m.png"),
    )


def test_parquet_table_equals_csv_table(images):
    """The same table as Parquet gives the same samples."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (images / "t.csv").write_text("path,label,product,mask\na.png,good,7,\nb.png,dent,8,m.png\n")
    columns = {"path": ["a.png", "b.png"], "label": ["good", "dent"], "product": [7, 8], "mask": [None, "m.png"]}
    parquet.write_table(pyarrow.table(columns), images / "t.parquet")
    assert load_samples(images / "t.parquet").samples == load_samples(images / "t.csv").samples


def test_parquet_without_pyarrow_names_the_command(images, monkeypatch):
    """Without pyarrow the message holds the command that installs it."""
    (images / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'candling[parquet]'")):
        load_samples(images / "t.parquet")


def test_a_file_that_only_claims_to_be_parquet_is_refused(images):
    """Text named .parquet is one sentence."""
    pytest.importorskip("pyarrow")
    (images / "t.parquet").write_text("path,label\n")
    with pytest.raises(SamplesError, match="not a Parquet table"):
        load_samples(images / "t.parquet")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"no column 'path'; the columns are: none"),
        ("path,labl\na.png,good\n", r"no column 'label'; did you mean 'labl'\?"),
        ("path,label\n", r"no rows"),
        ("path,label\na.png,\n", r"row 1: the cell of column 'label' is empty"),
        ("path,label\na.png,good\nz.png,good\ny.png,good\n", r"row 2: no such file .*z\.png \(and 1 more\)"),
        ("path,label,mask\na.png,crack,z.png\n", r"row 1: no such file .*z\.png"),
        ("path,label\na.png,good\n./a.png,crack\n", r"row 2: a\.png is in row 1 already"),
        ("path,label\na.png,crack\n", r"none of the 1 images is good .*label the good rows"),
        ("path,label\na.png,good,extra\n", r"row 1: 3 cells but 2 columns"),
        (b"path,label\n\xff.png,good\n", r"not UTF-8 text \(byte 11\)"),
        ('path,label\n"a.png,good\n', r"not a CSV table"),
    ],
)
def test_tables_that_cannot_be_used_are_told_why(images, text, sentence):
    """Each wrong table gets one sentence that names it, the row and the remedy."""
    (images / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SamplesError, match=sentence) as caught:
        load_samples(images / "t.csv")
    assert "t.csv" in str(caught.value)


def test_one_frame_may_be_listed_for_each_region(images):
    """The same file twice is refused, unless the rows are about different regions of it."""
    (images / "t.csv").write_text("path,label,region\na.png,good,flag\na.png,good,body\nb.png,good,flag\n")
    found = load_samples(images / "t.csv")
    assert [s.region for s in found] == ["flag", "body", "flag"]
    for seed in range(8):
        fit, held = split_hold_out(found.samples, 0.5, seed=seed)
        assert not {s.path for s in fit} & {s.path for s in held}


def good(*names, product=None):
    from pathlib import Path

    return [Sample(Path(name), "good", "train", product=product) for name in names]


def test_split_holds_out_the_share_and_leaves_some():
    """A tenth of 200 is 20; whatever the share, one is held and one is left; nothing is lost."""
    many = good(*(f"{n}.png" for n in range(200)))
    for share, count, expected in ((0.1, 200, 20), (0.001, 200, 1), (0.99, 2, 1), (0.5, 2, 1), (0.9, 3, 2)):
        fit, held = split_hold_out(many[:count], share, seed=0)
        assert (len(fit), len(held)) == (count - expected, expected)
        assert set(fit) | set(held) == set(many[:count])


def test_split_depends_on_the_seed_and_not_on_the_listing():
    """The order in which a directory is listed changes nothing; another seed gives another split."""
    many = good(*(f"{n}.png" for n in range(50)))
    assert split_hold_out(many, 0.2, seed=3) == split_hold_out(many[::-1], 0.2, seed=3)
    assert split_hold_out(many, 0.2, seed=3) != split_hold_out(many, 0.2, seed=4)


def test_split_never_tears_a_product_apart():
    """All images of a product are on one side, and the share is met as nearly as its products allow."""
    many = [s for n in range(12) for s in good(*(f"{n}_{k}.png" for k in range(1 + n % 5)), product=f"P{n}")]
    for seed in range(20):
        fit, held = split_hold_out(many, 0.3, seed=seed)
        assert not {s.product for s in fit} & {s.product for s in held}
        assert abs(len(held) - 0.3 * len(many)) <= 3
    big, small = good(*(f"{n}.png" for n in range(9)), product="big"), good("z.png", product="small")
    assert split_hold_out(big + small, 0.5, seed=0)[1] == tuple(small) or len(
        split_hold_out(big + small, 0.5, seed=0)[1]
    )


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ([], "0 good images cannot be split; at least 2 good images are needed"),
        (good("a.png"), "1 good image cannot be split; at least 2"),
        (good("a.png", "b.png", product="P1"), r"all 2 good images show one product \(P1\).*at least 2 products"),
    ],
)
def test_too_few_to_split_is_told(samples, sentence):
    """One image, or one product, cannot be both learnt from and held out."""
    with pytest.raises(SamplesError, match=sentence):
        split_hold_out(samples, 0.1, seed=0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_share_is_told(share):
    """A share lies strictly between 0 and 1."""
    with pytest.raises(SamplesError, match="between 0 and 1"):
        split_hold_out(good("a.png", "b.png"), share, seed=0)


def test_content_hash_is_about_content(tmp_path):
    """Moving, renaming and reordering change nothing; a byte, a label or a mask does."""
    put(tmp_path / "one", "good/1.png", "poke/1.png", "gt/poke/1.png")
    first = load_samples(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two/good/1.png").rename(tmp_path / "two/good/2.png")
    expected = content_hash(first)
    assert re.fullmatch("[0-9a-f]{64}", expected)
    assert content_hash(reversed(load_samples(tmp_path / "two").samples)) == expected
    (tmp_path / "two/gt/poke/1.png").write_bytes(b"changed")
    assert content_hash(load_samples(tmp_path / "two")) != expected
    assert content_hash(first.samples[:1]) != expected


@pytest.mark.skipif(os.name != "posix", reason="removes a file under a path")
def test_content_hash_of_a_lost_file_is_one_sentence(tmp_path):
    """A file that vanished between listing and hashing is a SamplesError."""
    found = load_samples(put(tmp_path, "1.png", "2.png"))
    (tmp_path / "2.png").unlink()
    with pytest.raises(SamplesError, match=r"2\.png: cannot be read"):
        content_hash(found)


def test_numbers_sort_as_numbers():
    """Natural order, whatever the case; equal numbers keep a fixed order."""
    names = ["B2.png", "a10.png", "a9.png", "a09.png", "7.png"]
    assert sorted(names, key=natural_key) == ["7.png", "a09.png", "a9.png", "a10.png", "B2.png"]


def test_only_known_names_tell_the_product():
    """KolektorSDD says the commutator in its names; other names say nothing."""
    assert [product_of(name) for name in ("kos26_Part7.png", "KOS01_part0.jpg", "kos1.png", "part7.png")] == [
        "kos26",
        "KOS01",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("name", "layout", "training", "testing", "masks", "products"),
    [
        ("mvtec_capsule", "mvtec", 219, 68, 56, 0),
        ("mvtec_bottle", "mvtec", 209, 42, 32, 0),
        ("kolektor_sdd", "mvtec", 140, 91, 29, 29),
        ("aws_cookie", "mvtec", 21, 42, 32, 0),
        ("malaria_cells_50px", "folders", 5000, 1200, 0, 143),
        ("nanofibre_sem", "folders", 4, 25, 25, 0),
    ],
)
def test_real_sets_are_found_whole(real_data, name, layout, training, testing, masks, products):
    """Each real set is read with the numbers its description states."""
    found = load_samples(real_data(name))
    assert found.layout == layout
    assert (len(training_samples(found)), len(module.test_samples(found))) == (training, testing)
    assert sum(s.mask is not None for s in found) == masks
    assert len({s.product for s in found} - {None}) == products
    fit, held = split_hold_out(training_samples(found), 0.1, seed=1)
    assert not ({s.product for s in fit} & {s.product for s in held}) - {None}


def test_a_split_keeps_products_whole_and_leaves_their_defects_out(tmp_path):
    """No patient on both sides; good ones of the others train, all of the tested ones test; the table says so again."""
    names = [
        f"{kind}/p{patient}_{number}.png" for kind in ("good", "ill") for patient in range(9) for number in range(4)
    ]
    put(tmp_path, *names)
    rows = [f"{name.split('/')[1]},{name.split('/')[0]},P{name.split('/p')[1][0]}" for name in names]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,class,patient", *rows]))
    chosen = split_test(load_samples(tmp_path), 0.33, seed=0)
    parts = {part: {s.product for s in chosen if s.split == part} for part in ("train", "test")}
    assert not parts["train"] & parts["test"]
    assert len(parts["test"]) == 3
    assert chosen.counts() == {("train", "good"): 24, ("test", "good"): 12, ("test", "ill"): 12}
    table = tmp_path / "table.csv"
    table.write_text(table_of(chosen.samples))
    again = load_samples(table)
    assert [(s.path.name, s.label, s.split, s.product) for s in again] == [
        (s.path.name, s.label, s.split, s.product) for s in chosen
    ]
    assert split_test(load_samples(tmp_path), 0.33, seed=1).counts() == chosen.counts()
    assert {s.product for s in split_test(load_samples(tmp_path), 0.33, seed=1) if s.split == "test"} != parts["test"]


def test_a_split_that_leaves_nothing_to_learn_is_refused(tmp_path):
    """Where no good product is left to train on, the sentence says what to lower."""
    put(tmp_path, "good/a.png", "ill/b.png", "ill/c.png", "ill/d.png")
    with pytest.raises(SamplesError, match="lower the share"):
        split_test(load_samples(tmp_path), 0.25, seed=_seed_that_tests_the_good_one(tmp_path))


def _seed_that_tests_the_good_one(root):
    samples = load_samples(root).samples
    return next(seed for seed in range(99) if any(s.is_good for s in split_hold_out(samples, 0.25, seed=seed)[1]))
