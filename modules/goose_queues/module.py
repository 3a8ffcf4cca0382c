"""QueuesModule: what an application plugs in. The only place that picks a driver and wires the parts.

Nothing of a running application is kept on the module itself: its declarations make everything anew for each boot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from goose.declaration import declare
from goose.kernel import Kernel
from goose.module import Module
from goose_queues.backoff import Backoff
from goose_queues.children import Children
from goose_queues.client import Client
from goose_queues.clock import Clock
from goose_queues.config import Settings
from goose_queues.drain import DrainReport, drain
from goose_queues.errors import ConfigError
from goose_queues.handle import Completions
from goose_queues.isolation import hello, refuse_unfit
from goose_queues.job import Job
from goose_queues.middleware import JobMiddleware
from goose_queues.prepared import Prepared, prepare
from goose_queues.readiness import Readiness
from goose_queues.record import ClaimedJob
from goose_queues.registry import Registry
from goose_queues.reports import StoredReports
from goose_queues.runner import Runner
from goose_queues.store import Store
from goose_queues.stores.redis.servers import Servers
from goose_queues.stores.redis.store import RedisStore
from goose_queues.stores.sql.migrate import owned_tables
from goose_queues.stores.sql.store import SqlStore
from goose_queues.stores.sql.tables import queue_tables
from goose_queues.supervisor import Supervisor, Workload
from goose_queues.values import UNSET, Duration, Unset
from goose_sql import Database
from goose_sql.module import DatabaseCommands
from goose_sql.tables import Tables

DEFAULT_URL: Final = "sqlite:///goose.db"
"""Where jobs are kept if neither the module, the environment nor the application names a database."""


class QueuesModule(Module):
    """Background jobs: declares the ``Client``, registers every job that a module declares, runs the workers.

    Each option also comes from the environment as ``GOOSE_QUEUES_<OPTION>``; an argument wins. A duration is a
    ``timedelta`` or a number of seconds.

    Args:
        driver: ``"sql"`` or ``"redis"``; else what ``url`` says, else ``"sql"``.
        url: Where jobs are kept: any URL that the driver supports. Else the application's own database, else ``sqlite:///goose.db``.
        listen_url: PostgreSQL: where notifications are heard, if ``url`` leads through a pooler that passes none on.
        queue: Where a job goes that names no queue; ``"default"``.
        default_retry_limit: How many failed attempts are followed by another; 3.
        default_retry_delay: The wait after a failure, a duration or a backoff; 1 s.
        default_timeout: For one attempt, None: no limit; 5 min.
        poll_interval: How often a worker claims without being woken; where others cannot wake it, it looks for news five
            times as often at least; 5 s, at least 50 ms.
        cleanup_interval: How often old finished jobs are deleted; 1 h.
        retention_period: How long finished jobs are kept; 7 days.
        stale_job_timeout: The lease: a worker silent for this long has lost its jobs; 30 s, at least 5 s.
        enable_stale_job_recovery: Whether this process gives back the jobs of workers that have died; True.
        queues: What this process serves; else every queue that a registered job or ``workers`` names.
        workers: Concurrent jobs in this process, for each queue; a number means each queue; 0: dispatch only.
        limits: Concurrent jobs of a queue across all processes and machines; a dead worker's slot returns with its lease.
        shutdown_timeout: How long running jobs may go on when the process stops; 30 s.
        middleware: Classes that wrap every job, outermost first.
        max_payload_size: Bytes of JSON that a job's fields, and its result, may take; 256 KiB.
        auto_migrate: Whether boot makes and upgrades the tables; None: on SQLite yes, on servers no.
        table_prefix: What the names of the tables, or of the keys on Redis, begin with: queues of different prefixes do
            not see each other; ``"goose_"``.
        table_schema: On servers: the schema (PostgreSQL) or database (MySQL) of the tables; None: where a connection looks
            first.
        pool_size: Connections kept to the queue's own database, at least 2; 10. To the application's own they are
            ``SqlModule``'s.
        synchronous: SQLite: ``"full"`` (durable at a power cut) or ``"normal"`` (durable at a crash of the process).

    Raises:
        ConfigError: Options are wrong; all of them are named.
    """

    imports = (DatabaseCommands,)
    is_global = True
    commands = "goose_queues.commands:queue"

    def __init__(
        self,
        *,
        driver: Literal["sql", "redis"] | Unset = UNSET,
        url: str | Unset | None = UNSET,
        listen_url: str | Unset | None = UNSET,
        queue: str | Unset = UNSET,
        default_retry_limit: int | Unset = UNSET,
        default_retry_delay: Duration | Backoff | Unset = UNSET,
        default_timeout: Duration | Unset | None = UNSET,
        poll_interval: Duration | Unset = UNSET,
        cleanup_interval: Duration | Unset = UNSET,
        retention_period: Duration | Unset = UNSET,
        stale_job_timeout: Duration | Unset = UNSET,
        enable_stale_job_recovery: bool | Unset = UNSET,
        queues: Sequence[str] | Unset | None = UNSET,
        workers: int | Mapping[str, int] | Unset = UNSET,
        limits: Mapping[str, int] | Unset = UNSET,
        shutdown_timeout: Duration | Unset = UNSET,
        middleware: Sequence[type[JobMiddleware]] | Unset = UNSET,
        max_payload_size: int | Unset = UNSET,
        auto_migrate: bool | Unset | None = UNSET,
        table_prefix: str | Unset = UNSET,
        table_schema: str | Unset | None = UNSET,
        pool_size: int | Unset = UNSET,
        synchronous: Literal["full", "normal"] | Unset = UNSET,
    ) -> None:
        options = {name: value for name, value in locals().items() if name in Settings.model_fields}
        self.settings: Final = Settings(**{name: value for name, value in options.items() if value is not UNSET})
        self._readiness: Final = Readiness()
        self.implied = self.settings.middleware
        self.declarations = (
            declare(Settings, value=self.settings),
            declare(Workload, value=Workload()),
            declare(Readiness, value=self._readiness),
            Clock,
            Completions,
            declare(Store, factory=open_store),
            declare(Registry, factory=register),
            Client,
            declare(Prepared, factory=prepare),
            declare(Children, factory=make_children),
            declare(Runner, factory=make_runner),
            Supervisor,
        )
        self.exports = (Client, Supervisor)

    async def check(self) -> None:
        """Readiness: the store answers, and no worker is stuck."""
        await self._readiness.check()

    def tables_to_migrate(self) -> Tables | None:
        """The queue's tables, for ``goose db``; Redis has none."""
        if self.settings.driver == "redis":
            return None
        tables = queue_tables(self.settings.table_prefix, self.settings.table_schema)
        return owned_tables(tables, url=self.settings.url, otherwise=DEFAULT_URL)

    async def drain(self, kernel: Kernel) -> DrainReport:
        """Run what is due, here and now; what ``AppTestClient.drain`` calls."""
        return await drain(kernel)


