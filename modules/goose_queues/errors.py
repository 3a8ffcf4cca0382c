"""Every fault that the queue can report: one class each, facts in attributes, the sentence in ``str()``."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from goose.errors import ConfigError, GooseError

__all__ = [
    "BatchError",
    "BatchNotFound",
    "BatchTooLarge",
    "BenchFailed",
    "BenchRefused",
    "ChainTooLong",
    "ConfigError",
    "CorruptRow",
    "DuplicateJobName",
    "ForeignSession",
    "HandlerExited",
    "HookFailed",
    "InvalidFilter",
    "InvalidName",
    "InvalidQueueName",
    "JobCancelled",
    "JobConflict",
    "JobExists",
    "JobFailed",
    "JobNotFound",
    "JobTimeout",
    "LayoutMismatch",
    "LeaseLost",
    "PayloadError",
    "PayloadMismatch",
    "PayloadTooLarge",
    "ProcessDied",
    "QueueError",
    "StoreUnavailable",
    "UnregisteredJob",
    "WorkerDied",
    "WorkersStuck",
    "WouldDeadlock",
]


class QueueError(GooseError):
    """Root of all errors of the queue."""


class StoreUnavailable(QueueError):
    """The store did not answer. Nothing is known to be stored; trying again later is right."""

    status_code = 503

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        """With its password masked."""
        self.reason = reason
        super().__init__(f"the queue's store {url} is not available: {reason}")


class BenchRefused(QueueError):
    """A bench may not make what it needs beside the application's queue."""

    def __init__(self, url: str, what: str, reason: str) -> None:
        self.url = url
        """With its password masked."""
        self.what = what
        self.reason = reason
        super().__init__(f"the bench cannot make {what} on {url}: {reason}")


class BenchFailed(QueueError):
    """A bench did not do what it was timed for, so its figures would mean nothing."""


class LayoutMismatch(QueueError):
    """The queue's tables are missing, or of a version that this process cannot work with."""

    def __init__(
        self, url: str, found: int | None, known: int, oldest: int | None = None, layout: str = "goose_layout"
    ) -> None:
        self.url = url
        self.found = found
        """The version of the tables, 0 where none was written down; None where there are no tables."""
        self.known = known
        """The version that this process was written for."""
        self.oldest = oldest
        """The oldest version whose code can work with the tables."""
        self.layout = layout
        """The table that says the version."""
        super().__init__(_layout_fault(url, found, known, layout))


class JobExists(QueueError):
    """A job of this id is stored already; nothing was stored."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"{url} has a job of this id already: every dispatch makes a new id, so it was sent twice")


class ForeignSession(QueueError):
    """A dispatch was to join a session whose data is in another database than the queue's."""

    def __init__(self, session_url: str, queue_url: str) -> None:
        self.session_url = session_url
        self.queue_url = queue_url
        super().__init__(
            f"the session is on {session_url} and the queue on {queue_url}: one transaction cannot hold both. "
            "Dispatch without using(): the job is then sent right after the session's commit."
        )


class WouldDeadlock(QueueError):
    """A dispatch on its own, by a task that holds the write lock of the queue's own SQLite file."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"using(None) would wait for ever: this task has a transaction open that holds the write lock of {url}. "
            "Commit it first, or dispatch without using(None) to join it."
        )


class InvalidQueueName(QueueError, ValueError):
    """A queue cannot be called so."""

    def __init__(self, name: object) -> None:
        self.name = name
        super().__init__(f"{_shown(name)} is no name for a queue: use [A-Za-z0-9_.-]{{1,64}}")


class InvalidName(QueueError, ValueError):
    """A job cannot be stored under this name."""

    def __init__(self, name: object) -> None:
        self.name = name
        super().__init__(f"{_shown(name)} is no name for a job: use 1 to 255 printable characters")


class DuplicateJobName(QueueError):
    """Two registered jobs would be stored under one name."""

    def __init__(self, name: str, modules: tuple[str, str]) -> None:
        self.name = name
        self.modules = modules
        super().__init__(f"{name!r} from {modules[0]} and {modules[1]}: set name= on one of the two jobs")


class UnregisteredJob(QueueError):
    """A job of this class is known to no worker."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is not in declarations: add it to the declarations of a module")


