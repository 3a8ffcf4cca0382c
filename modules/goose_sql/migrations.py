"""Making and upgrading tables: Alembic without its files of settings, one version table for each module.

Called at boot by ``module``, by the queue's own store, and by ``commands``. Everything happens in one transaction under
the database's lock, so that any number of processes may do it at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from alembic.autogenerate import RevisionContext
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.config import Config
from alembic.operations.ops import MigrationScript
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from goose_sql.columns import ExactDecimal, UtcDateTime
from goose_sql.database import Database
from goose_sql.errors import MigrationFailed, MissingMigrations, NewerDatabase, PendingMigrations
from goose_sql.existing import is_there
from goose_sql.faults import first_line, is_conflict, told
from goose_sql.tables import Tables

log = logging.getLogger("goose_sql")

_TEMPLATES: Final = Path(__file__).parent / "revision"
_FILE: Final = "%(year)d%(month).2d%(day).2d_%(rev)s_%(slug)s"

# Alembic's ``op`` is one per process.
_alembic: Final = threading.Lock()


async def migrate(database: Database, tables: Sequence[Tables]) -> tuple[str, ...]:
    """Make and upgrade the tables, all or (but for MySQL's layout changes) none; return whose there was work on.

    Raises:
        MigrationFailed: A step failed.
        MissingMigrations: A package of versions is not there.
        NewerDatabase: A database knows a version that this code does not.
    """
    if not await pending(database, tables):
        return ()
    owners = await database.alter(partial(_migrate_all, database.url, tables))
    for owner in owners:
        log.info("made or upgraded the tables of %s", owner)
    return owners


async def pending(database: Database, tables: Sequence[Tables]) -> tuple[str, ...]:
    """The owners of tables that are missing or older than the code.

    Raises:
        MissingMigrations: A package of versions is not there.
        NewerDatabase: A database knows a version that this code does not.
    """
    return await database.read(partial(_pending, database.url, tables))


async def check(database: Database, tables: Sequence[Tables]) -> None:
    """Return when there is nothing to migrate.

    Raises:
        PendingMigrations: There is.
    """
    if owners := await pending(database, tables):
        raise PendingMigrations(owners, database.url)


async def revise(database: Database, tables: Tables, message: str, *, empty: bool = False) -> Path | None:
    """Write the version that makes the database what ``metadata`` says; None where it is that already.

    Args:
        database: To compare with; it must have every version so far.
        tables: Whose version it is.
        message: What it is for; becomes a part of the file's name.
        empty: Write one that does nothing, to be filled in by hand.

    Raises:
        MissingMigrations: The module names no package for its versions, or it has no place to be.
        PendingMigrations: The database lacks a version.
    """
    if tables.migrations is None:
        raise MissingMigrations(
            tables.owner, 'it names no place for its versions. Give it migrations = "package.migrations".'
        )
    _make_package(tables.owner, tables.migrations)
    if _scripts(tables).get_heads():
        await check(database, (tables,))
    return await database.alter(partial(_revise, tables, message, empty=empty))


def _migrate_all(url: str, tables: Sequence[Tables], connection: Connection) -> tuple[str, ...]:
    return tuple(each.owner for each in tables if _migrate(url, each, connection))


def _migrate(url: str, tables: Tables, connection: Connection) -> bool:
    if not _is_pending(url, tables, connection):
        return False
    try:
        _make_schema(tables, connection)
        if tables.migrations is None:
            tables.metadata.create_all(connection)
        else:
            _upgrade(tables, connection)
    except (CommandError, SQLAlchemyError) as error:
        raise MigrationFailed(tables.owner, _first_line(error)) from error
    return True


def _make_schema(tables: Tables, connection: Connection) -> None:
    """Make it where it is missing; asking first, as even IF NOT EXISTS needs the right to make one."""
    schema = tables.schema
    if schema is None:
        return
    if connection.dialect.name == "sqlite":
        raise MigrationFailed(tables.owner, f"SQLite has no schemas: leave {schema!r} out.")
    if schema not in inspect(connection).get_schema_names():
        connection.execute(CreateSchema(schema, if_not_exists=True))


def _upgrade(tables: Tables, connection: Connection) -> None:
    scripts = _scripts(tables)

    def steps(current: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs("heads", current)  # noqa: SLF001 - as Alembic's own "upgrade" command does

    with _environment(scripts, tables, connection, fn=steps) as environment:
        environment.run_migrations()


def _pending(url: str, tables: Sequence[Tables], connection: Connection) -> tuple[str, ...]:
    return tuple(each.owner for each in tables if _is_pending(url, each, connection))


def _is_pending(url: str, tables: Tables, connection: Connection) -> bool:
    if tables.migrations is None:
        return not _has_all(tables, connection)
    scripts = _scripts(tables)
    place = {"version_table": tables.version_table, "version_table_schema": tables.schema}
    context = MigrationContext.configure(connection, opts=place)
    current, known = set(context.get_current_heads()), {script.revision for script in scripts.walk_revisions()}
    if current - known:
        raise NewerDatabase(tables.owner, url, min(current - known))
    if current == set(scripts.get_heads()):
        return False
    return tables.is_current is None or not tables.is_current(connection)


def _has_all(tables: Tables, connection: Connection) -> bool:
    return all(is_there(connection, table) for table in tables.metadata.tables.values())


def _revise(tables: Tables, message: str, connection: Connection, *, empty: bool) -> Path | None:
    scripts = _scripts(tables)
    first = not scripts.get_heads()
    revision = RevisionContext(
        Config(),
        scripts,
        {
            "message": message,
            "sql": False,
            "head": "head",
            "splice": False,
            "branch_label": None,
            "version_path": None,
            "rev_id": None,
            "depends_on": None,
        },
        process_revision_directives=None if empty else _drop_empty,
    )

    def compare(current: Any, context: MigrationContext) -> Iterable[Any]:
        (revision.run_no_autogenerate if empty else revision.run_autogenerate)(current, context)
        return ()

    # The first version starts from nothing, also where create_all has made the tables before.
    names = frozenset() if first else frozenset(table.name for table in tables.metadata.tables.values())
    with _environment(
        scripts,
        tables,
        connection,
        fn=compare,
        include_name=partial(_is_ours, names),
        template_args=revision.template_args,
    ) as environment:
        environment.run_migrations()
    try:
        written = [script for script in revision.generate_scripts() if script is not None]
    except CommandError as error:
        raise MigrationFailed(tables.owner, _first_line(error)) from error
    return Path(written[0].path) if written else None


def _drop_empty(_: MigrationContext, __: Any, directives: list[MigrationScript]) -> None:
    if directives[0].upgrade_ops is not None and directives[0].upgrade_ops.is_empty():
        directives.clear()


def _is_ours(names: frozenset[str], name: str | None, kind: str, _: Any) -> bool:
    return kind != "table" or name in names


def _rendered(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """How a version names the type of a column: ours as what is beneath them, others with an import of where they are."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime | ExactDecimal):
        return _repr_type(item.impl_instance, context)
    module = type(item).__module__
    if not module.startswith("sqlalchemy."):
        context.imports.add(f"import {module}")
    return False


@contextmanager
def _environment(
    scripts: ScriptDirectory, tables: Tables, connection: Connection, *, fn: Any, **options: Any
) -> Iterator[EnvironmentContext]:
    with _alembic, EnvironmentContext(Config(), scripts, fn=fn) as environment:
        environment.configure(
            connection=connection,
            target_metadata=tables.metadata,
            version_table=tables.version_table,
            version_table_schema=tables.schema,
            render_as_batch=connection.dialect.name == "sqlite",
            render_item=_rendered,
            compare_type=True,
            **{**tables.options, **options},
        )
        yield environment


def _scripts(tables: Tables) -> ScriptDirectory:
    return ScriptDirectory(
        _TEMPLATES,
        file_template=_FILE,
        version_locations=[_folder(tables.owner, tables.migrations or "")],
        messaging_opts={"quiet": True},
    )


def _folder(owner: str, package: str) -> Path:
    """The folder of a package of versions."""
    try:
        places = list(importlib.import_module(package).__path__)
    except (ImportError, AttributeError) as error:
        raise MissingMigrations(owner, f"its migrations {package!r} cannot be imported: {error}.") from error
    return Path(places[0])


def _make_package(owner: str, package: str) -> None:
    """Make the folder of the first version, inside of what contains it."""
    if importlib.util.find_spec(package.partition(".")[0]) is not None and _exists(package):
        return
    parent, _, name = package.rpartition(".")
    if not parent:
        raise MissingMigrations(owner, f"its migrations {package!r} are in no package. Make the folder by hand.")
    folder = _folder(owner, parent) / name
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    importlib.invalidate_caches()


def _exists(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _first_line(error: BaseException) -> str:
    if is_conflict(error):
        return f"another transaction keeps a table that has to be changed; end it: {first_line(error)}"
    return told(error)
