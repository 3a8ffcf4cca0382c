"""The graph of an application: modules in order, what each of them sees, and every fault in them. Pure: builds nothing.

``Graph`` walks from the roots and is read by ``container`` and ``kernel``.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Generic, TypeVar

from typing_extensions import get_protocol_members, is_protocol

from goose.declaration import (
    Declaration,
    HintError,
    Key,
    Lifetime,
    Parameter,
    constructor_parameters,
    declare,
    function_parameters,
    is_listed,
    snake_case,
    uninjected_fields,
)
from goose.errors import (
    DependencyCycle,
    DependencyNotVisible,
    DuplicateDeclaration,
    ExportNotDeclared,
    FieldsNotInjected,
    GraphError,
    GraphErrors,
    InvalidDeclaration,
    LifetimeMismatch,
    MissingTypeHint,
    NameClash,
    NotASubclass,
    UnknownDependency,
    UnknownOverride,
    UnresolvedHint,
)
from goose.module import Module
from goose.tree import Assembly, Tree, listing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Declared(Generic[T]):
    """A class of a kind, and the module that lists it."""

    cls: type[T]
    module: Module


@dataclass(eq=False, slots=True)
class Node:
    """One declaration in its place: who declares it, and which other nodes it needs."""

    declaration: Declaration
    module: Module
    dependencies: tuple[Dependency, ...] = ()
    overridden: bool = False

    @property
    def key(self) -> Key:
        return self.declaration.key

    def __str__(self) -> str:
        return str(self.key)


@dataclass(frozen=True, slots=True)
class Dependency:
    """A parameter and the node that fills it; None: the parameter keeps its default, or gets None."""

    parameter: Parameter
    node: Node | None


@dataclass(eq=False, slots=True)
class Sight:
    """What one module sees: its own declarations, and the exports of what it imports."""

    module: Module
    nodes: dict[Key, Node] = field(default_factory=dict)

    def named(self, name: str) -> list[Node]:
        """The nodes of this declared name, or of this class name in snake_case."""
        return [node for key, node in self.nodes.items() if name == (key.name or _snake(key))]


class Graph:
    """All modules and declarations of an application, checked.

    Args:
        assemblies: One for each instance that the application consists of.
        builtins: Declarations that every module sees: the kernel itself, the scope.
        overrides: Ready objects that take the place of declarations before anything is built.

    Raises:
        GraphError: One class for each kind of fault; ``GraphErrors`` where there are several.
    """

    def __init__(
        self,
        assemblies: Sequence[Assembly],
        builtins: Sequence[Declaration] = (),
        overrides: Mapping[Any, Any] | None = None,
    ) -> None:
        self._faults: list[GraphError] = []
        self.nodes: list[Node] = []
        """Every node once; after the check in the order in which they can be built."""
        self._own: dict[Module, dict[Key, Node]] = {}
        self._classes: list[Declared[Any]] = []
        self._exports: dict[Module, list[Key]] = {}
        self.sights: dict[Module, Sight] = {}

        self.tree: Final = Tree(assemblies, self._faults)
        self._raise_faults()
        for module in self.tree.modules:
            self._declare_all(module)
        self._builtins = self._declare_builtins(builtins)
        self._imply(assemblies)
        for module in self.tree.modules:
            self._look_around(module)
        self._override(overrides or {})
        for node in self.nodes:
            self._connect(node)
        self._check_kinds()
        self._raise_faults()
        self.nodes = self._in_order()
        self._check_lifetimes()
        self._raise_faults()

    def declared(self, kind: type[T], below: Module | None = None) -> tuple[Declared[T], ...]:
        """Every class of a kind that a module declares; ``below`` keeps to what one root brings along."""
        reachable = self.tree.modules if below is None else self.tree.below(below)
        return tuple(found for found in self._classes if issubclass(found.cls, kind) and found.module in reachable)

    def own(self, module: Module) -> Mapping[Key, Node]:
        """What a module declares itself, builtins and listed classes aside."""
        return self._own[module]

    def exported(self, module: Module) -> Sequence[Key]:
        """The keys that a module exports."""
        return self._exports[module]

    def listed(self, module: Module) -> tuple[Declared[Any], ...]:
        """The classes of any kind that a module lists."""
        return tuple(found for found in self._classes if found.module is module and is_listed(found.cls))

    def arguments(self, module: Module, function: Any, skip: int, place: str) -> tuple[Dependency, ...]:
        """What a function's parameters after the first ``skip`` get, as a module sees it.

        Raises:
            GraphError: A parameter cannot be filled.
        """
        before = len(self._faults)
        found = self._fill(module, place, partial(function_parameters, function, skip=skip))
        fresh = self._faults[before:]
        del self._faults[before:]
        _raise(fresh)
        return found

    # --- declarations

    def _declare_all(self, module: Module) -> None:
        self._own[module] = {}
        for entry in listing(module, "declarations", self._faults):
            if is_listed(entry):
                self._list(entry, module)
            else:
                declaration = self._declaration(entry, module)
                if declaration is not None:
                    self._add(declaration, module)
                    self._remember(declaration, module)
        self._exports[module] = [Key.of(export) for export in listing(module, "exports", self._faults)]
        for key in self._exports[module]:
            if key not in self._own[module]:
                self._faults.append(ExportNotDeclared(str(module), str(key)))

    def _declaration(self, entry: Any, module: Module) -> Declaration | None:
        if isinstance(entry, Declaration):
            return entry
        if not inspect.isclass(entry):
            fault = f"{module}.declarations: {entry!r} is neither a class nor declare(...)."
            self._faults.append(InvalidDeclaration(fault))
            return None
        try:
            return declare(entry)
        except InvalidDeclaration as fault:
            self._faults.append(fault)
            return None

    def _list(self, entry: Any, module: Module) -> None:
        if any(found.cls is entry and found.module is module for found in self._classes):
            self._faults.append(DuplicateDeclaration(entry.__name__, str(module), str(module), str(module)))
            return
        self._classes.append(Declared(entry, module))

    def _remember(self, declaration: Declaration, module: Module) -> None:
        """A class that is built is of a kind as well: controllers are collected by their platform."""
        if inspect.isclass(declaration.source) and not declaration.is_factory:
            self._classes.append(Declared(declaration.source, module))

    def _add(self, declaration: Declaration, module: Module) -> Node:
        own = self._own[module]
        if declaration.key in own:
            self._faults.append(DuplicateDeclaration(str(declaration.key), str(module), str(module), str(module)))
            return own[declaration.key]
        self._check_fulfils(declaration, module)
        node = own[declaration.key] = Node(declaration, module)
        self.nodes.append(node)
        return node

    def _declare_builtins(self, builtins: Sequence[Declaration]) -> dict[Key, Node]:
        found = {declaration.key: Node(declaration, self.tree.roots[0]) for declaration in builtins}
        self.nodes = [*found.values(), *self.nodes]
        return found

    def _imply(self, assemblies: Sequence[Assembly]) -> None:
        wanted = [(root, cls) for a, root in zip(assemblies, self.tree.roots, strict=True) for cls in a.implied]
        wanted += [(root, cls) for root in self.tree.roots for module in self.tree.modules for cls in module.implied]
        wanted += [
            (found.module, cls) for found in self._classes for cls in getattr(found.cls, "__goose_implied__", tuple)()
        ]
        for module, cls in wanted:
            if not any(Key(cls) in self._own[m] for m in self._visible_modules(module, Key(cls))):
                declaration = self._declaration(cls, module)
                if declaration is not None:
                    # Guards and middleware are built for one request or job unless their class says otherwise.
                    lifetime: Lifetime = getattr(cls, "__goose_lifetime__", "scoped")
                    self._add(replace(declaration, lifetime=lifetime), module)

    def _visible_modules(self, module: Module, key: Key) -> Iterator[Module]:
        yield module
        yield from (other for other in self.tree.seen_from(module) if key in self._exports[other])

    def _look_around(self, module: Module) -> None:
        sight = self.sights[module] = Sight(module, dict(self._builtins))
        others = self.tree.seen_from(module)
        seen = list(self._own[module].values())
        seen += [self._own[o][key] for o in others for key in self._exports[o] if key in self._own[o]]
        for node in seen:
            first = sight.nodes.setdefault(node.key, node)
            if first is not node:
                fault = DuplicateDeclaration(str(node.key), str(module), str(first.module), str(node.module))
                self._faults.append(fault)
        self._check_names(sight)

    def _check_names(self, sight: Sight) -> None:
        by_class = {_snake(key): key for key in sight.nodes if key.name is None}
        for key in sight.nodes:
            other = by_class.get(key.name) if key.name is not None else None
            if key.name is not None and other is not None and other.type is not key.type:
                self._faults.append(NameClash(key.name, str(Key(key.type)), str(other), str(sight.module)))

    def _check_fulfils(self, declaration: Declaration, module: Module) -> None:
        key = declaration.key.type
        found = type(declaration.source) if declaration.is_value else declaration.source
        if declaration.is_factory or not (inspect.isclass(key) and inspect.isclass(found)) or found is key:
            return
        if is_protocol(key):
            methods = [name for name in get_protocol_members(key) if callable(getattr(key, name, None))]
            missing = sorted(name for name in methods if not hasattr(found, name))
            if missing:
                self._faults.append(NotASubclass(str(module), str(declaration.key), found.__name__, missing))
        elif not issubclass(found, key):
            self._faults.append(NotASubclass(str(module), str(declaration.key), found.__name__))

    def _override(self, overrides: Mapping[Any, Any]) -> None:
        for form, value in overrides.items():
            key = Key.of(form)
            found = [node for node in self.nodes if node.key == key]
            if not found:
                names = [str(node.key) for node in self.nodes]
                self._faults.append(UnknownOverride(str(key), near(str(key), names)))
            for node in found:
                node.declaration = Declaration(key, value, "singleton", is_value=True)
                node.overridden = True

    # --- dependencies

    def _connect(self, node: Node) -> None:
        declaration = node.declaration
        if declaration.is_value:
            return
        source = declaration.source
        bare = uninjected_fields(source)
        if bare:
            self._faults.append(FieldsNotInjected(str(node.module), source.__name__, bare))
            return
        node.dependencies = self._fill(node.module, _place_name(node), partial(constructor_parameters, source))

    def _fill(self, module: Module, place: str, read: Callable[[], tuple[Parameter, ...]]) -> tuple[Dependency, ...]:
        try:
            parameters = read()
        except HintError as error:
            self._faults.append(UnresolvedHint(str(module), place, str(error)))
            return ()
        return tuple(self._dependency(module, place, parameter) for parameter in parameters)

    def _dependency(self, module: Module, place: str, parameter: Parameter) -> Dependency:
        if parameter.key is None:
            if not parameter.has_default:
                self._faults.append(MissingTypeHint(str(module), place, parameter.name))
            return Dependency(parameter, None)
        node = self.sights[module].nodes.get(parameter.key)
        if node is None:
            self._explain(module, place, parameter, parameter.key)
        return Dependency(parameter, node)

    def _explain(self, module: Module, place: str, parameter: Parameter, key: Key) -> None:
        owner = next((m for m in self.tree.modules if key in self._own[m]), None)
        if owner is not None:
            fault = DependencyNotVisible(
                str(module), place, parameter.name, str(key), str(owner),
                imported=owner in self.tree.seen_from(module),
                exported=key in self._exports[owner],
            )  # fmt: skip
            self._faults.append(fault)
        elif not (parameter.has_default or parameter.accepts_none):
            self._faults.append(UnknownDependency(str(module), place, parameter.name, str(key)))

    def _check_kinds(self) -> None:
        for found in self._classes:
            for method in getattr(found.cls, "__goose_injected__", ()):
                function = getattr(found.cls, method)
                place = f"{found.cls.__name__}.{method}"
                self._fill(found.module, place, partial(function_parameters, function, skip=2))

    # --- order

    def _in_order(self) -> list[Node]:
        order: dict[Node, None] = {}
        for node in self.nodes:
            self._place(node, order, ())
        return list(order)

    def _place(self, node: Node, order: dict[Node, None], path: tuple[Node, ...]) -> None:
        if node in order:
            return
        if node in path:
            cycle = [*path[path.index(node) :], node]
            self._faults.append(DependencyCycle([str(step) for step in cycle]))
            return
        for dependency in node.dependencies:
            if dependency.node is not None:
                self._place(dependency.node, order, (*path, node))
        order[node] = None

    def _check_lifetimes(self) -> None:
        for node in self.nodes:
            if node.declaration.lifetime != "singleton":
                continue
            for dependency in node.dependencies:
                tail = _scoped_path(dependency.node)
                if tail:
                    place = _place_name(node)
                    path = [str(node), *(str(step) for step in tail)]
                    fault = LifetimeMismatch(str(node.module), place, _say(dependency.parameter), path)
                    self._faults.append(fault)

    def _raise_faults(self) -> None:
        _raise(self._faults)


def _raise(faults: Sequence[GraphError]) -> None:
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise GraphErrors(faults)


def _scoped_path(node: Node | None) -> list[Node]:
    """The way from a node to something scoped, through transients; empty where there is none."""
    if node is None or node.declaration.lifetime == "singleton":
        return []
    if node.declaration.lifetime == "scoped":
        return [node]
    for dependency in node.dependencies:
        tail = _scoped_path(dependency.node)
        if tail:
            return [node, *tail]
    return []


def _place_name(node: Node) -> str:
    source = node.declaration.source
    return f"{source.__name__}.__init__" if inspect.isclass(source) else _function_name(source)


def _function_name(function: Any) -> str:
    function = getattr(function, "func", function)
    name: str = getattr(function, "__qualname__", None) or repr(function)
    return name.rsplit("<locals>.", 1)[-1]


def _say(parameter: Parameter) -> str:
    return f"{parameter.name}: {parameter.key}"


def _snake(key: Key) -> str:
    return snake_case(getattr(key.type, "__name__", str(key.type)))


def near(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    return next(iter(difflib.get_close_matches(name, list(names), 1)), None)
