"""Plugging the queue in: where jobs are kept, what boot refuses, readiness."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import goose
from goose import ConfigError, Module
from goose_queues import Client, DuplicateJobName, Job, JobContext, JobMiddleware, Next, QueuesModule
from goose_queues.clock import Clock
from goose_queues.module import open_store
from goose_queues.supervisor import Supervisor
from goose_queues.testing import FakeQueue, drain
from goose_sql import Database, SqlModule
from queue_apps import Boot, MakeApp


class Note(Job):
    async def handle(self, ctx: JobContext) -> str:
        return "done"


class Twin(Job, name="Note"):
    async def handle(self, ctx: JobContext) -> None: ...


@dataclass
class Log:
    lines: list[str]


class Logging(JobMiddleware):
    def __init__(self, log: Log) -> None:
        self.log = log

    async def handle(self, ctx: JobContext, next: Next) -> object:
        self.log.lines.append(ctx.job_name)
        return await next()


def app(*modules: Module, declared: Any = (Note,)) -> goose.Instance:
    class AppModule(Module):
        declarations = declared

    return goose.worker(AppModule, modules)


class TestWhereJobsAreKept:
    async def test_its_own_url(self, tmp_path: Path) -> None:
        """A URL of its own is a file of its own, which nobody else opens or closes."""
        file = tmp_path / "jobs.db"
        async with goose.running(app(QueuesModule(url=f"sqlite:///{file}"))) as kernel:
            await kernel.get(Client).dispatch(Note())
        assert file.exists()

    async def test_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without an argument, the environment says where."""
        monkeypatch.setenv("GOOSE_QUEUES_URL", f"sqlite:///{tmp_path}/env.db")
        async with goose.running(app(QueuesModule())):
            assert (tmp_path / "env.db").exists()

    async def test_by_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With neither, and no database of the application's, it is goose.db here."""
        monkeypatch.chdir(tmp_path)
        async with goose.running(app(QueuesModule())):
            assert (tmp_path / "goose.db").exists()

    @pytest.mark.parametrize("spelling", [None, "sqlite:///{}/app.db", "sqlite+aiosqlite:///{}/x/../app.db"])
    async def test_the_applications_database(self, tmp_path: Path, spelling: str | None) -> None:
        """Without a URL, or with the same one however spelt, it is the application's own database, shared."""
        (tmp_path / "x").mkdir()
        queues = QueuesModule() if spelling is None else QueuesModule(url=spelling.format(tmp_path))
        async with goose.running(app(SqlModule(f"sqlite:///{tmp_path}/app.db"), queues)) as kernel:
            client, database = kernel.get(Client), kernel.get(Database)
            with pytest.raises(ZeroDivisionError):
                async with database.session() as session, session.begin():
                    await client.dispatch(Note())
                    raise ZeroDivisionError
            assert (await client.stats())["default"].pending == 0
            assert kernel.get(Supervisor).store._database is database  # type: ignore[attr-defined]
            await kernel.get(Supervisor).store.close()
            assert database.is_open
        assert [path.name for path in tmp_path.glob("*.db")] == ["app.db"]

    async def test_another_database(self, tmp_path: Path) -> None:
        """Beside the application's database it may have another."""
        modules = SqlModule(f"sqlite:///{tmp_path}/app.db"), QueuesModule(url=f"sqlite:///{tmp_path}/jobs.db")
        async with goose.running(app(*modules)) as kernel:
            await kernel.get(Client).dispatch(Note())
            assert (await drain(kernel)).completed == 1
        assert sorted(path.name for path in tmp_path.glob("*.db")) == ["app.db", "jobs.db"]

    async def test_a_private_file(self) -> None:
        """sqlite:// is a file that goes with the application."""
        instance = app(QueuesModule(url="sqlite://"))
        for _ in range(2):
            async with goose.running(instance) as kernel:
                await kernel.get(Client).dispatch(Note())
                assert (await kernel.get(Client).stats())["default"].pending == 1

    async def test_tables_of_its_own_making(self, tmp_path: Path) -> None:
        """auto_migrate=False leaves the tables to goose db, and boot says so in one line."""
        with pytest.raises(goose.GooseError, match="goose db migrate"):
            async with goose.running(app(QueuesModule(url=f"sqlite:///{tmp_path}/q.db", auto_migrate=False))):
                pass


