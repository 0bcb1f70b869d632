"""The facts of train/remembering.py: which good images are remembered, and that a cell's number finds its picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from candling.train.bank import UNKNOWN
from candling.train.memory import MemoryOptions, pad_to_cells
from candling.train.method import Batch
from candling.train.positions import smooth_three
from candling.train.progress import Silent
from candling.train.remembering import Remembered, first_images, nearest_inside, remember_good

OPTIONS = MemoryOptions(cell=8, radius=1, pictures=256)


def good(count: int, *, seed: int = 0, channels: int = 1, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    """Noise that looks different in every image and cell: float32 (N, C, H, W), whole grey levels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, *size), generator=generator) / 255.0


def batches(images: torch.Tensor, size: int = 7) -> list[Batch]:
    indices = torch.arange(len(images)).split(size)
    return [
        Batch(some, which, torch.Generator().manual_seed(number))
        for number, (some, which) in enumerate(zip(images.split(size), indices, strict=True))
    ]


class Watcher(Silent):
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.counts: list[tuple[int, int]] = []

    def stage(self, sentence: str) -> None:
        self.stages.append(sentence)

    def count(self, done: int, total: int) -> None:
        self.counts.append((done, total))


def remembered(
    images: torch.Tensor, held_out: torch.Tensor | None = None, options: MemoryOptions = OPTIONS
) -> Remembered:
    others = [] if held_out is None else batches(held_out)
    return remember_good(batches(images), others, options, progress=Silent())


def test_all_are_remembered_where_there_are_few():
    """Each good image has its own picture, byte by byte, and the watcher hears how many."""
    images, watcher = good(20), Watcher()
    found = remember_good(batches(images), batches(good(5, seed=1)), OPTIONS, progress=watcher)
    assert found.own.tolist() == list(range(20))
    np.testing.assert_array_equal(found.pictures, (images[:, 0] * 255).round().numpy().astype(np.uint8))
    assert watcher.stages == ["remembering 20 good images"]
    assert watcher.counts == [(1, 1)]


def test_of_held_out_images_no_more_are_read_and_held_than_needed():
    """Of a thousand held-out pictures thirty-two are looked at: the rest would fill the memory of a laptop."""
    images, read = good(30), []

    def one_after_the_other():
        for batch in batches(images):  # of seven
            read.append(len(batch.images))
            yield batch

    first = first_images(one_after_the_other(), 10)
    torch.testing.assert_close(first, images[:10], rtol=0, atol=0)
    assert len(read) == 2
    assert first.untyped_storage().nbytes() == first.numel() * 4
    assert first_images(batches(images), 100).shape == images.shape
    assert first_images([], 10) is None


def test_of_many_some_are_remembered_evenly():
    """Of 600 good images 256 are pictures: from the first to the last, and each knows which picture it is."""
    images = good(600, size=(16, 16))
    found = remembered(images)
    which = torch.nonzero(found.own != UNKNOWN).flatten()
    assert len(which) == len(found.pictures) == 256
    assert (which[0], which[-1]) == (0, 599)
    assert set(which.diff().tolist()) == {2, 3}
    assert found.own[which].tolist() == list(range(256))
    np.testing.assert_array_equal(found.pictures, (images[which, 0] * 255).round().numpy().astype(np.uint8))
    # an image finds its own picture, at its own place
    some = which[[0, 100, 255]]
    number = found.memory(pad_to_cells(images[some])).number.flatten(1)
    inside = found.memory.bank.numbers  # its cells may be covered by others' where the coreset passed over them
    kept = torch.isin(found.own[some][:, None] * 16 + torch.arange(16), inside)
    assert kept.any()
    assert torch.equal(number[kept], (found.own[some][:, None] * 16 + torch.arange(16))[kept])


def test_who_is_not_remembered_still_sets_what_is_usual():
    """The usual distances are those of all good images, the remembered ones with themselves left out."""
    images = good(30)
    found = remembered(images, options=MemoryOptions(cell=8, radius=0, spread="whole", pictures=10))
    memory, pairs = found.memory, zip(images.split(1), found.own.split(1), strict=True)
    distance = torch.cat([memory.bank(memory.standard(image), own).distance for image, own in pairs])
    torch.testing.assert_close(memory.level, smooth_three(distance.mean(dim=0)[None, None])[0])
    some = smooth_three(distance[found.own != UNKNOWN].mean(dim=0)[None, None])[0]
    assert (memory.level - some).abs().mean() > 1e-3, "the others changed nothing"


def test_colour_pictures_are_colour():
    """Pictures of colour images have three channels in the images' own order."""
    images = good(4, channels=3)
    found = remembered(images)
    np.testing.assert_array_equal(found.pictures, (images * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8))


def test_remembering_repeats():
    """The same good images give the same memory, number by number: a resumed training remembers again."""
    images, held_out = good(12, size=(64, 64)), good(6, seed=1, size=(64, 64))
    first, second = (remembered(images, held_out, MemoryOptions()) for _ in range(2))
    assert first.choice.facts() == second.choice.facts()
    one, two = first.memory.state_dict(), second.memory.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(("size", "cell"), [((32, 32), 8), ((50, 70), 8), ((50, 70), 4), ((33, 95), 8)])
def test_numbers_over_the_image_find_their_cell(size, cell):
    """Whether or not the image had to be padded, an image finds picture, row and column of its own cells."""
    images = good(3, size=size)
    rows, columns = -(-size[0] // cell), -(-size[1] // cell)
    found = remembered(images, options=MemoryOptions(cell=cell, radius=0))
    number = nearest_inside(found.memory(pad_to_cells(images)).number, size, cell)
    expected = torch.arange(3 * rows * columns).view(3, rows, columns)
    assert torch.equal(number, expected)


def test_a_cell_outside_the_image_is_named_at_its_border():
    """A cell found in the padding becomes the one at the border that it repeats; an unknown one stays unknown."""
    number = torch.full((1, 4, 4), UNKNOWN)
    number[0, 0, 0] = 2 * 16 + 3 * 4 + 3  # picture 2, row 3, column 3 of 4 x 4
    inside = nearest_inside(number, (20, 17), 8)
    assert inside.shape == (1, 3, 3)
    assert inside[0, 0, 0] == 2 * 9 + 2 * 3 + 2
    assert (inside.flatten()[1:] == UNKNOWN).all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_good_images_are_enough(count):
    """With one image to remember and none held out there is a memory."""
    found = remembered(good(count), options=MemoryOptions())
    seen = found.memory(good(3, seed=4))
    assert seen.deviation.isfinite().all()
    assert (seen.number >= 0).all()
    assert found.choice.evidence == {}


def test_a_gaussian_shows_no_picture():
    """Where Gaussians are compared with, no picture is named and none is kept."""
    found = remembered(good(12), options=MemoryOptions(search="gaussian"))
    assert found.pictures is None
    assert found.memory(good(2, seed=1)).number is None
