"""Draw the pictures of docs/vials.md: a strip, a run, rank frames, frames together, every defect at three contrasts.

They are kept small: half size where a whole strip is shown, and 64 greys.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.scenes.vials import DEFECTS, GEOMETRY, INSPECTED, draw_frame, make_strip, rank_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.scenes.vials import Strip

FOLDER = Path(__file__).resolve().parent / "pictures" / "vials"
CONTRASTS = (1.0, 0.5, 0.2)
SHOWN = {"bump_beside_bubble": 9, "deformation_on_bubble": 21, "scratch_deep": 12, "burn": 21, "contaminated_foam": 21}
"""Strips that show a defect well; strip 5 shows the others."""

REACH = 72


def save(name: str, picture: NDArray[np.uint8]) -> None:
    """Write a picture in 64 greys."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".png", (picture >> 2 << 2) | 2, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if encoded:
        (FOLDER / f"{name}.png").write_bytes(data.tobytes())
        print(f"{name}.png: {len(data) // 1024} kB")


def half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a picture to half its sides."""
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def around(strip: Strip) -> NDArray[np.uint8]:
    """Cut the surroundings of a strip's defect out of the middle frame of a run."""
    assert strip.defect is not None
    frame = draw_frame(strip, 1, 7)
    row = round(min(max(strip.defect.row, REACH), GEOMETRY.height - REACH))
    column = round(min(max(strip.defect.column, REACH), GEOMETRY.width - REACH))
    return frame[row - REACH : row + REACH, column - REACH : column + REACH]


def _vial(strip: Strip) -> int:
    """Name the first of two vials that show a strip's defect."""
    assert strip.defect is not None
    return min(strip.defect.vial, GEOMETRY.vials - 1)


def main() -> None:
    """Draw all pictures of the page."""
    strip = make_strip(11)
    frames = np.stack([draw_frame(strip, 2, number) for number in range(16)])
    level = np.s_[490:690, 0:512]
    save("strip", half(frames[0]))
    save("run", np.hstack([half(frames[number][level]) for number in INSPECTED]))
    save("ranks", np.hstack([half(frame[level]) for frame in rank_frames(frames)]))
    burnt = make_strip(21, defect="burn", contrast=0.8)
    shown = [draw_frame(burnt, 1, number) for number in reversed(INSPECTED)]  # OpenCV writes blue first
    save("together", half(np.ascontiguousarray(np.dstack(shown)[490:1010, 256 * (_vial(burnt) - 1) :][:, :512])))
    for kind in DEFECTS:
        seed = SHOWN.get(kind, 5)
        strips = [make_strip(seed, defect=kind, contrast=contrast) for contrast in CONTRASTS]
        save(kind, np.hstack([around(one) for one in strips]))


if __name__ == "__main__":
    main()
