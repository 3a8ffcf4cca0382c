"""Where things are built: dependency_injector's providers over the graph, scopes, and what one module is handed.

``kernel`` makes one ``Container`` at boot. dependency_injector is named in this file only.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, overload

import anyio
from dependency_injector import providers
from dependency_injector.containers import DynamicContainer
from typing_extensions import TypeForm

from goose.declaration import Key, Lifetime, return_class, snake_case
from goose.errors import AmbiguousName, AsyncTransient, NeedsAwait, NotFound, OutsideScope
from goose.graph import Dependency, Graph, Node, Sight, near
from goose.module import Module

__all__ = ["Container", "DynamicContainer", "Resolver", "Scope", "View", "current_scope"]

T = TypeVar("T")

ExitCallback = Callable[[BaseException | None], Awaitable[None] | None]

_current: ContextVar[Scope | None] = ContextVar("goose_scope", default=None)


def current_scope() -> Scope | None:
    """The scope of the request or job that runs here; also in its child tasks and threads."""
    return _current.get()


class Scope:
    """The life of one request or one job attempt: what is scoped lives in it and is disposed at its end.

    Entered with ``async with``. At the end the exit callbacks run in reverse order, each of them whatever the others
    do; they get the error that ended the scope, or None. An error of theirs is raised unless the scope was ended by
    one already.
    """

    __slots__ = ("_async_lock", "_exits", "_lock", "_token", "instances")

    __goose_lifetime__: ClassVar[Lifetime] = "scoped"

    def __init__(self) -> None:
        self.instances: dict[Node, Any] = {}
        self._exits: list[ExitCallback] = []
        self._lock = threading.RLock()
        self._async_lock: asyncio.Lock | None = None
        self._token: Token[Scope | None] | None = None

    def on_exit(self, callback: ExitCallback) -> None:
        """Have ``callback`` called at the scope's end with the error that ended it, or None."""
        self._exits.append(callback)

    async def __aenter__(self) -> Self:
        self._token = _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._exits:
                await self.close(error)
        finally:
            if self._token is not None:
                _current.reset(self._token)

    async def close(self, error: BaseException | None = None) -> None:
        """Run the exit callbacks; from the first error on shielded from the cancellation of the task around."""
        failures: list[BaseException] = []
        while self._exits and error is None:
            error = await _end(self._exits.pop(), None)
            failures += [error] if error is not None else []
        if self._exits:
            with anyio.CancelScope(shield=True):
                while self._exits:
                    failure = await _end(self._exits.pop(), error)
                    failures += [failure] if failure is not None else []
        if failures and failures[0] is error:
            raise failures[0] if len(failures) == 1 else BaseExceptionGroup("the scope's end met errors", failures)

    def take(self, node: Node, recipe: Callable[[], Any], finish: Callable[[Any, Scope], Any]) -> Any:
        """The scope's instance of a node, built here where there is none yet."""
        with self._lock:
            if node not in self.instances:
                self.instances[node] = finish(recipe(), self)
            return self.instances[node]

    async def take_async(self, node: Node, recipe: Callable[[], Any]) -> None:
        """Have the instance of a node that async code builds."""
        if node in self.instances:
            return
        if self._async_lock is None:
            self._async_lock = asyncio.Lock()
        async with self._async_lock:
            if node not in self.instances:
                self.instances[node] = await finish_async(recipe(), self, dispose=node.declaration.dispose)


async def _end(callback: ExitCallback, error: BaseException | None) -> BaseException | None:
    """Call one exit callback; what it raised of its own, or None."""
    try:
        ended = callback(error)
        if ended is not None:
            await ended
    except BaseException as failure:  # noqa: BLE001 - the others have their turn first; close() raises it
        return failure if failure is not error else None
    return None