class PayloadError(QueueError, ValueError):
    """A value of a job cannot be stored so that it comes back the same."""

    def __init__(self, job: str, path: str, fault: str) -> None:
        self.job = job
        self.path = path
        """Where the value is: ``$.items[3].name``."""
        self.fault = fault
        super().__init__(f"{job}: {path}{fault}")

    def within(self, place: str) -> PayloadError:
        """The same fault of one job among several: ``jobs[57].$.to``."""
        return PayloadError(self.job, f"{place}.{self.path}", self.fault)


class PayloadTooLarge(PayloadError):
    """A payload is over the limit."""

    def __init__(self, job: str, size: int, limit: int, path: str = "$") -> None:
        self.size = size
        self.limit = limit
        super().__init__(job, path, f": {_grouped(size)} bytes > {_grouped(limit)}; store a reference")

    def within(self, place: str) -> PayloadTooLarge:
        """The same fault of one job among several."""
        return PayloadTooLarge(self.job, self.size, self.limit, f"{place}.{self.path}")


class PayloadMismatch(QueueError):
    """A stored payload does not fit the class of its job any more; the handler was not entered."""

    def __init__(self, job: str, faults: tuple[tuple[str, str], ...]) -> None:
        self.job = job
        self.faults = faults
        """Path and reason of each field that does not fit."""
        listed = "; ".join(f"{path}: {reason}" for path, reason in faults)
        super().__init__(f"the stored payload no longer fits {job}: {listed}. Fix the class, then retry the job.")


class CorruptRow(PayloadMismatch):
    """What is stored of a job makes no sense for any class: somebody has written into the store."""

    def __init__(self, job: str, column: str, reason: str) -> None:
        super().__init__(job, ((column, reason),))
        self.column = column
        self.reason = reason

    def __str__(self) -> str:
        return f"corrupt row: {self.column} of {self.job}: {self.reason}"


class JobTimeout(QueueError):
    """An attempt ran longer than its timeout; it counts as failed. Raised inside a thread job as well."""

    def __init__(self, job: str = "the job", seconds: float | None = None) -> None:
        self.job = job
        self.seconds = seconds
        """The timeout."""
        limit = "its timeout" if seconds is None else f"its timeout of {seconds:g} s"
        super().__init__(f"{job} ran longer than {limit}")


class JobCancelled(QueueError):
    """A job was cancelled; raised inside a thread job, and for whoever waits for its result."""

    def __init__(self, reason: str = "the job was cancelled") -> None:
        self.reason = reason
        super().__init__(reason)


class JobNotFound(QueueError):
    """There is no job of this id, whatever the text; the same for one that has been pruned."""

    status_code = 404

    def __init__(self, job_id: object) -> None:
        self.job_id = job_id
        super().__init__("no such job")


class BatchNotFound(QueueError):
    """There is no batch of this id, whatever the text; the same for one that has been pruned."""

    status_code = 404

    def __init__(self, batch_id: object) -> None:
        self.batch_id = batch_id
        super().__init__("no such batch")


class JobConflict(QueueError):
    """A job is not in a state in which it can be retried or cancelled; nothing was changed."""

    status_code = 409

    def __init__(self, job_id: str, status: str, reason: str) -> None:
        self.job_id = job_id
        self.status = status
        """What it is instead."""
        super().__init__(f"job {job_id} is {status}: {reason}")


class InvalidFilter(QueueError, ValueError):
    """A listing was asked for something that it cannot be asked for."""

    status_code = 400

    def __init__(self, option: str, value: object, allowed: str) -> None:
        self.option = option
        self.value = value
        self.allowed = allowed
        super().__init__(f"{option}={_shown(value)}: {allowed}")


