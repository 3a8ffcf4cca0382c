"""How things are built, handed out and disposed: lifetimes, scopes, overrides, names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import anyio
import anyio.to_thread
import pytest

from goose import Kernel, Module, Named, Scope, current_scope, declare, running, worker
from goose.errors import AmbiguousName, NeedsAwait, NotFound, OutsideScope

events: list[str] = []


@pytest.fixture(autouse=True)
def fresh_events() -> None:
    events.clear()


@contextlib.asynccontextmanager
async def booted(*declarations: Any, overrides: Any = None, **attributes: Any) -> AsyncIterator[Kernel]:
    root = type("RootModule", (Module,), {"declarations": declarations, **attributes})
    async with running(worker(root), overrides=overrides) as kernel:
        yield kernel


@dataclass
class Clock:
    def now(self) -> int:
        return 1


@dataclass
class Service:
    clock: Clock


@dataclass
class Work:
    service: Service

    async def aclose(self) -> None:
        events.append("work closed")


async def test_singletons_are_one_and_the_same() -> None:
    """A singleton is built once, and everyone who asks has it."""
    async with booted(Service, Clock) as kernel:
        assert kernel.get(Service).clock is kernel.get(Clock)


async def test_scoped_is_one_per_scope() -> None:
    """A scoped thing is shared inside its scope, made anew in the next, and closed at its end."""
    async with booted(Service, Clock, declare(Work, lifetime="scoped")) as kernel:
        async with kernel.scope():
            first = kernel.get(Work)
            assert kernel.get(Work) is first
            assert events == []
        assert events == ["work closed"]
        async with kernel.scope():
            assert kernel.get(Work) is not first


async def test_scopes_of_concurrent_tasks_are_apart() -> None:
    """Tasks that run at the same time each see their own scope."""
    async with booted(Service, Clock, declare(Work, lifetime="scoped")) as kernel:

        async def one() -> Work:
            async with kernel.scope():
                work = kernel.get(Work)
                await anyio.lowlevel.checkpoint()
                assert kernel.get(Work) is work
                return work

        assert len({id(work) for work in await asyncio.gather(*(one() for _ in range(20)))}) > 1


async def test_threads_of_a_scope_share_it() -> None:
    """A thread started from a scope gets the scope's instance, and many threads still get one."""
    async with booted(Service, Clock, declare(Work, lifetime="scoped")) as kernel, kernel.scope():
        found = await asyncio.gather(*(anyio.to_thread.run_sync(kernel.get, Work) for _ in range(16)))
        assert len({id(work) for work in found}) == 1


async def test_transient_is_new_each_time_and_ends_with_its_scope() -> None:
    """A transient is never shared, and is disposed with the scope that asked for it."""
    async with booted(Service, Clock, declare(Work, lifetime="transient")) as kernel:
        async with kernel.scope():
            assert kernel.get(Work) is not kernel.get(Work)
        assert events == ["work closed"] * 2


async def test_scoped_outside_a_scope_is_refused() -> None:
    """Asking for something scoped where no scope is open says what to open."""
    async with booted(Service, Clock, declare(Work, lifetime="scoped")) as kernel:
        with pytest.raises(OutsideScope) as caught:
            kernel.get(Work)
    assert str(caught.value) == "Work is scoped, and no scope is open here. Open one: async with kernel.scope()."


def from_generator() -> Iterator[str]:
    events.append("generator in")
    yield "generator"
    events.append("generator out")


async def from_async_generator(first: Annotated[str, Named("generator")]) -> AsyncIterator[str]:
    events.append(f"async generator in after {first}")
    yield "async generator"
    events.append("async generator out")


@contextlib.asynccontextmanager
async def from_manager() -> AsyncIterator[str]:
    events.append("manager in")
    yield "manager"
    events.append("manager out")


async def from_coroutine() -> str:
    await anyio.lowlevel.checkpoint()
    return "coroutine"


class Managed:
    def __enter__(self) -> Self:
        events.append("managed in")
        return self

    def __exit__(self, *_: object) -> None:
        events.append("managed out")

    def close(self) -> None:
        events.append("closed as well")


class Closing:
    def close(self) -> None:
        events.append("closing")


