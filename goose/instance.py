"""Instance: a platform with its root module and what is plugged in; what ``start`` takes, and an ASGI application.

Made by ``api()`` and ``worker()``. It may be booted again after it has stopped: each boot makes a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TypeAlias

from goose.errors import NotRunning
from goose.kernel import Kernel
from goose.module import Module
from goose.origin import Origin, origin_of
from goose.tree import Assembly

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class Platform(Protocol):
    """The outside world that a kernel serves."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def timeout(self) -> float | None:
        """Seconds that one request may take; how long a graceful stop waits for those in flight."""
        ...

    def implied(self) -> Sequence[type]:
        """Classes that are built with what the root module sees."""
        ...

    def mount(self, kernel: Kernel, root: Module) -> ASGIApp:
        """The application that answers requests; called once for each boot, with the root whose part is served."""
        ...


class Instance:
    """A platform (or none) with its root module and the modules plugged in beside it; itself an ASGI application."""

    def __init__(
        self,
        platform: Platform | None,
        module: type[Module] | Module,
        modules: Sequence[type[Module] | Module] = (),
    ) -> None:
        self.platform = platform
        self.module = module
        self.modules = tuple(modules)
        self.import_string: str | None = None
        """``module:attribute`` where the command line has found it by that; None: where it stands is looked for."""
        self.kernel: Kernel | None = None
        """The kernel while booted."""
        self._asgi: ASGIApp | None = None

    def assembly(self) -> Assembly:
        """What this instance brings to a kernel."""
        implied = () if self.platform is None else self.platform.implied()
        return Assembly(self.module, self.modules, implied, self.origin)

    def origin(self) -> Origin | None:
        """Where another process finds this instance; None where it is no attribute of a module that can be imported."""
        if self.import_string is None:
            return origin_of(self)
        module, _, attribute = self.import_string.partition(":")
        return Origin(module, attribute)

    def new_kernel(self, overrides: Mapping[Any, Any] | None = None) -> Kernel:
        """A kernel of this instance alone, checked and not booted.

        Raises:
            GraphError: The modules and declarations do not fit together.
        """
        return Kernel([self.assembly()], overrides)

    def attach(self, kernel: Kernel, root: Module) -> None:
        """Serve what a booted kernel has below ``root``."""
        if self.kernel is not None:
            raise NotRunning("this instance is running already: stop it first, or make another")
        self._asgi = None if self.platform is None else self.platform.mount(kernel, root)
        self.kernel = kernel

    def detach(self) -> None:
        """Serve no more; the instance may be booted again."""
        self.kernel = self._asgi = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(self, receive, send, background=True)
        elif self._asgi is None:
            raise NotRunning("the application is not booted: serve it with goose.start(), or with ASGI lifespan on")
        else:
            await self._asgi(scope, receive, send)


def api(platform: Platform, module: type[Module] | Module, modules: Sequence[type[Module] | Module] = ()) -> Instance:
    """An instance that answers HTTP and runs its modules' background work.

    Args:
        platform: How it is served: ``ApiPlatform(...)``.
        module: The root module.
        modules: Modules plugged in beside it; their exports are visible to the whole application.
    """
    return Instance(platform, module, modules)


def worker(module: type[Module] | Module, modules: Sequence[type[Module] | Module] = ()) -> Instance:
    """An instance that runs its modules' background work and answers no HTTP."""
    return Instance(None, module, modules)


async def boot(
    instances: Sequence[Instance], *, background: bool, overrides: Mapping[Any, Any] | None = None
) -> Kernel:
    """Boot instances together on one kernel, and have each serve its own part.

    Raises:
        GooseError: Something failed; everything is undone.
    """
    kernel = Kernel([instance.assembly() for instance in instances], overrides)
    await kernel.boot(background=background)
    try:
        for instance, root in zip(instances, kernel.graph.tree.roots, strict=True):
            instance.attach(kernel, root)
    except BaseException:
        await stop(instances, kernel)
        raise
    return kernel


async def stop(instances: Sequence[Instance], kernel: Kernel) -> None:
    """Undo ``boot``.

    Raises:
        ShutdownErrors: What failed on the way; everything has been stopped all the same.
    """
    try:
        await kernel.shutdown()
    finally:
        for instance in instances:
            if instance.kernel is kernel:
                instance.detach()


async def lifespan(
    instance: Instance,
    receive: Receive,
    send: Send,
    *,
    background: bool,
    overrides: Mapping[Any, Any] | None = None,
) -> None:
    """Answer an ASGI server's lifespan: boot at its startup, stop at its shutdown."""
    await receive()
    try:
        kernel = await boot([instance], background=background, overrides=overrides)
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.startup.complete"})
    try:
        await receive()
    except BaseException:
        # A server that is told to end at once cancels its lifespan and never asks for the shutdown.
        await stop([instance], kernel)
        raise
    try:
        await stop([instance], kernel)
    except Exception as error:
        await send({"type": "lifespan.shutdown.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.shutdown.complete"})
