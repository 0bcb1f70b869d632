"""The program and what its commands share: common options, opening a bundle, opening the room where torch lives."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from candling.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from candling.runtime.inspector import Inspector

__all__ = [
    "ENGINES",
    "BundlePath",
    "DataPath",
    "EngineName",
    "Json",
    "Overwrite",
    "Threads",
    "app",
    "known",
    "open_inspector",
    "training_room",
]

app = typer.Typer(
    name="candling",
    help="Learn what good looks like from a folder of pictures; then find, show and decide.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ENGINES = ("auto", "onnxruntime", "openvino")
"""The words of ``--engine``."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, onnxruntime or openvino.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default all.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder that train made.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="A folder of pictures, or a CSV or Parquet table.")]


@app.callback(invoke_without_command=True)
def candling(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Learn what good looks like from a folder of pictures; then find, show and decide.

    Begin with: candling check PICTURES, then candling train surface --data PICTURES --out NAME.bundle
    """
    if version:
        import candling as package

        typer.echo(package.__version__)


def open_inspector(bundle: Path, *, engine: str, threads: int | None) -> Inspector:
    """Load a bundle for judging.

    Raises:
        UsageError: there is no engine of that name.
    """
    from candling.runtime.inspector import Inspector

    known("engine", engine, ENGINES)
    return Inspector.load(bundle, engine=engine, threads=threads)  # type: ignore[arg-type]


def known(option: str, value: str | None, names: tuple[str, ...]) -> None:
    """Refuse a word that is none of those an option knows.

    Raises:
        UsageError: the message lists them.
    """
    if value is not None and value not in names:
        raise UsageError(f"--{option} {value}: there are {', '.join(names[:-1])} and {names[-1]}")


def training_room(file: str = "pipeline") -> ModuleType:
    """Open a file of the room where torch lives.

    Raises:
        MissingExtraError: what training needs is not installed.
    """
    try:
        return importlib.import_module(f"candling.train.{file}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("candling"):
            raise
        raise MissingExtraError(f"training needs {error.name}; run: pip install 'candling[train]'") from error
