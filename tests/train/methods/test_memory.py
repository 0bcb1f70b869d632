"""The memory alone: from a folder to a bundle without an update, and what its graph names."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from candling.recipe import Training, parse_recipe
from candling.runtime.engine import open_engine
from candling.runtime.inspector import Inspector
from candling.runtime.references import References
from candling.scenes.capsules import draw_capsule
from candling.train.memory import MemoryOptions
from candling.train.method import Batch, Plan
from candling.train.methods.memory import MemoryMethod, Options, build
from candling.train.pipeline import train_bundle, work_folder
from candling.train.progress import Silent

SHAPE = (1, 72, 88)
ROWS, COLUMNS = 9, 11
RECIPE = """
[story]
product = "drawn capsules"
[prepare]
channels = 1
height = 72
width = 88
[method]
name = "memory"
memory = { cell = 8 }
[training]
batch_size = 8
hold_out = 0.25
[limits]
scores = ["anomaly"]
goal = "quantile"
value = 1.0
"""


def images(count: int, *, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """Bright discs on a dark ground, each a little elsewhere, with fine noise."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.linspace(-1, 1, shape[1])[:, None], torch.linspace(-1, 1, shape[2])
    moves = 0.1 * torch.rand((2, count, 1, 1, 1), generator=generator)
    disc = torch.sigmoid(12 * (0.5 - (rows - moves[0]) ** 2 - (columns - moves[1]) ** 2))
    return (0.2 + 0.6 * disc + 0.02 * torch.randn((count, *shape), generator=generator)).clamp(0, 1)


def begun(good: torch.Tensor, held_out: torch.Tensor, **options) -> MemoryMethod:
    plan = Plan(tuple(good.shape[1:]), Training(), Fabric(accelerator="cpu", devices=1))
    method = build(Options(memory=MemoryOptions(**options)), plan)
    batches = [
        [Batch(some, torch.arange(len(some)), torch.Generator().manual_seed(0))] if len(some) else []
        for some in (good, held_out)
    ]
    method.begin(batches[0], batches[1], Silent())
    return method


@torch.no_grad()
def outputs(method: MemoryMethod, some: torch.Tensor) -> dict[str, torch.Tensor]:
    return method.graph()(some)


@pytest.fixture(scope="module")
def capsules(tmp_path_factory):
    """A folder of sixteen drawn capsules."""
    folder, rng = tmp_path_factory.mktemp("capsules"), np.random.default_rng(0)
    for number in range(16):
        assert cv2.imwrite(str(folder / f"{number:02}.png"), draw_capsule(rng, size=96, difficulty=0.0))
    return folder


