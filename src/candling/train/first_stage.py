"""The first stage while it learns: torchvision's, asked where the graph asks (``proposals.asked_first``)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from candling.train.proposals import asked_first

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["first_stage"]


@cache
def first_stage() -> type[Any]:
    """Give the class: torchvision's network of proposals for one map; torchvision is imported when it is asked for."""
    from torchvision.models.detection.rpn import RegionProposalNetwork

    class FirstStage(RegionProposalNetwork):
        """Proposals of one map, asked where the graph asks."""

        def filter_proposals(
            self,
            proposals: Tensor,
            objectness: Tensor,
            image_shapes: list[tuple[int, int]],
            num_anchors_per_level: list[int],  # noqa: ARG002 - torchvision gives it
        ) -> tuple[list[Tensor], list[Tensor]]:
            """Take what is asked, less what overlaps a surer one: all of it, where the graph takes the first.

            Args:
                proposals: float32 (N, h * w * A, 4), place by place.
                objectness: float32, logits of the same order, any shape.
                image_shapes: (H, W) of each picture.
                num_anchors_per_level: h * w * A, once.
            """
            shapes = len(self.anchor_generator.sizes)
            rows, columns = (-(-side // self.anchor_generator.stride) for side in image_shapes[0])
            logits = objectness.detach().reshape(-1, rows, columns, shapes)
            count = min(self.pre_nms_top_n(), logits[0].numel())
            places, _ = asked_first(logits.permute(0, 3, 1, 2), count)
            some = proposals.gather(1, places.unsqueeze(2).expand(-1, -1, 4))
            found: tuple[list[Tensor], list[Tensor]] = super().filter_proposals(
                some, logits.flatten(1).gather(1, places), image_shapes, [count]
            )
            return found

    return FirstStage
