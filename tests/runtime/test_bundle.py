"""Bundles: written whole, verified to the last bit, each kind of damage told in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil

import pytest

from candling.disk import replaced_folder
from candling.errors import BundleError, DiskError, EngineError, OutputExistsError, UsageError
from candling.runtime.bundle import LimitsFile, load_bundle, replace_limits, save_bundle

OWN = ["card.json", "graph.onnx", "limits.json", "recipe.toml"]


def refused(folder, told):
    """Hold that loading fails with this sentence, in one line."""
    with pytest.raises(BundleError, match=told) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def rewrite(folder, name, data):
    """Change a file and make the manifest agree: what someone with write access can do."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_json(folder, name, change):
    """Apply a change to one of the JSON files and make the manifest agree."""
    data = json.loads((folder / name).read_text())
    change(data)
    if name == "manifest.json":
        (folder / name).write_text(json.dumps(data))
    else:
        rewrite(folder, name, json.dumps(data).encode())


def test_what_is_saved_is_loaded(building, tmp_path):
    """Recipe, limits, card, graph and extra files come back equal, and the hash is the manifest's."""
    saved = building.bundle(tmp_path / "a.bundle", extra={"curves.csv": b"epoch,loss\n1,0.5\n"})
    loaded = load_bundle(tmp_path / "a.bundle")
    assert loaded == saved
    assert loaded.recipe == building.recipe()
    assert loaded.card == building.card()
    assert loaded.limits == LimitsFile(entries=(building.entry(),))
    assert loaded.read_graph() == building.brightness().SerializeToString()
    assert sorted(path.name for path in loaded.path.iterdir()) == sorted([*OWN, "curves.csv", "manifest.json"])
    assert loaded.sha256 == hashlib.sha256((loaded.path / "manifest.json").read_bytes()).hexdigest()


def test_the_same_contents_have_the_same_hash(building, tmp_path):
    """A bundle's identity depends on nothing but its contents, the folder's name and time among the rest."""
    assert building.bundle(tmp_path / "a").sha256 == building.bundle(tmp_path / "b" / "c").sha256


def test_a_linked_folder_is_loaded(bundle, tmp_path):
    """A line may point at its present bundle by a link."""
    (tmp_path / "current").symlink_to(bundle.path)
    assert load_bundle(tmp_path / "current") == bundle


