"""The README keeps its word: its Python runs, its commands exist, its files are there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from candling.cli.run import run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = list(re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL))


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path, capsys) -> None:
    """What the README shows in Python can be pasted and gives a verdict."""
    import cv2

    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    cv2.imwrite("new/cup_17.png", np.full((64, 64), 128, np.uint8))
    shutil.copytree(trained, "cup.bundle")
    (code,) = [text for language, text in BLOCKS if language == "python"]
    exec(compile(code, "README.md", "exec"), {})
    assert re.match(r"(accept|reject) [-\d.]+ \[", capsys.readouterr().out)


@pytest.mark.parametrize("line", re.findall(r"^candling (.*?)(?:\s+#.*)?$", README, re.MULTILINE))
def test_the_commands_exist_with_their_options(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command line of the README names a command, and each of its options is in that command's help."""
    command, *words = shlex.split(line)
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    for word in words:
        if word.startswith("--"):
            assert word in shown, f"{command} has no {word}"
