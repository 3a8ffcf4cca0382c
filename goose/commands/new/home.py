"""The module that a new part belongs to, named by ``--module``: where the part stands, and how it is listed there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goose.commands.errors import CannotRegister, CommandError
from goose.commands.names import Name, identifier
from goose.commands.scaffold import Edit, read


@dataclass(frozen=True, slots=True)
class Part:
    """A new class, and the Python module that it stands in."""

    name: str
    label: str
    module: str
    folder: Path
    """Of the package that it belongs to."""
    tests: Path
    """Of that package's tests."""

    @property
    def values(self) -> dict[str, str]:
        """What every template of a part may use."""
        return {
            "name": self.name,
            "label": self.label,
            "module": self.module,
            "folder": self.folder.as_posix(),
            "tests": self.tests.as_posix(),
        }


@dataclass(frozen=True, slots=True)
class Listed:
    """What is changed so that a class is used; or, where that cannot be done safely, which lines to add."""

    edit: Edit | None
    remark: str
    """What is said of it once it is done."""


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

    def part(self, kind: str, named: Name) -> Part:
        """A class in a file of its own, ``app/jobs/send_email.py``, where ``kind`` is ``jobs``."""
        return Part(named.cls, named.label, f"{self.package}.{kind}.{named.label}", self.path.parent, self._tests)

    def module(self, named: Name) -> Part:
        """A module in a package of its own, ``app/orders/module.py``."""
        return Part(
            named.cls,
            named.label,
            f"{self.package}.{named.label}.module",
            self.path.parent / named.label,
            self._tests / named.label,
        )

    def listed(self, listing: str, part: Part) -> Listed:
        """How a class comes into one of this module's listings, ``declarations`` or ``imports``."""
        from goose.commands.registration import register  # LibCST takes longer to import than all else here

        before = read(self.path)
        try:
            after, owner = register(before, self.cls, listing, part.name, part.module, self.package)
        except CannotRegister as reason:
            return Listed(
                None,
                f"{self.path} was left as it is ({reason}). Add to it:\n"
                f"    from {part.module} import {part.name}\nand {part.name} to the module's {listing}.",
            )
        return Listed(Edit(self.path, before, after), f"added {part.name} to {owner}.{listing} in {self.path}")

    @property
    def _tests(self) -> Path:
        """Where the tests of the package stand: ``tests/orders`` for ``app.orders``."""
        return Path("tests", *self.path.parent.parts[1:])
