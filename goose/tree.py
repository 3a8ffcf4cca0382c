"""The modules of an application in order: each made once, imports before importers, roots last. Read by ``graph``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from goose.errors import GraphError, ImportCycle, InvalidDeclaration
from goose.module import Module
from goose.origin import Origin


def _nowhere() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Assembly:
    """A root module with the modules plugged in beside it; what one instance brings to a kernel."""

    root: type[Module] | Module
    modules: Sequence[type[Module] | Module] = ()
    implied: Sequence[type] = ()
    """Classes that the platform has built with what the root module sees."""
    origin: Callable[[], Origin | None] = _nowhere
    """Where another process finds the instance; None where it cannot. Called when somebody has to know."""


class Tree:
    """The modules that some assemblies consist of.

    Args:
        assemblies: One for each instance that the application consists of.
        faults: Where faults are put: what is no module, what cannot be made, a cycle of imports.
    """

    def __init__(self, assemblies: Sequence[Assembly], faults: list[GraphError]) -> None:
        self._faults = faults
        self._made: dict[type[Module], Module] = {}
        self._order: dict[Module, None] = {}
        self.imports: Final[dict[Module, tuple[Module, ...]]] = {}
        """The modules that each module imports."""
        plugged = [
            self._visit(given, (), "the modules plugged in") for given in chain(*(a.modules for a in assemblies))
        ]
        roots = [self._visit(assembly.root, (), "the application's root") for assembly in assemblies]
        self.modules: Final = tuple(self._order)
        """Every module once, imports before importers, roots last."""
        self.roots: Final = tuple(root for root in roots if root is not None)
        """The root module of each assembly."""
        loud = [module for module in self.modules if module.is_global]
        self.everywhere: Final = tuple(dict.fromkeys(m for m in (*plugged, *loud) if m is not None))
        """Modules whose exports are visible to all: plugged in, or global."""

    def seen_from(self, module: Module) -> tuple[Module, ...]:
        """The other modules whose exports a module sees: what it imports, and what is visible to all."""
        others = dict.fromkeys((*self.imports[module], *self.everywhere))
        return tuple(other for other in others if other is not module)

    def below(self, root: Module) -> frozenset[Module]:
        """What one root brings along, and what is visible everywhere."""
        seen: set[Module] = set()
        todo = [root, *self.everywhere]
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo += self.imports[module]
        return frozenset(seen)

    def _visit(self, given: Any, path: tuple[Module, ...], where: str) -> Module | None:
        module = self._instance(given, where)
        if module is None or module in self._order:
            return module
        if module in path:
            self._faults.append(ImportCycle([str(step) for step in (*path[path.index(module) :], module)]))
            return None
        wanted = listing(module, "imports", self._faults)
        imports = [self._visit(item, (*path, module), f"{module}.imports") for item in wanted]
        self.imports[module] = tuple(found for found in imports if found is not None)
        self._order[module] = None
        return module

    def _instance(self, given: Any, where: str) -> Module | None:
        if isinstance(given, Module):
            return given
        if not (inspect.isclass(given) and issubclass(given, Module)):
            fault = f"{where}: {given!r} is no module. Name a subclass of goose.Module, or an instance of one."
            self._faults.append(InvalidDeclaration(fault))
            return None
        if given not in self._made:
            try:
                self._made[given] = given()
            except TypeError as error:
                fault = f"{where}: {given.__name__} cannot be made without arguments ({error}). Name an instance of it."
                self._faults.append(InvalidDeclaration(fault))
                return None
        return self._made[given]


def listing(module: Module, attribute: str, faults: list[GraphError]) -> tuple[Any, ...]:
    """What stands in one of a module's attributes; a thing that stands there alone is a fault."""
    found = getattr(module, attribute)
    if isinstance(found, Iterable) and not isinstance(found, str) and not inspect.isclass(found):
        return tuple(found)
    name = getattr(found, "__name__", repr(found))
    faults.append(InvalidDeclaration(f"{module}.{attribute} is {name}, not a sequence. Write ({name},)."))
    return ()
