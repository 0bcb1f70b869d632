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
    product: Annotated[str, typer.Option("--product", help="What to draw: vials or capsules.")] = "vials",
    minutes: Annotated[float, typer.Option("--minutes", help="Training time.")] = 2.0,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Another recipe than the product's.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the drawn pictures and of training.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Draw a line of vials or capsules, learn, judge, and report.

    Draws strips of five vials, trains on good ones, chooses limits for strips, evaluates a kit of good and defective
    ones, draws the rejected ones with their heatmaps, and classifies each by its runs. More --minutes find more. With
    --product capsules: single capsules, good and defective, up to their evaluation.

    Examples:

      candling demo

      candling demo --product capsules --out /tmp/look
    """
    from candling.cli.demo import PRODUCTS, run_demo

    known("product", product, tuple(PRODUCTS))
    return run_demo(out, product=product, minutes=minutes, recipe=recipe, seed=seed, overwrite=overwrite, json=json)
