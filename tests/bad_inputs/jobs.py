"""The jobs that the cases dispatch; each hands back what shows that it went right."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from pydantic import ConfigDict, SecretStr

from goose_queues import Job, JobCancelled, JobContext, JobMiddleware, Next


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    made: datetime


class Good(Job):
    """Shows that the workers live."""

    async def handle(self, ctx: JobContext) -> int:
        return 42


class SendEmail(Job, queue="emails"):
    to: str
    subject: str = ""

    async def handle(self, ctx: JobContext) -> str:
        return self.to


class Holds(Job):
    """Any value that somebody may put into a job."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    any: Any = None
    text: str = ""
    number: int | None = None
    ratio: float | None = None
    mapping: dict[Any, Any] | None = None
    declared: tuple[int, str] | None = None
    decimal: Decimal | None = None
    uuid: UUID | None = None
    when: datetime | None = None
    day: date | None = None
    span: timedelta | None = None
    colour: Colour | None = None
    point: Point | None = None
    raw: bytes | None = None
    numbers: set[int] | None = None
    path: Path | None = None
    secret: SecretStr | None = None

    seen: ClassVar[list[Holds]] = []
    """As they came to the handler."""

    async def handle(self, ctx: JobContext) -> None:
        self.seen.append(self)


class Unregistered(Job):
    async def handle(self, ctx: JobContext) -> None: ...


class Renamed(Job, aliases=("OldName",)):
    async def handle(self, ctx: JobContext) -> str:
        return ctx.job_name


class Acts(Job, max_retries=0):
    """Does what the case puts there."""

    act: ClassVar[Callable[[JobContext], Any]]
    note: list[str] = []

    async def handle(self, ctx: JobContext) -> Any:
        return type(self).act(ctx)


class Again(Acts, max_retries=1, retry_delay=0.1): ...


class Decides(Job, max_retries=1, retry_delay=60):
    """Fails, and steers its retries as the case says."""

    retry: ClassVar[Any] = True
    wait: ClassVar[Any] = None

    async def handle(self, ctx: JobContext) -> None:
        raise OSError("broken")

    def should_retry(self, error: Exception) -> bool:
        if isinstance(self.retry, Exception):
            raise self.retry
        return bool(self.retry)

    def retry_after(self, attempt: int, error: Exception) -> Any:
        if isinstance(self.wait, Exception):
            raise self.wait
        return self.wait


class Spins(Job):
    """A thread that ends only when it is told to, and then takes its time."""

    running: ClassVar[threading.Event] = threading.Event()
    told: ClassVar[threading.Event] = threading.Event()
    go: ClassVar[threading.Event] = threading.Event()

    def handle(self, ctx: JobContext) -> None:
        self.running.set()
        try:
            while True:
                time.sleep(0.001)
        except JobCancelled:
            self.told.set()
            self.go.wait(30)
            raise


class Waits(Job):
    gate: ClassVar[asyncio.Event] = asyncio.Event()
    running: ClassVar[asyncio.Event] = asyncio.Event()

    async def handle(self, ctx: JobContext) -> None:
        self.running.set()
        await self.gate.wait()


class Forgets(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        return None


class Twice(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        await next()
        return await next()


class Forgotten(Good, middleware=(Forgets,)): ...


class Doubled(Good, middleware=(Twice,), max_retries=0): ...


DECLARED = (
    Good, SendEmail, Holds, Renamed, Acts, Again, Decides, Spins, Waits, Forgotten, Doubled,
)  # fmt: skip
"""What the application of the bench has; ``Unregistered`` is not among them."""