class BatchError(QueueError, RuntimeError):
    """A chain or batch was changed after it had been dispatched, or had become a part of another."""


class BatchTooLarge(QueueError, ValueError):
    """A batch has more members, or more bytes of payload, than one transaction should hold; nothing was stored."""

    def __init__(self, what: str, found: int, limit: int) -> None:
        self.what = what
        """Members, or bytes."""
        self.found = found
        self.limit = limit
        super().__init__(f"a batch holds at most {_grouped(limit)} {what}, not {_grouped(found)}: dispatch several")


class ChainTooLong(QueueError, ValueError):
    """A chain has more links than it may have; nothing was stored."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"a chain has at most {_grouped(limit)} links: let the last one dispatch another chain")


class LeaseLost(QueueError):
    """The attempt no longer holds its job: another worker may be running it. What it still does is not kept."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"the lease of job {job_id} was lost: stop, another worker may be running it")


class JobFailed(QueueError):
    """The job whose result was awaited has failed for good."""

    def __init__(self, job_id: str, name: str, error_type: str, message: str, traceback: str = "") -> None:
        self.job_id = job_id
        self.name = name
        self.error_type = error_type
        """Class name of what the last attempt raised."""
        self.message = message
        self.traceback = traceback
        """As text, of the last attempt."""
        super().__init__(f"{name} {job_id} failed: {error_type}: {message}")


class HandlerExited(QueueError):
    """A handler raised what would end a process (``SystemExit`` and the like); only the attempt ends."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(f"the handler raised {type(error).__name__}")


class HookFailed(QueueError):
    """A method by which a job steers its retries failed itself, so the job has failed for good."""

    def __init__(self, hook: str, error: BaseException, after: BaseException) -> None:
        self.hook = hook
        self.error = error
        self.after = after
        """What the handler had failed with."""
        super().__init__(f"{hook}() raised {_named(error)}, after {_named(after)}")


class WorkerDied(QueueError):
    """The job failed without its handler's verdict: its worker died while it ran. Handed to ``on_failure``."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class ProcessDied(QueueError):
    """The child process of an isolated job ended before the attempt did; the attempt counts as failed."""

    def __init__(self, job: str, exit_code: int) -> None:
        self.job = job
        self.exit_code = exit_code
        """Negative: the number of the signal that ended it."""
        end = f"ended with exit code {exit_code}" if exit_code >= 0 else f"was killed by {_signal(-exit_code)}"
        super().__init__(f"{job}'s process {end}")


class WorkersStuck(QueueError):
    """Threads that ran out of time and never ended hold half the slots of a queue; only a new process gets rid of them."""

    def __init__(self, stuck: Mapping[str, int]) -> None:
        self.stuck = dict(stuck)
        """Threads by queue."""
        listed = ", ".join(f"{number} of {queue}" for queue, number in stuck.items())
        super().__init__(
            f"handlers do not end although they ran out of time ({listed}): their queues are worked on no more here. "
            "Restart this process."
        )


def _layout_fault(url: str, found: int | None, known: int, layout: str) -> str:
    if found is None:
        return f"{url} has no tables for the queue. Run: goose db migrate"
    if found == 0:
        statement = f"INSERT INTO {layout} (version, oldest) VALUES ({known}, {known})"  # noqa: S608 - to be read
        return (
            f"{url} has tables for the queue, but their version is not in {layout}. Run: goose db migrate. "
            f'If migrations of your own make them, end those with: op.execute("{statement}")'
        )
    if found < known:
        return f"{url} has the queue's tables in version {found}, this process needs {known}. Run: goose db migrate"
    return (
        f"{url} has the queue's tables in version {found}, this process knows them up to {known}: "
        "goose db migrate was run by a newer goose-framework. Update this process."
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _shown(value: object) -> str:
    shown = ascii(value[:100] if isinstance(value, str) else type(value).__name__)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _named(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that cannot say what it is
        text = ""
    return f"{type(error).__name__}: {text[:1000]}" if text else type(error).__name__
