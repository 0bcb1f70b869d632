"""Where a picture is unlike all good ones, and what is nearest there: boxes, cells and crops worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.pixels.align import Movement, move_back
from candling.types import Box, Prediction
from candling.workflow.explanation import Cell, pairs_of, unlike_places

WHOLE = Box(0, 0, 640, 960)


@dataclass
class Pages:
    """References whose every pixel says where it is: page number, row and column as colour."""

    count: int = 7
    shape: tuple[int, int] = (64, 96)

    def page(self, picture):
        rows, columns = np.indices(self.shape)
        return np.stack([np.full(self.shape, picture), rows, columns], axis=-1).astype(np.uint8)


def prediction(peaks, *, box=WHOLE, shape=(64, 96), grid=(8, 12), cells=None, region="whole"):
    """A patch whose map is 0 but for {(row, column): value}; each cell is nearest to itself in picture 2."""
    values = np.zeros(shape, np.float32)
    for place, value in peaks.items():
        values[place] = value
    own = 2 * grid[0] * grid[1] + np.arange(grid[0] * grid[1]).reshape(grid)
    return Prediction(region, box, {}, values, nearest=own if cells is None else cells)


def apart(places):
    """Tell whether no place lies over another."""
    return all(
        one.box.bottom <= two.box.top
        or two.box.bottom <= one.box.top
        or one.box.right <= two.box.left
        or two.box.right <= one.box.left
        for at, one in enumerate(places)
        for two in places[:at]
    )


def test_the_place_lies_around_the_worst_value():
    """A fifth of 640 px is 128; row 20 lies in cell 2, whose middle is at 200, column 50 in cell 6, at 520."""
    [place] = unlike_places([prediction({(20, 50): 3.0})], above=1.0)
    assert place.box == Box(136, 456, 128, 128)
    assert place.value == 3.0
    assert place.nearest == Cell(2, 2, 6, Box(14, 46, 13, 13))


@pytest.mark.parametrize(
    ("at", "corner"), [((0, 0), (0, 0)), ((63, 95), (512, 832)), ((0, 95), (0, 832)), ((40, 0), (376, 0))]
)
def test_a_place_at_the_edge_lies_inside(at, corner):
    """The place slides back into its patch, and what is nearest stays inside the reference."""
    [place] = unlike_places([prediction({at: 3.0})], above=1.0)
    assert (place.box.top, place.box.left) == corner
    cell = place.nearest.box
    assert min(cell.top, cell.left) >= 0
    assert (cell.bottom <= 64, cell.right <= 96) == (True, True)


def test_the_nearest_cell_may_lie_elsewhere():
    """A cell that resembles one two rows below and one column left: the good box moves by 16 and 8 of its pixels."""
    cells = np.full((8, 12), 5 * 96 + 4 * 12 + 5, np.int64)
    [place] = unlike_places([prediction({(20, 50): 3.0}, cells=cells)], above=1.0)
    assert place.nearest == Cell(5, 4, 5, Box(14 + 16, 46 - 8, 13, 13))


def test_an_unknown_cell_is_unknown():
    """-1 names nothing, whatever the grid."""
    [place] = unlike_places([prediction({(20, 50): 3.0}, cells=np.full((8, 12), -1))], above=1.0)
    assert place.nearest is None
    assert pairs_of(np.zeros((640, 960), np.uint8), [place], Pages()) == ()


def test_places_come_worst_first_and_never_over_each_other():
    """Of two peaks side by side only the worse is a place; at most three; after the first none below the edge."""
    peaks = {(10, 10): 2.0, (12, 12): 5.0, (50, 20): 3.0, (30, 80): 4.0, (5, 60): 2.5, (60, 90): 0.5}
    places = unlike_places([prediction(peaks)], above=1.0)
    assert [place.value for place in places] == [5.0, 4.0, 3.0]
    assert apart(places)
    assert [place.value for place in unlike_places([prediction(peaks)], above=3.5)] == [5.0, 4.0]
    assert len(unlike_places([prediction(peaks)], most=9, above=1.0)) == 4
    assert len(unlike_places([prediction(peaks)], above=99.0)) == 1


def test_random_maps_give_places_apart_and_inside():
    """Whatever the map, the grid and the patch: inside the patch, none over another, worst first."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        height, width = (int(side) for side in rng.integers(1, 400, 2))
        top, left = (int(at) for at in rng.integers(0, 50, 2))
        shape, grid = (tuple(int(n) for n in rng.integers(1, 40, 2)) for _ in range(2))
        cells = rng.integers(-1, 7 * grid[0] * grid[1], grid)
        patch = Prediction("a", Box(top, left, height, width), {}, rng.random(shape, np.float32), nearest=cells)
        places = unlike_places([patch])
        assert places
        assert apart(places)
        assert [place.value for place in places] == sorted((place.value for place in places), reverse=True)
        for place in places:
            assert (place.box.top >= top, place.box.bottom <= top + height) == (True, True)
            assert (place.box.left >= left, place.box.right <= left + width) == (True, True)
            assert place.box.height == place.box.width == min(max(48, round(min(height, width) / 5)), height, width)
            if place.nearest is not None:
                good = place.nearest.box
                assert min(good.top, good.left) >= 0
                assert (good.bottom <= shape[0], good.right <= shape[1]) == (True, True)


