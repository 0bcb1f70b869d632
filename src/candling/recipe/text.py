"""Recipes as TOML: read, checked, written; what is wrong is said with the key's path and the nearest spelling."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic import BaseModel, ValidationError

from candling.errors import RecipeError
from candling.recipe.shapes import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["dump_recipe", "explain", "load_recipe", "parse_recipe", "shipped_recipes"]

SHIPPED = Path(__file__).parent.parent / "recipes"
"""Where the recipes that come with candling lie."""


def shipped_recipes() -> dict[str, Path]:
    """Name the recipes that come with candling, with their files."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Load a recipe from a TOML file, or a shipped one by its name.

    Raises:
        RecipeError: no such file or shipped name, no valid TOML, or a key that is unknown, missing or of a wrong type.
    """
    path = Path(name_or_path)
    shipped = shipped_recipes()
    if not path.is_file() and str(name_or_path) in shipped:
        path = shipped[str(name_or_path)]
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, shipped, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"no recipe {str(name_or_path)!r}; {hint}shipped are: {', '.join(shipped)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as text ({error})") from error
    return parse_recipe(text, where=str(path))


def parse_recipe(text: str, *, where: str) -> Recipe:
    """Check TOML text against the recipe's shape; ``where`` opens each message.

    Raises:
        RecipeError: as :func:`load_recipe`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where}: not valid TOML: {error}") from error
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, Recipe)}") from error


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML; :func:`parse_recipe` of the text gives an equal recipe."""
    data = recipe.model_dump(mode="json", exclude_none=True)
    if not data["regions"]:
        del data["regions"]
    return tomli_w.dumps(data)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one sentence what pydantic found: key paths, the nearest spelling, the expected type.

    Works for any pydantic model, a method's options among them.
    """
    return "; ".join(_sentence(item, model) for item in error.errors()[:5])


def _sentence(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    steps = [step for step in item["loc"] if not str(step).startswith(("literal[", "int", "float"))]
    path = ".".join(str(step) for step in steps) or "recipe"
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(steps[-1]), _keys_at(model, steps[:-1]), n=1, cutoff=0.5)
        known = ", ".join(sorted(_keys_at(model, steps[:-1])))
        return f"{path}: unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known here are: {known}")
    if item["type"] == "missing":
        return f"{path}: missing; add it"
    message = str(item["msg"]).removeprefix("Value error, ")
    shown = "" if isinstance(item["input"], dict) else f" (it is {item['input']!r})"
    return f"{path}: {message[:1].lower()}{message[1:]}{shown}"


def _keys_at(model: type[BaseModel], steps: Iterable[str | int]) -> list[str]:
    for step in steps:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)
