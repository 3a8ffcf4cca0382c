"""Stored name <-> job class: the only way from text in a store to code that runs.

Made at boot from the declared jobs; read by ``dispatch``, ``worker`` and ``runner``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from goose_queues.errors import DuplicateJobName, UnregisteredJob
from goose_queues.job import Job


class Registry:
    """The jobs of an application, by every name under which their rows may be stored.

    Raises:
        DuplicateJobName: Two classes share a name.
        TypeError: A class has no handler, or one that cannot be run.
    """

    def __init__(self, classes: Iterable[type[Job]]) -> None:
        self._by_name: dict[str, type[Job]] = {}
        for cls in dict.fromkeys(classes):
            _check(cls)
            self._add(cls)
        self.classes: frozenset[type[Job]] = frozenset(self._by_name.values())
        self.names: frozenset[str] = frozenset(self._by_name)
        """Aliases included: what a worker of this application claims."""

    def by_name(self, name: str) -> type[Job] | None:
        """The class that runs rows of this name; None where no registered one does."""
        return self._by_name.get(name)

    def require(self, cls: type[Job]) -> None:
        """Refuse a class that no worker of this application would run.

        Raises:
            UnregisteredJob: It is in no module's declarations.
        """
        if cls not in self.classes:
            raise UnregisteredJob(cls.__name__)

    def queues(self, default: str) -> frozenset[str]:
        """The queues that the jobs go to, ``default`` for those that name none."""
        return frozenset(cls.__goose_options__.queue or default for cls in self.classes)

    def _add(self, cls: type[Job]) -> None:
        options = cls.__goose_options__
        for name in dict.fromkeys((options.name, *options.aliases)):
            other = self._by_name.setdefault(name, cls)
            if other is not cls:
                raise DuplicateJobName(name, (other.__module__, cls.__module__))


def _check(cls: type[Job]) -> None:
    if cls.handle is Job.handle:
        raise TypeError(f"{cls.__name__} has no handle()")
    for method in ("handle", "on_failure"):
        function = getattr(cls, method)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{cls.__name__}.{method} must return or await, not yield")
    for method in ("should_retry", "retry_after"):
        if inspect.iscoroutinefunction(getattr(cls, method)):
            raise TypeError(f"{cls.__name__}.{method} must be a plain def: it only decides")
