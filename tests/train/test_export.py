"""The exported graph is the network, number by number, and says nothing of the machine; any other graph is refused."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import candling
from candling.errors import EngineError, TrainingError
from candling.runtime.engine import open_engine, statement, witness_picture
from candling.train import export as module
from candling.train.export import export


class Network(nn.Module):
    """A small network that keeps the contract: a score, a map, a reconstruction."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 1, 3, padding=1)
        )
        self.shift = shift

    def forward(self, image):
        reconstruction = torch.sigmoid(self.inside(image))
        anomaly_map = (image - reconstruction).square().mean(1)
        return {
            "error": anomaly_map.mean((1, 2)) + self.shift,
            "anomaly_map": anomaly_map,
            "reconstruction": reconstruction,
        }


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(0).random((9, 1, 24, 32), np.float32))


@pytest.fixture(scope="module")
def exported(images):
    return export(Network(), images)


def test_graph_is_the_network(exported, images):
    """Every output is proven in every engine, in batches of 1, 3 and 8, and the figures are kept."""
    parity = exported.parity
    assert parity.batches == (1, 3, 8)
    assert parity.images == 9
    assert {output for _, output in parity.differences} == {"error", "anomaly_map", "reconstruction"}
    assert "onnxruntime" in {engine for engine, _ in parity.differences}
    assert max(parity.differences.values()) < 1e-5
    assert all(isinstance(value, str | int | float) for value in parity.facts().values())


def test_the_witness_is_what_the_network_says_and_every_engine_repeats(exported):
    """Score, mean and largest value of the map on the drawn picture, from the network itself; an engine agrees."""
    picture = witness_picture((1, 24, 32))[None]
    with torch.inference_mode():
        outputs = Network().eval()(torch.from_numpy(picture))
    expected = {
        "error": outputs["error"].item(),
        "anomaly_map mean": outputs["anomaly_map"].double().mean().item(),
        "anomaly_map max": outputs["anomaly_map"].max().item(),
    }
    assert exported.witness == pytest.approx(expected, rel=1e-12)
    with open_engine(exported.graph, witness=exported.witness) as engine:
        given = engine.run(picture)
    said = statement({**given.scores, "anomaly_map": given.anomaly_map})
    assert said == pytest.approx(dict(exported.witness), rel=1e-5)


def test_a_value_that_proves_nothing_is_no_witness(images):
    """A score that is infinite on the drawn picture, or that an engine does not repeat, is left out; others stay."""
    noise = float(np.abs(np.diff(witness_picture((1, 24, 32)), axis=2)).mean())
    plain = images * 0 + 0.5

    class Steep(Network):
        def forward(self, image):
            rough = (image[..., 1:] - image[..., :-1]).abs().mean((1, 2, 3))
            return {**super().forward(image), "rarity": 1 / (noise / 2 - rough).relu()}

    witness = export(Steep(), plain).witness
    assert witness.keys() == {"error", "anomaly_map mean", "anomaly_map max"}
    answers = {"error": np.array([1.0]), "rarity": np.array([3.0])}
    assert module._repeated({"error": 1.0, "rarity": 2.0}, answers) == {"error": 1.0}


def test_graph_takes_any_number_of_images(exported, images):
    """N is free: the same image gives the same score in a batch of 5 and alone."""
    with open_engine(exported.graph, engine="onnxruntime", requests=1, chunk=5) as engine:
        together = engine.run(images[:5].numpy()).scores["error"]
    with open_engine(exported.graph, engine="onnxruntime", requests=1) as engine:
        alone = engine.run(images[4:5].numpy()).scores["error"]
    assert together[4] == pytest.approx(alone[0], rel=1e-6)


def test_a_network_that_fixes_the_number_of_images_is_refused(images):
    """len(tensor) is a plain number: the exporter would fix N to that of its example, and say nothing."""

    class Counting(Network):
        def forward(self, image):
            outputs = super().forward(image)
            return {**outputs, "error": outputs["error"] + torch.zeros(len(image))}

    with pytest.raises(TrainingError, match=r"fixed to batches of 2 images.*shape\[0\]"):
        export(Counting(), images)


