"""Two queues in one database, parted by a prefix or a schema: neither sees what is the other's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import goose
from goose import ConfigError, Instance, Module
from goose_queues import Client, Job, JobContext, JobNotFound, QueuesModule
from goose_sql import SqlModule
from servers.shared import DATABASES, SERVERS, room
from waiting import wait_until


class Tell(Job):
    async def handle(self, ctx: JobContext) -> str:
        return "told"


class TellModule(Module):
    declarations = (Tell,)


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/queue.db"
        return
    ours = room(request.param)
    ours.clear()
    yield ours.url.render_as_string(hide_password=False)
    ours.clear()


def app(url: str, **options: Any) -> Instance:
    return goose.worker(TellModule, [QueuesModule(url=url, auto_migrate=True, **options)])


async def parted(first: Instance, second: Instance) -> None:
    """What the first stores is nothing to a worker of the second, which works on its own."""
    async with goose.running(first) as kernel, goose.running(second, background=True) as other:
        ours, theirs = kernel.get(Client), other.get(Client)
        handle = await ours.dispatch(Tell())
        assert await (await theirs.dispatch(Tell())).result(timeout=30) == "told"
        assert ((await ours.stats())["default"].pending, (await theirs.stats())["default"].pending) == (1, 0)
        assert [job async for job in theirs.jobs(status="pending")] == []
        for ask in (theirs.get_status, theirs.cancel, theirs.retry):
            with pytest.raises(JobNotFound):
                await ask(handle.id)
        await theirs.pause("default")
        assert not (await ours.stats())["default"].paused
        assert await theirs.purge("default") == 0
        assert (await handle.status()).status == "pending"
    async with goose.running(first, background=True) as again:

        async def is_told() -> bool:
            return (await again.get(Client).get_status(handle.id)).result == "told"

        await wait_until(is_told)


async def test_a_prefix_parts_queues(url: str) -> None:
    await parted(app(url, table_prefix="a_"), app(url, table_prefix="b_"))


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_schema_parts_queues(url: str) -> None:
    await parted(app(url, table_schema="apart"), app(url))


@pytest.mark.parametrize("url", ["sqlite", *DATABASES], indirect=True)
async def test_the_applications_own_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There as well, with options from the environment."""
    monkeypatch.setenv("GOOSE_QUEUES_TABLE_PREFIX", "mine_")
    monkeypatch.setenv("GOOSE_QUEUES_POOL_SIZE", "3")
    queues = QueuesModule(auto_migrate=True)
    assert (queues.settings.table_prefix, queues.settings.pool_size, queues.settings.table_schema) == ("mine_", 3, None)
    shop = goose.worker(TellModule, [SqlModule(url=url), queues])
    async with goose.running(shop) as kernel:
        await kernel.get(Client).dispatch(Tell())
    monkeypatch.delenv("GOOSE_QUEUES_TABLE_PREFIX")
    async with goose.running(app(url)) as kernel:
        assert (await kernel.get(Client).stats())["default"].pending == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"table_prefix": "My-"},
            "table_prefix='My-': lower-case letters, digits and _, at most 32, no digit first",
        ),
        (
            {"table_schema": "a.b"},
            "table_schema='a.b': lower-case letters, digits and _, at most 32, no digit first; None for the usual one",
        ),
        ({"pool_size": 1}, "pool_size=1: an integer 2..1000"),
    ],
)
def test_wrong_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        QueuesModule(**options)
    assert str(caught.value) == sentence


async def test_sqlite_has_no_schemas(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^table_schema='jobs': SQLite has no schemas; use table_prefix"):
        async with goose.running(app(f"sqlite:///{tmp_path}/queue.db", table_schema="jobs")):
            pass
