"""goose_queues: background jobs that are not lost. Everything that an application imports from the queue stands here."""

from goose_queues.backoff import Backoff, exponential, fixed
from goose_queues.client import Client
from goose_queues.clock import Clock
from goose_queues.context import JobContext
from goose_queues.dispatch import PendingDispatch, PendingDispatches
from goose_queues.errors import (
    DuplicateJobName,
    InvalidName,
    InvalidQueueName,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTimeout,
    PayloadError,
    PayloadMismatch,
    PayloadTooLarge,
    ProcessDied,
    QueueError,
    StoreUnavailable,
    UnregisteredJob,
    WorkerDied,
)
from goose_queues.handle import JobHandle
from goose_queues.job import Job
from goose_queues.middleware import JobMiddleware, Next
from goose_queues.module import QueuesModule
from goose_queues.record import QueueStats
from goose_queues.status import JobStatus, Stats

__all__ = [
    "Backoff",
    "Client",
    "Clock",
    "DuplicateJobName",
    "InvalidName",
    "InvalidQueueName",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobHandle",
    "JobMiddleware",
    "JobNotFound",
    "JobStatus",
    "JobTimeout",
    "Next",
    "PayloadError",
    "PayloadMismatch",
    "PayloadTooLarge",
    "PendingDispatch",
    "PendingDispatches",
    "ProcessDied",
    "QueueError",
    "QueueStats",
    "QueuesModule",
    "Stats",
    "StoreUnavailable",
    "UnregisteredJob",
    "WorkerDied",
    "exponential",
    "fixed",
]
