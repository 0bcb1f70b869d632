"""A patch network at every place of an image at once: fragments instead of patches; knows no label and no score.

A network that judges one patch ends in a single number. Run over a whole image with its pools as they are, it judges
every eighth place, since three pools halve three times. Where a pool is to lose no place, its input is pooled four
times, each time begun one row or column later, and the four results go on as four pictures: *fragments* (Giusti et al.
2013, ICIP, 4034). No number is computed twice, none is left out, and each is the very number of its patch. The engines'
other way, dilated convolutions and pools, gives the same numbers; ``benchmarks/dense_map.py`` measures both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.errors import RecipeError

__all__ = ["Dense", "Stage", "inner_side"]


class Stage(nn.Module):
    """A convolution without padding, ReLU, and the maximum of each 2 x 2."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = nn.Conv2d(before, after, kernel)

    def forward(self, maps: Tensor) -> Tensor:
        """Take (N, C, H, W) to (N, after, (H - kernel + 1) // 2, (W - kernel + 1) // 2)."""
        return F.max_pool2d(torch.relu(self.conv(maps)), 2)

    def fragments(self, maps: Tensor) -> Tensor:
        """Take (N, C, H, W) to (4 N, ...): pooled from row and column 0 and 1 on, row first, as further images."""
        seen = torch.relu(self.conv(maps))
        return torch.cat([F.max_pool2d(seen[:, :, row:, column:], 2) for row in (0, 1) for column in (0, 1)])


def inner_side(patch: int, kernels: tuple[int, ...]) -> int:
    """Say how many places a patch has left on a side after stages of these kernels; 0 or less is too small a patch.

    >>> inner_side(29, (5, 5, 3)), inner_side(27, (5, 5, 3))
    (1, 0)
    """
    for kernel in kernels:
        patch = (patch - kernel + 1) // 2
    return patch


class Dense(nn.Module):
    """The logits of the patches around every ``stride``-th pixel, as a map of the whole image.

    The image is continued by reflection where a patch reaches over its border, so every pixel is judged, the last
    columns as well. With a stride above 1 each block of ``stride`` x ``stride`` pixels has the value of the patch
    around the pixel in its middle (of an even block: the one before the middle).

    Attributes:
        reach: side in pixels of what one number is computed from; where a pool leaves a row over, less than a patch.
        stride: pixels from one patch to the next.
        size: (H, W) of the images.
    """

    def __init__(
        self, stages: nn.Sequential, head: nn.Module, *, patch: int, stride: int, size: tuple[int, int]
    ) -> None:
        """Prepare for images of one size.

        Args:
            stages: of :class:`Stage`; together they bring a patch to ``inner_side``.
            head: (N, C, h, w) to (N, 1, ...): its first convolution takes a patch to a single place.
            patch: side of a patch in pixels.
            stride: a power of two, at most 2^stages.
            size: (H, W) of the images.

        Raises:
            RecipeError: a side is shorter than a patch.
        """
        super().__init__()
        if min(size) < patch:
            raise RecipeError(
                f"prepare: images of {size[0]} x {size[1]} px are smaller than a patch of {patch} px; enlarge "
                "prepare.height and prepare.width, or lower method.patches.size"
            )
        self.stages, self.head, self.stride, self.size = stages, head, stride, size
        kernels = tuple(stage.kernel for stage in stages if isinstance(stage, Stage))
        self.reach = inner_side(patch, kernels)
        for kernel in reversed(kernels):
            self.reach = 2 * self.reach + kernel - 1
        whole, first = 2 ** len(stages), patch // 2 - (stride - 1) // 2
        bottom, right = (-(-side // whole) * whole + self.reach - 1 - first - side for side in size)
        self.margins = (first, right, first, bottom)  # no more than what the last patches look at

    def forward(self, image: Tensor) -> Tensor:
        """Take (N, C, H, W) to logits float32 (N, 1, H, W)."""
        maps = _continued(image, self.margins)
        split = 0
        for level, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            every = 2**level >= self.stride  # the places that this pool would lose are wanted
            maps = stage.fragments(maps) if every else stage(maps)
            split += every
        maps = self.head(maps)
        for _ in range(split):
            maps = _joined(maps)
        if self.stride > 1:
            maps = F.interpolate(maps, scale_factor=float(self.stride), mode="nearest")
        return maps[:, :, : self.size[0], : self.size[1]].float()


def _continued(image: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
    """Continue an image by reflection; what is beyond the reflected image, which no pixel's patch sees, is repeated."""
    height, width = image.shape[2:]
    reflected = tuple(
        min(margin, side - 1) for margin, side in zip(margins, (width, width, height, height), strict=True)
    )
    image = F.pad(image, reflected, mode="reflect")
    rest = tuple(margin - done for margin, done in zip(margins, reflected, strict=True))
    return F.pad(image, rest, mode="replicate") if any(rest) else image


def _joined(maps: Tensor) -> Tensor:
    """Put four fragments together again: (4 N, 1, h, w) to (N, 1, 2 h, 2 w)."""
    height, width = maps.shape[2:]
    return F.pixel_shuffle(maps.view(4, -1, height, width).transpose(0, 1), 2)
