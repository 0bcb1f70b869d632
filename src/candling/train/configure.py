"""What a memory decides from good images alone: cell size and search radius; defects never choose anything.

Held-out good images are spoiled, and of every setting it is asked how well the memory of the other good images tells
the spoiled from the untouched ones, and where it sees the spoiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from candling.errors import RecipeError
from candling.measure.anomaly import image_auroc, pixel_average_precision
from candling.train.gaussians import Gaussians
from candling.train.memory import (
    Known,
    Memory,
    MemoryOptions,
    Settings,
    fit_memory,
    know,
    know_by_backbone,
    pad_to_cells,
)
from candling.train.pretrained import load_body
from candling.train.spoil import SpoilKind, spoil
from candling.train.two_scales import TwoScales
from candling.train.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Choice", "Evidence", "choose_memory", "image_score", "spoiled_pairs"]

KINDS: tuple[SpoilKind, ...] = ("texture", "cutpaste", "scratch", "spot", "fill", "warp")
"""Ways in which held-out images are spoiled."""

MOST = 24
"""So many held-out images, and as many remembered ones, are enough to compare settings."""

FAINT = (0.2, 0.8)
"""Spoilings are blended in with an opacity between these, so that some are hard to see."""

VISIBLE_TIMES = 1.2
"""A spoiling counts where it is so many times stronger than the texture around it."""

BOTH = 0
"""The cell size of settings that take both."""

ENOUGH = 2
"""A Gaussian of a place is tried from so many times as many images as a descriptor has numbers."""

CLEARLY = 0.1
"""A setting that knows less must be better by this."""

TOP = 0.002
"""Share of the map whose mean is an image's score."""


@dataclass(frozen=True)
class Pairs:
    """Held-out good images, untouched and spoiled.

    Attributes:
        good: float32 (N, C, H, W).
        spoiled: float32 (M, C, H, W), M up to 24: few images are spoiled several times, and spoilings that nobody could
            see are left out.
        defect: bool (M, H, W), what is spoiled visibly.
    """

    good: Tensor
    spoiled: Tensor
    defect: Tensor


@dataclass(frozen=True)
class Evidence:
    """How well one setting tells spoiled from untouched held-out images.

    Attributes:
        image_auroc: of the image scores.
        pixel_ap: of the map.
    """

    image_auroc: float
    pixel_ap: float

    @property
    def merit(self) -> float:
        """What settings are compared by."""
        return 0.5 * (self.image_auroc + self.pixel_ap)


@dataclass(frozen=True)
class Choice:
    """The memory that was chosen, and why.

    Attributes:
        memory: of all good images, with their usual distances.
        settings: what was chosen.
        evidence: of each setting that was tried.
    """

    memory: Memory | TwoScales
    settings: Settings
    evidence: dict[Settings, Evidence]

    def facts(self) -> dict[str, str | int | float]:
        """Give the lines of a card."""
        lines: dict[str, str | int | float] = {
            "memory cell": _cell(self.settings),
            "memory radius": "anywhere" if self.settings.radius is None else self.settings.radius,
        }
        for part in self.memory.parts:
            if isinstance(part.bank, Gaussians):
                lines["memory search"] = "gaussian"
            lines |= part.facts()
        for settings, found in self.evidence.items():
            radius = "anywhere" if settings.radius is None else f"radius {settings.radius}"
            radius = "Gaussian" if settings.search == "gaussian" else radius
            lines[f"spoiled held-out images, cell {_cell(settings)}, {radius}"] = (
                f"image AUROC {found.image_auroc:.3f}, pixel AP {found.pixel_ap:.3f}"
            )
        return lines


def _cell(settings: Settings) -> int | str:
    return "4 and 8" if settings.cell == BOTH else settings.cell


def spoiled_pairs(held_out: Tensor, generator: torch.Generator) -> Pairs:
    """Spoil held-out good images, some faintly; float32 (N, C, H, W) in [0, 1]."""
    images = held_out[:MOST]
    often = images[torch.arange(MOST, device=images.device) % len(images)]
    spoiled, _ = spoil(often, generator, kinds=KINDS, probability=1.0, upright=True)
    opacity = FAINT[0] + (FAINT[1] - FAINT[0]) * torch.rand((MOST, 1, 1, 1), generator=generator)
    spoiled = torch.lerp(often, spoiled, opacity.to(images))
    defect, _ = visible(often, spoiled, times=VISIBLE_TIMES)
    seen = defect.flatten(1).any(dim=1)
    return Pairs(images, spoiled[seen], defect[seen, 0])


