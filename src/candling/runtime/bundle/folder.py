"""A bundle on disk: written whole or not at all, verified byte by byte when loaded; knows no engine.

    graph.onnx      what runs; keeps the graph contract, all weights inside
    recipe.toml     every choice, resolved: no "auto" is left
    limits.json     the limits and every change of them
    card.json       where it comes from
    ...             other plain files, such as curves.csv
    manifest.json   format, candling's version, size and SHA-256 of each file above

Loading trusts nothing: the folder holds exactly the files of the manifest, each a plain file (no link, no folder) of
the stated size and hash. A manifest is not a signature: whoever may write the folder may replace all of it, and the
hash of the manifest, which every inspection carries, tells the two apart.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

import candling
from candling.disk import replaced_folder
from candling.errors import BundleError, EngineError, RecipeError, UsageError
from candling.recipe import Recipe, dump_recipe, explain, parse_recipe
from candling.runtime.bundle.meaning import bound, check_meaning
from candling.runtime.bundle.shapes import FORMAT, Card, LimitsFile, Manifest, ManifestFile
from candling.runtime.onnx_guard import MAX_GRAPH_BYTES, check_graph_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CARD", "GRAPH", "LIMITS", "MANIFEST", "RECIPE", "Bundle", "load_bundle", "manifest_of", "save_bundle"]

GRAPH: Final = "graph.onnx"
RECIPE: Final = "recipe.toml"
LIMITS: Final = "limits.json"
CARD: Final = "card.json"
MANIFEST: Final = "manifest.json"

_ShapeT = TypeVar("_ShapeT", bound=BaseModel)

_OWN: Final = (GRAPH, RECIPE, LIMITS, CARD)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # no separator, no leading dot: never leaves the folder
_MAX_FILES: Final = 64
_MAX_BYTES: Final[Mapping[str, int]] = {
    GRAPH: MAX_GRAPH_BYTES,
    RECIPE: 2**20,
    LIMITS: 2**26,
    CARD: 2**22,
    MANIFEST: 2**20,
}
_MAX_OTHER_BYTES: Final = 2**28


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the folder, absolute, links resolved.
        recipe: every choice, resolved.
        limits: the limits that hold, with their history.
        card: where it comes from.
        manifest: size and hash of each file.
        sha256: of the manifest's bytes: the bundle's identity, carried by every inspection.
    """

    path: Path
    recipe: Recipe
    limits: LimitsFile
    card: Card
    manifest: Manifest
    sha256: str

    @property
    def graph_path(self) -> Path:
        """Where the graph lies; to run it take :meth:`read_graph`, which verifies what it gives."""
        return self.path / GRAPH

    def read_graph(self) -> bytes:
        """Read the graph's bytes, verified again: what is run is what the manifest names.

        Raises:
            BundleError: the file is gone or was changed since the bundle was loaded.
        """
        return _read_listed(self.path, GRAPH, self.manifest)

    def read_extra(self, name: str) -> bytes | None:
        """Read another file that was saved with the bundle, verified again; None where there is none of this name.

        Raises:
            BundleError: the file is gone or was changed since the bundle was loaded.
        """
        listed = name in self.manifest.files and name not in _OWN
        return _read_listed(self.path, name, self.manifest) if listed else None