FACTORIES = (
    declare(str, factory=from_generator, name="generator"),
    declare(str, factory=from_async_generator, name="async_generator"),
    declare(str, factory=from_manager, name="manager"),
    declare(str, factory=from_coroutine, name="coroutine"),
    Managed,
    Closing,
)


async def test_every_form_of_factory_as_singleton() -> None:
    """Generators, async generators, managers and coroutines are built at boot and end in reverse order."""
    async with booted(*FACTORIES) as kernel:
        assert kernel.get(Annotated[str, Named("generator")]) == "generator"
        assert kernel.get(Annotated[str, Named("async_generator")]) == "async generator"
        assert kernel.get(Annotated[str, Named("manager")]) == "manager"
        assert kernel.get(Annotated[str, Named("coroutine")]) == "coroutine"
        assert events == ["generator in", "async generator in after generator", "manager in", "managed in"]
        events.clear()
    assert events == ["closing", "managed out", "manager out", "async generator out", "generator out"]


@dataclass
class NeedsAll:
    generator: Annotated[str, Named("generator")]
    async_generator: Annotated[str, Named("async_generator")]
    managed: Managed


async def test_every_form_of_factory_as_scoped() -> None:
    """Scoped things built by async code are awaited by build(), and end in reverse order."""
    scoped = [
        declare(str, factory=from_generator, name="generator", lifetime="scoped"),
        declare(str, factory=from_async_generator, name="async_generator", lifetime="scoped"),
        declare(Managed, lifetime="scoped"),
        declare(NeedsAll, lifetime="scoped"),
    ]
    async with booted(*scoped) as kernel:
        resolver = kernel.view(kernel.root).resolver(NeedsAll)
        assert resolver.is_async
        async with kernel.scope() as scope:
            with pytest.raises(NeedsAwait) as caught:
                resolver.get(scope)
            assert str(caught.value) == (
                "NeedsAll is built by async code, which a plain get() cannot await. "
                "Name it as a parameter of the constructor or of handle()."
            )
            built = await resolver.build(scope)
            assert (built.generator, built.async_generator) == ("generator", "async generator")
            assert resolver.get(scope) is built
        assert events[-3:] == ["managed out", "async generator out", "generator out"]


def unit(scope: Scope) -> str:
    scope.on_exit(lambda error: events.append(f"ended with {type(error).__name__}"))
    return "unit"


@pytest.mark.parametrize("error", [None, ValueError("broken"), asyncio.CancelledError()])
async def test_a_scopes_end_knows_the_error(error: BaseException | None) -> None:
    """Exit callbacks get what ended the scope: nothing, an error, a cancellation."""
    async with booted(declare(str, factory=unit, name="unit", lifetime="scoped")) as kernel:
        with contextlib.suppress(ValueError, asyncio.CancelledError):
            async with kernel.scope():
                kernel.get(Annotated[str, Named("unit")])
                if error is not None:
                    raise error
    assert events == [f"ended with {type(error).__name__}"]


async def test_a_cancelled_scope_disposes_all_the_same() -> None:
    """A task cancelled inside its scope still awaits the ends of what lived in it."""
    async with booted(Service, Clock, declare(Work, lifetime="scoped")) as kernel:
        inside = asyncio.Event()

        async def one() -> None:
            async with kernel.scope() as scope:
                kernel.get(Work)
                scope.on_exit(slow_end)
                inside.set()
                await asyncio.Event().wait()

        async def slow_end(_: BaseException | None) -> None:
            await anyio.lowlevel.checkpoint()
            events.append("slow end")

        with anyio.move_on_after(60) as cancelling:
            async with anyio.create_task_group() as group:
                group.start_soon(one)
                await inside.wait()
                cancelling.cancel()
    assert events == ["slow end", "work closed"]


async def test_a_failing_end_does_not_keep_others_from_theirs() -> None:
    """Every exit callback runs; the error of one is raised, and those after it are told."""

    def broken(_: BaseException | None) -> None:
        raise ValueError("commit failed")

    async with booted(Clock) as kernel:
        scope = kernel.scope()
        scope.on_exit(lambda error: events.append(f"first saw {error}"))
        scope.on_exit(broken)
        with pytest.raises(ValueError, match="commit failed"):
            await scope.close()
    assert events == ["first saw commit failed"]


