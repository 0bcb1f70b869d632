"""Where objects may be: anchors on a grid, boxes made of them, the surest of each pile, and what a map shows there.

All shapes are fixed by numbers known before, so the very same can run while learning, in a graph, and in any engine.
Needs no torchvision; knows no loss and no network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GridAnchors", "anchor_boxes", "asked_first", "clip", "decode", "overlaps", "surest", "take_regions"]

LARGEST = math.log(1000.0 / 16.0)
"""No box is decoded more than so much larger than its anchor, in logarithms (Girshick's Detectron)."""

HANDICAP = 10.0
"""Logits by which a place that has a surer neighbour comes later."""

ROUNDS = 12
"""Boxes that only fall because one fell that fell because one fell, and so on: chains up to this length are exact."""


def anchor_boxes(sizes: Tensor, *, stride: int, rows: int, columns: int) -> Tensor:
    """Lay anchors of every size into the middle of each place of a grid.

    Args:
        sizes: float32 (A, 2), height and width in pixels.
        stride: pixels from one place to the next.
        rows: of the grid.
        columns: of the grid.

    Returns:
        float32 (rows * columns * A, 4), left, top, right, bottom, place by place, row by row.

    >>> anchor_boxes(torch.tensor([[4.0, 8.0]]), stride=8, rows=1, columns=2).tolist()
    [[0.0, 2.0, 8.0, 6.0], [8.0, 2.0, 16.0, 6.0]]
    """
    down, right = ((torch.arange(count, device=sizes.device) + 0.5) * stride for count in (rows, columns))
    y, x = torch.meshgrid(down, right, indexing="ij")
    middle = torch.stack((x, y, x, y), dim=2).unsqueeze(2)
    half = torch.stack((-sizes[:, 1], -sizes[:, 0], sizes[:, 1], sizes[:, 0]), dim=1) / 2.0
    return (middle + half).reshape(-1, 4)


class GridAnchors(nn.Module):
    """Anchors for a network of proposals that asks for them by image and map, as torchvision's does.

    Attributes:
        sizes: float32 (A, 2), height and width in pixels.
    """

    sizes: Tensor

    def __init__(self, sizes: NDArray, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("sizes", torch.as_tensor(sizes, dtype=torch.float32))

    def forward(self, images: Any, maps: list[Tensor]) -> list[Tensor]:
        """Give the anchors of each image, float32 (h * w * A, 4); all images have the same."""
        rows, columns = maps[0].shape[2:]
        boxes = anchor_boxes(self.sizes, stride=self.stride, rows=rows, columns=columns)
        return [boxes] * len(images.image_sizes)


def decode(deltas: Tensor, boxes: Tensor, *, weights: tuple[float, float, float, float]) -> Tensor:
    """Move and stretch boxes (Girshick et al. 2014, appendix C, divided by ``weights``).

    Args:
        deltas: float32 (..., 4), of middle x, middle y, width and height.
        boxes: float32 (..., 4), left, top, right, bottom; broadcast.
        weights: what the deltas were multiplied by.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    middle = boxes[..., :2] + 0.5 * size
    moved = deltas / deltas.new_tensor(weights)
    middle = middle + moved[..., :2] * size
    size = size * moved[..., 2:].clamp(max=LARGEST).exp()
    return torch.cat((middle - 0.5 * size, middle + 0.5 * size), dim=-1)


def clip(boxes: Tensor, *, height: int, width: int) -> Tensor:
    """Cut boxes (..., 4) at the edges of an image."""
    return torch.minimum(boxes.clamp(min=0.0), boxes.new_tensor([width, height, width, height]))


def asked_first(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose which anchors are asked: the surest, but a place with a surer neighbour of the same shape comes later.

    Around an object many anchors are sure, of a large one more than of a small one. Taken as they come, the large
    objects of a full picture would use up all that are asked, and nobody would look at the small ones.

    Args:
        logits: float32 (N, A, h, w), of A shapes at every place.
        count: how many are asked, at most h * w * A.

    Returns:
        which of h * w * A anchors, place by place, int64 (N, count), the surest first; and in what order they were
        asked, float32 (N, count), larger is earlier.
    """
    highest = F.max_pool2d(logits, 3, stride=1, padding=1)
    order = logits - HANDICAP * (logits < highest).to(logits.dtype)
    sure, order = (each.permute(0, 2, 3, 1).flatten(1) for each in (logits, order))
    asked, places = order.topk(count, dim=1)
    surest_first = sure.gather(1, places).topk(count, dim=1).indices
    return places.gather(1, surest_first), asked.gather(1, surest_first)


def overlaps(boxes: Tensor) -> Tensor:
    """Give the overlap (intersection over union) of each two boxes of an image: (N, P, 4) to (N, P, P) in [0, 1]."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    sides = (high - low).clamp(min=0.0)
    shared = sides[..., 0] * sides[..., 1]
    size = boxes[..., 2:] - boxes[..., :2]
    area = size[..., 0] * size[..., 1]
    return shared / (area[:, :, None] + area[:, None, :] - shared).clamp(min=1e-6)


def surest(boxes: Tensor, *, iou: float) -> Tensor:
    """Say which boxes stay when of overlapping ones the surest does (non-maximum suppression).

    A box falls if one before it stays that overlaps it; all boxes are asked at once, and again until chains are settled
    (cluster NMS: Zheng et al. 2022). Ordinary suppression goes through them one by one, which no fixed graph can.

    Args:
        boxes: float32 (N, P, 4), of each image the surest first.
        iou: two boxes that overlap by more are one object.

    Returns:
        float32 (N, P), 1 where a box stays.
    """
    count = boxes.shape[1]
    above = torch.ones((count, count), device=boxes.device).triu(1)
    clash = (overlaps(boxes) > iou).to(boxes.dtype) * above
    kept = torch.ones_like(boxes[:, :, 0])
    for _ in range(ROUNDS):
        kept = (torch.matmul(kept.unsqueeze(1), clash).squeeze(1) < 0.5).to(boxes.dtype)
    return kept


def take_regions(maps: Tensor, boxes: Tensor, *, stride: int, side: int) -> Tensor:
    """Sample what a map shows in boxes, bilinearly at 2 x 2 points a cell (RoIAlign: He et al. 2017, section 3).

    Args:
        maps: float32 (N, C, h, w).
        boxes: float32 (N, K, 4), in pixels of the image, inside it.
        stride: pixels from one place of the map to the next.
        side: cells along each side of a box.

    Returns:
        float32 (N, K, C, side, side).
    """
    count, points = boxes.shape[1], 2 * side
    rows, columns = maps.shape[2:]
    steps = (torch.arange(points, device=boxes.device) + 0.5) / points
    low, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    reach = boxes.new_tensor([columns * stride, rows * stride])
    across = low[..., 0:1] + size[..., 0:1] * steps  # (N, K, points)
    down = low[..., 1:2] + size[..., 1:2] * steps
    across, down = 2.0 * across / reach[0] - 1.0, 2.0 * down / reach[1] - 1.0
    shape = (-1, count, points, points)
    grid = torch.stack((across.unsqueeze(2).expand(shape), down.unsqueeze(3).expand(shape)), dim=4)
    seen = F.grid_sample(maps, grid.flatten(1, 2), mode="bilinear", padding_mode="border", align_corners=False)
    means = F.avg_pool2d(seen, 2)  # (N, C, K * side, side)
    return means.unflatten(2, (count, side)).transpose(1, 2)