def save_bundle(
    folder: Path,
    *,
    graph: bytes,
    recipe: Recipe,
    limits: LimitsFile,
    card: Card,
    extra: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle: the folder appears complete or not at all.

    Args:
        folder: where; its parent is made when missing.
        graph: an ONNX model with everything inside.
        recipe: resolved.
        limits: may still have no entries; then nothing can be judged until `candling calibrate` ran.
        card: where it comes from.
        extra: other files by plain name, such as ``curves.csv``.
        overwrite: replace what is there.

    Raises:
        UsageError: the recipe still holds an "auto", or an extra file has no plain name.
        EngineError: the graph has external data or foreign operators.
        OutputExistsError: the folder exists and ``overwrite`` is False.
        DiskError: writing failed.
    """
    if not recipe.prepare.resolved:
        raise UsageError(f'{folder}: the recipe still holds an "auto" under [prepare]; a bundle needs it decided')
    check_graph_bytes(graph, where=GRAPH)
    limits = bound(limits, card, where=folder)
    files = {GRAPH: graph, RECIPE: dump_recipe(recipe).encode(), LIMITS: to_json(limits), CARD: to_json(card)}
    for name, data in (extra or {}).items():
        if name in files or name == MANIFEST or not _NAME.fullmatch(name):
            raise UsageError(f"{folder}: an extra file cannot be named {name!r}; use letters, digits, '.', '_' and '-'")
        files[name] = data
    with replaced_folder(folder, overwrite=overwrite) as fresh:
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        (fresh / MANIFEST).write_bytes(to_json(manifest_of(files)))
    return load_bundle(folder)


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """Describe files by size and hash."""
    listed = {
        name: ManifestFile(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in files.items()
    }
    return Manifest(format=FORMAT, candling=candling.__version__, files=listed)


def to_json(shape: BaseModel) -> bytes:
    """Write one of a bundle's shapes as JSON a person can read."""
    return (shape.model_dump_json(indent=2) + "\n").encode()


def load_bundle(folder: Path | str) -> Bundle:
    """Load a bundle and verify all of it.

    Raises:
        BundleError: there is none, it is of another format, a file is missing, changed, unlisted, a link, too large or
            of a wrong shape, or its graph is refused; the sentence names the file and says what to do.
    """
    folder = Path(folder)
    path = folder.resolve()
    if not path.is_dir():
        raise BundleError(_no_folder(folder, path))
    found = _listing(path)
    if MANIFEST not in found:
        raise BundleError(f"{folder}: no {MANIFEST}, so this is no bundle; give a folder made by `candling train`")
    raw = _read(path, MANIFEST)
    manifest = _parse_manifest(raw, path)
    for name in (*_OWN, *manifest.files):
        if name not in found or name not in manifest.files:
            where = "the folder" if name not in found else MANIFEST
            raise BundleError(f"{folder}: {name} is missing in {where}; copy the whole bundle again")
    unlisted = sorted(found - {*manifest.files, MANIFEST})
    if unlisted:
        raise BundleError(f"{folder}: {unlisted[0]!r} is not in {MANIFEST}; take it away, or copy the bundle again")
    for name in manifest.files.keys() - set(_OWN):
        _read_listed(path, name, manifest)
    contents = {name: _read_listed(path, name, manifest) for name in _OWN}
    try:
        check_graph_bytes(contents[GRAPH], where=str(path / GRAPH))
    except EngineError as error:
        raise BundleError(str(error)) from error
    limits, card = _parse(LimitsFile, contents[LIMITS], path / LIMITS), _parse(Card, contents[CARD], path / CARD)
    check_meaning(limits, card, where=path / LIMITS)
    return Bundle(
        path=path,
        recipe=_parse_recipe(contents[RECIPE], path / RECIPE),
        limits=limits,
        card=card,
        manifest=manifest,
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def _no_folder(folder: Path, path: Path) -> str:
    """Say that nothing is there, and where a replacement left the old folder when it was killed between two renames."""
    left = sorted(path.parent.glob(f".{glob.escape(path.name)}.old.*/old")) if path.parent.is_dir() else []
    if left and not path.exists():
        return f"{folder}: a replacement was interrupted and the bundle lies in {left[0]}; move it back to {path}"
    return f"{folder}: {'not a folder' if path.exists() else 'no such folder'}; give a bundle made by `candling train`"


def _listing(path: Path) -> set[str]:
    """Name what lies in the folder; anything but a plain file is refused."""
    try:
        with os.scandir(path) as entries:
            found = {entry.name: entry.is_file(follow_symlinks=False) for entry in islice(entries, _MAX_FILES + 1)}
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(found) > _MAX_FILES:
        raise BundleError(f"{path}: more than {_MAX_FILES} files, so this is no bundle; give a folder made by candling")
    for name, plain in sorted(found.items()):
        if not plain:
            raise BundleError(f"{path}: {name!r} is a link or a folder where a bundle has plain files; take it away")
    return set(found)


def _parse_manifest(raw: bytes, path: Path) -> Manifest:
    """Check the format first: what another format's manifest holds besides is nobody's business here."""
    where = path / MANIFEST
    try:
        loose = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: not JSON; copy the bundle again") from error
    version = loose.get("format") if isinstance(loose, dict) else None
    if type(version) is int and version != FORMAT:
        made_by = str(loose.get("candling", "?"))[:40]
        raise BundleError(
            f"{path}: a bundle of format {version}, made by candling {made_by}; "
            f"candling {candling.__version__} reads format {FORMAT}: use a matching version, or train again"
        )
    manifest = _parse(Manifest, raw, where)
    for name in manifest.files:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise BundleError(f"{where}: {name!r} is no plain file name; copy the bundle again")
    return manifest


def _parse_recipe(data: bytes, where: Path) -> Recipe:
    try:
        recipe = parse_recipe(data.decode(), where=str(where))
    except UnicodeDecodeError as error:
        raise BundleError(f"{where}: not text; copy the bundle again") from error
    except RecipeError as error:
        raise BundleError(str(error)) from error
    if not recipe.prepare.resolved:
        raise BundleError(f'{where}: still holds an "auto" under [prepare]; train again')
    return recipe


def _parse(shape: type[_ShapeT], data: bytes, where: Path) -> _ShapeT:
    try:
        return shape.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"{where}: {explain(error, shape)}") from error


def _read_listed(path: Path, name: str, manifest: Manifest) -> bytes:
    """Read one file and hold it against the manifest."""
    listed = manifest.files[name]
    data = _read(path, name)
    if len(data) != listed.bytes or hashlib.sha256(data).hexdigest() != listed.sha256:
        how = f"it has {len(data)} bytes, not {listed.bytes}" if len(data) != listed.bytes else "its hash differs"
        raise BundleError(f"{path}: {name} was changed after the bundle was made ({how}); copy the whole bundle again")
    return data


def _read(path: Path, name: str) -> bytes:
    """Read a plain file, never through a link, never more than its kind may hold."""
    most = _MAX_BYTES.get(name, _MAX_OTHER_BYTES)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path / name, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise BundleError(f"{path}: {name!r} is no plain file; copy the whole bundle again")
            if facts.st_size > most:
                raise BundleError(f"{path}: {name} has {facts.st_size} bytes, more than the {most} it may; train again")
            return file.read(most + 1)
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read: {error.strerror or error}") from error