def open_store(settings: Settings, clock: Clock, database: Database | None = None) -> Store:
    """The store of the driver and URL that the settings name; on the application's own database where it is the same.

    Raises:
        ConfigError: There is nothing to listen to, or the driver is not installed.
    """
    if settings.driver == "redis":
        if settings.listen_url is not None or settings.table_schema is not None:
            raise ConfigError("listen_url and table_schema are for jobs in a database; they are kept on Redis")
        return RedisStore(
            Servers(settings.url or "", pool_size=settings.pool_size),
            clock,
            prefix=settings.table_prefix,
            poll_interval=settings.poll_interval,
        )
    database, shared = _database(settings, database)
    migrates = database.dialect == "sqlite" if settings.auto_migrate is None else settings.auto_migrate
    if settings.listen_url is not None and database.dialect != "postgresql":
        raise ConfigError(f"listen_url is for jobs on PostgreSQL; they are kept in {database.url}")
    return SqlStore(
        database,
        clock,
        owns_database=not shared,
        auto_migrate=migrates,
        prefix=settings.table_prefix,
        schema=settings.table_schema,
        poll_interval=settings.poll_interval,
        listen_url=settings.listen_url,
    )


def register(kernel: Kernel) -> Registry:
    """Every job that a module declares.

    Raises:
        DuplicateJobName: Two classes would be stored under one name.
        TypeError: A class has no handler, or one that cannot be run.
    """
    return Registry(declared.cls for declared in kernel.declared(Job))


def make_children(
    kernel: Kernel, registry: Registry, prepared: Prepared, settings: Settings, database: Database | None = None
) -> Children:
    """The child processes for isolated jobs: none before one is needed.

    Raises:
        ConfigError: This process is to run such jobs, and a child could not boot the same application.
    """
    if kernel.background and prepared.isolated:
        queue = None if settings.driver == "redis" else _database(settings, database)[0]
        places = [place for place in (database, queue) if place is not None]
        refuse_unfit(
            prepared.isolated[0],
            kernel,
            private=next((place.url for place in places if place.is_private), None),
            harmless=(Workload,),
        )

    def retry_delay(claimed: ClaimedJob) -> float:
        cls = registry.by_name(claimed.name)
        backoff = settings.default_retry_delay if cls is None else prepared.jobs[cls].retry_delay
        return backoff.delay(claimed.failures + 1)

    return Children(lambda: hello(kernel), retry_delay)


def make_runner(
    registry: Registry, prepared: Prepared, settings: Settings, client: Client, store: Store, children: Children
) -> Runner:
    """The runner; what is isolated it hands to the children."""
    reports = StoredReports(store, settings.stale_job_timeout, frozenset(settings.limits))
    elsewhere = children if prepared.isolated else None
    return Runner(registry, prepared, settings, lambda: client, reports, elsewhere)


def _database(settings: Settings, database: Database | None) -> tuple[Database, bool]:
    """Where jobs are kept, and whether that is the application's own database."""
    if database is not None and (settings.url is None or database.same_place(settings.url)):
        return database, True
    url = settings.url or DEFAULT_URL
    return Database(url, synchronous=settings.synchronous, pool_size=settings.pool_size), False
