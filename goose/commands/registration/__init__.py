"""Adding a class to what a source lists, with formatting and comments kept (LibCST).

Used by ``new``. Where it cannot be done safely it is not done: ``CannotRegister`` says why, and ``new`` says which lines
to add by hand.
"""

from goose.commands.registration.calls import add_to_call, calls
from goose.commands.registration.modules import register

__all__ = ["add_to_call", "calls", "register"]
