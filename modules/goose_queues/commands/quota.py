"""Quota: how much a process of ``goose queue work`` may do and grow before another takes its place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from goose.commands import MIB, CommandError, resident_memory
from goose_queues.supervisor import Supervisor

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the memory."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What ``--max-jobs`` and ``--max-memory`` say."""

    jobs: int | None = None
    memory: int | None = None
    """Bytes."""

    def __bool__(self) -> bool:
        return self.jobs is not None or self.memory is not None

    def refuse_too_small(self) -> None:
        """See that there is room for the application itself; else each process would be replaced as soon as it has started.

        Raises:
            CommandError: There is none.
        """
        if self._is_exceeded():
            raise CommandError(
                f"--max-memory {mib(self.memory)} is less than the {mib(resident_memory())} "
                "that a process takes before its first job: raise it"
            )

    async def jobs_had(self, supervisor: Supervisor) -> None:
        """Wait until this process has had as many jobs as it may have, if that is limited."""
        if self.jobs is None:
            await asyncio.Event().wait()
        else:
            await supervisor.has_claimed(self.jobs)

    async def memory_exceeded(self) -> None:
        """Wait until this process has grown larger than it may be, if that is limited."""
        if self.memory is None:
            await asyncio.Event().wait()
        while not self._is_exceeded():  # noqa: ASYNC110 - nothing tells when memory is taken
            await asyncio.sleep(LOOK_EVERY)

    def _is_exceeded(self) -> bool:
        return self.memory is not None and resident_memory() > self.memory


def mib(size: int | None) -> str:
    """As it is typed: ``512M``."""
    return f"{(size or 0) / MIB:.0f}M"
