"""All commands, in the order in which help lists them; imported for their registration."""

from candling.cli.frame import app

from candling.cli.learning import calibrate, check, train  # isort: skip
from candling.cli.counting import count  # isort: skip
from candling.cli.correcting import import_reviewed, prelabel  # isort: skip
from candling.cli.judging import bench, evaluate, inspect  # isort: skip
from candling.cli.mapping import map_image  # isort: skip
from candling.cli.qualifying import qualify  # isort: skip
from candling.cli.sets import split, suggest  # isort: skip
from candling.cli.shelf import demo, methods, recipes  # isort: skip

__all__ = [
    "app",
    "bench",
    "calibrate",
    "check",
    "count",
    "demo",
    "evaluate",
    "import_reviewed",
    "inspect",
    "map_image",
    "methods",
    "prelabel",
    "qualify",
    "recipes",
    "split",
    "suggest",
    "train",
]
