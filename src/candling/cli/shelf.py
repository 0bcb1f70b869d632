"""The commands that show what there is: methods, recipes, and the demo of it all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candling.cli.frame import Json, Overwrite, app, known, training_room
from candling.errors import UsageError

__all__ = ["demo", "methods", "recipes"]


@app.command()
def methods(json: Json = False) -> int:
    """List the methods that can learn.

    With --json each with its options.

    Examples:

      candling methods

      candling methods --json
    """
    from candling.cli.output import show_json, show_table

    method = training_room(file="method")
    found = {name: method.method_summary(name) for name in method.method_names()}
    if json:
        options = {name: method.method_options(name) for name in found}
        show_json([{"name": name, "summary": line, "options": options[name]} for name, line in found.items()])
    else:
        show_table("", ["method", ""], list(found.items()))
    return 0


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this recipe's text.")] = None,
    json: Json = False,
) -> int:
    """List the shipped recipes, or print one.

    Examples:

      candling recipes

      candling recipes surface > my_product.toml
    """
    from candling.cli.output import show_json, show_table
    from candling.recipe import load_recipe, shipped_recipes

    shipped = shipped_recipes()
    if name is not None:
        load_recipe(name)
        if name not in shipped:
            raise UsageError(f"no shipped recipe {name!r}; there are: {', '.join(shipped)}")
        typer.echo(shipped[name].read_text(encoding="utf-8"), nl=False)
        return 0
    stories = {key: load_recipe(key) for key in shipped}
    if json:
        show_json(
            [
                {"name": key, **recipe.story.model_dump(), "method": recipe.method.name}
                for key, recipe in stories.items()
            ]
        )
    else:
        show_table(
            "", ["recipe", "product", "method"], [(k, r.story.product, r.method.name) for k, r in stories.items()]
        )
    return 0


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures, bundle and reports.")] = Path("demo"),
    product: Annotated[str, typer.Option("--product", help="What to draw: capsules or vials.")] = "capsules",
    minutes: Annotated[float, typer.Option("--minutes", help="Training time.")] = 2.0,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Another recipe than the product's.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the drawn pictures and of training.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Draw capsules or a line of vials, learn, judge, and report.

    Draws capsules, good and defective, trains on good ones, calibrates and evaluates. With --product vials: strips of
    five vials; limits for strips, a kit, its rejected strips with their heatmaps, and each strip classified by its
    runs. Two minutes of training are short for vials; give them more --minutes.

    Examples:

      candling demo

      candling demo --product vials --out /tmp/look --minutes 4
    """
    from candling.cli.demo import PRODUCTS, run_demo

    known("product", product, tuple(PRODUCTS))
    return run_demo(out, product=product, minutes=minutes, recipe=recipe, seed=seed, overwrite=overwrite, json=json)
