"""Descriptors of a network that was trained on other pictures: its maps on one grid, in few directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from candling.errors import RecipeError
from candling.recipe import Training
from candling.train.backbone import MEAN, SPREAD, Backbone, BackboneOptions, Body, learn_standard
from candling.train.export import export
from candling.train.method import Batch, Begins, Method, Plan, Remembers, build_method
from candling.train.pretrained import cut
from candling.train.progress import Silent

FACTS = {"backbone": "tiny", "backbone weights sha256": "0" * 64}


class Tiny(nn.Module):
    """Three layers of 4, 8 and 16 px a place, and a head, as the networks of torchvision are made."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.layer2 = nn.Sequential(nn.Conv2d(6, 10, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.layer3 = nn.Sequential(nn.Conv2d(10, 14, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(14, 5)

    def forward(self, image):
        return self.fc(self.layer3(self.layer2(self.layer1(image))).mean((2, 3)))


def tiny(*layers: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = Tiny()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return cut(network, layers or ("layer2", "layer3"))


def pictures(count: int, channels: int = 3, size: tuple[int, int] = (64, 96), seed: int = 3) -> torch.Tensor:
    """Smooth blobs at one place each, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand((1, channels, 4, 4), generator=generator)
    smooth = nn.functional.interpolate(small, size=size, mode="bicubic").clamp(0, 1)
    return (smooth + 0.03 * torch.randn((count, channels, *size), generator=generator)).clamp(0, 1)


def pooled_and_raised(maps: np.ndarray, times: int) -> np.ndarray:
    """Average (n, h, w) over 3 x 3 places inside, then interpolate between centres; in plain loops."""
    _, height, width = maps.shape
    pooled = np.empty_like(maps)
    for row in range(height):
        for column in range(width):
            near = maps[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            pooled[:, row, column] = near.mean((1, 2))
    if times == 1:
        return pooled
    rows = np.clip((np.arange(height * times) + 0.5) / times - 0.5, 0, height - 1)
    columns = np.clip((np.arange(width * times) + 0.5) / times - 0.5, 0, width - 1)
    down = np.stack([[np.interp(rows, range(height), c) for c in one.T] for one in pooled]).transpose(0, 2, 1)
    return np.stack([[np.interp(columns, range(width), r) for r in one] for one in down])


def test_maps_of_layers_are_averaged_and_brought_to_the_first_grid():
    """A cell holds the 3 x 3 means of every layer, the coarse ones interpolated between their places."""
    backbone, image = Backbone(tiny()), pictures(1)
    assert (backbone.cell, backbone.size) == (8, 24)
    given = backbone(image)[0].numpy()
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, SPREAD))
    fine, coarse = (maps[0].detach().numpy() for maps in tiny()((image - mean) / spread))
    expected = np.concatenate([pooled_and_raised(fine, 1), pooled_and_raised(coarse, 2)])
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_a_grey_picture_is_one_whose_three_colours_agree():
    """One channel is repeated to the three that the network was trained on."""
    backbone, grey = Backbone(tiny()), pictures(2, channels=1)
    torch.testing.assert_close(backbone(grey), backbone(grey.repeat(1, 3, 1, 1)))


def test_what_the_network_learned_stays():
    """No weight asks for a gradient, and a call of train() leaves the norms as they were trained."""
    backbone = Backbone(tiny("layer1"))
    before = backbone(pictures(2))
    nn.Sequential(backbone).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert torch.equal(backbone(pictures(2)), before)


def test_a_layer_that_is_no_map_is_refused():
    """A head gives a vector; a memory needs places."""
    with pytest.raises(RecipeError, match=r"layer 2 gives \(1, 5\).*no map"):
        Backbone(tiny("layer2", "fc"))


def test_a_coarse_first_layer_is_refused():
    """A place every 16 px is too coarse to begin with."""
    with pytest.raises(RecipeError, match="every 16 px; begin with one of 4 or 8 px"):
        Backbone(tiny("layer3", "layer2"))


def all_cells(backbone: Backbone, images: torch.Tensor) -> np.ndarray:
    return backbone(images).permute(0, 2, 3, 1).flatten(0, 2).double().numpy()


def test_principal_directions_are_those_of_a_singular_value_decomposition():
    """Without whitening, all directions keep the ratios of distances, and few keep those of numpy's best subspace."""
    images = pictures(4)
    cells = all_cells(Backbone(tiny()), images)
    centred = cells - cells.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    for wanted in (5, 24):
        options = BackboneOptions(weights="x.pth", dimensions=wanted)
        standard = learn_standard(Body(tiny(), FACTS), images, options, whitening=0.0)
        given = standard(images).permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
        kept = centred @ directions[:wanted].T
        kept /= np.sqrt((kept**2).mean())
        np.testing.assert_allclose((given**2).sum(1), (kept**2).sum(1), rtol=2e-3, atol=1e-4)
        assert (given**2).mean() == pytest.approx(1.0, rel=1e-3)


def test_whitening_draws_the_directions_together():
    """Whitened by 1/2 every direction varies alike; by 1/4 the ratio of two is the root of what it was."""
    images = pictures(6)
    spreads = {}
    for whitening in (0.0, 0.25, 0.5):
        options = BackboneOptions(weights="x.pth", dimensions=4)
        standard = learn_standard(Body(tiny(), FACTS), images, options, whitening=whitening)
        spreads[whitening] = standard(images).permute(1, 0, 2, 3).flatten(1).square().mean(1)
    torch.testing.assert_close(spreads[0.5], spreads[0.5].mean().expand(4), rtol=1e-3, atol=0)
    ratio = {whitening: spread[3] / spread[1] for whitening, spread in spreads.items()}
    torch.testing.assert_close(ratio[0.25], ratio[0.0].sqrt(), rtol=1e-3, atol=0)


def test_drawn_directions_repeat_and_keep_distances():
    """Random directions are the same each time, and squared distances survive them to the accuracy of their number."""
    images = pictures(4)
    options = BackboneOptions(weights="x.pth", dimensions=200, reduce="random", layers=("layer2", "layer3"))
    with pytest.raises(RecipeError, match="200 cannot be made of the 24 numbers"):
        learn_standard(Body(tiny(), FACTS), images, options, whitening=0.25)
    options = BackboneOptions(weights="x.pth", dimensions=24, reduce="random")
    one, two = (learn_standard(Body(tiny(), FACTS), images, options, whitening=w) for w in (0.0, 0.25))
    assert torch.equal(one.turn, two.turn)
    cells = all_cells(one.backbone, images)
    cells = cells - cells.mean(0)
    given = one(images).permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    assert (given**2).mean() == pytest.approx(1.0, rel=1e-3)
    assert np.corrcoef((cells**2).sum(1), (given**2).sum(1))[0, 1] > 0.8


@pytest.mark.parametrize("reduce", ["principal", "random"])
def test_images_without_any_variation_give_numbers(reduce):
    """Five identical constant images divide nothing by zero."""
    images = torch.full((5, 1, 64, 64), 0.5)
    options = BackboneOptions(weights="x.pth", dimensions=8, reduce=reduce)
    standard = learn_standard(Body(tiny(), FACTS), images, options, whitening=0.25)
    assert torch.isfinite(standard(images)).all()


def fitted(
    name: str, monkeypatch: pytest.MonkeyPatch, memory: dict, *, channels: int = 1, minutes: float | None = None
) -> Method:
    """A method that has looked at drawn good images, with Tiny as its backbone."""
    monkeypatch.setattr("candling.train.configure.load_body", lambda options: Body(tiny(*options.layers), FACTS))
    fabric = Fabric(accelerator="cpu", devices=1)
    method = build_method(
        name, {"memory": memory}, Plan((channels, 60, 96), Training(learning_rate=1e-3, minutes=minutes), fabric)
    )
    assert isinstance(method, Begins)
    generator = torch.Generator().manual_seed(0)
    good, held = pictures(10, channels, (60, 96)), pictures(6, channels, (60, 96))
    method.begin(
        [Batch(good[:4], torch.arange(4), generator), Batch(good[4:], torch.arange(4, 10), generator)],
        [Batch(held, torch.arange(6), generator)],
        Silent(),
    )
    return method


PATCHCORE = {"radius": "anywhere", "whitening": 0.0, "keep_anywhere": 64}
PADIM = {"search": "gaussian"}


@pytest.mark.parametrize("settings", [PATCHCORE, PADIM], ids=["anywhere", "gaussian"])
def test_the_memory_of_a_backbone_is_one_graph(settings, monkeypatch):
    """Network, reduction and memory leave as one graph that every engine repeats, and the card names the weights."""
    backbone = {"weights": "x.pth", "dimensions": 12}
    method = fitted("memory", monkeypatch, {**settings, "backbone": backbone})
    images = pictures(8, 1, (60, 96), seed=9)
    exported = export(method.graph(), images, remembered=10)
    assert {"anomaly", "anomaly_map"} <= {output for _, output in exported.parity.differences}
    choices = method.choices()
    assert choices["memory cell"] == 8
    assert choices["backbone weights sha256"] == FACTS["backbone weights sha256"]
    assert ("memory search" in choices) == (settings == PADIM)


@pytest.mark.parametrize("settings", [{}, PATCHCORE, PADIM], ids=["local", "anywhere", "gaussian"])
def test_a_dark_square_is_stranger_than_anything_good(settings, monkeypatch):
    """Even a network without training tells a black square from good images, and sees it where it is."""
    method = fitted("memory", monkeypatch, {**settings, "backbone": {"weights": "x.pth", "dimensions": 12}})
    # the same product, with noise of its own
    noise = 0.01 * torch.randn((6, 1, 60, 96), generator=torch.Generator().manual_seed(5))
    good = (pictures(6, 1, (60, 96)) + noise).clamp(0, 1)
    bad = good.clone()
    bad[:, :, 24:40, 40:56] = 0.0
    with torch.no_grad():
        usual, strange = method.graph()(good), method.graph()(bad)
    assert strange["anomaly"].min() > usual["anomaly"].max()
    place = strange["anomaly_map"].flatten(1).argmax(1)
    rows, columns = place // 96, place % 96
    assert ((rows >= 16) & (rows < 48) & (columns >= 32) & (columns < 64)).all()


def test_a_gaussian_names_no_good_cell(monkeypatch):
    """A bundle of a Gaussian memory has nothing to show beside a strange place; one of vectors has."""
    backbone = {"weights": "x.pth", "dimensions": 6}
    for memory, shows in (({"search": "gaussian", "backbone": backbone}, False), ({"backbone": backbone}, True)):
        method = fitted("memory", monkeypatch, memory)
        assert isinstance(method, Remembers)
        assert ("nearest" in method.graph()(pictures(1, 1, (60, 96)))) == shows
        assert (method.references() is not None) == shows


@pytest.mark.parametrize("search", ["nearest", "gaussian"])
def test_a_network_on_top_learns_from_a_backbone_too(search, monkeypatch):
    """``memory_unet`` is told a backbone's evidence in training, and its graph says what the memory says."""
    memory = {"search": search, "backbone": {"weights": "x.pth", "dimensions": 6, "layers": ["layer1", "layer2"]}}
    method = fitted("memory_unet", monkeypatch, memory, channels=3)
    batch = Batch(pictures(4, 3, (60, 96)), torch.arange(4), torch.Generator().manual_seed(1))
    losses = method.step(batch)
    assert np.isfinite(list(losses.values())).all()
    assert method.choices()["memory cell"] == 4
    fresh = pictures(2, 3, (60, 96), seed=9)
    with torch.no_grad():
        both = method.graph()(fresh)
        alone = fitted("memory", monkeypatch, memory, channels=3).graph()(fresh)
    torch.testing.assert_close(both["memory_anomaly"], alone["anomaly"])


@pytest.mark.parametrize("name", ["memory", "memory_unet"])
def test_the_graph_can_be_asked_for_before_anything_was_seen(name):
    """A judged score is checked before training; the weights need not be there for that."""
    fabric = Fabric(accelerator="cpu", devices=1)
    options = {"memory": {"backbone": {"weights": "nowhere.pth"}}}
    method = build_method(name, options, Plan((3, 64, 64), Training(), fabric))
    assert "anomaly" in method.graph()(pictures(1, 3, (64, 64)))


def test_another_cell_than_the_backbones_is_refused(monkeypatch):
    """The first layer decides the cell."""
    with pytest.raises(RecipeError, match=r"method\.memory\.cell: .* every 8 px, not 4"):
        fitted("memory", monkeypatch, {"cell": 4, "backbone": {"weights": "x.pth", "dimensions": 6}})


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"backbone": {}}, r"method\.memory\.backbone\.weights: missing"),
        ({"backbone": {"weights": "x.pth", "layer": ["a"]}}, r"backbone\.layer: unknown key; did you mean 'layers'"),
        ({"search": "gaussian", "radius": "anywhere"}, r"Gaussian looks at its own place"),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_read(memory, message):
    """A recipe's mistake names its key."""
    with pytest.raises(RecipeError, match=message):
        build_method("memory", {"memory": memory}, Plan((3, 64, 64), Training(), Fabric(accelerator="cpu", devices=1)))