class Resolver(Generic[T]):
    """Hands out one key as one module sees it; made at boot, called for each request or job."""

    __slots__ = ("_first", "_key", "_provider", "is_async")

    def __init__(
        self, key: str, provider: Callable[[], T], first: Iterable[tuple[Node, Callable[[], Any]]] = ()
    ) -> None:
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
        if _current.get() is scope:
            return self._provider()
        token = _current.set(scope)
        try:
            return self._provider()
        finally:
            _current.reset(token)

    async def build(self, scope: Scope) -> T:
        """The instance, awaiting first what async code builds."""
        for node, recipe in self._first:
            await scope.take_async(node, recipe)
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
        self._recipes: dict[Node, Callable[[], Any]] = {}
        self._providers: dict[Node, providers.Provider[Any]] = {}
        self._async: dict[Node, tuple[Node, ...]] = {}
        self._containers: dict[Module, DynamicContainer] = {m: DynamicContainer() for m in graph.modules}
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
            own = (node,) if _is_async(node) else ()
            self._keep(node, providers.Callable(self._scoped(node, recipe)), (*awaited, *own))
        elif _is_async(node):
            raise AsyncTransient(str(node.module), str(node))
        elif _needs_finish(node):
            self._keep(node, providers.Callable(self._transient(node, recipe)), awaited)
        else:
            self._keep(node, recipe, awaited)

    def _keep(self, node: Node, provider: providers.Provider[Any], awaited: Iterable[Node]) -> None:
        provider.disable_async_mode()
        self._providers[node] = provider
        self._async[node] = tuple(dict.fromkeys(awaited))

    def _singleton(self, node: Node) -> Any:
        if node not in self._cells:
            raise OutsideScope(str(node))
        return self._cells[node]

    def _scoped(self, node: Node, recipe: Callable[[], Any]) -> Callable[[], Any]:
        finish = _finisher(node)
        if node.key.type is Scope:
            return lambda: self._open_scope(node)

        def scoped() -> Any:
            scope = _current.get()
            if scope is None:
                raise OutsideScope(str(node))
            try:
                return scope.instances[node]
            except KeyError:
                return scope.take(node, recipe, finish)

        return scoped

    def _open_scope(self, node: Node) -> Scope:
        scope = _current.get()
        if scope is None:
            raise OutsideScope(str(node))
        return scope

    def _transient(self, node: Node, recipe: Callable[[], Any]) -> Callable[[], Any]:
        finish = _finisher(node)
        return lambda: finish(recipe(), _current.get() or self.root)

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

    def _to_await(self, nodes: Iterable[Node]) -> list[tuple[Node, Callable[[], Any]]]:
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


_NONE: Final[providers.Provider[None]] = providers.Object(None)


# --- from what a class or factory gave to what is injected, and its end


def _unwrapped(source: Any) -> Any:
    return inspect.unwrap(getattr(source, "func", source)) if not inspect.isclass(source) else source


def _produced(node: Node) -> type | None:
    source = node.declaration.source
    return source if inspect.isclass(source) else return_class(source)


def _is_async(node: Node) -> bool:
    """Whether building a node needs an await, as far as can be told before it is built."""
    source = _unwrapped(node.declaration.source)
    if inspect.iscoroutinefunction(source) or inspect.isasyncgenfunction(source):
        return True
    produced = _produced(node)
    return node.declaration.dispose and produced is not None and hasattr(produced, "__aenter__")


def _needs_finish(node: Node) -> bool:
    source = node.declaration.source
    if not inspect.isclass(source):
        return True
    return node.declaration.dispose and any(hasattr(source, word) for word in ("__enter__", "aclose", "close"))


def _finisher(node: Node) -> Callable[[Any, Scope], Any]:
    if not _needs_finish(node):
        return lambda made, _: made
    dispose = node.declaration.dispose
    return lambda made, scope: _finish(made, scope, str(node), dispose=dispose)


def _finish(made: Any, scope: Scope, name: str, *, dispose: bool) -> Any:
    """Turn what sync code gave into what is injected, and have the scope see to its end."""
    if inspect.isgenerator(made):
        value = next(made)
        scope.on_exit(lambda error: _resume(made, error))
        return value
    if not dispose:
        return made
    kind = type(made)
    if inspect.iscoroutine(made):
        made.close()
        raise NeedsAwait(name)
    if hasattr(kind, "__aenter__"):
        raise NeedsAwait(name)
    if hasattr(kind, "__enter__"):
        value = made.__enter__()
        scope.on_exit(lambda error: _leave(made, error))
        return value
    _close_later(made, scope)
    return made


async def finish_async(made: Any, scope: Scope, *, dispose: bool = True) -> Any:
    """The same where the code that built it, or what it gave, has to be awaited."""
    if inspect.isasyncgen(made):
        value = await anext(made)
        scope.on_exit(lambda error: _resume_async(made, error))
        return value
    if inspect.iscoroutine(made):
        made = await made
    if dispose and hasattr(type(made), "__aenter__"):
        value = await made.__aenter__()
        scope.on_exit(lambda error: _leave_async(made, error))
        return value
    return _finish(made, scope, type(made).__name__, dispose=dispose)


def _close_later(made: Any, scope: Scope) -> None:
    for word in ("aclose", "close"):
        close = getattr(made, word, None)
        if callable(close) and hasattr(type(made), word):
            scope.on_exit(lambda _, close=close: close())  # type: ignore[misc]
            return


def _resume(generator: Any, error: BaseException | None) -> None:
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration:
        return
    generator.close()


async def _resume_async(generator: Any, error: BaseException | None) -> None:
    try:
        if error is None:
            await anext(generator)
        else:
            await generator.athrow(error)
    except StopAsyncIteration:
        return
    await generator.aclose()


def _leave(manager: Any, error: BaseException | None) -> None:
    manager.__exit__(type(error) if error is not None else None, error, error.__traceback__ if error else None)


async def _leave_async(manager: Any, error: BaseException | None) -> None:
    await manager.__aexit__(type(error) if error is not None else None, error, error.__traceback__ if error else None)
