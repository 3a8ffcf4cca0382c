"""Boot in dependency order, roll back, supervise, stop in reverse."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from goose import Module, running, worker
from goose.errors import HookFailed, HookTimeout, NotRunning, ShutdownErrors
from goose.kernel import Kernel
from goose.lifecycle import RESTART_MAX
from waiting import wait_until

events: list[str] = []


@pytest.fixture(autouse=True)
def fresh_events() -> None:
    events.clear()


class Hooked:
    async def on_boot(self) -> None:
        events.append(f"boot {type(self).__name__}")

    def on_shutdown(self) -> None:
        events.append(f"shutdown {type(self).__name__}")

    def close(self) -> None:
        events.append(f"close {type(self).__name__}")


class Store(Hooked): ...


@dataclass
class Repository(Hooked):
    store: Store


class Inner(Module):
    declarations = (Store,)
    exports = (Store,)

    async def on_boot(self) -> None:
        events.append("boot Inner")

    async def on_shutdown(self) -> None:
        events.append("shutdown Inner")


class Outer(Module):
    imports = (Inner,)
    declarations = (Repository,)

    async def on_boot(self) -> None:
        events.append("boot Outer")


async def test_order() -> None:
    """Hooks boot in dependency order, stop in reverse, and disposal comes after the last hook."""
    async with running(worker(Outer)):
        assert events == ["boot Store", "boot Inner", "boot Repository", "boot Outer"]
        events.clear()
    assert events == [
        "shutdown Repository",
        "shutdown Inner",
        "shutdown Store",
        "close Repository",
        "close Store",
    ]


@dataclass
class BrokenAtBoot:
    repository: Repository

    async def on_boot(self) -> None:
        raise ValueError("no disk")


def root(*declarations: Any, **attributes: Any) -> type[Module]:
    return type("RootModule", (Module,), {"declarations": declarations, **attributes})


async def test_rollback() -> None:
    """When a hook fails, what had booted is shut down and disposed in reverse, and the error names the hook."""
    with pytest.raises(HookFailed) as caught:
        async with running(worker(root(Store, Repository, BrokenAtBoot))):
            pass
    assert str(caught.value) == "BrokenAtBoot.on_boot failed: ValueError: no disk"
    assert events == [
        "boot Store",
        "boot Repository",
        "shutdown Repository",
        "shutdown Store",
        "close Repository",
        "close Store",
    ]


class FailsToBuild:
    def __init__(self, store: Store) -> None:
        raise ValueError("no port")


async def test_what_was_built_is_disposed_when_building_fails() -> None:
    """A constructor that raises leaves nothing open."""
    with pytest.raises(ValueError, match="no port"):
        async with running(worker(root(Store, FailsToBuild))):
            pass
    assert events == ["close Store"]


class FirstBroken:
    def on_shutdown(self) -> None:
        raise ValueError("first")


class SecondBroken:
    async def on_shutdown(self) -> None:
        raise ValueError("second")

    def close(self) -> None:
        raise ValueError("third")


async def test_all_errors_of_a_shutdown_together() -> None:
    """One that fails in shutdown does not keep the others from theirs, and all errors are reported."""
    with pytest.raises(ShutdownErrors) as caught:
        async with running(worker(root(FirstBroken, Store, SecondBroken))):
            events.clear()
    assert events == ["shutdown Store", "close Store"]
    assert str(caught.value) == (
        "the shutdown met errors: SecondBroken.on_shutdown failed: ValueError: second; "
        "FirstBroken.on_shutdown failed: ValueError: first; third"
    )


class Hanging:
    hook_timeout = 0.01

    async def on_boot(self) -> None:
        await asyncio.Event().wait()


class HangingThread:
    hook_timeout = 0.01
    release = threading.Event()

    def on_boot(self) -> None:
        self.release.wait(30)


@pytest.mark.parametrize("kind", [Hanging, HangingThread])
async def test_time_limit_per_hook(kind: type[Any]) -> None:
    """A hook that does not return, async or plain, is given up after its limit."""
    HangingThread.release.clear()
    with pytest.raises(HookTimeout) as caught:
        async with running(worker(root(kind))):
            pass
    HangingThread.release.set()
    assert str(caught.value) == (
        f"{kind.__name__}.on_boot did not return within 0.01 s. "
        f"Move long work to on_run, or set hook_timeout on {kind.__name__}."
    )


class Running:
    started = 0

    async def on_run(self) -> None:
        type(self).started += 1
        events.append("run")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("run ended")

    def on_shutdown(self) -> None:
        events.append("shutdown")


async def test_background_work_runs_only_where_wanted() -> None:
    """on_run is started with background=True only, and is ended before any on_shutdown."""
    async with running(worker(root(Running))):
        pass
    assert events == ["shutdown"]
    events.clear()
    async with running(worker(root(Running)), background=True):
        await wait_until(lambda: "run" in events)
    assert events == ["run", "run ended", "shutdown"]


class Dying:
    def __init__(self) -> None:
        self.lives = 0
        self.let_live = asyncio.Event()

    async def on_run(self) -> None:
        self.lives += 1
        if self.lives < 3:
            raise ValueError(f"life {self.lives}")
        await asyncio.Event().wait()


async def test_supervision(caplog: pytest.LogCaptureFixture) -> None:
    """on_run that dies is started again, and readiness is red while it is down."""
    async with running(worker(root(Dying)), background=True) as kernel:
        seen = set()

        async def look() -> bool:
            seen.add((await kernel.check())["Dying.on_run"])
            return kernel.get(Dying).lives == 3

        await wait_until(look)
        assert seen >= {"ValueError: life 1"}
        assert (await kernel.check())["Dying.on_run"] is None
    assert "Dying.on_run died" in caplog.text
    assert RESTART_MAX == 30


class DyingInAGroup(Dying):
    async def on_run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().on_run())


async def test_supervision_of_a_task_group() -> None:
    """A death that cancels the tasks beside it is a death all the same."""
    async with running(worker(root(DyingInAGroup)), background=True) as kernel:
        await wait_until(lambda: kernel.get(DyingInAGroup).lives == 3)
        assert (await kernel.check())["DyingInAGroup.on_run"] is None


def test_an_event_loop_that_closes_ends_supervision() -> None:
    """Where nobody shuts the application down, closing the event loop ends on_run all the same, and hangs nothing."""

    async def boot_and_leave() -> None:
        await worker(root(Running)).new_kernel().boot(background=True)
        await wait_until(lambda: "run" in events)

    asyncio.run(boot_and_leave())
    assert events == ["run", "run ended"]


async def test_stop_background_comes_before_shutdown() -> None:
    """A stop signal ends on_run at once, long before the hooks of the shutdown."""
    async with running(worker(root(Running)), background=True) as kernel:
        await wait_until(lambda: "run" in events)
        kernel.stop_background()
        await wait_until(lambda: "run ended" in events)
        assert "shutdown" not in events


class Checked(Module):
    fails = False

    async def check(self) -> None:
        if self.fails:
            raise ValueError("disk full")


async def test_readiness_by_module() -> None:
    """Each module's check is asked; what it raises is the reason."""
    module = Checked()
    async with running(worker(module)) as kernel:
        assert await kernel.check() == {"Checked": None}
        module.fails = True
        assert await kernel.check() == {"Checked": "ValueError: disk full"}


