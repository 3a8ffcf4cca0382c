"""SQL is made of bound parameters; the few identifiers in it are checked, and no text that is stored gets into it."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from goose_queues import Client, Job, JobContext, QueuesModule
from goose_queues.errors import ConfigError
from goose_queues.stores.sql.tables import queue_tables
from goose_queues.supervisor import Supervisor
from goose_queues.testing import drain
from hostile import Note, come_back_exactly, dispatch_all, finds_nothing
from queue_apps import Boot
from sources import calls, files

RUN = frozenset({"execute", "executemany", "executescript", "exec_driver_sql", "text", "literal_column", "DDL"})
"""What takes SQL as text."""

BUILT = {
    "goose_queues/stores/sql/tables.py": {
        "str(2 ** 62)": "a number of this file",
        "f\"'{state}'\"": "a state: a constant of this file",
        "f'{table}.{ROW_KEYS[family]}'": "a table's name or alias: the prefix is checked by a pattern",
        "condition": "an index's condition: a literal of this file",
    },
    "goose_queues/stores/sql/announcer.py": {"_NOTIFY": "a literal; channel and message are bound parameters"},
    "goose_queues/stores/sql/channel.py": {"_PLACE": "a literal, with a bound parameter"},
    "goose_queues/stores/sql/ear.py": {
        "statement": "literals, and LISTEN with the channel's name, which is a hash",
        "mine": "a literal with a number",
        "_hears(channel)": "the channel's name is a hash",
    },
    "goose_queues/stores/sql/given.py": {
        "f\"SELECT {names} FROM JSON_TABLE(:{_ROWS}, '$[*]' COLUMNS ({paths})) AS given_json\"": (
            "names of parameters: literals of this package"
        ),
    },
    "goose_queues/stores/sql/metadata.py": {
        "insert(layout).values(version=VERSION, oldest=VERSION)": "a statement of SQLAlchemy's"
    },
    "goose_queues/stores/sql/steps.py": {
        "condition": "an index's condition: a literal of a version",
        "layout.insert().values(version=version, oldest=oldest)": "a statement of SQLAlchemy's",
        "layout.update().values(version=version, oldest=oldest)": "a statement of SQLAlchemy's",
    },
    "goose_sql/server_engine.py": {
        "_IDLE_LIMIT": "a literal, with a number of this file",
        "_ONE_MOMENT": "a literal",
        "_BEGIN_AT_ONE_MOMENT if at_one_moment else _BEGIN": "literals, with a number of this file",
        "f'SET SESSION idle_transaction_timeout = {(_IDLE_SECONDS if value else 0)}'": "one of two numbers of this file",
    },
    "goose_queues/stores/sql/fronts.py": {
        "str(place)": "a number",
    },
    "goose_queues/stores/sql/raw_file.py": {"_SYNCHRONOUS[synchronous]": "one of two literals"},
    "goose_queues/stores/sql/raw_server.py": {
        "core.claim": "a statement of SQLAlchemy's",
        "core.complete": "the same",
        "core.insert": "the same",
        "core.insert_lists": "the same",
        "core.take": "the same",
    },
    "goose_queues/stores/sql/read.py": {"str(_ABOVE_ALL)": "a number of this file"},
    "goose_queues/stores/sql/rights.py": {
        "select(column).where(false())": "a statement of SQLAlchemy's",
        "table.delete().where(false())": "a statement of SQLAlchemy's",
        "table.insert().from_select(written, select(*written).where(false()))": "a statement of SQLAlchemy's",
        "table.update().values({column: column}).where(false())": "a statement of SQLAlchemy's",
    },
    "goose_queues/stores/sql/server_ground.py": {
        "text(f'ANALYZE TABLE {name}' if is_mysql else f'ANALYZE {name}')": "below",
        "f'ANALYZE TABLE {name}' if is_mysql else f'ANALYZE {name}'": "a table's name: the prefix is checked by a pattern",
    },
    "goose_queues/stores/sql/statement.py": {
        "self.text": "a statement of SQLAlchemy's, compiled",
        "statement.text": "the same",
    },
    "goose_queues/stores/sql/version.py": {"columns": "a statement of SQLAlchemy's"},
    "goose_sql/database.py": {"text(f'SELECT 1{table}')": "below", "f'SELECT 1{table}'": "one of two literals"},
    "goose_sql/driver.py": {"sql": "what SQLAlchemy hands to the driver"},
    "goose_sql/migrations.py": {
        "CreateSchema(schema, if_not_exists=True)": "a schema's name, checked by a pattern and quoted by SQLAlchemy"
    },
    "goose_sql/on_server.py": {"_LIMITS": "a literal, with bound parameters"},
    "goose_sql/sqlite.py": {
        "f'PRAGMA synchronous={self.synchronous.upper()}'": "an option that is checked: full or normal",
        "f'PRAGMA busy_timeout={self.busy_timeout * 1000:.0f}'": "a number",
    },
    "goose_sql/writer.py": {"undo": "one of two literals"},
}
"""SQL that is no literal where it is run, and why it is no attacker's."""

