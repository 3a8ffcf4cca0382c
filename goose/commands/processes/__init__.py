"""Several like processes from one command line, and the parent that keeps them running.

``hook`` offers it to commands: the parent calls ``keep``, which starts the same command line again, several times; each of
those finds its ``Parent`` and does the work.
"""

from goose.commands.processes.channel import Successor
from goose.commands.processes.keeper import Plan, keep
from goose.commands.processes.parent import Parent

__all__ = ["Parent", "Plan", "Successor", "keep"]
