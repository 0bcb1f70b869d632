"""What Faster R-CNN promises beyond every method: dense and empty images, its graph against torchvision, its errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from candling.errors import MissingExtraError, RecipeError, TrainingError
from candling.measure.matching import iou_matrix
from candling.recipe import Training
from candling.train.anchors import THESIS_RATIOS, THESIS_SIDES, grid_anchors
from candling.train.export import export
from candling.train.method import Batch, Plan, build_method, check_method, learns_boxes
from candling.train.proposals import anchor_boxes

SHAPE = (1, 64, 96)
SMALL = {
    "classes": ["dim", "bright"],
    "width": 8,
    "head": 32,
    "sampled": 64,
    "proposals": 40,
    "anchor_sizes": [[10.0, 10.0], [16.0, 16.0]],
    "vary": {"zoom": 1.0, "noise": 0.0, "brightness": 0.0, "gamma": 0.0},
}


@pytest.fixture(scope="module")
def _torchvision() -> None:
    pytest.importorskip("torchvision.ops", reason="torchvision is not installed", exc_type=ImportError)


def method(shape: tuple[int, int, int] = SHAPE, **options: object):
    """A small network."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    return build_method("faster_rcnn", {**SMALL, **options}, Plan(shape, Training(learning_rate=5e-3), fabric))