def test_saving_over_something_needs_consent(building, tmp_path):
    """Nothing is replaced unless asked for, and then wholly."""
    building.bundle(tmp_path / "a", extra={"old.txt": b"old"})
    with pytest.raises(OutputExistsError, match="--overwrite"):
        building.bundle(tmp_path / "a")
    kept = load_bundle(tmp_path / "a")
    save_bundle(
        tmp_path / "a", graph=kept.read_graph(), recipe=kept.recipe, limits=kept.limits, card=kept.card, overwrite=True
    )
    assert not (tmp_path / "a" / "old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_save_leaves_nothing(building, tmp_path, monkeypatch):
    """A full disk is one DiskError, and neither half a bundle nor a temporary folder stays."""

    def full(_self, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(DiskError, match="No space left on device"):
        building.bundle(tmp_path / "a.bundle")
    assert not list(tmp_path.iterdir())


def test_an_unresolved_recipe_is_not_saved(building, tmp_path):
    """A bundle with an "auto" would prepare pixels by guess."""
    recipe = building.recipe()
    auto = recipe.model_copy(update={"prepare": recipe.prepare.model_copy(update={"channels": "auto"})})
    with pytest.raises(UsageError, match='still holds an "auto"'):
        building.bundle(tmp_path / "a", recipe_=auto)


@pytest.mark.parametrize("name", ["../up.csv", "a/b", ".hidden", "manifest.json", "graph.onnx", "", "x" * 200])
def test_an_extra_file_needs_a_plain_name(building, tmp_path, name):
    """No extra file leaves the folder, hides, or takes another's place."""
    with pytest.raises(UsageError, match="an extra file cannot be named"):
        building.bundle(tmp_path / "a", extra={name: b""})


def test_a_graph_with_external_data_is_not_saved(building, tmp_path):
    """The guard stands at both doors."""
    graph = building.external(building.autoencoder().SerializeToString())
    with pytest.raises(EngineError, match="keeps weights in another file"):
        save_bundle(
            tmp_path / "a", graph=graph, recipe=building.recipe(), limits=LimitsFile(entries=()), card=building.card()
        )


def test_every_flipped_bit_is_found(bundle):
    """One bit anywhere in any file is noticed, and the file is named."""
    dice = random.Random(3)
    for name in OWN:
        path = bundle.path / name
        honest = path.read_bytes()
        for at in [0, len(honest) - 1, *(dice.randrange(len(honest)) for _ in range(20))]:
            flipped = bytearray(honest)
            flipped[at] ^= 1 << dice.randrange(8)
            path.write_bytes(bytes(flipped))
            refused(bundle.path, f"{name} was changed after the bundle was made")
        path.write_bytes(honest)
    assert load_bundle(bundle.path) == bundle


def test_a_flipped_bit_in_the_manifest_never_passes_as_the_same_bundle(bundle):
    """It is refused, or the bundle has another hash, which every inspection carries."""
    path = bundle.path / "manifest.json"
    honest = path.read_bytes()
    for at in range(0, len(honest), 7):
        flipped = bytearray(honest)
        flipped[at] ^= 1
        path.write_bytes(bytes(flipped))
        try:
            assert load_bundle(bundle.path).sha256 != bundle.sha256
        except BundleError:
            continue


@pytest.mark.parametrize("name", OWN)
def test_a_missing_file_is_named(bundle, name):
    """Whichever it is."""
    (bundle.path / name).unlink()
    refused(bundle.path, f"{name} is missing in the folder")


@pytest.mark.parametrize("name", OWN)
def test_a_file_the_manifest_leaves_out_is_named(bundle, name):
    """A manifest that lists less than a bundle needs describes none."""
    change_json(bundle.path, "manifest.json", lambda data: data["files"].pop(name))
    refused(bundle.path, f"{name} is missing in manifest.json")


@pytest.mark.parametrize("name", ["notes.txt", ".DS_Store"])
def test_an_unlisted_file_is_refused(bundle, name):
    """What nobody vouches for does not ride along."""
    (bundle.path / name).write_text("hello")
    refused(bundle.path, f"'{name}' is not in manifest.json")


def test_a_folder_or_link_inside_is_refused(bundle, tmp_path):
    """A link's target can change while its bundle stays, and a folder hides what it likes."""
    (bundle.path / "more").mkdir()
    refused(bundle.path, "'more' is a link or a folder")
    (bundle.path / "more").rmdir()
    shutil.move(bundle.path / "graph.onnx", tmp_path / "graph.onnx")
    (bundle.path / "graph.onnx").symlink_to(tmp_path / "graph.onnx")
    refused(bundle.path, "'graph.onnx' is a link or a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_without_waiting(bundle):
    """Reading a pipe would wait for ever."""
    (bundle.path / "card.json").unlink()
    os.mkfifo(bundle.path / "card.json")
    refused(bundle.path, "'card.json' is a link or a folder where a bundle has plain files")


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../b", "..", ".hidden", "x\\y"])
def test_a_manifest_cannot_point_elsewhere(bundle, name):
    """A name is a plain file name: no folder, no way up, nothing hidden."""
    change_json(
        bundle.path, "manifest.json", lambda data: data["files"].update({name: {"sha256": "0" * 64, "bytes": 1}})
    )
    refused(bundle.path, "is no plain file name")


def test_no_bundle_at_all_is_told(tmp_path):
    """A missing folder, a file and a folder without manifest each have their sentence."""
    refused(tmp_path / "none", "no such folder; give a bundle made by `candling train`")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no manifest.json, so this is no bundle")


def test_a_foreign_format_is_told_with_both_versions(bundle):
    """Even when nothing else of the manifest can be understood."""
    (bundle.path / "manifest.json").write_text(json.dumps({"format": 7, "candling": "9.1", "signature": "x"}))
    refused(bundle.path, "a bundle of format 7, made by candling 9.1; candling .* reads format 1")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "manifest.json: "),
        (b"{}", "format: missing"),
        (b'{"format": "1", "candling": "0", "files": {}}', "format: "),
        (b'{"format": true, "candling": "0", "files": {}}', "format: "),
        (b'{"format": 1, "candling": "0", "files": {"a": {"sha256": "x", "bytes": 1}}}', "sha256: "),
        (b'{"format": 1, "candling": "0", "files": {"a": {"sha256": "%s", "bytes": -1}}}' % (b"0" * 64), "bytes: "),
    ],
)
def test_a_manifest_of_another_shape_is_refused(bundle, raw, told):
    """Text, other JSON, wrong types: one sentence each."""
    (bundle.path / "manifest.json").write_bytes(raw)
    refused(bundle.path, told)


