"""The module that a new part belongs to, named by ``--module``: where the part stands, and how it is listed there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goose.commands.errors import CannotRegister, CommandError
from goose.commands.names import identifier
from goose.commands.scaffold import Edit


@dataclass(frozen=True, slots=True)
class Home:
    """A module's package, its file, and its class where it was named."""

    package: str
    path: Path
    cls: str | None

    @classmethod
    def of(cls, module: str) -> Home:
        """Read ``app.orders.module`` or ``app.orders.module:OrdersModule``.

        Raises:
            CommandError: It names no file below the working directory.
        """
        dotted, _, wanted = module.partition(":")
        parts = [identifier(part, "a module") for part in dotted.split(".")]
        path = Path(*parts).with_suffix(".py")
        if not path.is_file():
            raise CommandError(
                f"there is no {path} here: go to the project's folder, or name the module with --module package.module"
            )
        if not path.resolve().is_relative_to(Path.cwd().resolve()):
            raise CommandError(f"{path} lies outside this folder: nothing was written")
        if len(parts) < 2:
            raise CommandError(f"{path} is in no package: name a module in one with --module package.module")
        return cls(".".join(parts[:-1]), path, identifier(wanted, "a module") if wanted else None)

    @property
    def folder(self) -> Path:
        """The package's folder."""
        return self.path.parent

    @property
    def tests(self) -> Path:
        """Where the tests of the package stand: ``tests/orders`` for ``app.orders``."""
        return Path("tests", *self.folder.parts[1:])

    def listed(self, listing: str, name: str, place: str) -> Listed:
        """How a class comes into one of this module's listings, ``declarations`` or ``imports``."""
        from goose.commands.registration import register  # LibCST takes longer to import than all else here

        before = self.path.read_bytes()
        try:
            after, owner = register(before, self.cls, listing, name, place)
        except CannotRegister as reason:
            return Listed(
                None,
                f"{self.path} was left as it is ({reason}). Add to it:\n"
                f"    from {place} import {name}\nand {name} to the module's {listing}.",
            )
        return Listed(Edit(self.path, before, after), f"added {name} to {owner}.{listing} in {self.path}")


@dataclass(frozen=True, slots=True)
class Listed:
    """What is changed so that a module lists a class; or, where that cannot be done safely, which lines to add."""

    edit: Edit | None
    remark: str
    """What is said of it once it is done."""
