"""Where a picture is unlike all good ones, and which good one is nearest there; knows no file, no page and no colour.

The anomaly map says where, the graph's ``nearest`` says which remembered cell was the nearest, and the bundle's
references hold the pictures. This explains a verdict; it takes no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.pixels.heatmap import stretch
from candling.types import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.runtime.references import References
    from candling.types import Frame, Prediction

__all__ = ["Cell", "Pair", "Place", "pairs_of", "unlike_places"]

MOST: Final = 3
"""Places shown of one picture."""

SMALLEST: Final = 48
"""Side of the smallest place, in pixels of the frame: less shows no surroundings."""

SHARE: Final = 5
"""A place is this part of its patch's shorter side."""


@dataclass(frozen=True)
class Cell:
    """A remembered good cell, and what lies around it as far as the place reaches.

    Attributes:
        picture: which of the references, from 0.
        row: in the graph's grid, from 0.
        column: likewise.
        box: the surroundings, in pixels of the reference.
    """

    picture: int
    row: int
    column: int
    box: Box


@dataclass(frozen=True)
class Place:
    """A part of the frame that is unlike good ones.

    Attributes:
        region: the region of the patch it lies in.
        box: in pixels of the frame.
        value: the anomaly map's, at its worst there.
        nearest: the remembered good cell the worst cell resembles most; None where none is known.
        turn: degrees by which the product lies clockwise of the remembered one.
    """

    region: str
    box: Box
    value: float
    nearest: Cell | None
    turn: float = 0.0


@dataclass(frozen=True)
class Pair:
    """A place beside the nearest good one.

    Attributes:
        place: which.
        here: of the frame, uint8 (h, w) or (h, w, 3). A 16-bit frame is stretched for the eye as a whole; a colour one
            is grey where the reference is grey, so that colour is not taken for the difference.
        good: of the reference, uint8 (h', w') or (h', w', 3): the same extent at the size the graph sees, turned as the
            product lies.
    """

    place: Place
    here: NDArray[np.uint8]
    good: NDArray[np.uint8]


def unlike_places(predictions: Sequence[Prediction], *, most: int = MOST, above: float = -np.inf) -> tuple[Place, ...]:
    """Find the places that are unlike good ones: the peaks of the anomaly maps, worst first, none over another.

    Args:
        predictions: the patches of one frame; those without a map or without nearest cells are passed over.
        most: how many places to give.
        above: the second place and those after it must lie above this value; the worst is always given.

    Returns:
        Square places around the worst cells: a fifth of the patch's shorter side, but at least 48 px, inside the patch.

    >>> from candling.types import Prediction
    >>> values = np.zeros((8, 8), np.float32)
    >>> values[6, 1] = 2.0
    >>> cells = np.arange(16).reshape(4, 4) + 5 * 16
    >>> [place] = unlike_places([Prediction("whole", Box(0, 0, 400, 400), {}, values, nearest=cells)], above=1.0)
    >>> place.box, place.nearest
    (Box(top=310, left=10, height=80, width=80), Cell(picture=5, row=3, column=0, box=Box(top=6, left=0, height=2, \
width=2)))
    """
    maps = [_Peaks.of(one) for one in predictions if _is_whole(one)]
    places: list[Place] = []
    while maps and len(places) < most:
        worst = max(maps, key=_Peaks.highest)
        if np.isneginf(worst.highest()) or (places and not worst.highest() > above):
            break
        places.append(worst.place())
        for each in maps:
            each.leave_out(places[-1].box)
    return tuple(places)


def pairs_of(frame: Frame, places: Sequence[Place], references: References) -> tuple[Pair, ...]:
    """Cut each place out of its frame, and the nearest good one out of the references.

    A place of which no remembered cell is known, or one that the references do not hold, has no pair.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3): the one the places were found in.
        places: as :func:`unlike_places` gives them.
        references: of the bundle that said so.

    Raises:
        BundleError: a page of the references is damaged.
    """
    shown, pairs = stretch(frame), []
    for place in places:
        if place.nearest is not None and place.nearest.picture < references.count:
            good = references.page(place.nearest.picture)
            here = shown[_inside(place.box)]
            if here.ndim > good.ndim:
                here = cv2.cvtColor(here, cv2.COLOR_RGB2GRAY)
            pairs.append(Pair(place, here, _cut_turned(good, place.nearest.box, place.turn)))
    return tuple(pairs)


