"""A network of two stages that finds boxes, learned with torchvision's parts (Faster R-CNN, Ren et al. 2015).

Learning is torchvision's: which anchor and which proposal learns what, the sampling, the four losses. Answering is in
shapes that are fixed beforehand (``proposals.py``), as a graph needs it, from the same weights. Boxes that the first
stage proposes and that are no object are the background that the second one learns from, however little they overlap
one. Knows no data and no recipe.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from candling.errors import MissingExtraError
from candling.train.blocks import fold
from candling.train.first_stage import first_stage
from candling.train.proposals import GridAnchors, anchor_boxes, asked_first, clip, decode, surest, take_regions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from candling.train.anchors import Anchors

__all__ = ["Detector", "Found", "Marked", "check_torchvision", "losses_without_learning"]

SIDE = 7
"""Cells along each side of a region that the second stage sees."""

BEFORE = 3
"""So many times as many anchors as proposals are asked for before of overlapping ones the surest stays."""

ANCHORS_SAMPLED = 256
"""Anchors of a picture that the first stage learns from, at most half of them objects (Ren et al. 2015)."""

OBJECTS_SHARE = 1 / 3
"""At most so many of a picture's sampled regions are objects; a quarter is published, for pictures of few objects."""

GONE = 1e4
"""Logits by which a box that overlaps a surer one comes last."""

SAME = 0.7
"""Proposals that overlap by more are one."""

FIRST_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
SECOND_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""What deltas are multiplied by: the published ones."""


def check_torchvision() -> None:
    """Say that torchvision is missing before anything else is done.

    Raises:
        MissingExtraError: it is not installed, or does not match torch.
    """
    try:
        import torchvision.models.detection  # noqa: F401 - the parts that are used
    except (ImportError, RuntimeError) as error:  # one that does not match torch raises the latter
        raise MissingExtraError(
            "method faster_rcnn needs a torchvision that matches torch; run: pip install 'candling[backbone]'"
        ) from error


class Marked:
    """Boxes on their way into the network: Fabric would round tensors of numbers to the precision of the weights.

    Attributes:
        boxes: float32 (N, M, 5), left, top, right, bottom and class of each object; class -1 is none.
    """

    def __init__(self, boxes: Tensor) -> None:
        self.boxes = boxes


class _Regions(nn.Module):
    """What the map shows in lists of boxes, for learning; torchvision's own is faster backwards than a grid."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Mapping[str, Tensor], boxes: list[Tensor], sizes: object) -> Tensor:
        del sizes
        from torchvision.ops import roi_align

        return roi_align(maps["0"], boxes, SIDE, spatial_scale=1.0 / self.stride, sampling_ratio=2, aligned=True)


