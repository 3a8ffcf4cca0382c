"""What users write: a class whose fields are the payload, whose keywords are the options, and whose ``handle`` works.

Subclasses are read by ``registry`` and ``dispatch``; instances are made by users, and by ``payload`` for each attempt.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Never, TypeAlias, get_origin

from pydantic import BaseModel, ConfigDict

from goose_queues.backoff import Backoff, backoff
from goose_queues.context import JobContext
from goose_queues.redact import MASK, is_secret, mask_secrets
from goose_queues.values import UNSET, Duration, Unset, job_name, priority, queue_name, retries, timeout

if TYPE_CHECKING:
    from goose_queues.middleware import JobMiddleware

DEFAULT_PRIORITY: Final = 1

Isolation: TypeAlias = Literal["process"]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The class keywords of a job, checked; ``UNSET`` where the module's default holds."""

    name: str
    """The stored name: the class's own unless told otherwise. Never inherited."""
    aliases: tuple[str, ...] = ()
    """Former stored names, whose rows this class runs. Never inherited."""
    queue: str | None = None
    """None: the module's default queue."""
    timeout: float | Unset | None = UNSET
    """Seconds for one attempt; None: no limit."""
    max_retries: int | Unset = UNSET
    retry_delay: Backoff | Unset = UNSET
    priority: int = DEFAULT_PRIORITY
    middleware: tuple[type[JobMiddleware], ...] = ()
    isolation: Isolation | None = None


class Job(BaseModel):
    """A piece of work for later: its fields are the payload, ``handle`` does it.

    Options are class keywords; they are inherited, except ``name`` and ``aliases``::

        class SendEmail(Job, queue="emails", timeout=60, max_retries=5):
            to: str

            async def handle(self, ctx: JobContext, mailer: Mailer) -> None:
                await mailer.send(self.to)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    __goose_listed__: ClassVar[bool] = True
    __goose_injected__: ClassVar[tuple[str, ...]] = ("handle",)
    __goose_options__: ClassVar[JobOptions] = JobOptions("Job")

    def __init_subclass__(
        cls,
        *,
        queue: str | Unset | None = UNSET,
        timeout: Duration | Unset | None = UNSET,
        max_retries: int | Unset = UNSET,
        retry_delay: Duration | Backoff | Unset = UNSET,
        priority: int | Unset = UNSET,
        name: str | None = None,
        aliases: Sequence[str] = (),
        middleware: Sequence[type[JobMiddleware]] | Unset = UNSET,
        isolation: Isolation | Unset | None = UNSET,
        **unknown: Never,
    ) -> None:
        """Read the options of a job class.

        Args:
            queue: Where it goes; None: the module's default queue.
            timeout: For one attempt; None: no limit.
            max_retries: How many failed attempts are followed by another, 0..1000.
            retry_delay: The wait after a failure: a duration or a backoff.
            priority: Higher runs first, -32768..32767; 1 unless told otherwise.
            name: The stored name, where it is not to be the class's.
            aliases: Former stored names, whose rows this class runs.
            middleware: Classes that wrap ``handle``, outermost first, inside the module's own.
            isolation: ``"process"``: run in a child process.
            unknown: Refused, with the nearest option named.
        """
        super().__init_subclass__()
        _refuse_unknown(cls, unknown)
        _refuse_hiding(cls)
        given = {
            "queue": queue,
            "timeout": timeout,
            "max_retries": max_retries,
            "retry_delay": retry_delay,
            "priority": priority,
            "middleware": middleware,
            "isolation": isolation,
        }
        own: dict[str, Any] = {
            option: _CHECKS[option](value, f"{cls.__name__}: {option}")
            for option, value in given.items()
            if value is not UNSET
        }
        stored = job_name(cls.__name__ if name is None else name)
        cls.__goose_options__ = replace(cls.__goose_options__, name=stored, aliases=_aliases(cls, aliases), **own)

    @classmethod
    def __goose_implied__(cls) -> Iterable[type]:
        return cls.__goose_options__.middleware

    def handle(self, ctx: JobContext, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Do the work. Written by each job, ``async def`` or ``def``; further parameters are injected.

        What it returns is kept as the job's ``result`` if JSON can hold it; what it raises fails the attempt.
        """
        raise TypeError(f"{type(self).__name__} has no handle()")

    def should_retry(self, error: Exception, /) -> bool:  # noqa: ARG002
        """Whether another attempt could help after this error; asked only while a retry is left."""
        return True

    def retry_after(self, attempt: int, error: Exception, /) -> Duration | None:  # noqa: ARG002
        """The wait before the next attempt; None: what ``retry_delay`` says."""
        return None

    def on_failure(self, ctx: JobContext, error: Exception, /) -> Any:
        """Called at least once when the job has failed for good; ``async def`` or ``def``, in a scope of its own.

        ``error`` is what the last attempt raised; where that was in a process that died or stopped, ``WorkerDied`` or a
        ``JobFailed`` that tells of it.
        """

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, MASK if name and is_secret(name) else value) for name, value in super().__repr_args__()]

    def __repr__(self) -> str:
        return mask_secrets(super().__repr__())

    def __str__(self) -> str:
        return mask_secrets(super().__str__())