def test_patches_share_the_places():
    """The worst of all patches comes first, in the frame's pixels; patches that overlap do not show a place twice."""
    left = prediction({(20, 90): 3.0}, box=Box(10, 0, 640, 960), region="left")
    right = prediction({(20, 2): 4.0}, box=Box(10, 880, 640, 960), region="right")
    places = unlike_places([left, right], above=1.0)
    assert [(place.region, place.value) for place in places] == [("right", 4.0)]
    assert places[0].box == Box(146, 880, 128, 128)
    far = prediction({(50, 40): 2.0}, box=Box(10, 2000, 640, 960), region="far")
    assert [place.region for place in unlike_places([left, right, far], above=1.0)] == ["right", "far"]


def test_a_value_that_is_no_number_is_the_worst():
    """NaN comes first, as it is judged; a map of nothing but NaN ends."""
    places = unlike_places([prediction({(20, 50): math.nan, (50, 80): 9.0})], above=1.0)
    assert math.isnan(places[0].value)
    assert places[1].value == 9.0
    assert len(unlike_places([prediction({}, cells=None, shape=(1, 1))])) == 1
    everything = Prediction(
        "a", Box(0, 0, 9, 9), {}, np.full((3, 3), np.nan, np.float32), nearest=np.zeros((1, 1), int)
    )
    assert len(unlike_places([everything])) == 1


def test_without_map_or_memory_there_is_no_place():
    """A graph that does not name its nearest cells explains nothing, and nothing fails."""
    whole = prediction({(20, 50): 3.0})
    for missing in ({"nearest": None}, {"anomaly_map": None}, {"nearest": np.zeros((0, 4), np.int64)}):
        parts = {"anomaly_map": whole.anomaly_map, "nearest": whole.nearest} | missing
        assert unlike_places([Prediction("whole", whole.box, {}, **parts)]) == ()
    assert unlike_places([]) == ()
    assert whole.anomaly_map[20, 50] == 3.0  # looked at, never changed


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["uint8", "uint16"])
def test_a_pair_is_cut_out_of_frame_and_reference(dtype):
    """Pixels of the pair say where they came from; a 16-bit frame is stretched as a whole, not each place by itself."""
    frame = np.zeros((640, 960), dtype)
    frame[136:264, 456:584] = 100
    frame[0:9] = 200
    places = unlike_places([prediction({(20, 50): 3.0})], above=1.0)
    [pair] = pairs_of(frame, places, Pages())
    assert pair.place is places[0]
    assert pair.here.shape == (128, 128)
    assert pair.here.dtype == np.uint8
    assert (pair.here == (100 if dtype is np.uint8 else 128)).all()
    assert pair.good.shape == (13, 13, 3)
    assert pair.good[0, 0].tolist() == [2, 14, 46]
    assert pair.good[-1, -1].tolist() == [2, 26, 58]


def test_a_picture_that_the_references_do_not_hold_has_no_pair():
    """An index out of range explains nothing; it does not stop the others."""
    cells = np.full((8, 12), 2 * 96)
    cells[2, 6] = 7 * 96  # the eighth of seven
    frame = np.zeros((640, 960, 3), np.uint8)
    places = unlike_places([prediction({(20, 50): 3.0, (50, 10): 2.0}, cells=cells)], above=1.0)
    assert [place.nearest.picture for place in places] == [7, 2]
    assert [pair.place for pair in pairs_of(frame, places, Pages())] == [places[1]]


@pytest.mark.parametrize(
    "movement",
    [Movement(), Movement(down=0.0625, right=-0.125), Movement(turn=30, right=0.03), Movement(turn=-115)],
    ids=str,
)
@pytest.mark.parametrize("width", [256, 400])
def test_the_good_one_lies_as_the_product_lies(movement, width):
    """Of a product that was aligned, the good crop shows the very same part, turned and shifted as the frame has it."""
    movement = replace(movement, aspect=256 / width)
    rng = np.random.default_rng(4)
    page = cv2.GaussianBlur(rng.random((256, 256), np.float32), (0, 0), 12)
    page = ((page - page.min()) / (page.max() - page.min()) * 255).astype(np.uint8)
    shown = move_back(page, movement, outside=0)
    frame = cv2.resize(shown, (width, 256), interpolation=cv2.INTER_LINEAR)
    names = np.arange(64 * 64, dtype=np.int64).reshape(64, 64)
    nearest = move_back(names, movement, outside=-1)
    for at in ((128, 128), (100, 140), (150, 90)):
        values = np.zeros((256, 256), np.float32)
        values[at] = 1.0
        box = Box(0, 0, 256, width)
        patch = Prediction("whole", box, {}, values, nearest=nearest, turn=movement.turn)
        references = SimpleNamespace(count=1, page=lambda _: page)
        [pair] = pairs_of(frame, unlike_places([patch], above=0.5), references)
        good = cv2.resize(pair.good, pair.here.shape[::-1], interpolation=cv2.INTER_LINEAR)
        apart = np.abs(good.astype(float) - pair.here).mean()
        assert apart < 8 if movement.turn else apart < 2  # a turned grid is known to within half a cell
        turned = np.rot90(good, 2).astype(float)
        assert np.abs(turned - pair.here).mean() > 2 * apart


@pytest.mark.parametrize(("page", "channels"), [((64, 96), 2), ((64, 96, 3), 3)], ids=["grey", "colour"])
def test_grey_stands_beside_grey(page, channels):
    """A colour frame is shown in grey where the graph remembers grey: its colour is not what differs."""
    frame = np.full((640, 960, 3), (200, 100, 50), np.uint8)
    references = SimpleNamespace(count=9, page=lambda _: np.zeros(page, np.uint8))
    [pair] = pairs_of(frame, unlike_places([prediction({(20, 50): 3.0})], above=1.0), references)
    assert pair.here.ndim == pair.good.ndim == channels
    assert np.unique(pair.here).tolist() == ([124] if channels == 2 else [50, 100, 200])