@pytest.mark.parametrize("name", ["manifest.json", "limits.json", "card.json"])
def test_an_unknown_field_is_refused(bundle, name):
    """What this version does not know it does not skip over."""
    change_json(bundle.path, name, lambda data: data.update({"fallback": "accept"}))
    refused(bundle.path, f"{name}: fallback: unknown key")


def test_a_recipe_with_an_unknown_key_is_refused(bundle):
    """The recipe's own check applies, and the sentence names the file."""
    rewrite(bundle.path, "recipe.toml", (bundle.path / "recipe.toml").read_bytes() + b"\n[surprise]\nx = 1\n")
    refused(bundle.path, "recipe.toml: surprise: unknown key")


def test_an_unresolved_recipe_is_refused(bundle):
    """No "auto" reaches the line."""
    text = (bundle.path / "recipe.toml").read_text().replace("channels = 1", 'channels = "auto"')
    rewrite(bundle.path, "recipe.toml", text.encode())
    refused(bundle.path, 'recipe.toml: still holds an "auto"')


def test_a_graph_with_external_data_is_refused(building, bundle):
    """Also when the manifest vouches for it."""
    rewrite(bundle.path, "graph.onnx", building.external(building.autoencoder().SerializeToString()))
    refused(bundle.path, "graph.onnx: the graph keeps weights in another file")


def test_an_oversized_file_is_not_read(bundle):
    """A card of gigabytes is refused by its size, before it is read."""
    with (bundle.path / "card.json").open("ab") as file:
        file.truncate(2**33)
    refused(bundle.path, "card.json has 8589934592 bytes, more than the 4194304 it may")


def test_thousands_of_files_are_not_listed(bundle):
    """A folder that is no bundle is told so early."""
    for number in range(80):
        (bundle.path / f"{number}.txt").write_text("")
    refused(bundle.path, "more than 64 files")


def test_a_graph_changed_after_loading_is_not_run(bundle):
    """What is run is what was verified."""
    bundle.graph_path.write_bytes(b"\x08\x08")
    with pytest.raises(BundleError, match=r"graph\.onnx was changed"):
        bundle.read_graph()


def test_a_card_without_a_witness_is_loaded(bundle):
    """Bundles made before there was one have no such line."""
    change_json(bundle.path, "card.json", lambda data: data.pop("witness"))
    assert load_bundle(bundle.path).card == bundle.card
    assert bundle.card.witness is None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "0.5", None])
def test_a_witness_is_numbers(bundle, wrong):
    """What is no finite number would contradict every engine, or none."""
    change_json(bundle.path, "card.json", lambda data: data.update(witness={"brightness": wrong}))
    refused(bundle.path, r"card\.json: witness\.brightness: ")


def test_an_interrupted_swap_says_where_the_bundle_lies(bundle, tmp_path):
    """Killed between the two renames, the old folder lies beside; the sentence says where, and moving it back helps."""
    left = tmp_path / f".{bundle.path.name}.old.abc"
    left.mkdir()
    bundle.path.rename(left / "old")
    refused(bundle.path, r"a replacement was interrupted and the bundle lies in .*\.old\.abc/old; move it back")
    (left / "old").rename(bundle.path)
    assert load_bundle(bundle.path) == bundle


def test_the_swap_leaves_its_old_folder_where_loading_looks_for_it(bundle, tmp_path, monkeypatch):
    """The place the sentence above names is the place disk.py really uses."""
    seen = []

    def killed(self, target):
        seen.append((str(self), str(target)))
        os.rename(self, target)  # noqa: PTH104 - Path.rename is what is replaced here
        if target.name == "old":
            raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.rename", killed)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt), replaced_folder(bundle.path, overwrite=True):
        pass
    if seen:  # a system that exchanges two folders in one step has no such moment
        refused(bundle.path, "a replacement was interrupted and the bundle lies in")


def test_a_history_that_does_not_lead_to_the_limits_is_refused(building, bundle):
    """A limit edited by hand, with the manifest made to agree, still contradicts its history."""
    changed = replace_limits(bundle, LimitsFile(entries=(building.entry(high=0.6),)), reason="r", by="b")
    change_json(changed.path, "limits.json", lambda data: data["entries"][0].update(high=9.0))
    refused(changed.path, "the history does not lead to the limits")
