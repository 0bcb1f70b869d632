"""Products that lie where a test says, moved by scikit-image: another implementation of what is tested."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.transform import EuclideanTransform, warp

from candling.scenes.capsules import draw_capsule


def capsule(seed=0, *, size=192, share=0.6):
    """A drawn capsule, float in [0, 1], on so much paper that it may be turned and shifted."""
    frame = draw_capsule(np.random.default_rng(seed), size=256, difficulty=0.2)
    grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    side = round(size * share)
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    before = (size - side) // 2
    after = size - side - before
    return cv2.copyMakeBorder(small, before, after, before, after, cv2.BORDER_REPLICATE) / 255.0


def laid(picture, *, turn=0.0, down_px=0.0, right_px=0.0, noise=0.0, seed=1):
    """The picture turned clockwise (degrees) about its centre, then shifted, then seen with noise: uint8."""
    height, width = picture.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    there = (
        EuclideanTransform(translation=-centre)
        + EuclideanTransform(rotation=np.radians(turn))
        + EuclideanTransform(translation=centre + np.array([right_px, down_px]))
    )
    seen = warp(picture, there.inverse, order=1, mode="edge")
    seen = seen + np.random.default_rng(seed).normal(0.0, noise, seen.shape)
    return np.rint(np.clip(seen, 0.0, 1.0) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scenes():
    """Both functions, for tests that cannot import this file."""

    class Scenes:
        pass

    made = Scenes()
    made.capsule, made.laid = capsule, laid
    return made
