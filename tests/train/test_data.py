"""Good images made ready: what "auto" becomes, what is kept, in which order it is handed out, what is refused."""

from __future__ import annotations

from itertools import chain

import cv2
import numpy as np
import pytest
import torch

from candling.data.samples import Sample, load_samples, split_hold_out, training_samples
from candling.errors import DataError, DiskError, SamplesError
from candling.pixels.prepare import PixelSpec, prepare
from candling.pixels.read import read_image
from candling.recipe import parse_recipe
from candling.train import data
from candling.train.data import PreparedSet, prepare_set, resolve_prepare
from candling.train.progress import Silent


def recipe(prepare="", regions=""):
    return parse_recipe(
        f"[story]\nproduct = 'drawn'\n[prepare]\n{prepare}\n{regions}\n[method]\nname = 'autoencoder'\n"
        "[limits]\nscores = ['error']\n",
        where="test",
    )


SMALL = "channels = 1\nheight = 16\nwidth = 24\n"


@pytest.fixture
def folder(tmp_path):
    """Give a folder and a function that puts an image into it."""

    def put(name, frame):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), frame)
        return Sample(path, "good", "train")

    return put


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def prepared(samples, recipe, tmp_path, **more):
    return prepare_set(
        samples, recipe, file=tmp_path / "good.npy", key="k", progress=more.pop("progress", Silent()), **more
    )


def test_auto_takes_the_shape_of_the_images(folder):
    """The median shape, shrunk to about the pixels wanted, each side a multiple."""
    samples = [folder(f"{number}.png", noise((300, 600))) for number in range(3)]
    resolved = resolve_prepare(recipe("pixels = 20000\nmultiple = 8"), samples).prepare
    assert resolved.shape == (1, 96, 200)


def test_auto_never_enlarges(folder):
    """Images smaller than the pixels wanted stay about as they are."""
    assert resolve_prepare(recipe(), [folder("a.png", noise((64, 64)))]).prepare.shape == (1, 64, 64)


def test_a_given_side_stays(folder):
    """The other side follows from the images' shape."""
    assert resolve_prepare(recipe("width = 64"), [folder("a.png", noise((50, 100)))]).prepare.shape == (1, 32, 64)


def test_frames_are_of_the_kind_that_was_learned(folder):
    """With [frame] channels "auto" the good images decide, whatever the network sees; without it anything may come."""
    colour, grey = (folder(f"{name}.png", noise(shape)) for name, shape in (("a", (64, 64, 3)), ("b", (64, 64))))
    wish = 'channels = 1\nheight = 32\nwidth = 32\n[frame]\nchannels = "auto"'
    assert [resolve_prepare(recipe(wish), [one]).frame.channels for one in (colour, grey)] == [3, 1]
    assert resolve_prepare(recipe(), [colour]).frame is None


def test_a_grey_image_among_coloured_ones_is_refused(folder, tmp_path):
    """Where frames must be coloured, training names the grey one, as the line would."""
    samples = [folder("a.png", noise((64, 64, 3))), folder("b.png", noise((64, 64)))]
    resolved = resolve_prepare(recipe('[frame]\nchannels = "auto"'), samples)
    with pytest.raises(DataError, match=r"b\.png: the frame is grey and the recipe's are in colour"):
        prepared(samples, resolved, tmp_path)


