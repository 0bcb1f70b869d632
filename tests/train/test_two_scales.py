"""The facts of train/two_scales.py: strange is what both memories find strange; the coarse one is shown."""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate

from candling.train.memory import MemoryOptions, Settings, fit_memory, know
from candling.train.two_scales import TwoScales


def good(count: int, *, seed: int = 0) -> torch.Tensor:
    """Coarse noise that each image has of its own on stripes that all share: float32 (N, 1, 64, 96)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((count, 1, 8, 12), generator=generator)
    return (0.5 + 0.1 * torch.sin(torch.arange(96) / 3) + 0.03 * interpolate(coarse, scale_factor=8)).clamp(0, 1)


def both() -> TwoScales:
    known = know([(good(8), torch.arange(8))], cells=[4, 8], whitening=0.25)
    return TwoScales(*(fit_memory(known[cell], Settings(cell, r), MemoryOptions()) for cell, r in ((8, 1), (4, 0))))


def test_the_lesser_deviation_counts():
    """At 1/4 of the size each place has the lesser of the two, the coarse one enlarged; the rest is the coarse's."""
    memory, images = both(), good(3, seed=5)
    seen, coarse, fine = memory(images), memory.coarse(images), memory.fine(images)
    wide = interpolate(coarse.deviation[:, None], scale_factor=2.0, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(seen.deviation, torch.minimum(wide, fine.deviation), rtol=1e-4, atol=1e-4)
    assert (seen.deviation < wide - 1e-3).any(), "the fine one never counts"
    assert (seen.deviation < fine.deviation - 1e-3).any(), "the coarse one never counts"
    assert torch.equal(seen.number, coarse.number)
    torch.testing.assert_close(seen.own_deviation, coarse.deviation, rtol=1e-4, atol=1e-4)
    assert (memory.cell, memory.shown_cell, memory.parts) == (4, 8, (memory.coarse, memory.fine))


def test_an_image_can_be_left_out():
    """Left out of both, a remembered image is no longer at distance 0, and each is compared as it would be alone."""
    memory, images = both(), good(8)
    own = torch.arange(8)
    seen = memory(images, own)
    assert not (seen.number // 96 == own[:, None, None]).any()
    assert seen.deviation.mean() > memory(images).deviation.mean()
    torch.testing.assert_close(memory(images[2:4], own[2:4]).deviation, seen.deviation[2:4], rtol=1e-4, atol=1e-4)
