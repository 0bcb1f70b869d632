"""Networks with trained weights: cut to their layers, filled from a file, fetched only where the recipe allows it."""

from __future__ import annotations

import enum
import hashlib
import io
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest
import torch
from torch import nn

from candling.errors import MissingExtraError, RecipeError, TrainingError
from candling.train.backbone import BackboneOptions
from candling.train.pretrained import cut, fill, load_body


class Block(nn.Module):
    """A residual block whose activations overwrite their input, as torchvision's do."""

    def __init__(self, before, after):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(after)
        self.beside = nn.Conv2d(before, after, 1, stride=2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, image):
        maps = self.relu(self.bn(self.conv(image)))
        maps += self.beside(image)
        return self.relu(maps)


class Small(nn.Module):
    """Three blocks and a head."""

    def __init__(self):
        super().__init__()
        self.layer1, self.layer2, self.layer3 = Block(3, 4), Block(4, 6), Block(6, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, image):
        return self.fc(self.layer3(self.layer2(self.layer1(image))).mean((2, 3)))


class Undecided(nn.Module):
    """Its way depends on what it sees."""

    def forward(self, image):
        return image if image.mean() > 0 else -image


def hooked(network: nn.Module, layers: list[str], image: torch.Tensor) -> list[torch.Tensor]:
    """What the layers of the whole network give, read while it runs."""
    seen = {}
    modules = dict(network.eval().named_modules())
    for layer in layers:
        modules[layer].register_forward_hook(lambda _m, _i, out, layer=layer: seen.update({layer: out.clone()}))
    with torch.no_grad():
        network(image)
    return [seen[layer] for layer in layers]


def saved(state) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("layers", [["layer1", "layer2"], ["layer3", "layer1"], ["layer2.relu", "layer2.conv"]])
def test_a_cut_network_gives_what_its_layers_gave(layers):
    """The outputs are those that hooks read in the whole network, in the order asked for, at any depth."""
    torch.manual_seed(0)
    whole, image = Small(), torch.rand(2, 3, 64, 64)
    expected = hooked(whole, layers, image)
    with torch.no_grad():
        given = cut(whole, layers)(image)
    assert len(given) == len(layers)
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_what_comes_after_the_last_layer_is_gone():
    """Neither later layers nor the head travel into the graph."""
    names = {name.partition(".")[0] for name in cut(Small(), ["layer1", "layer2"]).state_dict()}
    assert names == {"layer1", "layer2"}


def test_an_unknown_layer_is_named_with_its_neighbours():
    """A misspelt layer meets the nearest spelling and the outer layers there are."""
    with pytest.raises(RecipeError, match=r"no layer 'layer_2'; did you mean 'layer2'\? .*layer1, layer2, layer3, fc"):
        cut(Small(), ["layer_2"])


def test_a_network_whose_way_depends_on_the_picture_is_refused():
    """It could not become one graph."""
    with pytest.raises(RecipeError, match=r"backbone\.name: the network cannot be followed"):
        cut(Undecided(), ["layer1"])


