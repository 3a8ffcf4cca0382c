"""goose_queues: background jobs that are not lost. Everything that an application imports from the queue stands here."""

from goose_queues.backoff import Backoff, exponential, fixed
from goose_queues.batch import PendingBatch
from goose_queues.chain import PendingChain
from goose_queues.client import Client
from goose_queues.clock import Clock
from goose_queues.context import JobContext
from goose_queues.dispatch import PendingDispatch, PendingDispatches
from goose_queues.errors import (
    BatchError,
    BatchNotFound,
    BatchTooLarge,
    ChainTooLong,
    DuplicateJobName,
    InvalidFilter,
    InvalidName,
    InvalidQueueName,
    JobCancelled,
    JobConflict,
    JobFailed,
    JobNotFound,
    JobTimeout,
    LeaseLost,
    PayloadError,
    PayloadMismatch,
    PayloadTooLarge,
    ProcessDied,
    QueueError,
    StoreUnavailable,
    UnregisteredJob,
    WorkerDied,
)
from goose_queues.handle import BatchHandle, ChainHandle, JobHandle
from goose_queues.job import Job
from goose_queues.listing import JobListing
from goose_queues.middleware import JobMiddleware, Next
from goose_queues.module import QueuesModule
from goose_queues.record import BatchProgress, ErrorRecord, JobRecord, QueueStats, Status
from goose_queues.status import JobStatus, Progress, Stats
from goose_queues.stores.sql.metadata import add_queue_tables

__all__ = [
    "Backoff",
    "BatchError",
    "BatchHandle",
    "BatchNotFound",
    "BatchProgress",
    "BatchTooLarge",
    "ChainHandle",
    "ChainTooLong",
    "Client",
    "Clock",
    "DuplicateJobName",
    "ErrorRecord",
    "InvalidFilter",
    "InvalidName",
    "InvalidQueueName",
    "Job",
    "JobCancelled",
    "JobConflict",
    "JobContext",
    "JobFailed",
    "JobHandle",
    "JobListing",
    "JobMiddleware",
    "JobNotFound",
    "JobRecord",
    "JobStatus",
    "JobTimeout",
    "LeaseLost",
    "Next",
    "PayloadError",
    "PayloadMismatch",
    "PayloadTooLarge",
    "PendingBatch",
    "PendingChain",
    "PendingDispatch",
    "PendingDispatches",
    "ProcessDied",
    "Progress",
    "QueueError",
    "QueueStats",
    "QueuesModule",
    "Stats",
    "Status",
    "StoreUnavailable",
    "UnregisteredJob",
    "WorkerDied",
    "add_queue_tables",
    "exponential",
    "fixed",
]
