"""The remembered good pictures of a bundle: ``references.tif``, a page each; knows no graph and no verdict.

A graph that names the nearest remembered cells (output ``nearest``) counts pictures in the order of these pages. They
are for people: nothing here changes a score.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from candling.errors import BundleError, ImageError
from candling.pixels.read import MAX_BYTES, decode, inspect_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.runtime.bundle import Bundle

__all__ = ["REFERENCES", "References", "encode_references"]

REFERENCES: Final = "references.tif"
"""What the file is called in a bundle."""


@dataclass(frozen=True)
class References:
    """The remembered good pictures, unpacked one at a time.

    Attributes:
        count: how many there are.
        shape: (H, W) of each: the size the graph sees.
        channels: 1 for grey, 3 for RGB.
        where: names the file in messages.
    """

    count: int
    shape: tuple[int, int]
    channels: int
    where: str
    _data: bytes = field(repr=False)

    @classmethod
    def load(cls, bundle: Bundle) -> Self | None:
        """Load a bundle's references; None where it has none.

        Raises:
            BundleError: the file is damaged, or its pictures have not the size the graph sees.
        """
        data = bundle.read_extra(REFERENCES)
        if data is None:
            return None
        where, (height, width) = str(bundle.path / REFERENCES), bundle.recipe.prepare.shape[1:]
        try:
            facts = inspect_bytes(data, max_pixels=height * width, where=where)
        except ImageError as error:
            raise BundleError(str(error)) from error
        if facts.format != "tiff" or (facts.height, facts.width, facts.bits) != (height, width, 8):
            raise BundleError(
                f"{where}: {facts.format} of {facts.height} x {facts.width} px and {facts.bits} bits, but references "
                f"are 8-bit tiff of what the graph sees, {height} x {width} px; train again"
            )
        return cls(facts.pages, (height, width), facts.channels, where, data)

    def page(self, picture: int) -> NDArray[np.uint8]:
        """Unpack one picture.

        Args:
            picture: from 0, as the graph counts.

        Returns:
            uint8 (H, W) grey or (H, W, 3) RGB.

        Raises:
            BundleError: there is no such picture, it is damaged, or of another size or kind than the first.
        """
        if not 0 <= picture < self.count:
            raise BundleError(
                f"{self.where}: no picture {picture} among {self.count}; graph and references are not of one training"
            )
        height, width = self.shape
        try:
            frame = decode(self._data, page=picture, max_pixels=height * width, where=f"{self.where}, page {picture}")
        except ImageError as error:
            raise BundleError(str(error)) from error
        wanted = self.shape if self.channels == 1 else (*self.shape, 3)
        if frame.shape != wanted or frame.dtype != np.uint8:
            raise BundleError(
                f"{self.where}, page {picture}: {frame.dtype} {frame.shape} where the first has uint8 {wanted}; "
                "train again"
            )
        return frame.astype(np.uint8, copy=False)


def encode_references(pictures: NDArray[np.uint8]) -> bytes:
    """Pack remembered good pictures: a TIFF with a page each, deflate over differences along the row.

    The same pictures give the same bytes.

    Args:
        pictures: uint8 (K, H, W) grey or (K, H, W, 3) RGB, K at least 1, at the size the graph sees, as a person is to
            see them (16-bit pictures stretched, all on one scale).

    Raises:
        ValueError: another type or shape.
        BundleError: together they are larger than a bundle takes.
    """
    import tifffile  # only training writes

    colour = pictures.ndim == 4 and pictures.shape[3] == 3
    if pictures.dtype != np.uint8 or not (pictures.ndim == 3 or colour) or not pictures.size:
        raise ValueError(
            f"references are {pictures.dtype} {pictures.shape}; give uint8 of shape (K, H, W) or (K, H, W, 3)"
        )
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for picture in pictures:
            writer.write(
                picture,
                photometric="rgb" if colour else "minisblack",
                compression="zlib",
                predictor=True,
                rowsperstrip=len(picture),
                contiguous=False,
                metadata=None,
                software=False,
                maxworkers=1,
            )
    if file.tell() > MAX_BYTES:
        raise BundleError(
            f"{len(pictures)} remembered pictures take {file.tell()} bytes, more than the {MAX_BYTES} a bundle takes "
            "in one file; remember fewer"
        )
    return file.getvalue()