def test_weights_of_later_layers_are_passed_over():
    """A file of the whole network fills the part, number by number."""
    torch.manual_seed(0)
    whole = Small()
    part = cut(Small(), ["layer1"])
    fill(part, saved(whole.state_dict()), where="w.pth")
    for name, value in part.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def broken(kind: str) -> bytes:
    state = Small().state_dict()
    if kind == "missing":
        del state["layer1.conv.weight"]
    elif kind == "shape":
        state["layer1.conv.weight"] = torch.zeros(1)
    elif kind == "nan":
        state["layer1.conv.weight"][0] = torch.nan
    elif kind == "nested":
        return saved({"epoch": 3, "state_dict": state})
    elif kind == "code":
        return pickle.dumps(Path)
    elif kind == "object":
        return saved(Small())
    elif kind == "torn":
        return saved(state)[:-200]
    elif kind == "empty":
        return b""
    return saved(state)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "another network: 'layer1.conv.weight' is missing"),
        ("shape", "another network: 'layer1.conv.weight' has another shape"),
        ("nan", "infinite or not a number"),
        ("nested", "more than weights by name; save the plain state_dict"),
        ("code", "not a file of tensors alone"),
        ("object", "not a file of tensors alone"),
        ("torn", "not a file of tensors alone"),
        ("empty", "not a file of tensors alone"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(kind, message):
    """Another network's weights, whole objects, torn files: each in one sentence that names the key and the file."""
    with pytest.raises(RecipeError, match=rf"^method\.memory\.backbone\.weights: w\.pth .*{message}"):
        fill(cut(Small(), ["layer1"]), broken(kind), where="w.pth")


@dataclass(frozen=True)
class Announced:
    """What torchvision knows of trained weights."""

    url: str


class SmallWeights(enum.Enum):
    """Trained weights of one network."""

    IMAGENET1K_V1 = Announced("https://example.org/models/small-0123abcd.pth")
    DEFAULT = IMAGENET1K_V1

    @property
    def url(self):
        return self.value.url

    def get_state_dict(self, *, progress, check_hash):
        FETCHED.append((self.name, check_hash))
        kept = Path(torch.hub.get_dir()) / "checkpoints" / "small-0123abcd.pth"
        if not ONLINE:
            raise URLError("no way out")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(ONLINE[0])


FETCHED: list = []
ONLINE: list[bytes] = []


@pytest.fixture(autouse=True)
def torchvision(request, monkeypatch, tmp_path):
    """A stand-in that knows one network, and a folder of torch's own; not for the test that needs the real one."""
    if request.node.name.startswith("test_real"):
        return
    FETCHED.clear()
    ONLINE.clear()
    package, models = ModuleType("torchvision"), ModuleType("torchvision.models")
    models.list_models = lambda: ["small", "smaller", "wide"]
    models.get_model = lambda name, weights: Small()
    models.get_model_weights = lambda name: SmallWeights
    package.models = models
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def options(**given) -> BackboneOptions:
    return BackboneOptions(**{"name": "small", "layers": ("layer1", "layer2"), **given})


def test_without_torchvision_the_remedy_is_named(monkeypatch):
    """A backbone is an extra."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'candling\[backbone\]'"):
        load_body(options(weights="w.pth"))


def test_a_local_file_is_taken_and_told_by_its_hash(tmp_path):
    """The card gets the file's name, without its folder, and the SHA-256 of its bytes; nothing is fetched."""
    torch.manual_seed(0)
    whole = Small()
    content = saved(whole.state_dict())
    (tmp_path / "ours.pth").write_bytes(content)
    body = load_body(options(weights=str(tmp_path / "ours.pth")))
    assert body.facts == {
        "backbone": "small",
        "backbone layers": "layer1, layer2",
        "backbone weights": "ours.pth",
        "backbone weights sha256": hashlib.sha256(content).hexdigest(),
    }
    assert torch.equal(body.network.state_dict()["layer2.bn.weight"], whole.state_dict()["layer2.bn.weight"])
    assert not FETCHED


def test_loading_draws_nothing_from_the_training(tmp_path):
    """The weights that a network is born with do not move the random numbers of what follows."""
    (tmp_path / "ours.pth").write_bytes(saved(Small().state_dict()))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_body(options(weights=str(tmp_path / "ours.pth")))
    assert torch.equal(torch.rand(3), expected)


def test_named_weights_are_never_fetched_silently():
    """Without ``online = true`` they are refused, in one sentence with both remedies."""
    with pytest.raises(RecipeError, match=r"IMAGENET1K_V1 of small is not on this machine; set online = true .*\.pth"):
        load_body(options(weights="IMAGENET1K_V1"))
    assert not FETCHED


def test_named_weights_are_fetched_once_where_that_is_allowed():
    """Their hash is checked on the way, the card has the enum's own name, and the next time they are there."""
    ONLINE.append(saved(Small().state_dict()))
    first = load_body(options(weights="DEFAULT", online=True))
    assert first.facts["backbone weights"] == "IMAGENET1K_V1"
    assert first.facts["backbone weights sha256"] == hashlib.sha256(ONLINE[0]).hexdigest()
    again = load_body(options(weights="IMAGENET1K_V1"))
    assert again.facts == first.facts
    assert FETCHED == [("IMAGENET1K_V1", True)]


def test_weights_that_cannot_be_fetched_are_no_traceback():
    """Without a way out, a local file is offered."""
    with pytest.raises(TrainingError, match=r"could not be fetched \(.*no way out.*\); name a local \.pth file"):
        load_body(options(weights="IMAGENET1K_V1", online=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "smal", "weights": "w.pth"}, r"backbone\.name: torchvision has no network 'smal'; near are: small"),
        ({"weights": "IMAGENET"}, r"backbone\.weights: torchvision has no 'IMAGENET' for small; it has: IMAGENET1K_V1"),
        ({"weights": "nowhere.pth"}, r"backbone\.weights: nowhere\.pth cannot be read: No such file"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(given, message):
    """Network, weights, file: each is named, with what there is instead."""
    with pytest.raises(RecipeError, match=message):
        load_body(options(**given))


def test_real_networks_of_torchvision_are_cut_and_filled(tmp_path):
    """With torchvision's own ResNet-18: the maps of layer2 and layer3 are those of the whole network."""
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed", exc_type=ImportError)
    torch.manual_seed(0)
    whole = models.resnet18(weights=None)
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    image = torch.rand(1, 3, 96, 64)
    body = load_body(BackboneOptions(weights=str(tmp_path / "resnet18.pth")))
    with torch.no_grad():
        given = body.network(image)
    assert [maps.shape[1:] for maps in given] == [(128, 12, 8), (256, 6, 4)]
    for one, other in zip(given, hooked(whole, ["layer2", "layer3"], image), strict=True):
        torch.testing.assert_close(one, other)