@pytest.fixture(scope="module")
def bundle(capsules, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "capsules.bundle"
    return train_bundle(parse_recipe(RECIPE, where="test"), capsules, out)


def test_no_update_is_made(bundle):
    """The card says that there was nothing to update, and no state is left behind."""
    training = bundle.card.training
    assert (training["epochs"], training["updates"], training["ended"]) == (0, 0, "nothing to update")
    assert training["precision_chosen"] == "float32"
    assert not (bundle.path / "curves.csv").exists()
    assert not work_folder(bundle.path).exists()


def test_the_card_says_what_was_decided(bundle):
    """Cell and radius, and how each setting told spoiled held-out images from good ones."""
    choices = bundle.card.choices
    assert choices["memory cell"] == 8
    assert choices["memory radius"] in {1, "anywhere"}
    assert sum(key.startswith("spoiled held-out images, cell 8") for key in choices) == 2


def test_the_graph_is_proven_in_every_engine(bundle):
    """Scores and map are compared with the network's by each engine there is."""
    engines = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    for engine in engines:
        assert any(engine in key for key in bundle.card.parity), engine


def test_the_remembered_pictures_are_those_of_the_folder(bundle):
    """A page for each of the twelve images that were learned from, at the size the graph sees."""
    references = References.load(bundle)
    assert (references.count, references.shape) == (12, SHAPE[1:])
    assert len({references.page(number).tobytes() for number in range(12)}) == 12


def test_a_remembered_image_names_its_own_cells(bundle):
    """Each page, given to each engine, is at home in itself: nearly every cell names its picture, row and column."""
    references = References.load(bundle)
    pages = np.stack([references.page(number) for number in (0, 7, 11)])[:, None].astype(np.float32) / np.float32(255)
    own = np.array([0, 7, 11])[:, None, None] * ROWS * COLUMNS + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    for name in ("onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])):
        with open_engine(bundle.read_graph(), engine=name) as engine:
            found = engine.run(pages, nearest=True).nearest
        assert found.shape == (3, ROWS, COLUMNS)
        assert (found == own).mean() > 0.95


def test_a_stain_is_rejected_and_shown_what_it_should_look_like(bundle, capsules):
    """A capsule with a hole is rejected; the cells there name good pictures, near the place."""
    inspector = Inspector.load(bundle.path)
    frame = cv2.imread(str(capsules / "03.png"), cv2.IMREAD_GRAYSCALE)
    stained = frame.copy()
    cv2.circle(stained, (60, 48), 8, 0, -1)
    good, bad = (inspector.inspect(some, nearest=True).predictions[0] for some in (frame, stained))
    assert bad.scores["anomaly"] > 3 * good.scores["anomaly"]
    assert inspector.inspect(stained).verdict.name == "REJECT"
    assert bad.nearest.min() >= 0
    assert bad.nearest.max() < 12 * ROWS * COLUMNS
    row, column = np.unravel_index(bad.anomaly_map.argmax(), bad.anomaly_map.shape)
    assert np.hypot(row / bad.anomaly_map.shape[0] - 0.5, column / bad.anomaly_map.shape[1] - 60 / 96) < 0.15


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("radius", [1, "anywhere"])
def test_few_good_images_suffice(count, radius):
    """From one or a few good images scores are finite, and a stain scores above every good image."""
    method = begun(images(count), images(1, seed=5), radius=radius)
    bad = images(4, seed=8)
    bad[..., 30:42, 40:52] = 0.0
    good, stained = outputs(method, images(4, seed=8)), outputs(method, bad)
    for values in (*good.values(), *stained.values()):
        assert values.isfinite().all()
    assert stained["anomaly"].min() > good["anomaly"].max()


@pytest.mark.parametrize("grey", [None, 0.0, 1.0])
def test_identical_good_images_give_numbers(grey):
    """Good images that are all the same, plain or not, give finite scores, low for the same and high for another."""
    one = images(1, shape=(1, 64, 64)) if grey is None else torch.full((1, 1, 64, 64), grey)
    method = begun(one.expand(40, -1, -1, -1), one.expand(6, -1, -1, -1))
    other = one.clone()
    other[..., 20:36, 20:36] = 0.5 * other[..., 20:36, 20:36] + 0.2
    same, strange = outputs(method, one), outputs(method, other)
    for values in (*same.values(), *strange.values()):
        assert values.isfinite().all()
    assert strange["anomaly"] > same["anomaly"] + 3.0


@pytest.mark.parametrize("shape", [(1, 40, 57), (3, 33, 64)])
def test_any_size_will_do(shape):
    """Sizes that are no multiple of a cell: map and grid cover the image, and good images find themselves."""
    good = images(5, shape=shape)
    method = begun(good, images(2, seed=3, shape=shape), cell=8, radius=1)
    out = outputs(method, good)
    rows, columns = -(-shape[1] // 8), -(-shape[2] // 8)
    assert out["anomaly_map"].shape == (5, *shape[1:])
    own = torch.arange(5 * rows * columns).view(5, rows, columns)
    assert (out["nearest"] == own).float().mean() > 0.95
    pictures = method.references()
    expected = (good * 255).round().to(torch.uint8).permute(0, 2, 3, 1).squeeze(3).numpy()
    np.testing.assert_array_equal(pictures, expected)


def test_a_border_that_is_padded_is_not_strange():
    """What is repeated to reach a multiple of 32 does not look like a defect."""
    shape = (1, 40, 57)
    method = begun(images(12, shape=shape), images(3, seed=3, shape=shape), cell=8)
    maps = outputs(method, images(6, seed=9, shape=shape))["anomaly_map"]
    assert maps[:, 36:].mean() < maps[:, 4:32].mean() + maps.std()
    assert maps[..., 52:].mean() < maps[..., 4:48].mean() + maps.std()
