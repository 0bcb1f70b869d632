"""The facts of methods/grd_net.py: it marks what was spoiled, keeps still outside its region, and resumes exactly."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from candling.errors import RecipeError
from candling.recipe import Training, parse_recipe
from candling.train import checkpoint
from candling.train.data import PreparedSet
from candling.train.export import export
from candling.train.fit import fit
from candling.train.method import Batch, Plan, build_method
from candling.train.methods.grd_net import GrdNet, Options
from candling.train.progress import Silent
from candling.train.stopping import Stopped

TINY = {"widths": [4, 4], "latent": 4, "marker_width": 4}
SIZE = 32


def frames(count: int, *, seed: int = 0) -> np.ndarray:
    """Grey bars that lean a little, with noise: uint8 (count, 32, 32)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    phases = rng.uniform(-0.3, 0.3, (count, 1, 1))
    bars = 0.5 + 0.2 * np.sin(columns / 3.0 + phases) * (rows > SIZE // 4)
    return np.clip(255 * (bars + rng.normal(0, 0.01, bars.shape)), 0, 255).astype(np.uint8)


def images(count: int, **where) -> torch.Tensor:
    return PreparedSet(frames(count, **where)).images(np.arange(count))


def plan(shape=(1, SIZE, SIZE), **training) -> Plan:
    torch.manual_seed(0)
    return Plan(shape, Training(**training), Fabric(accelerator="cpu", devices=1, precision="32-true"))


def batch(values: torch.Tensor, seed: int = 0) -> Batch:
    return Batch(values, torch.arange(len(values)), torch.Generator().manual_seed(seed))


def trained(steps: int, *, rate: float = 1e-2, **options):
    method = build_method("grd_net", {**TINY, **options}, plan(learning_rate=rate))
    for step in range(steps):
        losses = method.step(batch(images(8, seed=step % 8), step))
    method.finish([batch(images(8))])
    return method, losses


def scored(method, values: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return method.graph()(values)


@pytest.fixture(scope="module")
def learnt():
    """A method that saw a few hundred spoiled images."""
    spoil = {"probability": 0.75, "kinds": ["perlin", "cutpaste", "spot"]}
    weights = {"adversarial": 0.0, "latent": 0.0}
    quick = {"average": 0.9, "gamma": 0.0, "marks": 1, "faintest": 1.0, "marker_width": 8}
    return trained(120, rate=5e-3, **quick, spoil=spoil, weights=weights)[0]


def broken(column: int) -> torch.Tensor:
    values = images(4, seed=9)
    values[:, :, 12:20, column : column + 8] = 0.95
    return values


def test_a_defect_is_marked_where_it_is(learnt):
    """A bright square lifts every score above all good images, and the map is high inside and low outside."""
    good, bad = scored(learnt, images(4, seed=9)), scored(learnt, broken(4))
    assert bad["defect_probability"].min() > good["defect_probability"].max()
    assert bad["map_top"].min() > good["map_top"].max()
    assert bad["unusual"].min() > good["unusual"].max()
    marked = bad["anomaly_map"][:, 14:18, 6:10].mean()
    assert marked > 2 * bad["anomaly_map"][:, :, 24:].mean()
    assert 0.0 <= float(bad["anomaly_map"].min()) <= float(bad["anomaly_map"].max()) <= 1.0


class Blind(torch.nn.Module):
    """Redraws what it is given and sees no defect anywhere."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        nothing = torch.zeros(len(image), 4)
        return image, nothing, nothing, torch.full((len(image), 1, SIZE // 2, SIZE // 2), -20.0)


@pytest.mark.parametrize(("rectangle", "costs"), [({}, True), ({"bottom": 0.04, "right": 0.04}, False)])
def test_outside_its_region_nothing_is_a_defect(rectangle, costs):
    """Seeing nothing costs much where all matters, and nothing where hardly a pixel does."""
    spoil = {"probability": 1.0, "kinds": ["fill"]}
    method = build_method("grd_net", {**TINY, "roi": {"rectangles": [rectangle]}, "spoil": spoil}, plan())
    parts, _ = method._parts(Blind(), images(8), batch(images(8)))
    assert (float(parts["focal"]) > 0.005) is costs


def test_the_score_is_the_largest_mean_under_the_square(learnt):
    """``defect_probability`` is the maximum of the map averaged under 21 x 21 px, wholly inside."""
    out = scored(learnt, broken(4))
    pooled = torch.nn.functional.avg_pool2d(out["anomaly_map"].unsqueeze(1), 21, stride=1)
    torch.testing.assert_close(out["defect_probability"], pooled.amax(dim=(1, 2, 3)), atol=1e-5, rtol=1e-4)


def test_the_loss_is_the_weighted_sum():
    """L_gan with weights 1, 50, 1 plus five times the focal and the overlap loss."""
    _, parts = trained(1)
    total = 50 * (parts["huber"] + parts["dissimilarity"]) + parts["latent"] + parts["adversarial"]
    assert parts["loss"] == pytest.approx(total + 5 * parts["focal"] + parts["dice"], rel=1e-5)


def test_the_published_choices_can_be_asked_for():
    """Perlin noise alone, labels wherever it lies, alpha 0.25, no overlap loss, no places, full size, last weights."""
    options = {
        "spoil": {"kinds": ["perlin"], "probability": 0.75},
        "marks": 1,
        "visible": 0.0,
        "alpha": 0.25,
        "weights": {"dice": 0.0},
        "stem": 1,
        "marker": "published",
        "average": 0.0,
    }
    method, losses = trained(2, **options)
    assert losses["focal"] > 0.0
    weight = method.networks["marker"].state_dict()["network.logit.weight"]
    assert torch.equal(method.graph().marker.network.logit.weight, weight)
    assert method.graph().logits(images(2))[1].shape == (2, 1, SIZE, SIZE)


def test_the_published_bottleneck_is_the_default():
    """At 256 x 256 the latent is 32 x 8 x 8, whatever the widths."""
    assert (Options().latent, Options().stem * 2 ** len(Options().widths)) == (32, 32)


def test_it_exports_without_a_stem_and_in_colour():
    """The graph equals the network in every engine at full size as well."""
    method = build_method("grd_net", {**TINY, "stem": 1, "marker": "published"}, plan((3, SIZE, SIZE)))
    values = images(3).expand(-1, 3, -1, -1).contiguous()
    method.step(batch(values))
    assert export(method.graph(), values, batches=(1, 3)).parity.images == 3


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((1, 40, 64), {}, r"prepare\.height"),
        ((1, 16, 64), TINY, r"method\.window_px: a square of 21 px does not fit into images of 16 x 64 px"),
        ((1, 32, 32), {**TINY, "roi": {"picture": "nowhere.png"}}, r"method\.roi\.picture"),
    ],
)
def test_what_does_not_fit_is_refused(shape, options, said):
    """Sizes, windows and regions are checked when the method is built."""
    with pytest.raises(RecipeError, match=said):
        build_method("grd_net", options, plan(shape))


class StopAt(Silent):
    """Sends a signal after some update."""

    def __init__(self, step: int) -> None:
        self.at = step

    def stand(self, standing) -> None:
        if standing.step == self.at:
            signal.raise_signal(signal.SIGINT)


def run(work, *, name: str, progress=None, regions=()):
    work.mkdir(exist_ok=True)
    options = TINY if name == "grd_net" else {"profile": "tiny"}
    sizes = "\n".join(f"{key} = {value!r}" for key, value in options.items())
    recipe = parse_recipe(
        "[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 32\nwidth = 32\n"
        f"[method]\nname = '{name}'\n{sizes}\n"
        "[training]\nprecision = 'float32'\nschedule = 'restarts'\nkeep = 'last'\nepochs = 3\nbatch_size = 6\n"
        "[limits]\nscores = ['map_top']\n",
        where="test",
    )
    good, held_out = PreparedSet(frames(17), regions=regions), PreparedSet(frames(3, seed=1))
    return fit(recipe, good, held_out, work=work, data="drawn", progress=progress, accelerator="cpu")


@pytest.mark.parametrize("name", ["grd_net", "drae"])
def test_resume_is_exact(tmp_path, name):
    """Stopped in mid-epoch and resumed, both opponents, averages and scores are those of one session."""
    whole = run(tmp_path / "whole", name=name)
    with pytest.raises(Stopped):
        run(tmp_path / "parts", name=name, progress=StopAt(4))
    resumed = run(tmp_path / "parts", name=name)
    one, two = checkpoint.network_weights(whole.method), checkpoint.network_weights(resumed.method)
    assert one.keys() == two.keys()
    assert any("discriminator" in key for key in one)
    assert all(torch.equal(one[key], two[key]) for key in one)
    first, second = scored(whole.method, images(4, seed=2)), scored(resumed.method, images(4, seed=2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_each_image_comes_with_its_region(tmp_path, monkeypatch):
    """What the loop hands to an update names the region of every image, whatever the order."""
    names = tuple(f"r{number}" for number in range(17))
    seen: list[Batch] = []
    step = GrdNet.step
    monkeypatch.setattr(GrdNet, "step", lambda self, batch: seen.append(batch) or step(self, batch))
    run(tmp_path, name="grd_net", regions=names)
    assert len(seen) == 9
    assert all(batch.regions == tuple(names[index] for index in batch.indices.tolist()) for batch in seen)
