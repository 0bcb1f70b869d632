"""Write the generated parts of the documentation, or with ``--check`` tell whether they are up to date.

Generated: docs/commands.md (from the commands' own help), docs/recipe.md (from the recipe's shape and the methods'
options), docs/errors.md (from the error tree), and from benchmarks/results/*.json the tables between
``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in README.md and docs and the drawings of the cells page. Checked
besides: every local link leads somewhere.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

from cells_plots import DRAWINGS
from pydantic import BaseModel
from pydantic.fields import FieldInfo  # noqa: TC002 - scripts keep their imports together
from tables import TABLES

from candling import errors, recipe
from candling.cli import app
from candling.train.method import method_names, method_summary

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
BLOCK = re.compile(r"<!-- begin (?P<name>[a-z_]+) -->\n(?P<body>.*?)<!-- end (?P=name) -->", re.DOTALL)


def commands_page() -> str:
    """Give the command reference: each command's own help, word for word."""
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    parts = [
        "# Commands\n",
        "Every command prints JSON with `--json`. It returns 0 when done, 1 when something outside the data failed,",
        "2 for wrong usage, 3 when data or a bundle is refused, 130 when stopped by the user.\n",
    ]
    for name in names:
        text = _help(name)
        parts.append(f"## candling {name}\n\n```\n{text.strip()}\n```\n")
    return "\n".join(parts)


def _help(name: str) -> str:
    code = "from candling.cli import main; main()"
    words = [sys.executable, "-c", code, name, "--help"]
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout  # noqa: S603


def recipe_page() -> str:
    """Give the recipe reference: every table, key, type, default and meaning."""
    parts = ["# The recipe\n", _paragraph(recipe.__doc__ or ""), ""]
    tables: list[tuple[str, type[BaseModel]]] = [
        ("story", recipe.Story),
        ("prepare", recipe.Prepare),
        ("frame", recipe.FrameSize),
        ("regions", recipe.RegionChoice),
        ("method", recipe.MethodChoice),
        ("training", recipe.Training),
        ("limits", recipe.Limits),
    ]
    for name, model in tables:
        head = f"[[{name}]]" if name == "regions" else f"[{name}]"
        parts += [f"## `{head}`\n", _first_line(model), "", *_key_table(model)]
    parts.append("# The options of each method\n")
    for name in method_names():
        options = importlib.import_module(f"candling.train.methods.{name}").Options
        parts += [f'## `[method]` with `name = "{name}"`\n', method_summary(name), "", *_key_table(options)]
    return "\n".join(parts)


def _key_table(model: type[BaseModel], path: str = "") -> list[str]:
    """Give the rows of one table and, after them, of the tables inside it."""
    rows, inner = ["| key | default | meaning |", "|---|---|---|"], []
    meanings = _attributes(model)
    for key, field in model.model_fields.items():
        table = _table_of(field)
        if table is not None:
            inner += [f"`[method.{path}{key}]`: {meanings.get(key, '')}", ""]
            inner += _key_table(table, f"{path}{key}.")
            continue
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{key}` | {default} | {meanings.get(key, '')} |")
    return [*rows, "", *inner]


def _table_of(field: FieldInfo) -> type[BaseModel] | None:
    """Give the shape of a key that is a table, also of one that may be left out."""
    kinds = (type(field.default), *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _paragraph(text: str) -> str:
    return "\n".join(text.strip().splitlines()[2:])


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    meanings: dict[str, str] = {}
    key = ""
    for line in (model.__doc__ or "").splitlines():
        found = re.match(r"^ {8}([a-z_]+): (.*)", line)
        if found:
            key = found[1]
            meanings[key] = found[2]
        elif key and line.startswith(" " * 12):
            meanings[key] += " " + line.strip()
    return {name: text.replace("|", "\\|") for name, text in meanings.items()}


def errors_page() -> str:
    """Give the error tree."""
    return f"# Errors\n\n```\n{(errors.__doc__ or '').strip()}\n```\n"


def filled(text: str, results: dict[str, Any]) -> str:
    """Fill each marked block of a page from the results; a block without a result says so."""

    def fill(block: re.Match[str]) -> str:
        name = block["name"]
        return f"<!-- begin {name} -->\n{TABLES[name](results)}<!-- end {name} -->"

    return BLOCK.sub(fill, text)


def pages() -> dict[Path, str]:
    """Give every generated page with its whole text."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}
    made = {
        DOCS / "commands.md": commands_page(),
        DOCS / "recipe.md": recipe_page(),
        DOCS / "errors.md": errors_page(),
    }
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        if path not in made and "<!-- begin " in path.read_text(encoding="utf-8"):
            made[path] = filled(path.read_text(encoding="utf-8"), results)
    drawn = {DOCS / "pictures" / "cells" / f"{name}.svg": draw(results) for name, draw in DRAWINGS.items()}
    return made | {path: text for path, text in drawn.items() if text is not None}


def broken_links() -> list[str]:
    """Name every local link of README, docs and changelog that leads nowhere."""
    found = []
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]:
        targets = LINK.findall(path.read_text(encoding="utf-8"))
        missing = [target for target in targets if not (path.parent / target).exists()]
        found += [f"{path.relative_to(ROOT)}: link to {target} leads nowhere" for target in missing]
    return found


def main() -> int:
    """Write the pages, or check them."""
    stale = []
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                print(f"wrote {path.relative_to(ROOT)}")
    problems = broken_links()
    if "--check" in sys.argv:
        problems += [f"{path.relative_to(ROOT)}: out of date; run `make docs`" for path in stale]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