async def test_an_instance_boots_again() -> None:
    """After it has stopped, an instance boots as if for the first time."""
    instance = worker(Outer)
    for _ in range(2):
        async with running(instance) as kernel:
            assert kernel.get(Store) is not None
    assert events.count("boot Store") == events.count("close Store") == 2


async def test_an_instance_does_not_run_twice_at_once() -> None:
    """Booting a running instance is refused and leaves the first one running."""
    instance = worker(Outer)
    async with running(instance) as kernel:
        with pytest.raises(NotRunning, match="this instance is running already"):
            async with running(instance):
                pass
        assert instance.kernel is kernel


async def test_run_blocking() -> None:
    """Blocking code of another thread runs coroutines on the application's loop; the loop's own thread is refused."""

    async def answer() -> int:
        return 42

    async with running(worker(Outer)) as kernel:
        assert await asyncio.to_thread(lambda: kernel.run_blocking(answer())) == 42
        with pytest.raises(RuntimeError, match="this would block the event loop: await it instead"):
            kernel.run_blocking(answer())
    with pytest.raises(NotRunning):
        kernel.run_blocking(answer())


async def test_a_kernel_boots_once() -> None:
    """A kernel is for one boot."""
    kernel = worker(Outer).new_kernel()
    await kernel.boot(background=False)
    await kernel.shutdown()
    await kernel.shutdown()
    with pytest.raises(NotRunning, match="a kernel boots once"):
        await kernel.boot(background=False)
    assert isinstance(kernel, Kernel)
