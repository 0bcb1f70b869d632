"""The shape of a recipe, part by part; knows no file and no text."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from candling.errors import RecipeError
from candling.pixels.tiling import hull, uncovered
from candling.types import Box, Region

__all__ = [
    "FrameSize",
    "Level",
    "Limits",
    "MethodChoice",
    "Prepare",
    "Recipe",
    "RegionChoice",
    "Story",
    "Strip",
    "Training",
]

Level = Literal["patch", "strip", "run"]
"""What the number of a limit's goal is counted in."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Story(_Shape):
    """What the recipe is about, for people.

    Attributes:
        product: what is inspected.
        source: the paper, project or idea it comes from.
        command: the command that runs it.
        reported: the figures its authors reported.
        reached: the figures candling reached, with date and hardware.
    """

    product: str
    source: str = ""
    command: str = ""
    reported: str = ""
    reached: str = ""


class Prepare(_Shape):
    """How pixels of a frame become the network's input; one definition for training and the line.

    Attributes:
        channels: 1 for grey, 3 for colour, "auto" to take what the good images are (decided when training starts).
        height: rows the network sees, or "auto": from ``pixels`` and the median shape of the good images.
        width: columns the network sees, or "auto".
        pixels: the number of pixels an "auto" size aims at.
        short_side: the shorter side an "auto" size aims at instead, so that a long product keeps its detail.
        multiple: an "auto" size is rounded to a multiple of this.
        white: the value that becomes 1.0; None is the largest value of the frame's type (255 or 65535).
        align: what is undone before anything else sees a patch: "shift", a product that lies elsewhere; "turn", also
            one that is turned; "auto" takes what clearly brings good images closer to one another, without pushing
            their edges out of the frame (decided when training starts).
        crop: "auto" cuts every frame to the product where good images show it in front of a quiet background (decided
            when training starts; it becomes a region and the size of a frame).
        histogram: what whole frames are matched to: "global", one typical good image; "selective", one for each of
            three contrast groups, found among the good images or named in the data set's contrast.csv.
        histogram_gain: matching enlarges no difference of grey levels by more; noise and blurred rings stay dim.
    """

    channels: Literal[1, 3, "auto"] = "auto"
    height: int | Literal["auto"] = Field(default="auto")
    width: int | Literal["auto"] = Field(default="auto")
    pixels: int = Field(default=256 * 256, ge=1024, le=2**26)
    short_side: int | None = Field(default=None, ge=32, le=4096)
    multiple: int = Field(default=32, ge=1, le=256)
    white: int | None = Field(default=None, ge=1, le=65535)
    align: Literal["none", "shift", "turn", "auto"] = "none"
    crop: Literal["none", "auto"] = "none"
    histogram: Literal["none", "global", "selective"] = "none"
    histogram_gain: float = Field(default=4.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _sizes_are_usable(self) -> Prepare:
        for name in ("height", "width"):
            size = getattr(self, name)
            if size != "auto" and not 8 <= size <= 16384:
                raise ValueError(f'{name} must lie between 8 and 16384 px, or be "auto"; it is {size}')
        return self

    @property
    def resolved(self) -> bool:
        """True when no "auto" is left, as in every bundle."""
        return "auto" not in (self.channels, self.height, self.width, self.align, self.crop)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the prepared image.

        Raises:
            RecipeError: an "auto" has not been decided yet.
        """
        if self.channels == "auto" or self.height == "auto" or self.width == "auto":
            raise RecipeError('prepare: channels, height or width is still "auto"; training decides it')
        return self.channels, self.height, self.width


class FrameSize(_Shape):
    """What every frame must be, in training and on the line; a key that is left out allows anything.

    Attributes:
        height: rows, because regions are counted in a frame's pixels; given together with ``width``.
        width: columns.
        channels: 1 refuses colour, 3 refuses grey, "auto" takes what the good images are (decided when training
            starts): limits that were chosen for one mean nothing for the other.
    """

    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    channels: Literal[1, 3, "auto"] | None = None

    @model_validator(mode="after")
    def _sides_come_together(self) -> FrameSize:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width are given together or not at all")
        return self


class RegionChoice(_Shape):
    """A named rectangle of the frame, in pixels."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    top: int = Field(ge=0)
    left: int = Field(ge=0)
    height: int = Field(ge=1)
    width: int = Field(ge=1)

    def region(self) -> Region:
        """The same as the house's noun."""
        return Region(self.name, Box(self.top, self.left, self.height, self.width))


class Strip(_Shape):
    """A product of several equal vials side by side, seen in several frames; ``[[regions]]`` lie in the first vial.

    Attributes:
        vials: how many, counted from left to right.
        pitch_px: columns from one vial to the next.
        frames: how many frames make one acquisition, in the order they were taken.
        height: rows of a frame; a frame of another size is rejected.
        width: columns of a frame.
        runs: repeated acquisitions that classify a product.
        agree: how many of them must agree (7 of 10: Ferrari et al. 2024).
        same_place: they must reject the same patch: a defect stays where it is from run to run, a bubble does not.
    """

    vials: int = Field(ge=1, le=1000)
    pitch_px: int = Field(ge=1)
    frames: int = Field(default=1, ge=1, le=1000)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    runs: int = Field(default=10, ge=1, le=1000)
    agree: int = Field(default=7, ge=1)
    same_place: bool = False

    @model_validator(mode="after")
    def _runs_can_decide(self) -> Strip:
        if not self.runs < 2 * self.agree <= 2 * self.runs:
            raise ValueError(f"{self.agree} of {self.runs} runs decides nothing; agree must be more than half of runs")
        return self


class MethodChoice(BaseModel):
    """Which method learns, by the name of its file; all other keys are the method's own options."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")

    @property
    def options(self) -> dict[str, Any]:
        """The method's own options, unchecked."""
        return dict(self.model_extra or {})


class Training(_Shape):
    """How the loop runs; the method owns its losses and optimisers.

    Attributes:
        epochs: passes over the good images; training ends at ``epochs`` or ``minutes``, whichever comes first.
        minutes: wall-clock budget; None is no budget.
        batch_size: images an update.
        learning_rate: at the start.
        weight_decay: L2 penalty.
        schedule: how the learning rate falls: on a plateau of the held-out loss, as a cosine over the budget, as a
            cosine that restarts, or not.
        plateau_factor: by which the rate is multiplied at a plateau.
        plateau_patience: epochs without improvement before that.
        restart_factor: by which the rate at the start of each cosine is multiplied at a restart.
        restart_unit: what is counted between two restarts: samples seen or updates ("steps").
        restart_every: how many of them; None is as many as there are good images to train on, which in samples is one
            epoch.
        stop_patience: epochs without improvement before training ends; None never.
        hold_out: share of the good images held out, for schedule, stopping and limits; at least one image.
        keep: which network is exported: the one of the best held-out loss, of the best training loss, or the last.
        seed: of everything random.
        precision: "auto" takes bfloat16 where the processor has it and a short measurement finds it faster and as good.
    """

    epochs: int = Field(default=100, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["plateau", "cosine", "restarts", "constant"] = "plateau"
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    plateau_patience: int = Field(default=10, ge=0)
    restart_factor: float = Field(default=1 / 3, gt=0, le=1)
    restart_unit: Literal["samples", "steps"] = "samples"
    restart_every: int | None = Field(default=None, ge=1)
    stop_patience: int | None = Field(default=None, ge=1)
    hold_out: float = Field(default=0.1, gt=0, lt=1)
    keep: Literal["validation", "training", "last"] = "validation"
    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class Limits(_Shape):
    """How limits are chosen when calibration is not told otherwise.

    Attributes:
        scores: which of the graph's scores are judged; each gets a limit per region, and every one must admit.
        goal: the rule: a quantile of good scores or a false-reject target (good images only), or, when the calibration
            images are labelled, the best Youden index, the best F1, a recall target, or the least cost.
        value: the goal's number: the quantile, the target rate, the recall; the cost of one missed defect, in false
            rejects.
        confidence: of the stated interval.
        grey: width of the grey zone above the limit, as a share of the way from the typical good score to the limit.
        level: what the goal's number is counted in: patches of a strip, strips (one acquisition each), or products
            classified by their runs. A product that is no strip has one patch a region and knows "patch" alone.
        together: the limits of a product that is no strip are moved together until the product meets the goal, which
            any of them may reject; False chooses each by itself, for its share of a false-reject target.
    """

    scores: tuple[str, ...] = Field(min_length=1, strict=False)
    goal: Literal["quantile", "false_reject", "youden", "f1", "recall", "cost"] = "false_reject"
    value: float = Field(default=0.05, ge=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    grey: float = Field(default=0.0, ge=0)
    level: Level = "patch"
    together: bool = False


class Recipe(_Shape):
    """Everything chosen for one product."""

    story: Story
    prepare: Prepare = Prepare()
    regions: tuple[RegionChoice, ...] = Field(default=(), strict=False)
    frame: FrameSize | None = None
    strip: Strip | None = None
    method: MethodChoice
    training: Training = Training()
    limits: Limits

    @model_validator(mode="after")
    def _region_names_differ(self) -> Recipe:
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise ValueError(f"two regions have one name: {', '.join(sorted(names))}")
        return self

    @model_validator(mode="after")
    def _strip_is_seen_whole(self) -> Recipe:
        strip = self.strip
        if strip is None:
            if self.limits.level != "patch":
                raise ValueError(f"limits.level is {self.limits.level!r}, which needs a [strip]; add it, or say patch")
            return self
        if not self.regions:
            raise ValueError("a [strip] needs [[regions]], the boxes of its first vial; add them")
        boxes = [place.box for place in self.places if place.box is not None]
        product = hull(boxes)
        if product.bottom > strip.height or product.right > strip.width:
            raise ValueError(
                f"the patches reach row {product.bottom} and column {product.right}, outside the frame of "
                f"{strip.height} x {strip.width} px; correct regions, pitch_px or vials"
            )
        left_out = uncovered(boxes, product)
        if left_out:
            raise ValueError(
                f"{left_out} pixels of the product lie in no patch; let the regions of one vial and of its neighbours "
                "touch or overlap"
            )
        return self

    @property
    def places(self) -> tuple[Region, ...]:
        """Every patch of one frame: the regions of the product, of each vial in turn where it is a strip.

        The whole frame when no region is named.
        """
        first = tuple(choice.region() for choice in self.regions) or (Region(),)
        if self.strip is None:
            return first
        vials = range(1, self.strip.vials + 1)
        return tuple(_moved(region, vial, self.strip.pitch_px) for vial in vials for region in first)

    @property
    def region_names(self) -> tuple[str, ...]:
        """The names of the regions, each once: what limits and templates are kept by."""
        return tuple(dict.fromkeys(place.name for place in self.places))

    @property
    def frames(self) -> int:
        """How many frames show one product."""
        return 1 if self.strip is None else self.strip.frames


def _moved(region: Region, vial: int, pitch_px: int) -> Region:
    """Give the same region of another vial."""
    assert region.box is not None  # a strip has named regions only
    box = region.box
    return Region(region.name, Box(box.top, box.left + (vial - 1) * pitch_px, box.height, box.width), vial)