class TestWhatIsRefused:
    def test_options(self) -> None:
        """Wrong options are refused where the module is made, all of them at once."""
        with pytest.raises(ConfigError) as error:
            QueuesModule(stale_job_timeout=1, poll_interval=0, workers={"exports": -1})
        assert "stale_job_timeout=1: at least 5 s" in str(error.value)
        assert "poll_interval=0: at least 50 ms" in str(error.value)
        assert "workers={'exports': -1}: an integer 0..10000" in str(error.value)

    @pytest.mark.parametrize("option", ["listen_url", "table_schema"])
    async def test_what_only_a_database_has(self, option: str) -> None:
        value = {"listen_url": "postgresql://db/jobs", "table_schema": "jobs"}[option]
        module = QueuesModule(url="redis://db", **{option: value})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="are for jobs in a database; they are kept on Redis"):
            open_store(module.settings, Clock())

    async def test_nothing_to_listen_to(self) -> None:
        """listen_url is refused where the jobs are not on PostgreSQL."""
        with pytest.raises(ConfigError) as error:
            async with goose.running(app(QueuesModule(url="sqlite://", listen_url="postgresql://here/db"))):
                pass
        assert str(error.value) == "listen_url is for jobs on PostgreSQL; they are kept in sqlite://"

    async def test_two_jobs_of_one_name(self, make_app: MakeApp) -> None:
        """Two jobs that would be stored under one name are refused at boot."""
        with pytest.raises(DuplicateJobName, match=r"^'Note' from \S*test_module and \S*test_module: set name="):
            async with goose.running(make_app(Note, Twin)):
                pass

    async def test_no_handler(self, make_app: MakeApp) -> None:
        """A job without a handler is refused at boot."""

        class Empty(Job): ...

        with pytest.raises(TypeError, match=r"^Empty has no handle\(\)$"):
            async with goose.running(make_app(Empty)):
                pass


class TestParts:
    async def test_middleware(self, boot: Boot) -> None:
        """Middleware of the module is built by injection, as the root module sees it."""
        log = Log([])
        async with boot(Note, goose.declare(Log, value=log), middleware=(Logging,)) as kernel:
            await kernel.get(Client).dispatch(Note())
            await drain(kernel)
        assert log.lines == ["Note"]

    async def test_readiness(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        """The application is ready while the store answers and the workers run."""
        async with boot(Note, background=True) as kernel:
            assert await kernel.check() == {"QueuesModule": None, "Supervisor.on_run": None}

            async def away() -> None:
                raise goose.GooseError("the store is away")

            monkeypatch.setattr(kernel.get(Supervisor).store, "check", away)
            assert (await kernel.check())["QueuesModule"] == "the store is away"

    async def test_fake_client(self, tmp_path: Path) -> None:
        """With the client overridden, no database is touched."""
        instance = app(QueuesModule(url=f"sqlite:///{tmp_path}/q.db"))
        async with goose.running(instance, overrides={Client: FakeQueue()}) as kernel:
            assert await kernel.check() == {"QueuesModule": None}
        assert list(tmp_path.iterdir()) == []

    async def test_two_boots_at_once(self, tmp_path: Path) -> None:
        """One module in two applications at a time: each has parts of its own."""
        queues = QueuesModule(url=f"sqlite:///{tmp_path}/q.db")
        async with goose.running(app(queues)) as one, goose.running(app(queues), background=True) as other:
            assert one.get(Client) is not other.get(Client)
            handle = await one.get(Client).dispatch(Note())
            assert await handle.result(timeout=30) == "done"
            assert (await asyncio.gather(one.check(), other.check()))[0] == {"QueuesModule": None}