def squares(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey and white squares of two sizes on a dark ground; every fourth image has none."""
    rng = np.random.default_rng(seed)
    images = np.full((count, *SHAPE), 0.05, np.float32)
    boxes = np.zeros((count, 24, 5), np.float32)
    boxes[:, :, 4] = -1.0
    for number in range(count):
        places = [(row, column) for row in range(0, 60, 20) for column in range(0, 90, 20)] if number % 4 else []
        for at, (row, column) in enumerate(places):
            label = int(rng.random() < 0.5)
            side = 16 if rng.random() < 0.5 else 10
            top, left = min(row + int(rng.integers(0, 4)), 64 - side), min(column + int(rng.integers(0, 4)), 96 - side)
            images[number, 0, top : top + side, left : left + side] = 0.9 if label else 0.4
            boxes[number, at] = (left, top, left + side, top + side, label)
    images += 0.02 * rng.standard_normal(images.shape).astype(np.float32)
    return torch.tensor(images.clip(0, 1)), torch.tensor(boxes)


def batch(seed: int, boxes: torch.Tensor | None = None, count: int = 4) -> Batch:
    """Some squares."""
    torch.manual_seed(seed)
    images, marks = squares(count, seed)
    generator = torch.Generator().manual_seed(seed)
    return Batch(images, torch.arange(count), generator, boxes=marks if boxes is None else boxes)


@pytest.fixture(scope="module")
def learned(_torchvision):
    """Trained until it finds most squares."""
    one = method()
    for seed in range(160):
        one.step(batch(seed))
    one._average.network.load_state_dict(one._network.state_dict())
    return one


@pytest.mark.usefixtures("_torchvision")
def test_it_learns_boxes_and_says_so():
    """It is given boxes, and asks for them where none came."""
    assert learns_boxes("faster_rcnn")
    images = torch.rand(2, *SHAPE)
    with pytest.raises(TrainingError, match="annotations"):
        method().step(Batch(images, torch.arange(2), torch.Generator()))


def test_it_finds_what_it_learned(learned):
    """On other images most squares are found, at their places and with their classes, and empty images stay empty."""
    images, boxes = squares(8, 999)
    with torch.no_grad():
        out = learned.graph()(images)
    found = total = false = 0
    for number in range(8):
        sure = (out["confidences"][number] > 0.5).numpy()
        some, labels = out["boxes"][number].numpy()[sure], out["labels"][number].numpy()[sure]
        true = boxes[number][boxes[number, :, 4] >= 0].numpy()
        if not len(true):
            false += len(some)
            continue
        overlap = iou_matrix(true[:, :4], some) if len(some) else np.zeros((len(true), 1))
        same = true[:, 4:] == labels[None] if len(some) else np.zeros_like(overlap, bool)
        found, total = found + int(((overlap > 0.5) & same).any(axis=1).sum()), total + len(true)
    assert total > 80
    assert found / total > 0.6
    assert false == 0


def test_the_graph_answers_as_torchvision_does(learned):
    """The same weights behind torchvision's own proposals, suppression and regions give the same sure boxes.

    All 192 anchors are asked: where fewer are, the graph takes other ones than torchvision would.
    """
    images, _ = squares(4, 1000)
    wide = method(proposals=192)
    wide._average.network.load_state_dict(learned._average.network.state_dict())
    network = wide._average.network.eval()
    network.first.training = network.second.training = False
    with torch.no_grad():
        maps = {"0": network.body(images)}
        asked = type("Asked", (), {"tensors": images, "image_sizes": [SHAPE[1:]] * 4})()
        proposals, _ = network.first(asked, maps)
        wanted, _ = network.second(maps, proposals, asked.image_sizes)
        out = wide.graph()(images)
    compared = 0
    for number, one in enumerate(wanted):
        sure = out["confidences"][number] > 0.3
        mine, labels = out["boxes"][number][sure].numpy(), out["labels"][number][sure].numpy()
        for box, label, score in zip(one["boxes"].numpy(), one["labels"].numpy() - 1, one["scores"], strict=True):
            if score < 0.31:
                continue
            near = np.abs(mine - box).max(axis=1)[labels == label]
            assert near.min() < 0.05
            compared += 1
    assert compared > 20


def test_the_trained_network_and_its_graph_are_one(learned):
    """Exported and held against the network in every engine, with many boxes to compare."""
    images, _ = squares(4, 1001)
    exported = export(learned.graph(), images, batches=(1, 3))
    differences = exported.parity.differences
    assert {name for _, name in differences} == {"boxes", "labels", "confidences", "largest_confidence"}
    assert max(value for (_, name), value in differences.items() if name == "boxes") < 0.1


@pytest.mark.usefixtures("_torchvision")
def test_more_objects_than_half_the_sample_are_no_reason_to_drop_an_image():
    """Denser than the sample of anchors: the losses are finite, and the images teach like any other (defect D1)."""
    boxes = torch.zeros((4, 400, 5))
    places = torch.arange(400)
    boxes[:, :, 0], boxes[:, :, 1] = (places % 25) * 3.8, (places // 25) * 3.9
    boxes[:, :, 2:4] = boxes[:, :, :2] + 4.0
    one = method(anchor_sizes=[[4.0, 4.0]], stride=4)
    before = [weight.clone() for weight in one._network.parameters()]
    losses = one.step(batch(0, boxes))
    assert all(np.isfinite(value) for value in losses.values())
    assert any(not torch.equal(old, new) for old, new in zip(before, one._network.parameters(), strict=True))


@pytest.mark.usefixtures("_torchvision")
def test_a_large_object_leaves_proposals_for_a_small_one():
    """However many anchors round the large one are surer, the graph and what is learned from ask for the small one."""
    one = method((1, 128, 128), anchor_sizes=[[30.0, 30.0], [8.0, 8.0]], stride=4, proposals=8)
    down, across = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    logits = torch.full((1, 2, 32, 32), -5.0)
    logits[0, 0] = 10.0 - 0.05 * ((down - 20.0) ** 2 + (across - 20.0) ** 2)  # 300 places are surer than the small one
    logits[0, 1, 3, 4] = 1.0
    graph = one.graph()
    del graph.first
    graph.first = lambda maps: ([logits], [torch.zeros((1, 8, 32, 32))])
    boxes, alive = graph._proposed(torch.zeros(1))
    small = torch.tensor([14.0, 10.0, 22.0, 18.0])
    assert ((boxes[0] - small).abs().amax(dim=1)[alive[0] > 0] < 1e-3).any()
    first = one._network.first
    anchors = anchor_boxes(first.anchor_generator.sizes, stride=4, rows=32, columns=32)
    flat = logits.permute(0, 2, 3, 1).reshape(-1, 1)
    learned_from, _ = first.filter_proposals(anchors[None], flat, [(128, 128)], [len(anchors)])
    assert ((learned_from[0] - small).abs().amax(dim=1) < 1e-3).any()


@pytest.mark.usefixtures("_torchvision")
def test_backgrounds_far_from_every_object_teach_too():
    """A region that no object touches is background to learn from, not passed over (defect D2)."""
    one = method()
    regions = torch.tensor([[0.0, 0.0, 10.0, 10.0], [60.0, 40.0, 90.0, 60.0]])
    truth = [torch.tensor([[0.0, 0.0, 10.0, 10.0]])]
    _, labels = one._network.second.assign_targets_to_proposals([regions], truth, [torch.tensor([2])])
    assert labels[0].tolist() == [2, 0]


@pytest.mark.usefixtures("_torchvision")
def test_published_anchors_are_the_thesis():
    """Where none are fitted or given: sides 32, 64 and 128 at three ratios."""
    one = method(anchor_sizes=[], anchors="published", stride=16)
    wanted = grid_anchors(THESIS_SIDES, THESIS_RATIOS, stride_px=16).sizes
    np.testing.assert_allclose(one._network.first.anchor_generator.sizes.numpy(), wanted, rtol=1e-6)


@pytest.mark.usefixtures("_torchvision")
def test_vgg16_is_the_published_body():
    """Thirteen convolutions, a place every 16 px, learned from scratch when no weights are given; and it learns."""
    one = method((1, 32, 32), backbone="vgg16", head=16, proposals=8, sampled=8)
    body = one._network.body
    convolutions = [layer for layer in body.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 13
    assert body(torch.rand(1, 1, 32, 32)).shape == (1, 512, 2, 2)
    assert one.choices()["backbone weights"] == "none: learned from scratch"
    boxes = torch.tensor([[[4.0, 4.0, 20.0, 20.0, 0.0]]])
    losses = one.step(Batch(torch.rand(1, 1, 32, 32), torch.arange(1), torch.Generator(), boxes=boxes))
    assert np.isfinite(losses["loss"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": ["a", "a"]}, "one name: a"),
        ({"anchor_sizes": [[0.0, 4.0]]}, "above 0"),
        ({"proposals": 0}, "between 1 and 10000"),
        ({"weights": "x.pth"}, "vgg16"),
        ({"backbone": "resnet"}, "backbone"),
    ],
)
def test_impossible_options_are_named(options, says):
    """Before anything is read."""
    with pytest.raises(RecipeError, match=says):
        check_method("faster_rcnn", options)


@pytest.mark.usefixtures("_torchvision")
def test_a_side_that_is_no_multiple_of_the_stride_is_refused():
    """The sentence names the side and the next one that fits."""
    with pytest.raises(RecipeError, match=r"prepare\.width: 100 px must be a multiple of 8.*set it to 96"):
        method((1, 64, 100))


@pytest.mark.parametrize("backbone", ["light", "vgg16"])
def test_without_torchvision_the_extra_is_named(monkeypatch, backbone):
    """One sentence says what to install."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'candling\[backbone\]'"):
        method(backbone=backbone)
