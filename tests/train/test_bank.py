"""The facts of train/bank.py: the nearest remembered cell is the one that a search of all of them by numpy finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from candling.train.bank import FAR, UNKNOWN, Bank, coreset, remember

GRID = (5, 4)
PLACES = GRID[0] * GRID[1]


def good(count: int = 7, *, size: int = 3, seed: int = 0, grid: tuple[int, int] = GRID) -> torch.Tensor:
    return torch.randn((count, size, *grid), generator=torch.Generator().manual_seed(seed))


def bank(maps: torch.Tensor, radius: int | None, *, keep: int = 10_000) -> Bank:
    return remember(maps, torch.arange(len(maps)), radius=radius, keep=keep)


def reference(
    maps: np.ndarray, asked: np.ndarray, radius: int | None, leave_out: list[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Look at every cell of every good image within reach: distance (N, h, w) and number (N, h, w)."""
    count, _, height, width = asked.shape
    distance, number = np.full((count, height, width), np.inf), np.full((count, height, width), -1)
    for image, row, column in np.ndindex(count, height, width):
        for picture, r, c in np.ndindex(len(maps), height, width):
            if radius is not None and max(abs(r - row), abs(c - column)) > radius:
                continue
            if leave_out is not None and leave_out[image] == picture:
                continue
            found = np.linalg.norm(asked[image, :, row, column] - maps[picture, :, r, c])
            if found < distance[image, row, column]:
                distance[image, row, column] = found
                number[image, row, column] = (picture * height + r) * width + c
    return distance, number


@pytest.mark.parametrize("leave_out", [None, [2, UNKNOWN, 0]])
@pytest.mark.parametrize("radius", [0, 1, 2, 3, None])
def test_the_nearest_is_found(radius, leave_out):
    """Distance, number and residual are those of a search of every cell, for several images, with one left out each."""
    maps, asked = good(), good(3, seed=5)
    found = bank(maps, radius)(asked, None if leave_out is None else torch.tensor(leave_out))
    distance, number = reference(maps.double().numpy(), asked.double().numpy(), radius, leave_out)
    np.testing.assert_array_equal(found.number, number)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-4)
    remembered = maps.permute(0, 2, 3, 1).reshape(-1, 3)[found.number].permute(0, 3, 1, 2)
    torch.testing.assert_close(found.residual, asked - remembered)


