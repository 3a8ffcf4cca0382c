"""What a command says when it cannot do what it was asked. Raised by every command; answered by ``main``."""

from __future__ import annotations

from collections.abc import Mapping

from goose.errors import GooseError


class CommandError(GooseError):
    """A command cannot go on: its text is printed as one line, and the exit code is 1."""


class NoApplication(CommandError):
    """There is nothing to load where the application was looked for."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place, self.reason = place, reason

    def __str__(self) -> str:
        return (
            f"no application found: {self.reason}. "
            f"Go to the project's folder, or name the application: goose --app module:attribute ..."
        )


class BrokenApplication(CommandError):
    """The application is there, but importing it failed; the cause is ``__cause__``."""

    def __init__(self, place: str, reason: str, where: str | None) -> None:
        super().__init__(place, reason, where)
        self.place, self.reason, self.where = place, reason, where

    def __str__(self) -> str:
        at = f" ({self.where})" if self.where else ""
        return f"{self.place} cannot be loaded: {self.reason}{at}"


class NotAnApplication(CommandError):
    """The name leads to something that cannot be served."""

    def __init__(self, place: str, found: str) -> None:
        super().__init__(place, found)
        self.place, self.found = place, found

    def __str__(self) -> str:
        return f"{self.place} is {self.found}, not an application. Name what api() or worker() returned."


class NotReady(CommandError):
    """The application boots, but some of its modules cannot do their work."""

    def __init__(self, place: str, reasons: Mapping[str, str]) -> None:
        super().__init__(place, reasons)
        self.place, self.reasons = place, dict(reasons)

    def __str__(self) -> str:
        return f"{self.place} is not ready: " + "; ".join(f"{name}: {why}" for name, why in self.reasons.items())


class CannotRegister(CommandError):
    """A module's source is not of a form that can be edited safely; the text says why."""