ATTACKS = (
    "'; DROP TABLE goose_jobs; --",
    "' OR '1'='1",
    '" OR ""="',
    "x') UNION SELECT payload FROM goose_jobs --",
    "%s %(id)s :of_id ?1 $1 {0}",
    "\\'; DELETE FROM goose_jobs; --",
    "1; ATTACH DATABASE '/tmp/x' AS y",
    "`;\n--/* */",
)


class Named(Job, name=ATTACKS[0], aliases=(ATTACKS[1],)):
    async def handle(self, ctx: JobContext) -> None: ...


def is_literal(argument: ast.expr) -> bool:
    """A text that stands there, or ``text("...")`` around one."""
    match argument:
        case ast.Call(func=ast.Name(id="text"), args=[ast.Constant()]):
            return True
        case _:
            return isinstance(argument, ast.Constant)


def test_no_sql_is_built_of_values() -> None:
    found: dict[str, set[str]] = {}
    for name, file in files():
        for called, node in calls(file):
            if called in RUN and node.args and not is_literal(node.args[0]):
                found.setdefault(name, set()).add(ast.unparse(node.args[0]))
    # These pages and files have a function of their own that is called ``text``.
    web = {name for name in found if name.startswith("goose/")}
    assert web == set()
    assert found == {name: set(built) for name, built in BUILT.items()}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_identifier_is_no_text(attack: str) -> None:
    for option in ("prefix", "schema"):
        with pytest.raises(ConfigError, match=f"^table_{option}=.*: use lower-case letters, digits and _, at most 32"):
            queue_tables(**{option: attack})
        with pytest.raises(ConfigError, match=f"^table_{option}=.*: lower-case letters, digits and _, at most 32"):
            QueuesModule(**{f"table_{option}": attack})


async def test_what_is_stored_comes_back_exactly(boot: Boot, hand: Any) -> None:
    async with boot(Note, Named) as kernel:
        client = kernel.get(Client)
        handles = await dispatch_all(client, ATTACKS)
        named = await client.dispatch(Named())
        record = await kernel.get(Supervisor).store.get(handles[0].id)
        assert record is not None
        assert (record.payload, record.meta) == (json.dumps({"text": ATTACKS[0]}).replace(": ", ":"), record.meta)
        hand("update goose_jobs set name = ? where name = ?", ATTACKS[1], ATTACKS[0])
        report = await drain(kernel)
        assert (report.completed, report.failed) == (len(ATTACKS) + 1, 0)
        await come_back_exactly(handles, ATTACKS)
        assert (await named.status()).name == ATTACKS[1]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_names_and_ids_that_are_sql_find_nothing(boot: Boot, attack: str) -> None:
    async with boot(Note) as kernel:
        await finds_nothing(kernel.get(Client), attack)
