"""The verbs of candling; heavy imports happen inside the command that needs them.

``main`` is the program's entry. It turns every :class:`candling.errors.CandlingError` into one sentence and an exit
code: 0 done, 1 failed (disk, engine), 2 wrong usage, 3 data or bundle refused, 130 stopped by the user.
"""

from candling.cli.commands import app
from candling.cli.run import main

__all__ = ["app", "main"]
