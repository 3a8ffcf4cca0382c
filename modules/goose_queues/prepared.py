"""What each job class needs to be run, worked out once at boot: nothing is looked up or inspected per job.

Made by ``module`` at boot, read by ``runner``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goose import Kernel, Module, Scope
from goose_queues.backoff import Backoff
from goose_queues.config import Settings
from goose_queues.errors import ConfigError
from goose_queues.job import Job
from goose_queues.middleware import JobMiddleware
from goose_queues.values import UNSET

if TYPE_CHECKING:
    from goose.container import Resolver


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """One job class, ready to be run."""

    cls: type[Job]
    find: Callable[[Any, Scope], Any]
    """What the module that declares the job sees, by type or name."""
    arguments: Resolver[dict[str, Any]] | None
    """Of ``handle``; None where it takes nothing but the context."""
    middleware: tuple[Resolver[JobMiddleware], ...]
    """Outermost first."""
    is_async: bool
    decides_retry: bool
    """Whether the class has a ``should_retry`` of its own."""
    decides_delay: bool
    on_failure: bool
    """Whether the class has one of its own."""
    on_failure_is_async: bool
    retry_delay: Backoff
    isolated: bool
    """Whether it runs in a child process."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Every job class of an application, and how to open a scope for an attempt."""

    scope: Callable[[], Scope]
    jobs: Mapping[type[Job], PreparedJob]

    @property
    def isolated(self) -> tuple[str, ...]:
        """The classes whose jobs run in child processes, by name."""
        return tuple(job.cls.__name__ for job in self.jobs.values() if job.isolated)


def prepare(kernel: Kernel, settings: Settings) -> Prepared:
    """Work out every declared job.

    Raises:
        ConfigError: A middleware is none.
        GraphError: Something that a handler asks for cannot be injected.
    """
    outer = _resolvers(kernel, kernel.root, settings.middleware)
    jobs = {
        declared.cls: _prepare(kernel, declared.module, declared.cls, outer, settings)
        for declared in kernel.declared(Job)
    }
    return Prepared(kernel.scope, jobs)


def _prepare(
    kernel: Kernel, module: Module, cls: type[Job], outer: tuple[Resolver[JobMiddleware], ...], settings: Settings
) -> PreparedJob:
    view, options = kernel.view(module), cls.__goose_options__
    delay = settings.default_retry_delay if options.retry_delay is UNSET else options.retry_delay
    return PreparedJob(
        cls=cls,
        find=view.get,
        arguments=view.arguments(cls.handle, skip=2) if _asks_for_more(cls.handle) else None,
        middleware=outer + _resolvers(kernel, module, options.middleware),
        is_async=inspect.iscoroutinefunction(cls.handle),
        decides_retry=cls.should_retry is not Job.should_retry,
        decides_delay=cls.retry_after is not Job.retry_after,
        on_failure=cls.on_failure is not Job.on_failure,
        on_failure_is_async=inspect.iscoroutinefunction(cls.on_failure),
        retry_delay=delay,
        isolated=options.isolation is not None,
    )


def _resolvers(kernel: Kernel, module: Module, classes: Sequence[type]) -> tuple[Resolver[JobMiddleware], ...]:
    for cls in classes:
        if not issubclass(cls, JobMiddleware) or not inspect.iscoroutinefunction(cls.handle):
            raise ConfigError(
                f"{cls.__name__}: a middleware is derived from JobMiddleware and has an async def handle()"
            )
    return tuple(kernel.view(module).resolver(cls) for cls in classes)


def _asks_for_more(function: Any) -> bool:
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