def test_graph_knows_nothing_of_the_machine(exported):
    """No path, no file name, no line of code, no stack trace lies in the graph."""
    for trace in (rb"\.py", rb"/[\w.-]+/", rb"line \d+", str(Path(candling.__file__).parent).encode(), b"stack"):
        assert not re.search(trace, exported.graph), trace
    model = onnx.load_from_string(exported.graph)
    assert not model.doc_string
    assert not model.metadata_props
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_graph_has_no_external_data(exported):
    """All weights lie in the one file."""
    model = onnx.load_from_string(exported.graph)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    onnx.checker.check_model(model)


def test_export_repeats_itself(exported, images):
    """The same network gives the same bytes."""
    assert export(Network(), images).graph == exported.graph


def test_a_single_image_suffices(images):
    """Where there are fewer images than the largest batch, they are repeated."""
    assert export(Network(), images[:1]).parity.images == 8


def test_another_graph_is_refused(exported, images, monkeypatch):
    """A graph whose numbers differ from the network's is refused with the output, the difference and the engine."""
    monkeypatch.setattr(module, "_to_onnx", lambda *args, **kwargs: exported.graph)
    with pytest.raises(TrainingError, match=r"'error' differs by 0\.001 \(onnxruntime, batch 1\)"):
        export(Network(shift=0.001), images)


def test_small_scores_are_held_to_their_own_size(exported, images, monkeypatch):
    """A difference of 1e-5 is too much where scores are below 0.1: limits of 5e-5 are in use."""
    monkeypatch.setattr(module, "_to_onnx", lambda *args, **kwargs: exported.graph)
    with pytest.raises(TrainingError, match="'error' differs"):
        export(Network(shift=3e-5), images)


def test_a_network_that_gives_nan_is_refused(images):
    """NaN on good images is a failed training, not a graph."""
    with pytest.raises(TrainingError, match="not a number on good images"):
        export(Network(shift=float("nan")), images)


def test_a_network_that_breaks_the_contract_is_refused(images):
    """A score that is not one number an image is refused by the engine's own check."""

    class Wrong(Network):
        def forward(self, image):
            return {"error": super().forward(image)["anomaly_map"]}

    with pytest.raises(EngineError, match="error"):
        export(Wrong(), images)


def test_what_cannot_be_exported_is_explained(images):
    """A network whose path depends on the pixels is refused in one sentence."""

    class Branching(Network):
        def forward(self, image):
            return super().forward(image if image.mean().item() > 0.7 else 1 - image)

    with pytest.raises(TrainingError, match="cannot be exported to ONNX") as refusal:
        export(Branching(), images)
    assert "\n" not in str(refusal.value)


class Remembering(Network):
    """The same, and it names a remembered cell for each of 3 x 4; ``first`` is the lowest of the names."""

    def __init__(self, first: int = -1, *, turns: bool = False) -> None:
        super().__init__()
        self.first, self.turns = first, turns

    def forward(self, image):
        names = torch.arange(12, device=image.device).view(1, 3, 4) + self.first
        bright = (image.mean((1, 2, 3), keepdim=True)[:, 0] > 0.5).to(torch.int64)
        return {**super().forward(image), "nearest": names + bright * (12 if self.turns else 0)}


def test_the_nearest_cells_are_there_but_not_compared(images):
    """Their type, shape and range are held, in every engine; no figure of parity is made of them."""
    exported = export(Remembering(), images, remembered=1)
    assert "nearest" not in {output for _, output in exported.parity.differences} | set(exported.parity.scales)
    with open_engine(exported.graph) as engine:
        outputs = engine.run(images[:2].numpy(), nearest=True)
    np.testing.assert_array_equal(outputs.nearest, np.arange(-1, 11).reshape(1, 3, 4).repeat(2, axis=0))


