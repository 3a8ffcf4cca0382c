"""``goose db``: the tables of every module of an application.

Found by ``goose`` through ``SqlModule.commands``. Nothing is booted: a database may well not be ready for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from goose.commands import application, say
from goose.module import Module
from goose_sql import migrations
from goose_sql.database import Database
from goose_sql.errors import NoDatabase, PendingMigrations, UnknownModule
from goose_sql.module import database_of
from goose_sql.tables import Tables, tables_of

db = typer.Typer(name="db", help="Make, upgrade and check the tables of every module.", no_args_is_help=True)


@db.command(epilog="Example: goose db migrate")
def migrate(ctx: typer.Context) -> None:
    """Make what is missing and upgrade what is old."""
    done = asyncio.run(_migrate(_modules(ctx)))
    say("\n".join(f"migrated {owner}" for owner in done) or "nothing to migrate")


@db.command(epilog="Example: goose db check && systemctl restart shop")
def check(ctx: typer.Context) -> None:
    """Exit with 1 where something has to be migrated; for deploy scripts."""
    asyncio.run(_check(_modules(ctx)))
    say("nothing to migrate")


@db.command(epilog='Example: goose db revision OrdersModule -m "add a note to each order"')
def revision(
    ctx: typer.Context,
    module: Annotated[str, typer.Argument(help="The module's class name.")],
    message: Annotated[str, typer.Option("--message", "-m", help="What the version is for.")],
    empty: Annotated[bool, typer.Option("--empty", help="Write a version that does nothing, to be filled in.")] = False,
) -> None:
    """Write a module's next version: what makes the database as its metadata says."""
    path = asyncio.run(_revise(_modules(ctx), module, message, empty=empty))
    say(f"wrote {path}" if path else f"nothing to write: the database is as {module}.metadata says")


def _modules(ctx: typer.Context) -> Sequence[Module]:
    return application(ctx).new_kernel().modules


async def _migrate(modules: Sequence[Module]) -> list[str]:
    done: list[str] = []
    for database, tables in _places(modules):
        async with database:
            done += await migrations.migrate(database, tables)
    return done


async def _check(modules: Sequence[Module]) -> None:
    lacking: dict[str, tuple[str, ...]] = {}
    for database, tables in _places(modules):
        async with database:
            if owners := await migrations.pending(database, tables):
                lacking[database.url] = owners
    if lacking:
        raise PendingMigrations(tuple(owner for owners in lacking.values() for owner in owners), " and ".join(lacking))


async def _revise(modules: Sequence[Module], name: str, message: str, *, empty: bool) -> str | None:
    for database, tables in _places(modules):
        for each in tables:
            if each.owner == name:
                async with database:
                    path = await migrations.revise(database, each, message, empty=empty)
                return None if path is None else str(path)
    raise UnknownModule(name, tuple(sorted(tables.owner for tables in tables_of(modules))))


def _places(modules: Sequence[Module]) -> list[tuple[Database, list[Tables]]]:
    """Each database with the tables that it holds, the application's own first."""
    own = database_of(modules)
    places: list[tuple[Database, list[Tables]]] = [] if own is None else [(own, [])]
    for tables in tables_of(modules):
        url = tables.url or (tables.otherwise if own is None else None)
        if url is None and own is None:
            raise NoDatabase(tables.owner)
        held = next((held for database, held in places if url is None or database.same_place(url)), None)
        if held is None:
            places.append((Database(url or ""), [tables]))
        else:
            held.append(tables)
    return places
