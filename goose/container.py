"""Where things are built: dependency_injector's providers over the graph, scopes, and what one module is handed.

``kernel`` makes one ``Container`` at boot. dependency_injector is named in this file only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

from dependency_injector import providers
from dependency_injector.containers import DynamicContainer
from typing_extensions import TypeForm

from goose.declaration import Key, snake_case
from goose.disposal import finish, finish_async, is_async, is_plain
from goose.errors import AmbiguousName, AsyncTransient, NeedsAwait, NotFound, OutsideScope
from goose.graph import Dependency, Graph, Node, Sight, near
from goose.module import Module
from goose.scope import Scope, current_scope

__all__ = ["Container", "DynamicContainer", "Resolver", "View"]

T = TypeVar("T")

Recipe: TypeAlias = Callable[[], Any]
"""Calls a class or a factory with what it needs; what it gives has not been entered yet."""

_NONE: Final[providers.Provider[None]] = providers.Object(None)


class Resolver(Generic[T]):
    """Hands out one key as one module sees it; made at boot, called for each request or job."""

    __slots__ = ("_first", "_key", "_provider", "is_async")

    def __init__(self, key: str, provider: Callable[[], T], first: Iterable[tuple[Node, Recipe]] = ()) -> None:
        self._key = key
        self._provider = provider
        self._first = tuple(first)
        self.is_async = bool(self._first)
        """Whether something that it needs is built by async code in each scope."""

    def get(self, scope: Scope) -> T:
        """The instance, where nothing has to be awaited for it.

        Raises:
            NeedsAwait: Something that it needs is built by async code and is not there yet.
        """
        for node, _ in self._first:
            if node not in scope.instances:
                raise NeedsAwait(self._key)
        if current_scope() is scope:
            return self._provider()
        with scope.current():
            return self._provider()

    async def build(self, scope: Scope) -> T:
        """The instance, awaiting first what async code builds."""
        for node, recipe in self._first:
            await scope.take_async(node, _maker_async(node, recipe))
        return self.get(scope)


class View:
    """What one module sees, ready to be handed out."""

    def __init__(self, container: Container, sight: Sight) -> None:
        self._container = container
        self._sight = sight
        self._resolvers: dict[Any, Resolver[Any]] = {}

    @overload
    def resolver(self, key: type[T]) -> Resolver[T]: ...
    @overload
    def resolver(self, key: TypeForm[T]) -> Resolver[T]: ...
    def resolver(self, key: Any) -> Resolver[Any]:
        """How this module gets a key.

        Raises:
            NotFound: The module sees no such declaration.
        """
        wanted = Key.of(key)
        node = self._sight.nodes.get(wanted)
        if node is None:
            raise NotFound(str(wanted), str(self._sight.module), near(str(wanted), map(str, self._sight.nodes)))
        return self._container.resolver(node)

    def named(self, name: str) -> Resolver[Any]:
        """How this module gets what has this declared name, or is of this class in snake_case.

        Raises:
            NotFound: The module sees nothing of this name.
            AmbiguousName: It sees several.
        """
        found = self._sight.named(name)
        if not found:
            names = [key.name or snake_case(str(key)) for key in self._sight.nodes]
            raise NotFound(repr(name), str(self._sight.module), near(name, names))
        if len(found) > 1:
            raise AmbiguousName(repr(name), [f"{node} of {node.module}" for node in found])
        return self._container.resolver(found[0])

    def arguments(self, function: Callable[..., Any], *, skip: int) -> Resolver[dict[str, Any]]:
        """How this module gets the keyword arguments of a function after its first ``skip`` parameters.

        Raises:
            GraphError: A parameter cannot be filled.
        """
        place = getattr(function, "__qualname__", repr(function))
        return self._container.arguments(self._sight.module, function, skip, place)

    @overload
    def get(self, key: str, scope: Scope) -> Any: ...
    @overload
    def get(self, key: TypeForm[T], scope: Scope) -> T: ...
    def get(self, key: Any, scope: Scope) -> Any:
        """An instance by type or by name, in a scope."""
        resolver = self._resolvers.get(key)
        if resolver is None:
            resolver = self.named(key) if isinstance(key, str) else self.resolver(key)
            self._resolvers[key] = resolver
        return resolver.get(scope)


class Container:
    """The providers of every node of a graph, one ``DynamicContainer`` for each module.

    Raises:
        AsyncTransient: Something transient would have to be awaited.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.root = Scope()
        """Holds the singletons' ends, and those of transients that no request or job asked for."""
        self._cells: dict[Node, Any] = {}
        self._recipes: dict[Node, Recipe] = {}
        self._providers: dict[Node, providers.Provider[Any]] = {}
        self._async: dict[Node, tuple[Node, ...]] = {}
        self._containers: dict[Module, DynamicContainer] = {m: DynamicContainer() for m in graph.tree.modules}
        for node in graph.nodes:
            self._provide(node)
            self._hang(node)
        self._views = {module: View(self, sight) for module, sight in graph.sights.items()}

    def of(self, module: Module) -> DynamicContainer:
        """dependency_injector's own container with the providers of one module."""
        return self._containers[module]

    def view(self, module: Module) -> View:
        """What one module sees."""
        return self._views[module]

    def provider(self, node: Node) -> Callable[[], Any]:
        """What hands out the instance of a node."""
        return self._providers[node]

    def resolver(self, node: Node) -> Resolver[Any]:
        """How anyone who may see a node gets it."""
        return Resolver(str(node), self._providers[node], self._to_await([node]))

    def arguments(self, module: Module, function: Any, skip: int, place: str) -> Resolver[dict[str, Any]]:
        """How a function's parameters are filled, as a module sees them."""
        found = self._graph.arguments(module, function, skip, place)
        wanted = self._arguments(found)[1]
        nodes = [dependency.node for dependency in found if dependency.node is not None]
        if not wanted:
            return Resolver(place, dict)
        whole = providers.Dict(**wanted)
        whole.disable_async_mode()
        return Resolver(place, whole, self._to_await(nodes))

    async def build(self, node: Node) -> Any:
        """Build a singleton, awaiting and entering what it takes; its end is left to the root scope."""
        if node.declaration.is_value:
            return node.declaration.source
        if node not in self._cells:
            self._cells[node] = await finish_async(self._recipes[node](), self.root, dispose=node.declaration.dispose)
        return self._providers[node]()

    def _provide(self, node: Node) -> None:
        declaration = node.declaration
        awaited = [n for d in node.dependencies if d.node is not None for n in self._async[d.node]]
        if declaration.is_value:
            self._keep(node, providers.Object(declaration.source), ())
            return
        args, kwargs = self._arguments(node.dependencies)
        recipe: providers.Factory[Any] = providers.Factory(declaration.source, *args, **kwargs)
        recipe.disable_async_mode()
        self._recipes[node] = recipe
        if declaration.lifetime == "singleton":
            self._keep(node, providers.ThreadSafeSingleton(self._singleton, node), ())
        elif declaration.lifetime == "scoped":
            own = (node,) if is_async(declaration) else ()
            self._keep(node, providers.Callable(self._scoped(node, recipe)), (*awaited, *own))
        elif is_async(declaration):
            raise AsyncTransient(str(node.module), str(node))
        elif is_plain(declaration):
            self._keep(node, recipe, awaited)
        else:
            self._keep(node, providers.Callable(self._transient(node, recipe)), awaited)

    def _keep(self, node: Node, provider: providers.Provider[Any], awaited: Iterable[Node]) -> None:
        provider.disable_async_mode()
        self._providers[node] = provider
        self._async[node] = tuple(dict.fromkeys(awaited))

    def _singleton(self, node: Node) -> Any:
        if node not in self._cells:
            raise OutsideScope(str(node))
        return self._cells[node]

    def _scoped(self, node: Node, recipe: Recipe) -> Callable[[], Any]:
        make = _maker(node, recipe)

        def scoped() -> Any:
            scope = current_scope()
            if scope is None:
                raise OutsideScope(str(node))
            try:
                return scope.instances[node]
            except KeyError:
                return scope.take(node, make)

        return scoped

    def _transient(self, node: Node, recipe: Recipe) -> Callable[[], Any]:
        make = _maker(node, recipe)
        return lambda: make(current_scope() or self.root)

    def _arguments(self, dependencies: Iterable[Dependency]) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for dependency in dependencies:
            parameter, node = dependency.parameter, dependency.node
            if node is None and parameter.has_default:
                continue
            provider = self._providers[node] if node is not None else _NONE
            if parameter.positional:
                args.append(provider)
            else:
                kwargs[parameter.name] = provider
        return args, kwargs

    def _to_await(self, nodes: Iterable[Node]) -> list[tuple[Node, Recipe]]:
        wanted = dict.fromkeys(first for node in nodes for first in self._async[node])
        return [(node, self._recipes[node]) for node in wanted]

    def _hang(self, node: Node) -> None:
        container = self._containers[node.module]
        wanted = "declared_" + snake_case("".join(c if c.isalnum() else "_" for c in str(Key(node.key.type))))
        wanted += f"_{node.key.name}" if node.key.name else ""
        name, number = wanted, 2
        while name in container.providers:
            name, number = f"{wanted}_{number}", number + 1
        container.set_provider(name, self._providers[node])


def _maker(node: Node, recipe: Recipe) -> Callable[[Scope], Any]:
    """What makes the instance of a node in a scope, by plain calls."""
    if node.key.type is Scope:
        return lambda scope: scope
    if is_plain(node.declaration):
        return lambda _: recipe()
    return lambda scope: finish(recipe(), scope, str(node), dispose=node.declaration.dispose)


def _maker_async(node: Node, recipe: Recipe) -> Callable[[Scope], Awaitable[Any]]:
    """The same where it has to be awaited."""
    return lambda scope: finish_async(recipe(), scope, dispose=node.declaration.dispose)
