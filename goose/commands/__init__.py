"""The ``goose`` command, and the hook by which modules add commands of their own.

A module's commands need nothing but what stands here: ``application(ctx)`` to work with, ``CommandError`` to end with, and
the ways to print that all commands share.
"""

from goose.commands.hook import CommandError, Invocation, application, invocation
from goose.commands.main import main
from goose.commands.memory import MIB, memory_size, resident_memory
from goose.commands.near import did_you_mean
from goose.commands.output import (
    Branch,
    Table,
    as_json,
    ask,
    can_ask,
    is_terminal,
    progress,
    remark,
    say,
    say_json,
    show,
)
from goose.commands.processes import Parent, Successor

__all__ = [
    "MIB",
    "Branch",
    "CommandError",
    "Invocation",
    "Parent",
    "Successor",
    "Table",
    "application",
    "as_json",
    "ask",
    "can_ask",
    "did_you_mean",
    "invocation",
    "is_terminal",
    "main",
    "memory_size",
    "progress",
    "remark",
    "resident_memory",
    "say",
    "say_json",
    "show",
]
