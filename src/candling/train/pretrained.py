"""Networks with trained weights, cut down to the layers that are wanted; the one file that names torchvision.

Named weights are fetched only where the recipe says so, files hold tensors and nothing that could run, and what was
taken is told by its SHA-256. This file knows no descriptor and no memory.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import torch
from torch import Tensor, fx, nn

from candling.errors import MissingExtraError, RecipeError, TrainingError
from candling.train.backbone import KEY, Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.train.backbone import BackboneOptions

__all__ = ["cut", "fill", "load_body"]


def cut(network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Keep of a network what its chosen layers need, and give their outputs as a tuple, in order.

    Args:
        network: takes one picture; changed to evaluation mode, and no layer of it overwrites its input any more.
        layers: qualified names of its modules, as ``layer2`` or ``features.4``.

    Raises:
        RecipeError: there is no such layer, or the network's way depends on the picture.
    """
    for module in network.eval().modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    names = [name for name, _ in network.named_modules() if name]
    try:
        graph = fx.Tracer().trace(network)
    except Exception as error:  # whatever a foreign network raises while it is followed
        raise RecipeError(f"{KEY}.name: the network cannot be followed to its layers ({error})") from error
    last: dict[str, fx.Node] = {}
    for node in graph.nodes:
        for path, _ in node.meta.get("nn_module_stack", {}).values():
            last[path] = node
    for layer in layers:
        if layer not in last:
            near = difflib.get_close_matches(layer, names, n=1)
            outer = ", ".join(name for name in names if name.count(".") == 0)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(f"{KEY}.layers: no layer {layer!r}; {hint}the outer ones are: {outer}")
    (output,) = graph.find_nodes(op="output")
    graph.erase_node(output)
    graph.output(tuple(last[layer] for layer in layers))
    found = fx.GraphModule(network, graph)
    found.graph.eliminate_dead_code()
    found.delete_all_unused_submodules()
    found.recompile()
    return found.eval()


def load_body(options: BackboneOptions) -> Body:
    """Build the network up to the last of its layers, with its weights.

    Raises:
        MissingExtraError: torchvision is not installed.
        RecipeError: no such network, layer or weights; the weights are another network's; or named weights are not on
            this machine and ``online`` is false.
        TrainingError: weights could not be fetched.
    """
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # one that does not match torch raises the latter
        raise MissingExtraError(
            f"[{KEY}] needs a torchvision that matches torch; run: pip install 'candling[backbone]'"
        ) from error
    if options.name not in models.list_models():
        near = difflib.get_close_matches(options.name, models.list_models(), n=3)
        raise RecipeError(f"{KEY}.name: torchvision has no network {options.name!r}; near are: {', '.join(near)}")
    file = Path(options.weights)
    called = file.name
    if not file.suffix:
        file, called = _named(options, models.get_model_weights(options.name))
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and then replaced
        network = cut(models.get_model(options.name, weights=None), options.layers)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RecipeError(
            f"{KEY}.weights: {file} cannot be read: {error.strerror or error}; name a .pth file, or weights of "
            "torchvision such as IMAGENET1K_V1"
        ) from error
    fill(network, content, where=str(file))
    facts = {
        "backbone": options.name,
        "backbone layers": ", ".join(options.layers),
        "backbone weights": called,
        "backbone weights sha256": hashlib.sha256(content).hexdigest(),
    }
    return Body(network, facts)


def _named(options: BackboneOptions, known: Any) -> tuple[Path, str]:
    """Find the file of named weights where torch keeps them; fetch it where that is allowed."""
    if options.weights not in known.__members__:
        raise RecipeError(
            f"{KEY}.weights: torchvision has no {options.weights!r} for {options.name}; it has: "
            f"{', '.join(known.__members__)}; a file ends in .pth"
        )
    found = known[options.weights]
    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(found.url).path).name
    if kept.is_file():
        return kept, found.name
    if not options.online:
        raise RecipeError(
            f"{KEY}.weights: {found.name} of {options.name} is not on this machine; "
            "set online = true to fetch it, or name a local .pth file"
        )
    try:
        found.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no way there, or not what was announced
        raise TrainingError(
            f"{KEY}.weights: {found.name} of {options.name} could not be fetched ({error}); name a local .pth file"
        ) from error
    return kept, found.name


def fill(network: nn.Module, content: bytes, *, where: str) -> None:
    """Put weights into a network; others in the same file, of layers it does not have, are passed over.

    Args:
        network: to fill.
        content: a file of tensors by name, as ``torch.save(network.state_dict(), ...)`` writes it.
        where: the file, for messages.

    Raises:
        RecipeError: it is no such file, or its weights are another network's, or not finite.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a foreign file is filled from or refused; both say enough
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a reader meets in a foreign file
        raise RecipeError(f"{KEY}.weights: {where} is not a file of tensors alone; save a state_dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RecipeError(f"{KEY}.weights: {where} holds more than weights by name; save the plain state_dict")
    wanted = network.state_dict()
    lacking = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    other = [name for name in wanted if name in state and state[name].shape != wanted[name].shape]
    if lacking or other:
        first = f"{lacking[0]!r} is missing" if lacking else f"{other[0]!r} has another shape"
        raise RecipeError(f"{KEY}.weights: {where} holds the weights of another network: {first}")
    if not all(bool(torch.isfinite(state[name]).all()) for name in wanted if name in state):
        raise RecipeError(f"{KEY}.weights: {where} holds weights that are infinite or not a number")
    network.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)
