"""Kernel: graph, then container, then lifecycle; what an instance boots and everything else asks.

Made by ``instance`` and ``serving``, once for each boot. Injectable: ``kernel: Kernel``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import anyio
from typing_extensions import TypeForm

from goose.container import Container, DynamicContainer, View
from goose.declaration import Declaration, Key, declare
from goose.errors import AmbiguousName, GooseError, NotFound, NotRunning, ShutdownErrors
from goose.graph import Declared, Graph, Node, near
from goose.lifecycle import Lifecycle, Participant
from goose.module import Module
from goose.origin import Origin
from goose.scope import Scope
from goose.tree import Assembly

T = TypeVar("T")

CHECK_TIMEOUT: Final = 5.0
"""Seconds that one module's readiness check may take."""


class Kernel:
    """One application, from its checked graph to its end; boots once.

    Making it checks the whole graph and builds nothing.

    Args:
        assemblies: What the instances of this process bring along.
        overrides: Ready objects by key, in place of what the modules declare; they are never disposed.

    Raises:
        GraphError: The modules and declarations do not fit together.
    """

    def __init__(self, assemblies: Sequence[Assembly], overrides: Mapping[Any, Any] | None = None) -> None:
        builtins = (declare(Kernel, value=self), Declaration(Key(Scope), Scope, "scoped", dispose=False))
        self.graph: Final = Graph(assemblies, builtins, overrides)
        self._origins = tuple(assembly.origin for assembly in assemblies)
        self._container = Container(self.graph)
        self._lifecycle = Lifecycle(())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = "made"
        self.background = False
        """Whether long-running work (``on_run``) was started with the boot."""

    @property
    def modules(self) -> tuple[Module, ...]:
        """Every module, imports before importers, the roots last."""
        return self.graph.tree.modules

    @property
    def root(self) -> Module:
        """The root module of the first instance."""
        return self.graph.tree.roots[0]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the application was booted on.

        Raises:
            NotRunning: It was not booted, or has stopped.
        """
        if self._loop is None:
            raise NotRunning("the application is not running: boot it with goose.start() or goose.running()")
        return self._loop

    @property
    def overridden(self) -> tuple[Key, ...]:
        """What ``overrides`` has taken the place of; a process that boots the same application would not have it so."""
        return tuple(dict.fromkeys(node.key for node in self.graph.nodes if node.overridden))

    def origins(self) -> tuple[Origin, ...] | None:
        """Where another process finds the instances of this kernel; None where it would not find them all."""
        found: list[Origin] = []
        for origin in self._origins:
            place = origin()
            if place is None:
                return None
            found.append(place)
        return tuple(found)

    async def boot(self, *, background: bool) -> None:
        """Build every singleton and call every ``on_boot``, in dependency order; start ``on_run`` where asked for.

        Raises:
            GooseError: Something failed; everything that had been built or started is undone.
        """
        if self._state != "made":
            raise NotRunning("a kernel boots once: make a new one")
        self._state, self.background = "booting", background
        self._loop = asyncio.get_running_loop()
        try:
            self._lifecycle = Lifecycle(await self._build())
            await self._lifecycle.boot()
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await self._dispose(error)
            raise
        self._state = "running"
        if background:
            self._lifecycle.run()

    def stop_background(self) -> None:
        """Have every ``on_run`` end: no new work from here on. Idempotent; does not wait."""
        self._lifecycle.stop_runs()

    async def shutdown(self) -> None:
        """Stop in reverse order: what runs, then hooks, then what was built. Idempotent.

        Raises:
            ShutdownErrors: What failed on the way; everything has had its turn all the same.
        """
        if self._state != "running":
            return
        self._state = "stopping"
        failures: list[Exception] = []
        with anyio.CancelScope(shield=True):
            failures += await self._lifecycle.shutdown()
            failures += await self._dispose(None)
        if failures:
            raise ShutdownErrors("shutdown", failures)

    def get(self, key: TypeForm[T]) -> T:
        """The instance of a key that the root module sees, or that any module exports.

        Raises:
            NotFound: There is none.
            AmbiguousName: Several modules export one of their own.
            OutsideScope: It is scoped, and no scope is open here.
        """
        found: T = self._container.provider(self._find(Key.of(key)))()
        return found

    def container(self, module: type[Module] | Module) -> DynamicContainer:
        """dependency_injector's own container of one module.

        Raises:
            NotFound: The application has no such module.
        """
        return self._container.of(self.module(module))

    def module(self, wanted: type[Module] | Module) -> Module:
        """The module of this class, or this very module.

        Raises:
            NotFound: The application has no such module.
            AmbiguousName: It has several of this class.
        """
        found = [m for m in self.modules if m is wanted or type(m) is wanted]
        name = wanted.__name__ if isinstance(wanted, type) else str(wanted)
        if not found:
            raise NotFound(name, str(self.root), near(name, map(str, self.modules)))
        if len(found) > 1:
            raise AmbiguousName(name, [str(m) for m in found])
        return found[0]

    def declared(self, kind: type[T], below: Module | None = None) -> tuple[Declared[T], ...]:
        """Every class of a kind that any module lists; ``below`` keeps to what one root brings along."""
        return self.graph.declared(kind, below)

    def view(self, module: Module) -> View:
        """What one module sees, ready to be handed out."""
        return self._container.view(module)

    def scope(self) -> Scope:
        """A new scope, to be entered with ``async with``: one for each request or job attempt."""
        return Scope()

    def run_blocking(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the application's loop from any other thread, and wait for it.

        Raises:
            NotRunning: The application is not running.
            RuntimeError: Called in the loop's own thread, which would wait for itself.
        """
        if self._loop is not None and _runs_here(self._loop):
            work.close()
            raise RuntimeError("this would block the event loop: await it instead")
        if self._loop is None:
            work.close()
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def check(self) -> dict[str, str | None]:
        """Readiness: each part by name, with None where it is fine, else the reason."""
        modules = [module for module in self.modules if callable(getattr(type(module), "check", None))]
        reasons = await asyncio.gather(*(_check(module) for module in modules))
        return {**{str(m): r for m, r in zip(modules, reasons, strict=True)}, **self._lifecycle.states()}

    async def _build(self) -> list[Participant]:
        """Build every singleton; return who takes part in the lifecycle, in dependency order."""
        singletons: list[Participant] = []
        behind = dict.fromkeys(self.modules, 0)
        for node in self.graph.nodes:
            if node.declaration.lifetime == "singleton":
                built = await self._container.build(node)
                if not (node.overridden or built is self):
                    singletons.append(Participant(str(node), built))
                    behind[node.module] = len(singletons)
        for module in self.modules:
            behind[module] = max([behind[module], *(behind[m] for m in self.graph.tree.imports[module])])
        return _with_modules(singletons, behind)

    async def _dispose(self, error: BaseException | None) -> list[Exception]:
        self._state, self._loop = "stopped", None
        try:
            await self._container.root.close(error)
        except ExceptionGroup as failures:
            return list(failures.exceptions)
        except Exception as failure:  # noqa: BLE001 - reported with the others
            return [failure]
        return []

    def _find(self, key: Key) -> Node:
        for root in self.graph.tree.roots:
            node = self.graph.sights[root].nodes.get(key)
            if node is not None:
                return node
        found = {self.graph.own(m)[key]: None for m in self.modules if key in self.graph.exported(m)}
        if len(found) > 1:
            raise AmbiguousName(str(key), [str(node.module) for node in found])
        if not found:
            names = [str(node.key) for node in self.graph.nodes]
            raise NotFound(str(key), str(self.root), near(str(key), names))
        return next(iter(found))


def _with_modules(singletons: list[Participant], behind: Mapping[Module, int]) -> list[Participant]:
    """Put each module behind its own singletons and the modules that it imports."""
    order: list[Participant] = []
    done = 0
    for module, needed in sorted(behind.items(), key=lambda item: item[1]):
        order += [*singletons[done:needed], Participant(str(module), module)]
        done = needed
    return [*order, *singletons[done:]]


async def _check(module: Any) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await module.check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - whatever it is, the application is not ready
        return str(error) if isinstance(error, GooseError) else f"{type(error).__name__}: {error}"
    return None


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