OPTIONS: Final = (
    "aliases",
    "isolation",
    "max_retries",
    "middleware",
    "name",
    "priority",
    "queue",
    "retry_delay",
    "timeout",
)

_RESERVED: Final = frozenset(name for name in dir(Job) if not name.startswith("_"))


def require_job(value: object) -> Job:
    """What a caller dispatches, if it is a job.

    Raises:
        TypeError: It is a class, or no job at all.
    """
    if isinstance(value, Job):
        return value
    if isinstance(value, type) and issubclass(value, Job):
        raise TypeError(f"pass an instance: {value.__name__}(...)")
    raise TypeError(f"not a job: {value.__name__ if isinstance(value, type) else type(value).__name__}")


def _refuse_unknown(cls: type, unknown: dict[str, Any]) -> None:
    for option in unknown:
        near = difflib.get_close_matches(option, OPTIONS, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(OPTIONS)}"
        raise TypeError(f"{cls.__name__}: no option {option!r} of a job{hint}")


def _refuse_hiding(cls: type) -> None:
    for name, hint in _own_annotations(cls).items():
        if name in _RESERVED and not _is_class_var(hint):
            raise TypeError(f"{cls.__name__}: a field named {name!r} would hide {name} of Job; choose another name")


def _own_annotations(cls: type) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def _is_class_var(hint: Any) -> bool:
    if isinstance(hint, str):
        return re.match(r"(\w+\.)*ClassVar\b", hint) is not None
    return hint is ClassVar or get_origin(hint) is ClassVar


def _aliases(cls: type, aliases: Any) -> tuple[str, ...]:
    if isinstance(aliases, str) or not isinstance(aliases, Iterable):
        raise TypeError(f"{cls.__name__}: aliases must be a sequence of names: aliases=('SendMail',)")
    return tuple(job_name(alias) for alias in aliases)


def _queue(value: Any, option: str) -> str | None:  # noqa: ARG001 - one signature for all checks
    return None if value is None else queue_name(value)


def _middleware(value: Any, option: str) -> tuple[type[JobMiddleware], ...]:
    classes = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    wrong = not classes and value not in ((), [])
    if wrong or not all(isinstance(c, type) and hasattr(c, "handle") for c in classes):
        raise TypeError(f"{option} must be a sequence of classes derived from JobMiddleware")
    return classes


def _isolation(value: Any, option: str) -> Isolation | None:
    if value is None or value == "process":
        return "process" if value else None
    raise ValueError(f'{option} must be "process" or None, not {value!r}')


_CHECKS: Final[dict[str, Any]] = {
    "queue": _queue,
    "timeout": timeout,
    "max_retries": retries,
    "retry_delay": backoff,
    "priority": priority,
    "middleware": _middleware,
    "isolation": _isolation,
}