@pytest.mark.parametrize("radius", [0, 1, None])
def test_a_good_image_finds_itself(radius):
    """A remembered image is at distance 0 from itself; left out, it names another picture everywhere."""
    maps = good()
    made = bank(maps, radius)
    itself = made(maps)
    expected = torch.arange(len(maps))[:, None] * PLACES + torch.arange(PLACES)
    assert torch.equal(itself.number.flatten(1), expected)
    assert itself.distance.max() < 1e-3
    others = made(maps, torch.arange(len(maps)))
    assert not (others.number // PLACES == torch.arange(len(maps))[:, None, None]).any()
    assert others.distance.min() > 0.01


@pytest.mark.parametrize(("radius", "far"), [(0, (0, 0)), (1, (1, -1)), (2, (-2, 1)), (None, (3, 2))])
def test_a_number_names_picture_row_and_column(radius, far):
    """An image put together from cells of others, moved as far as may be, names exactly those cells."""
    maps = good(6, grid=(8, 8))
    chosen = torch.from_numpy(np.random.default_rng(3).integers(0, 6, (8, 8)))
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    down, right = (rows + far[0]).clamp(0, 7), (columns + far[1]).clamp(0, 7)
    asked = maps[chosen, :, down, right].permute(2, 0, 1).unsqueeze(0)
    number = bank(maps, radius)(asked).number[0]
    assert torch.equal(number // 64, chosen)
    assert torch.equal(number % 64 // 8, down)
    assert torch.equal(number % 8, right)


def test_an_image_is_answered_alike_in_any_company():
    """A batch of several gives what each image gets alone, whatever is left out."""
    maps, asked, leave_out = good(), good(4, seed=9), torch.tensor([3, 0, UNKNOWN, 6])
    for radius in (0, 1, None):
        made = bank(maps, radius)
        together = made(asked, leave_out)
        for index in range(4):
            alone = made(asked[index : index + 1], leave_out[index : index + 1])
            assert torch.equal(together.number[index], alone.number[0])
            torch.testing.assert_close(together.distance[index], alone.distance[0])


def test_vectors_far_from_all_are_answered_rightly():
    """A cell thousands of units from everything remembered is compared with what is there, not with the outside."""
    maps, asked = good(4), 3000.0 * good(2, seed=8)
    for radius in (1, None):
        distance, number = reference(maps.double().numpy(), asked.double().numpy(), radius)
        found = bank(maps, radius)(asked)
        np.testing.assert_allclose(found.distance, distance, rtol=1e-4)
        assert (found.number.numpy() == number).mean() > 0.9  # of neighbours at a long distance rounding picks one
    large = 1500.0 * good(4, seed=2)
    distance, _ = reference(large.double().numpy(), asked.double().numpy(), 1, [0, 1])
    np.testing.assert_allclose(bank(large, 1)(asked, torch.tensor([0, 1])).distance, distance, rtol=1e-4)


@pytest.mark.parametrize("radius", [0, 1, None])
def test_of_vectors_as_near_the_first_is_named(radius):
    """Two pictures that are the same answer with the first; kept as one, they do so as well."""
    maps = good(1).repeat(2, 1, 1, 1)
    items = maps.flatten(2).permute(2, 0, 1) if radius is not None else maps.permute(0, 2, 3, 1).reshape(1, -1, 3)
    numbers = torch.arange(2)[None] * PLACES + torch.arange(PLACES)[:, None]
    both = Bank(items, numbers if radius is not None else numbers.mT.reshape(1, -1), GRID, radius=radius)
    assert torch.equal(both(maps).number, bank(maps[:1], radius)(maps).number)


@pytest.mark.parametrize("radius", [0, 1, None])
def test_what_is_no_number_is_at_no_distance(radius):
    """A cell that is not a number gets a distance that is none, so no limit admits it; all else is as without it."""
    maps, asked = good(), good(1, seed=5)
    torn = asked.clone()
    torn[0, :, 2, 1] = torch.nan
    found, whole = bank(maps, radius)(torn), bank(maps, radius)(asked)
    assert found.distance[0, 2, 1].isnan()
    assert 0 <= found.number[0, 2, 1] < len(maps) * PLACES
    elsewhere = torch.ones(GRID, dtype=torch.bool)
    elsewhere[2, 1] = False
    assert torch.equal(found.distance[0][elsewhere], whole.distance[0][elsewhere])


def farthest_first(vectors: np.ndarray, keep: int) -> list[int]:
    """Gonzalez 1985, from the most central vector; each next one is the farthest from all that were taken."""
    picks = [int(np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).argmin())]
    while len(picks) < keep:
        reach = np.min([np.linalg.norm(vectors - vectors[pick], axis=1) for pick in picks], axis=0)
        reach[picks] = -1.0
        picks.append(int(reach.argmax()))
    return picks


@pytest.mark.parametrize(("places", "count", "keep"), [(1, 30, 30), (6, 40, 9), (1, 1600, 12), (3, 5, 1)])
def test_the_coreset_is_farthest_first(places, count, keep):
    """At each place the same vectors are taken in the same order as by numpy, with a table of distances or not."""
    vectors = torch.randn((places, count, 4), generator=torch.Generator().manual_seed(1))
    items, numbers = coreset(vectors, torch.arange(count).expand(places, -1), keep)
    for place in range(places):
        picks = farthest_first(vectors[place].double().numpy(), keep)
        assert numbers[place].tolist() == picks
        assert torch.equal(items[place], vectors[place, picks])


def test_a_coreset_covers_within_twice_the_best():
    """No vector is farther from what was kept than the two nearest of what was kept are from each other."""
    vectors = torch.randn((1, 200, 2), generator=torch.Generator().manual_seed(4))
    items, _ = coreset(vectors, torch.arange(200)[None], 15)
    reach = torch.cdist(vectors[0], items[0]).min(dim=1).values.max()
    between = torch.cdist(items[0], items[0]) + FAR * torch.eye(15)
    assert reach <= between.min() + 1e-4


def test_doubles_are_unknown():
    """Of vectors that are the same one is kept, the others take no part; what is different is never called a double."""
    different = torch.randn((2, 3, 4), generator=torch.Generator().manual_seed(2))
    vectors = different.repeat(1, 4, 1)
    items, numbers = coreset(vectors, torch.arange(12).expand(2, -1), 12)
    assert items.shape == (2, 12, 4)
    for place in range(2):
        known = numbers[place][numbers[place] != UNKNOWN]
        assert sorted(number % 3 for number in known.tolist()) == [0, 1, 2]
        assert (numbers[place, 3:] == UNKNOWN).all()


@pytest.mark.parametrize("radius", [0, 1, None])
def test_more_room_than_images_is_left_empty(radius):
    """Asked to keep more than there is, a memory keeps what there is."""
    made = bank(good(3), radius, keep=1000)
    expected = (1, 3 * PLACES) if radius is None else (PLACES, 3)
    assert tuple(made.numbers.shape) == expected
    assert made.items.shape == (*expected, 3)
    assert sorted(made.numbers.flatten().tolist()) == list(range(3 * PLACES))


@pytest.mark.parametrize("radius", [0, 2, None])
def test_identical_images_are_remembered_once(radius):
    """A thousand times the same image is one image: it is at distance 0, another is not; a known picture is named."""
    maps = good(1).expand(1000, -1, -1, -1)
    made = bank(maps, radius, keep=96)
    found, other = made(maps[:2]), made(maps[:1] + 3.0)
    assert (made.numbers != UNKNOWN).sum() == PLACES
    assert found.distance.max() < 1e-3
    assert other.distance.min() > 0.1
    assert found.number.min() >= 0
    left_out = made(maps[:1], torch.tensor([0]))
    assert left_out.distance.isfinite().all()


@pytest.mark.parametrize("radius", [0, 1, None])
def test_a_memory_of_one_image_can_leave_it_out(radius):
    """With nothing else to name, the answer is a number all the same."""
    maps = good(1)
    found = bank(maps, radius)(maps, torch.tensor([0]))
    assert found.distance.isfinite().all()
    assert (found.number < PLACES).all()


def test_all_cells_may_be_too_many():
    """A memory for all places is chosen from a fixed draw where there are too many cells: twice the same."""
    maps = good(60, size=2, grid=(24, 24))  # 34,560 cells
    first, second = (bank(maps, None, keep=5) for _ in range(2))
    assert torch.equal(first.numbers, second.numbers)
    assert torch.equal(first.items[0], maps.permute(0, 2, 3, 1).reshape(-1, 2)[first.numbers[0]])