async def test_current_scope_is_reset() -> None:
    """Outside a scope there is none."""
    async with booted(Clock) as kernel:
        async with kernel.scope() as scope:
            assert current_scope() is scope
        assert current_scope() is None


@dataclass
class Fake(Clock):
    closed: list[str] = field(default_factory=list)

    def now(self) -> int:
        return 2

    def close(self) -> None:
        self.closed.append("closed")


async def test_overrides_act_before_anything_is_built() -> None:
    """An override is what others get, even at boot, and is never disposed."""
    fake = Fake()
    async with booted(Service, Clock, overrides={Clock: fake}) as kernel:
        assert kernel.get(Service).clock is fake
    assert fake.closed == []


async def test_the_librarys_own_override_reaches_what_is_built_after_it() -> None:
    """dependency_injector's override() works on the container that the kernel hands out."""
    async with booted(Clock, declare(Service, lifetime="scoped")) as kernel:
        container: Any = kernel.container(kernel.root)
        fake = Fake()
        with container.declared_clock.override(fake):
            async with kernel.scope():
                assert kernel.get(Service).clock is fake
        async with kernel.scope():
            assert kernel.get(Service).clock is not fake


async def test_values_are_never_disposed() -> None:
    """A ready value belongs to whoever made it."""
    async with booted(declare(Closing, value=Closing())):
        pass
    assert events == []


async def test_the_kernel_is_injectable() -> None:
    """Anyone may ask for the kernel itself."""
    async with booted(Clock) as kernel:
        assert kernel.get(Kernel) is kernel


async def test_by_name() -> None:
    """A module finds things by declared name and by a class's snake_case name, with a hint for a misspelt one."""
    async with booted(Service, Clock, declare(Clock, name="other")) as kernel, kernel.scope() as scope:
        view = kernel.view(kernel.root)
        assert view.get("service", scope) is kernel.get(Service)
        assert view.get("other", scope) is kernel.get(Annotated[Clock, Named("other")])
        with pytest.raises(NotFound) as caught:
            view.get("servise", scope)
        assert str(caught.value) == "RootModule sees no declaration of 'servise'. Did you mean 'service'?"


async def test_arguments_of_a_function() -> None:
    """A function's further parameters are filled as a constructor's are."""

    def handle(self: object, ctx: object, service: Service, *, note: bytes = b"", fake: Fake | None) -> None: ...

    handle.__annotations__ = {"service": Service, "note": bytes, "fake": Fake | None}
    async with booted(Service, Clock) as kernel, kernel.scope() as scope:
        arguments = kernel.view(kernel.root).arguments(handle, skip=2).get(scope)
    assert arguments == {"service": Service(Clock()), "fake": None}


class Inner(Module):
    declarations = (Clock,)
    exports = (Clock,)


async def test_get_finds_what_any_module_exports() -> None:
    """kernel.get() reaches exports that the root does not see, and says when they are several."""
    middle = type("MiddleModule", (Module,), {"imports": (Inner,)})
    async with booted(imports=(middle,)) as kernel:
        assert kernel.get(Clock).now() == 1
    twins = type("Twins", (Module,), {"imports": (Inner(),)}), type("Twins", (Module,), {"imports": (Inner(),)})
    async with booted(imports=twins) as kernel:
        with pytest.raises(AmbiguousName) as caught:
            kernel.get(Clock)
    assert str(caught.value) == ("Clock is ambiguous: Inner, Inner. Ask by type, or from the module that you mean.")


async def test_singletons_from_many_threads() -> None:
    """However many threads ask, a singleton is one."""
    async with booted(Service, Clock) as kernel:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: kernel.get(Service), range(64)))
    assert len({id(service) for service in found}) == 1


class Slotted:
    __slots__ = ("clock",)

    def __init__(self, clock: Clock, /, label: str = "x") -> None:
        self.clock = clock


async def test_positional_only_parameters() -> None:
    """A constructor may take what it needs by position."""
    async with booted(Slotted, Clock) as kernel:
        assert kernel.get(Slotted).clock is kernel.get(Clock)