class Unsteady(Network):
    """Its score rests on the last bits of a corner, by so many tolerances."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.times = times

    def forward(self, image):
        said = super().forward(image)
        corner = image[:, 0, 0, 0]
        odd = torch.floor(corner * 2**22) - 2.0 * torch.floor(corner * 2**21)
        return {**said, "error": said["error"] * (1.0 + self.times * module.SCORE_TOLERANCE * odd)}


@pytest.mark.parametrize(
    ("moves", "differs", "refused"), [(10, 9, False), (0, 9, True), (10, 40, True), (300, 290, True)]
)
def test_a_graph_may_differ_where_rounding_moves_the_network(images, monkeypatch, moves, differs, refused):
    """As far as the network itself is moved by rounding, and only there, a score may be off; but not by any amount."""
    network, run = Unsteady(moves), module._run_graph
    images = images.clone()
    images[:, 0, 0, 0] = torch.tensor([0.5] + [0.0] * 8)  # only the first is where the bit turns

    def off(*args, which=0, **kwargs):
        given = {name: values.copy() for name, values in run(*args, **kwargs).items()}
        given["error"][which] += differs * module.SCORE_TOLERANCE * given["error"][:-1].max()
        return given

    monkeypatch.setattr(module, "_run_graph", off)
    if refused:
        with pytest.raises(TrainingError, match="'error' differs by"):
            export(network, images)
    else:
        assert export(network, images).parity.images == 9
        monkeypatch.setattr(module, "_run_graph", partial(off, which=1))
        with pytest.raises(TrainingError, match="'error' differs by"):
            export(network, images)


def test_rounding_is_looked_for_in_the_weights_as_well(images, monkeypatch):
    """An engine that folds layers rounds weights: a score that rests on their last bits may differ as far."""

    class Folded(Network):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.tensor(0.5))

        def forward(self, image):
            said = super().forward(image)
            low = (self.weight < 0.5).to(image.dtype)
            return {**said, "error": said["error"] * (1.0 + 10.0 * module.SCORE_TOLERANCE * low)}

    run = module._run_graph

    def off(*args, **kwargs):
        given = run(*args, **kwargs)
        return {**given, "error": given["error"] * (1.0 + 9.0 * module.SCORE_TOLERANCE)}

    monkeypatch.setattr(module, "_run_graph", off)
    assert export(Folded(), images).parity.images == 9
    with pytest.raises(TrainingError, match="'error' differs by"):
        export(Network(), images)


def test_another_choice_among_equals_is_no_other_graph(images, monkeypatch):
    """Of two cells as near either may win: a graph that names others passes, as long as they are remembered."""
    other = export(Remembering(0), images).graph
    monkeypatch.setattr(module, "_to_onnx", lambda *args, **kwargs: other)
    assert export(Remembering(3), images, remembered=2).parity.images == 9


@pytest.mark.parametrize(
    ("first", "remembered", "told"),
    [(-2, None, r"'nearest' names pictures -1 to 0"), (1, 1, "names pictures 0 to 1 .* where 1 are remembered")],
)
def test_a_cell_that_is_not_remembered_is_refused(images, first, remembered, told):
    """Below -1, or of a picture that there is not."""
    with pytest.raises(TrainingError, match=told):
        export(Remembering(first), images, remembered=remembered)


def test_a_grid_of_another_shape_is_refused(images, monkeypatch):
    """A graph whose grid is not the network's is not the network."""
    graph = export(Remembering(), images).graph

    class Wide(Remembering):
        def forward(self, image):
            return {**super().forward(image), "nearest": super().forward(image)["nearest"].view(-1, 4, 3)}

    monkeypatch.setattr(module, "_to_onnx", lambda *args, **kwargs: graph)
    with pytest.raises(TrainingError, match=r"'nearest' is int64 \(9, 3, 4\) .*the network gives int64 \(9, 4, 3\)"):
        export(Wide(), images)
