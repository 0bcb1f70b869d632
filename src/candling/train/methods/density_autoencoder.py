"""Autoencoder with a kernel density of its latents: an image is strange that is redrawn badly or described rarely.

The founding cell system as its authors coded it: 64-32-16 channels, maxima and doublings, mean squared error, and a
Gaussian kernel density of bandwidth 0.2 over the latents of good images. ``network = "vgg16"`` is the larger one they
drew. Their density is in effect a distance to the nearest good latent, and their limit of 2500 holds for 4096 latent
numbers only; ``[method.density]`` has ways out. Their error was that of a picture redrawn twice: ``double_pass``.

The graph gives ``rarity``, minus the log-density in nats, beside the scores of the reconstruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.errors import TrainingError
from candling.train.augment import AugmentOptions, augment
from candling.train.blocks import fold
from candling.train.density import Density, DensityOptions
from candling.train.pooled import Pooled, PooledKind, network_of
from candling.train.refining import RefineOptions, Refining, weighted
from candling.train.scores import ScoreOptions, Scorer
from candling.train.updates import numbers, set_up, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress

__all__ = ["DensityAutoencoder", "Options", "build"]


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "density_autoencoder"``.

    Attributes:
        network: "published" as coded by the authors, or "vgg16" as drawn by them, with its 7 channels inside.
        squeezed: channels inside "vgg16".
        divisor: all widths are divided by this, for a processor or a test.
        norm: batch norm after each convolution, which the publication lacks; "vgg16" hardly learns without.
        double_pass: errors are those of the picture redrawn twice, as published; the reconstruction shown is the first.
        density: ``[method.density]``, the kernel density of the latents.
        refine: ``[method.refine]``, how the training set cleans itself.
        augment: ``[method.augment]``, which variants of good images are good as well.
        score: ``[method.score]``, the anomaly map and the scores beside ``rarity``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    network: PooledKind = "published"
    squeezed: int = Field(default=7, ge=1)
    divisor: int = Field(default=1, ge=1, le=64)
    norm: bool = False
    double_pass: bool = False
    density: DensityOptions = DensityOptions()
    refine: RefineOptions = RefineOptions()
    augment: AugmentOptions = AugmentOptions()
    score: ScoreOptions = ScoreOptions(
        names=("mean_squared_error", "top_error", "window_error", "map_top"), smooth_px=1.0, window_px=5
    )


def build(options: Options, plan: Plan) -> DensityAutoencoder:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are too small, or their sides are no multiples of 8 ("vgg16": 32).
    """
    return DensityAutoencoder(options, plan)


class Graph(nn.Module):
    """What is exported: image (N, C, H, W) in [0, 1] to map, scores and reconstruction."""

    def __init__(self, network: Pooled, density: Density, scorer: Scorer, *, double_pass: bool) -> None:
        super().__init__()
        self.network, self.density, self.scorer, self.double_pass = network, density, scorer, double_pass

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        latent = self.network.encoder(image)
        reconstruction = self.network.draw(latent)
        compared = self.network(reconstruction) if self.double_pass else reconstruction
        return {
            **self.scorer(image, compared),
            "rarity": -self.density(latent.flatten(1).float()),
            "reconstruction": reconstruction,
        }


class DensityAutoencoder:
    """The training of one :class:`Pooled`; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._plan, self._fabric = options, plan, plan.fabric
        self._network = network_of(
            options.network, plan.shape, squeezed=options.squeezed, divisor=options.divisor, norm=options.norm
        )
        channels, rows, columns = self._network.latent_shape
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self._scorer = Scorer(plan.shape, options.score).to(plan.fabric.device)
        self._density = Density(channels * rows * columns, options.density)
        self._refining = Refining(0, options.refine, epochs=plan.training.epochs)
        self._good: Iterable[Batch] = ()
        self.networks: dict[str, nn.Module] = {"network": network, "refining": self._refining}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:  # noqa: ARG002
        """Count the good images, which are looked at again when the training set is refined."""
        self._good = good
        count = sum(len(batch.images) for batch in good)
        refining = Refining(count, self._options.refine, epochs=self._plan.training.epochs)
        self._refining = refining.to(self._fabric.device)
        self.networks["refining"] = self._refining

    def choices(self) -> Mapping[str, Fact]:
        """Say what the density became, and which images refinement rejected."""
        return {**self._density.facts(), **self._refining.facts()}

    def notes(self) -> Mapping[str, str]:
        """Say what ``rarity`` depends on."""
        return {"rarity": f"minus the {self._density.meaning}"}

    def rejected(self) -> NDArray[np.int64]:
        """Number the good images that refinement rejected."""
        return self._refining.rejected

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Redraw one batch and learn from the difference, each image by its weight."""
        self.networks["network"].train()
        target = augment(batch.images, batch.generator, self._options.augment)
        errors = self._errors(target)
        weights = self._refining.weights
        counted = weights[batch.indices] if len(weights) else torch.ones_like(errors)
        losses = {"loss": weighted(errors, counted, self._refining.ceiling), "mean_squared_error": errors.mean()}
        named = update(self._fabric, self.optimizers["network"], losses)
        self._refining.after(len(batch.images) * self._fabric.world_size, self._look)
        return named

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on held-out images."""
        self.networks["network"].eval()
        error = self._errors(batch.images).mean()
        return numbers({"loss": error, "mean_squared_error": error})

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit the density on the good images that count, and the map's normalisation, in float32 as on the line."""
        network = self._network.eval()
        self._scorer.fit((batch.images, self._compared(batch.images)) for batch in self._counting(batches))
        latents = [network.latent(batch.images) for batch in self._counting(batches)]
        if not latents:
            raise TrainingError("refinement rejected every good image; lower method.refine.outside")
        self._density.fit(torch.cat(latents))

    def graph(self) -> nn.Module:
        """Give anomaly map, scores, rarity and reconstruction of an image."""
        graph = Graph(self._network, self._density, self._scorer, double_pass=self._options.double_pass)
        return fold(graph).float().cpu().eval()

    def _errors(self, images: Tensor) -> Tensor:
        return (self.networks["network"](images) - images).square().mean(dim=(1, 2, 3))

    def _compared(self, images: Tensor) -> Tensor:
        redrawn = self._network(images)
        return self._network(redrawn) if self._options.double_pass else redrawn

    def _counting(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """Leave out what refinement rejected."""
        weights = self._refining.weights
        for batch in batches:
            if not self._options.refine.rounds or not len(weights):
                yield batch
                continue
            kept = weights[batch.indices] > 0.0
            if bool(kept.any()):
                yield type(batch)(batch.images[kept], batch.indices[kept], batch.generator)

    @torch.no_grad()
    def _look(self) -> tuple[Tensor, Tensor]:
        """Describe all good images: latents and errors."""
        network = self._network.eval()
        latents, errors = [], []
        for batch in self._good:
            latents.append(network.latent(batch.images))
            errors.append((network(batch.images) - batch.images).square().mean(dim=(1, 2, 3)))
        return torch.cat(latents), torch.cat(errors)
