"""The ``goose`` command, and the hook by which modules add commands of their own."""

from goose.commands.hook import CommandError, Invocation, application
from goose.commands.main import main

__all__ = ["CommandError", "Invocation", "application", "main"]
