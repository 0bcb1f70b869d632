"""The commands and their options: what each takes, with examples; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="candling",
    help="Learn what good looks like from a folder of pictures; then find, show and decide.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, onnxruntime or openvino.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default all.")]