def test_auto_sees_colour(folder):
    """Colour is learned where there is some; a grey picture stored as RGB, faint tints included, is grey."""
    grey = cv2.cvtColor(noise((64, 64)), cv2.COLOR_GRAY2BGR)
    tinted = cv2.add(grey // 2, (0, 8, 0, 0))
    coloured = grey.copy()
    coloured[:16] = (200, 20, 20)
    assert resolve_prepare(recipe(), [folder("grey.png", grey), folder("tint.png", tinted)]).prepare.channels == 1
    assert resolve_prepare(recipe(), [folder("grey.png", grey), folder("red.png", coloured)]).prepare.channels == 3


def test_regions_decide_the_shape(folder):
    """Where regions are cut, they are what the network sees."""
    regions = "[[regions]]\nname = 'neck'\ntop = 0\nleft = 0\nheight = 32\nwidth = 96\n"
    assert resolve_prepare(recipe(regions=regions), [folder("a.png", noise((200, 200)))]).prepare.shape == (1, 32, 96)


def test_a_decided_recipe_is_left_alone():
    """Without "auto" no image is looked at."""
    chosen = recipe(SMALL)
    assert resolve_prepare(chosen, []) is chosen


def test_training_sees_what_the_line_sees(folder, tmp_path):
    """A batch holds the very numbers that ``pixels.prepare`` gives on the line."""
    samples = [folder("a.png", noise((40, 50))), folder("b.png", noise((30, 20, 3), seed=1))]
    ready = prepared(samples, recipe(SMALL), tmp_path)
    images = ready.images(np.arange(2))
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    for image, sample in zip(images.numpy(), samples, strict=True):
        assert np.array_equal(image, prepare(read_image(sample.path), PixelSpec(1, 16, 24)))


@pytest.mark.parametrize("order", [[np.uint8, np.uint16], [np.uint16, np.uint8]])
@pytest.mark.parametrize("white", [None, 4095])
def test_mixed_depths_scale_alike(folder, tmp_path, order, white):
    """8-bit frames beside 16-bit ones give the same numbers as alone, whichever comes first."""
    samples = [folder(f"{n}.png", noise((16, 24), dtype, seed=n)) for n, dtype in enumerate(order)]
    lines = SMALL + (f"white = {white}\n" if white else "")
    ready = prepared(samples, recipe(lines), tmp_path)
    assert ready.frames.dtype == np.uint16
    for image, sample in zip(ready.images(np.arange(2)).numpy(), samples, strict=True):
        assert np.array_equal(image, prepare(read_image(sample.path), PixelSpec(1, 16, 24, white)))


def test_each_region_is_a_patch(folder, tmp_path):
    """A frame gives one patch a region; an image that shows a region already gives one."""
    regions = "".join(
        f"[[regions]]\nname = '{name}'\ntop = {top}\nleft = 0\nheight = 16\nwidth = 24\n"
        for name, top in (("neck", 0), ("body", 16))
    )
    frame = folder("a.png", noise((32, 24)))
    cut_already = Sample(folder("b.png", noise((16, 24), seed=1)).path, "good", "train", region="body")
    ready = prepared([frame, cut_already], recipe(SMALL, regions), tmp_path)
    assert len(ready) == 3
    assert np.array_equal(ready.frames[1], read_image(frame.path)[16:])
    assert np.array_equal(ready.frames[2], read_image(cut_already.path))


def test_an_unreadable_image_is_named(folder, tmp_path):
    """The sentence names the file and the command that finds every such file."""
    samples = [folder("a.png", noise((16, 24))), folder("b.png", noise((16, 24)))]
    samples[1].path.write_text("no picture")
    with pytest.raises(DataError, match=r"b\.png.*candling check"):
        prepared(samples, recipe(SMALL), tmp_path)


def test_a_region_outside_the_frame_is_named(folder, tmp_path):
    """The sentence names the file whose frame is too small for the recipe's region."""
    regions = "[[regions]]\nname = 'neck'\ntop = 0\nleft = 0\nheight = 64\nwidth = 24\n"
    with pytest.raises(DataError, match=r"a\.png.*'neck'"):
        prepared([folder("a.png", noise((16, 24)))], recipe(SMALL, regions), tmp_path)


def test_each_patch_keeps_the_name_of_its_region(folder, tmp_path):
    """Two regions of each frame, in the recipe's order; without regions every patch shows the whole frame."""
    boxes = "".join(
        f"[[regions]]\nname = '{name}'\ntop = {top}\nleft = 0\nheight = 8\nwidth = 24\n"
        for name, top in (("neck", 0), ("body", 8))
    )
    ready = prepared([folder(f"{n}.png", noise((16, 24))) for n in range(2)], recipe(SMALL, boxes), tmp_path)
    assert ready.regions == ("neck", "body", "neck", "body")
    assert ready.regions_of(torch.tensor([3, 0])) == ("body", "neck")
    assert PreparedSet(ready.frames).regions_of(torch.tensor([3, 0])) == ()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(folder, tmp_path, count):
    """An empty folder, and one with a single image, are refused before anything is decoded."""
    (tmp_path / "images").mkdir()
    for number in range(count):
        folder(f"{number}.png", noise((16, 24)))
    with pytest.raises(SamplesError):
        split_hold_out(training_samples(load_samples(tmp_path / "images")), 0.1, seed=0)


def test_a_large_set_lies_in_a_file(folder, tmp_path, monkeypatch):
    """Beyond the bound the frames lie in a mapped file, the same bit by bit, and the next session uses it again."""
    samples = [folder(f"{number}.png", noise((16, 24), seed=number)) for number in range(5)]
    inside = prepared(samples, recipe(SMALL), tmp_path)
    outside = prepared(samples, recipe(SMALL), tmp_path, in_memory_bytes=100)
    assert isinstance(outside.frames, np.memmap)
    assert np.array_equal(inside.frames, outside.frames)
    monkeypatch.setattr(data, "read_image", lambda path: pytest.fail("decoded again"))
    again = prepared(samples, recipe(SMALL), tmp_path, in_memory_bytes=100)
    assert np.array_equal(inside.frames, again.frames)


def test_a_half_written_file_is_not_used(folder, tmp_path):
    """A set whose writing was interrupted, or of other images, is decoded again."""
    samples = [folder(f"{number}.png", noise((16, 24), seed=number)) for number in range(3)]
    prepared(samples, recipe(SMALL), tmp_path, in_memory_bytes=100)
    whole = np.load(tmp_path / "good.npy").copy()
    samples[2].path.write_text("torn")
    with pytest.raises(DataError):
        prepare_set(samples, recipe(SMALL), file=tmp_path / "good.npy", key="x", progress=Silent(), in_memory_bytes=100)
    folder("2.png", noise((16, 24), seed=2))
    assert np.array_equal(prepared(samples, recipe(SMALL), tmp_path, in_memory_bytes=100).frames, whole)


def test_a_full_disk_is_told_before_decoding(folder, tmp_path, monkeypatch):
    """Room for the file is taken at once, so that a full disk is a sentence and not a crash of the process."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data.os, "posix_fallocate", full)
    with pytest.raises(DiskError, match=r"No space left.*smaller \[prepare\] size"):
        prepared([folder("a.png", noise((16, 24)))], recipe(SMALL), tmp_path, in_memory_bytes=1)


def test_progress_counts_images(folder, tmp_path):
    """The watcher hears of every image, the last one included."""
    heard = []
    watcher = Silent()
    watcher.count = lambda done, total: heard.append((done, total))
    prepared([folder(f"{n}.png", noise((16, 24))) for n in range(3)], recipe(SMALL), tmp_path, progress=watcher)
    assert heard == [(1, 3), (2, 3), (3, 3)]


def numbered(count):
    frames = np.arange(count, dtype=np.uint16)[:, None, None] * np.ones((1, 4, 4), np.uint16)
    return PreparedSet(frames)


def order(ready, epoch, **more):
    more = {"seed": 0, "batch_size": 8, **more}
    return [indices.tolist() for _, indices in ready.batches(epoch, **more)]


def test_an_epoch_sees_every_image_once():
    """Shuffled, in batches of nearly one size that never exceed the one wanted."""
    batches = order(numbered(21), 0)
    assert sorted(chain(*batches)) == list(range(21))
    assert [len(batch) for batch in batches] == [7, 7, 7]
    assert numbered(21).epoch_steps(8) == 3


def test_the_order_is_a_function_of_seed_and_epoch():
    """The same seed and epoch repeat the order; another epoch or seed gives another."""
    ready = numbered(21)
    assert order(ready, 3) == order(ready, 3)
    assert order(ready, 3) != order(ready, 4)
    assert order(ready, 3) != order(ready, 3, seed=1)


def test_an_epoch_can_be_entered_in_the_middle():
    """From batch n on, the batches are those of the whole epoch, images included."""
    ready = numbered(21)
    assert order(ready, 2, start=2) == order(ready, 2)[2:]
    images, indices = next(ready.batches(2, seed=0, batch_size=8, start=1))
    assert np.array_equal(images[:, 0, 0, 0].numpy() * 65535, indices.numpy().astype(np.float32))


@pytest.mark.parametrize("count", [16, 17, 21])
def test_ranks_share_an_epoch(count):
    """Every image is seen by some rank, and all ranks make the same number of updates."""
    ready = numbered(count)
    shares = [order(ready, 0, rank=rank, world=2) for rank in range(2)]
    assert set(chain(*shares[0], *shares[1])) == set(range(count))
    assert len(shares[0]) == len(shares[1]) == ready.epoch_steps(8, world=2)
    assert max(map(len, shares[0] + shares[1])) <= 4


def test_fewer_patches_are_drawn_from_everywhere_and_always_the_same():
    """What repeats every twenty patches, as the regions of a strip, must not hide some of them."""
    frames = np.broadcast_to(np.arange(2000, dtype=np.uint16)[:, None, None], (2000, 2, 2))
    walk = [torch.cat([of for _, of in PreparedSet(frames).in_order(16, most=200)]).tolist() for _ in range(2)]
    some, again = walk
    assert some == again == sorted(set(some))
    assert len(some) == 200
    assert np.bincount(np.array(some) % 20, minlength=20).min() >= 3


def test_no_more_than_there_are_are_all_of_them():
    frames = np.zeros((5, 2, 2), np.uint8)
    assert [index for _, of in PreparedSet(frames).in_order(2, most=9) for index in of.tolist()] == [0, 1, 2, 3, 4]