@dataclass(frozen=True)
class _Peaks:
    """What is left of one patch's map: values in places already taken are minus infinity.

    Attributes:
        prediction: the patch.
        left: float32 (H, W), NaN as infinity.
        tops: int64 (H,), the frame's row at which the place around the cell of each row of the map begins.
        lefts: int64 (W,), likewise.
        side: of a place, in pixels of the frame.
    """

    prediction: Prediction
    left: NDArray[np.float32]
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    side: int

    @classmethod
    def of(cls, prediction: Prediction) -> _Peaks:
        box, values = prediction.box, _map_of(prediction)
        shorter = min(box.height, box.width)
        side = min(max(SMALLEST, round(shorter / SHARE)), shorter)
        left = np.where(np.isnan(values), np.float32(np.inf), values)
        assert prediction.nearest is not None  # patches without it are passed over
        rows, columns = prediction.nearest.shape
        tops = box.top + _begins(values.shape[0], rows, box.height, side)
        lefts = box.left + _begins(values.shape[1], columns, box.width, side)
        return cls(prediction, left, tops, lefts, side)

    def highest(self) -> float:
        return float(self.left.max())

    def place(self) -> Place:
        """Give the place around the highest value that is left."""
        row, column = (int(at) for at in np.unravel_index(int(self.left.argmax()), self.left.shape))
        box = Box(int(self.tops[row]), int(self.lefts[column]), self.side, self.side)
        value = float(_map_of(self.prediction)[row, column])
        turn = self.prediction.turn
        return Place(self.prediction.region, box, value, self._nearest(row, column, box), turn)

    def leave_out(self, taken: Box) -> None:
        """Take away every value whose place would lie over a place that is taken."""
        rows = (self.tops < taken.bottom) & (self.tops + self.side > taken.top)
        columns = (self.lefts < taken.right) & (self.lefts + self.side > taken.left)
        self.left[np.ix_(rows, columns)] = -np.inf

    def _nearest(self, row: int, column: int, place: Box) -> Cell | None:
        """Name the remembered cell nearest to the one a pixel of the map lies in.

        Its box lies around it as the place does around its own cell, in the remembered product's own position.
        """
        (height, width), cells = self.left.shape, self.prediction.nearest
        assert cells is not None  # or it would not be here
        own = row * cells.shape[0] // height, column * cells.shape[1] // width
        picture, within = divmod(int(cells[own]), cells.size)
        if picture < 0:
            return None
        found = divmod(within, cells.shape[1])
        patch, parts = self.prediction.box, cells.shape
        below = place.top - patch.top + place.height / 2 - (own[0] + 0.5) * patch.height / parts[0]
        beside = place.left - patch.left + place.width / 2 - (own[1] + 0.5) * patch.width / parts[1]
        cosine, sine = np.cos(np.radians(self.prediction.turn)), np.sin(np.radians(self.prediction.turn))
        below, beside = cosine * below - sine * beside, sine * below + cosine * beside
        middle = (
            (found[0] + 0.5) * height / parts[0] + below * height / patch.height,
            (found[1] + 0.5) * width / parts[1] + beside * width / patch.width,
        )
        size = (
            max(1, round(place.height * height / patch.height)),
            max(1, round(place.width * width / patch.width)),
        )
        top, left = (round(float(at) - length / 2) for at, length in zip(middle, size, strict=True))
        inside = min(max(top, 0), height - size[0]), min(max(left, 0), width - size[1])
        return Cell(picture, found[0], found[1], Box(*inside, *size))


def _is_whole(prediction: Prediction) -> bool:
    """Tell whether there is a map and a grid, both with something in them."""
    return all(part is not None and part.size for part in (prediction.anomaly_map, prediction.nearest))


def _map_of(prediction: Prediction) -> NDArray[np.float32]:
    assert prediction.anomaly_map is not None  # patches without one are passed over
    return prediction.anomaly_map


def _begins(values: int, cells: int, length: int, side: int) -> NDArray[np.int64]:
    """Say for each value along an axis of the map where the place around the middle of its cell begins.

    Args:
        values: how many the map has along this axis.
        cells: how many the grid has.
        length: of the patch, in pixels of the frame.
        side: of a place; it slides back where it would leave the patch.

    >>> _begins(4, 2, 100, 40).tolist()
    [5, 5, 55, 55]
    """
    middles = (np.arange(values) * cells // values + 0.5) * length / cells
    return np.clip(np.rint(middles - side / 2), 0, length - side).astype(np.int64)


def _cut_turned(page: NDArray[np.uint8], box: Box, turn: float) -> NDArray[np.uint8]:
    """Cut a box out, its content turned clockwise about its middle; the page's border is repeated.

    >>> page = np.arange(9, dtype=np.uint8).reshape(3, 3)
    >>> _cut_turned(page, Box(0, 0, 3, 3), 90.0).tolist()
    [[6, 3, 0], [7, 4, 1], [8, 5, 2]]
    """
    if turn == 0.0:
        return page[_inside(box)]
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    stretch = box.width / box.height  # the box is square in the frame
    turned = np.array([[cosine, sine * stretch], [-sine / stretch, cosine]])  # from the frame's to the page's
    middle = np.array([(box.width - 1) / 2, (box.height - 1) / 2])
    corner = np.array([box.left, box.top])
    matrix = np.column_stack([turned, middle + corner - turned @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut: NDArray[np.uint8] = cv2.warpAffine(
        page, matrix, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return cut


def _inside(box: Box) -> tuple[slice, slice]:
    return slice(box.top, box.bottom), slice(box.left, box.right)
