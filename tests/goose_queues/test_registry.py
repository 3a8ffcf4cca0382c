from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from goose_queues.context import JobContext
from goose_queues.errors import DuplicateJobName, UnregisteredJob
from goose_queues.job import Job
from goose_queues.registry import Registry


class Ping(Job, queue="net", aliases=("OldPing",)):
    async def handle(self, ctx: JobContext) -> None: ...


class Pong(Job):
    def handle(self, ctx: JobContext) -> None: ...


def test_a_job_is_found_by_its_name_and_its_aliases() -> None:
    registry = Registry([Ping, Pong, Ping])

    assert registry.names == {"Ping", "OldPing", "Pong"}
    assert registry.by_name("OldPing") is Ping
    assert registry.by_name("os.system") is None
    assert registry.classes == {Ping, Pong}


def test_queues_are_those_that_the_jobs_name() -> None:
    assert Registry([Ping, Pong]).queues("default") == {"net", "default"}


def test_an_unregistered_class_is_refused() -> None:
    registry = Registry([Ping])
    registry.require(Ping)
    with pytest.raises(UnregisteredJob) as caught:
        registry.require(Pong)

    assert str(caught.value) == "Pong is not in declarations: add it to the declarations of a module"


@pytest.mark.parametrize("options", [{"name": "Ping"}, {"name": "Other", "aliases": ("OldPing",)}])
def test_two_classes_with_one_name_are_refused(options: dict[str, Any]) -> None:
    other: type[Job] = type(Job)("Other", (Job,), {"__module__": "elsewhere.jobs", "handle": Pong.handle}, **options)
    with pytest.raises(DuplicateJobName) as caught:
        Registry([Ping, other])

    name = "OldPing" if options.get("aliases") else "Ping"
    assert str(caught.value) == f"{name!r} from {__name__} and elsewhere.jobs: set name= on one of the two jobs"


class NoHandle(Job): ...


class Yields(Job):
    def handle(self, ctx: JobContext) -> Iterator[int]:
        yield 1


class YieldsAsync(Job):
    async def handle(self, ctx: JobContext) -> AsyncIterator[int]:
        yield 1


class AsyncDecision(Job):
    async def handle(self, ctx: JobContext) -> None: ...

    async def should_retry(self, error: Exception) -> bool:  # type: ignore[override]
        return True


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoHandle, "NoHandle has no handle()"),
        (Yields, "Yields.handle must return or await, not yield"),
        (YieldsAsync, "YieldsAsync.handle must return or await, not yield"),
        (AsyncDecision, "AsyncDecision.should_retry must be a plain def: it only decides"),
    ],
)
def test_a_class_that_cannot_be_run_is_refused(cls: type[Job], sentence: str) -> None:
    with pytest.raises(TypeError) as caught:
        Registry([cls])

    assert str(caught.value) == sentence
