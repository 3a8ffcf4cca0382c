"""Statements of SQLAlchemy Core, compiled once, whose text goes to the driver's own connection.

A queue runs the same few statements all day: through Core each costs 20 microseconds, through the driver 2 (measured,
see ``docs/decisions/0003-stored-layout.md``). Every operation of this store runs its statements through here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import ClauseElement, Connection, Dialect

from goose_queues.stores.sql.tables import Family, Tables

Values: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The tables together with the dialect that statements are compiled for; one per store."""

    tables: Tables
    dialect: Dialect

    @property
    def family(self) -> Family:
        """Whose SQL it is: MySQL and MariaDB share theirs."""
        return self.tables.family

    @property
    def takes_lists(self) -> bool:
        """MySQL: whether the driver writes out a list of keys; else they come as a table that is joined."""
        return self.family == "mysql" and self.dialect.driver == "asyncmy"

    def prepare(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> Statement:
        """Compile once; ``columns`` are those that an INSERT fills."""
        return Statement(statement, self.dialect, columns)


class Statement:
    """One compiled statement; its parameters are the ones that it names."""

    def __init__(self, statement: ClauseElement, dialect: Dialect, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._paramstyle = dialect.paramstyle
        self._variants: dict[str, Statement] = {}
        """For drivers that want their parameters in another way: of sessions of the application's own."""
        compiled = statement.compile(dialect=dialect, column_keys=None if columns is None else list(columns))
        self.text = str(compiled)
        """What the driver gets."""
        constants = {name: value for name, value in (compiled.params or {}).items() if type(value) is int}
        positions: Sequence[str] | None = getattr(compiled, "positiontup", None)
        names = tuple(compiled.params or ()) if positions is None else positions
        self._arrange = _arranged(names, constants) if dialect.positional else _named(names, constants)

    def run(self, connection: Connection, values: Values) -> int:
        """Execute once; return how many rows of the table were touched."""
        statement = self._for(connection)
        return int(statement._cursor(connection, statement._arrange(values)).rowcount)  # noqa: SLF001 - one of this class

    def rows(self, connection: Connection, values: Values) -> list[tuple[Any, ...]]:
        """Execute once; return what it selects or returns."""
        statement = self._for(connection)
        rows: list[tuple[Any, ...]] = statement._cursor(connection, statement._arrange(values)).fetchall()  # noqa: SLF001
        return rows

    def run_many(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Execute for every row, in one go; return how many rows of the table were touched in all."""
        if len(rows) <= 1:
            return self.run(connection, rows[0]) if rows else 0
        statement = self._for(connection)
        arranged: Any = [statement._arrange(row) for row in rows]  # noqa: SLF001
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            return raw.executemany(statement.text, arranged).rowcount
        return connection.exec_driver_sql(statement.text, arranged).rowcount

    def _for(self, connection: Connection) -> Statement:
        """The statement as the connection's driver takes it."""
        style = connection.dialect.paramstyle
        if style == self._paramstyle:
            return self
        if style not in self._variants:
            self._variants[style] = Statement(self._statement, connection.dialect, self._columns)
        return self._variants[style]

    def _cursor(self, connection: Connection, parameters: Any) -> Any:
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            return raw.execute(self.text, parameters)
        return connection.exec_driver_sql(self.text, parameters or None)


def _arranged(names: Sequence[str], constants: Values) -> Callable[[Values], Any]:
    """A function from named values to the tuple that the driver wants; Core has some constants of its own."""
    if len(names) > 1 and not constants:
        return itemgetter(*names)
    return lambda values: tuple(constants[name] if name in constants else values[name] for name in names)


def _named(names: Sequence[str], constants: Values) -> Callable[[Values], Any]:
    """The same for a driver that wants them by name."""
    return lambda values: {name: constants[name] if name in constants else values[name] for name in names}