def image_score(small: Tensor) -> Tensor:
    """Take the mean of the largest 0.2 % of each map, above its median: float32 (N, h, w) to (N,)."""
    flat = small.flatten(1)
    count = flat.shape[1]
    top = flat.topk(max(1, round(TOP * count)), dim=1).values.mean(dim=1)
    median = flat.topk(count // 2 + 1, dim=1, sorted=False).values.amin(dim=1)  # an engine has none
    return top - median


@torch.no_grad()
def weigh(maps: Callable[[Tensor], Tensor], pairs: Pairs, *, cell: int) -> Evidence | None:
    """Ask how well maps of small resolution tell spoiled from untouched images; None without any spoiled one."""
    if not len(pairs.spoiled):
        return None
    good, spoiled = (torch.cat([maps(image) for image in images.split(1)]) for images in (pairs.good, pairs.spoiled))
    auroc = image_auroc(image_score(good).cpu().numpy(), image_score(spoiled).cpu().numpy())
    rows, columns = pairs.defect.shape[1:]
    large = torch.nn.functional.interpolate(
        torch.cat((good, spoiled)).unsqueeze(1), scale_factor=float(cell), mode="bilinear", align_corners=False
    )[:, 0, :rows, :columns]
    nothing = torch.zeros((len(good), rows, columns), dtype=torch.bool)
    masks = torch.cat((nothing.to(pairs.defect.device), pairs.defect))
    precision = pixel_average_precision(list(large.cpu().numpy()), list(masks.cpu().numpy()))
    assert auroc is not None
    return Evidence(float(auroc), float(precision or 0.0))


def candidates(options: MemoryOptions) -> list[Settings]:
    """List the settings to compare, the likeliest first."""
    if options.search == "gaussian":
        return [Settings(8 if options.cell in {"auto", "both"} else int(options.cell), 0)]
    near: int | None = 1 if options.radius == "auto" else _near(options.radius)
    radii = (1, None) if options.radius == "auto" else (near,)
    if options.cell in {"auto", "both"}:
        anywhere = BOTH if options.cell == "both" else 8  # fine cells found anywhere say little
        chosen = [Settings(BOTH if radius is not None else anywhere, radius) for radius in radii]
        free = options.search == "auto" and options.radius == "auto" and options.backbone is None
        return [*chosen, Settings(8, 0, "gaussian")] if free else chosen
    return [Settings(int(options.cell), radius) for radius in radii]


def _enough(known: Known) -> bool:
    """Say whether there are images enough for a covariance at each place."""
    count, size = known.maps.shape[:2]
    return count >= ENOUGH * size


def _near(radius: int | str) -> int | None:
    return radius if isinstance(radius, int) else None


@torch.no_grad()
def choose_memory(
    remembered: tuple[Tensor, Tensor],
    held_out: Tensor,
    options: MemoryOptions,
    *,
    generator: torch.Generator,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> Choice:
    """Compare the settings on spoiled held-out images, and make the memory of the best.

    Args:
        remembered: good images float32 (K, C, H, W) in [0, 1] and their picture numbers int64 (K,).
        held_out: other good images, float32 (M, C, H, W), of one size with them; may be empty.
        options: what is decided already is not compared.
        generator: draws the spoilings.
        tell: told how many of how many settings are done; before that, images that a backbone described.

    Raises:
        RecipeError: a backbone, its weights or its cells cannot be used.
        MissingExtraError: a backbone is wanted without torchvision.
        TrainingError: there is no image to remember, or a backbone's weights could not be fetched.
    """
    known = _described(remembered, options, tell)
    tried = candidates(options)
    if options.backbone is not None:  # it has a single cell size
        (cell,) = known
        tried = [Settings(cell, settings.radius) for settings in tried]
    tried = [settings for settings in tried if settings.search != "gaussian" or _enough(known[settings.cell])]
    evidence: dict[Settings, Evidence] = {}
    pairs = spoiled_pairs(held_out, generator) if len(held_out) else None
    for done, settings in enumerate(tried):
        if pairs is not None:
            found = _evidence(known, settings, options, pairs)
            if found is not None:
                evidence[settings] = found
        tell(done + 1, len(tried))
    best = tried[0]
    for settings in tried[1:]:
        if settings in evidence and evidence[settings].merit > evidence[best].merit + CLEARLY:
            best = settings
    return Choice(_made(known, best, options), best, evidence)


def _described(
    remembered: tuple[Tensor, Tensor], options: MemoryOptions, tell: Callable[[int, int], None]
) -> dict[int, Known]:
    """Describe the good images once for each cell size that is wanted; a backbone has a single one."""
    if options.backbone is None:
        wanted = {settings.cell for settings in candidates(options)}
        cells = sorted(wanted - {BOTH} | ({4, 8} if BOTH in wanted else set()))
        return know([remembered], cells=cells, whitening=options.whitening)
    body = load_body(options.backbone)
    known = know_by_backbone(body, remembered, options.backbone, whitening=options.whitening, tell=tell)
    cell = known.standard.cell
    if options.cell not in {cell, "auto"}:
        raise RecipeError(
            f"method.memory.cell: the backbone's first layer has a place every {cell} px, not {options.cell}; "
            'leave it "auto"'
        )
    return {cell: known}


def _made(
    known: Mapping[int, Known], settings: Settings, options: MemoryOptions, sample: slice = slice(None)
) -> Memory | TwoScales:
    if settings.cell != BOTH:
        return fit_memory(known[settings.cell], settings, options, sample=sample)
    coarse = fit_memory(known[8], Settings(8, settings.radius), options, sample=sample)
    finely = Settings(4, None if settings.radius is None else 0)  # the coarse one looks around
    return TwoScales(coarse, fit_memory(known[4], finely, options, sample=sample))


def _evidence(known: Mapping[int, Known], settings: Settings, options: MemoryOptions, pairs: Pairs) -> Evidence | None:
    """Weigh one setting; the usual distances come from as many remembered images as there are held-out ones."""
    count = len(next(iter(known.values())).maps)
    memory = _made(known, settings, options, slice(None, None, max(1, count // MOST)))

    def maps(images: Tensor) -> Tensor:
        return memory(pad_to_cells(images)).deviation

    return weigh(maps, pairs, cell=memory.cell)