class Detector(nn.Module):
    """The network with its losses.

    Attributes:
        classes: how many, background not counted.
        proposals: how many a picture has at most.
        stride: pixels from one place of the map to the next.
    """

    def __init__(
        self, body: nn.Module, channels: int, anchors: Anchors, *, classes: int, proposals: int, head: int, sampled: int
    ) -> None:
        """Put the stages on a body.

        Args:
            body: pictures to one map of ``channels``, at the anchors' stride.
            channels: of the map.
            anchors: shapes at every place.
            classes: background not counted.
            proposals: how many regions the second stage looks at.
            head: width of its two dense layers.
            sampled: regions of a picture that the second stage learns from, at most a third of them objects.
        """
        super().__init__()
        check_torchvision()
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
        from torchvision.models.detection.roi_heads import RoIHeads
        from torchvision.models.detection.rpn import RPNHead

        self.body, self.classes, self.proposals, self.stride = body, classes, proposals, anchors.stride_px
        asked = {"training": BEFORE * proposals, "testing": BEFORE * proposals}
        self.first = first_stage()(
            GridAnchors(anchors.sizes, anchors.stride_px),
            RPNHead(channels, len(anchors.sizes)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=ANCHORS_SAMPLED,
            positive_fraction=0.5,
            pre_nms_top_n=asked,
            post_nms_top_n=asked,
            nms_thresh=SAME,
        )
        self.second = RoIHeads(
            _Regions(anchors.stride_px),
            TwoMLPHead(channels * SIDE**2, head),
            FastRCNNPredictor(head, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=sampled,
            positive_fraction=OBJECTS_SHARE,
            bbox_reg_weights=SECOND_WEIGHTS,
            score_thresh=0.0,
            nms_thresh=0.5,
            detections_per_img=proposals,
        )

    def forward(self, images: Tensor, marked: Marked) -> dict[str, Tensor]:
        """Give the losses of pictures (N, C, H, W) in [0, 1] and the objects marked in them."""
        maps = {"0": self.body(images).float()}
        sizes = [(images.shape[2], images.shape[3])] * images.shape[0]
        real = [one[one[:, 4] >= 0] for one in marked.boxes]
        truth = [{"boxes": one[:, :4], "labels": one[:, 4].long() + 1} for one in real]
        asked = SimpleNamespace(tensors=images, image_sizes=sizes)
        with torch.autocast(images.device.type, enabled=False):  # boxes are no matter of eight bits
            self.first.training = self.second.training = True  # losses, also where the body only looks
            proposals, one = self.first(asked, maps, truth)
            _, two = self.second(maps, proposals, sizes, truth)
        named = {
            "objectness": one["loss_objectness"],
            "proposals": one["loss_rpn_box_reg"],
            "classes": two["loss_classifier"],
            "boxes": two["loss_box_reg"],
        }
        return {"loss": torch.stack(list(named.values())).sum(), **named}


class Found(nn.Module):
    """The graph: boxes of one shape whatever is found, those of confidence 0 being none."""

    anchors: Tensor

    def __init__(self, detector: Detector, shape: tuple[int, int, int]) -> None:
        """Take a copy of a detector's weights, for pictures of ``shape`` (C, H, W)."""
        super().__init__()
        self.shape, self.stride = shape, detector.stride
        self.body = fold(detector.body).float()
        self.first = fold(detector.first.head).float()
        self.head, self.predictor = fold(detector.second.box_head).float(), fold(detector.second.box_predictor).float()
        rows, columns = (-(-side // self.stride) for side in shape[1:])
        sizes = detector.first.anchor_generator.sizes.detach().float().cpu()
        boxes = anchor_boxes(sizes, stride=self.stride, rows=rows, columns=columns)
        self.register_buffer("anchors", boxes, persistent=False)
        self.classes = detector.classes
        self.proposals = min(detector.proposals, len(boxes))
        self.asked = min(BEFORE * detector.proposals, len(boxes))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract: K is proposals times classes."""
        maps = self.body(image)
        boxes, alive = self._proposed(maps)
        seen = take_regions(maps, boxes, stride=self.stride, side=SIDE).flatten(2)  # (N, P, C * SIDE^2)
        seen = torch.relu(self.head.fc7(torch.relu(self.head.fc6(seen))))
        sure = torch.softmax(self.predictor.cls_score(seen), dim=2)[:, :, 1:] * alive.unsqueeze(2)
        deltas = self.predictor.bbox_pred(seen).unflatten(2, (self.classes + 1, 4))[:, :, 1:]
        moved = self._inside(decode(deltas, boxes.unsqueeze(2), weights=SECOND_WEIGHTS))
        confidences = sure.flatten(1)
        labels = torch.arange(self.classes, device=image.device).repeat(self.proposals)
        return {
            "boxes": moved.flatten(1, 2),
            "labels": labels.unsqueeze(0).expand(confidences.shape),
            "confidences": confidences,
            "largest_confidence": confidences.amax(dim=1),
        }

    def _proposed(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Give the surest proposals, float32 (N, P, 4), and 1 where there is one, float32 (N, P)."""
        logits, deltas = (each[0] for each in self.first([maps]))
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        places, order = asked_first(logits, self.asked)
        wanted = places.unsqueeze(2).expand(-1, -1, 4)
        anchors = self.anchors.unsqueeze(0).expand(deltas.shape[0], -1, -1).gather(1, wanted)
        boxes = self._inside(decode(deltas.gather(1, wanted), anchors, weights=FIRST_WEIGHTS))
        kept = surest(boxes, iou=SAME)
        stay = (order - GONE * (1.0 - kept)).topk(self.proposals, dim=1).indices
        return boxes.gather(1, stay.unsqueeze(2).expand(-1, -1, 4)), kept.gather(1, stay)

    def _inside(self, boxes: Tensor) -> Tensor:
        return clip(boxes, height=self.shape[1], width=self.shape[2])


def losses_without_learning(detector: nn.Module, images: Tensor, marked: Marked, seed: int) -> Mapping[str, Tensor]:
    """Give the losses of pictures that are not learned from; the same ones are sampled for the same seed."""
    devices: Sequence[int] = [images.device.index or 0] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        losses: Mapping[str, Tensor] = detector.eval()(images, marked)
    return losses
