"""Run the command line: errors become one sentence and an exit code; knows no command."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from candling.cli.commands import app
from candling.errors import CandlingError, DiskError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run one command; give its exit code."""
    wants_json = "--json" in words
    try:
        result = app(words, standalone_mode=False, prog_name="candling")
    except (KeyboardInterrupt, typer.Abort):
        _say("Interrupted", "stopped by the user", wants_json=wants_json)
        return INTERRUPTED
    except typer.Exit as leaving:
        return leaving.exit_code
    except CandlingError as error:
        _say(type(error).__name__, str(error), wants_json=wants_json)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return 0
    except OSError as error:  # what no border file mapped: a full disk while printing, a folder that vanished
        _say(DiskError.__name__, f"{error.filename or 'output'}: {error.strerror or error}", wants_json=wants_json)
        return DiskError.exit_code
    except Exception as error:
        if not hasattr(error, "show"):  # only wrong usage, found by the parser, knows how to show itself
            raise
        error.show()
        return UsageError.exit_code
    return int(result or 0)


def _say(kind: str, sentence: str, *, wants_json: bool) -> None:
    if wants_json:
        answer: dict[str, Any] = {"error": {"kind": kind, "message": sentence}}
        print(json.dumps(answer))  # noqa: T201 - the command line prints
    print(f"candling: {sentence}", file=sys.stderr)  # noqa: T201
