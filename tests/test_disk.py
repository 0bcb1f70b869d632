"""Tests of atomic writing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from candling.disk import new_folder, replaced_folder, write_atomic
from candling.errors import DiskError, OutputExistsError


def test_write_leaves_the_new_content_and_nothing_else(tmp_path: Path) -> None:
    """After a write the file holds the new content and no temporary file is left."""
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    """When the disk is full the error says so, the old file is whole, and no part of the new one is left."""
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from candling.disk import write_atomic\n"
        "from candling.errors import DiskError\n"
        "try:\n"
        "    write_atomic(Path(sys.argv[1]), bytes(5000))\n"
        "except DiskError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_missing_folder_is_a_disk_error(tmp_path: Path) -> None:
    """Writing into a folder that is not there is one sentence."""
    with pytest.raises(DiskError, match="cannot be written"):
        write_atomic(tmp_path / "no" / "a", b"")


def test_output_folder_with_content_is_refused(tmp_path: Path) -> None:
    """Somebody's results are not overwritten unless asked."""
    folder = tmp_path / "out"
    new_folder(folder)
    (folder / "result").write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        new_folder(folder)
    assert new_folder(folder, overwrite=True) == folder
    assert (folder / "result").read_text() == "mine"


def test_replaced_folder_keeps_the_old_one_when_the_block_fails(tmp_path: Path) -> None:
    """A failure while writing leaves the old folder as it was and nothing beside it."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "graph").write_text("old")

    def fail_half_way() -> None:
        with replaced_folder(folder, overwrite=True) as fresh:
            (fresh / "graph").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert (folder / "graph").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_replaced_folder_appears_whole(tmp_path: Path) -> None:
    """Until the block ends nothing is there; then everything is, and the old content is gone."""
    folder = tmp_path / "bundle"
    with replaced_folder(folder) as fresh:
        (fresh / "a").write_text("1")
        assert not folder.exists()
    with pytest.raises(OutputExistsError), replaced_folder(folder):
        pass
    with replaced_folder(folder, overwrite=True) as fresh:
        (fresh / "b").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
