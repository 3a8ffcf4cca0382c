"""Many rows of parameters for one statement: the same change of a thousand jobs in one go.

SQLite runs a statement once for each row, which costs next to nothing there. A server gets all rows at once, as a table
that the statement joins: the parameters are one array for each column, or one JSON text, so that the text of the
statement is always the same. An array goes as the text that PostgreSQL reads as one: psycopg takes five microseconds for
each element of a list, this takes a tenth of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    String,
    Text,
    bindparam,
    cast,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from goose_queues.stores.sql.statement import Layout, Values

Kind: TypeAlias = Literal["key", "text", "whole", "real"]
"""What a column of parameters holds: a short text that is compared with, any text, an integer, a float."""

_TYPES: Final[dict[Kind, Any]] = {"key": String(255), "text": Text(), "whole": BigInteger(), "real": Double()}
_MYSQL: Final[dict[Kind, str]] = {
    "key": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "text": "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "whole": "BIGINT",
    "real": "DOUBLE",
}
_ROWS: Final = "given_rows"
KEYS: Final = 500
"""Keys of one list, where a statement has no other parameters of its rows; MariaDB makes a subquery of 1,000."""
_NOTHING: Final[Values] = {}


class Given:
    """The parameters of many rows, as expressions of a statement: ``given["of_id"]``."""

    def __init__(self, layout: Layout, kinds: Mapping[str, Kind], *, is_alone: bool = False) -> None:
        self._kinds = kinds
        self._is_postgresql = layout.family == "postgresql"
        self.is_list: Final = layout.takes_lists and len(kinds) == 1 and not is_alone
        """Whether it is a list of keys: quicker for MySQL than a table of one column, where the driver writes lists out."""
        self.rows: Final = None if self.is_list or is_alone else _table(layout, kinds)
        """What the statement selects from or joins; None where it runs for each row by itself."""

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        if self.rows is None:
            return bindparam(name, type_=_TYPES[self._kinds[name]])
        column: ColumnElement[Any] = self.rows.c[name]
        # As the tables' own columns, or the two could not be compared.
        return column.collate("C") if self._is_postgresql and self._kinds[name] == "key" else column

    def is_for(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Whether one of the rows has this column's value in its parameter."""
        # The driver writes a list out in brackets.
        return column.op("IN", is_comparison=True)(bindparam(_ROWS)) if self.is_list else column == self[name]


class Many:
    """A statement that is run for many rows of parameters.

    Args:
        layout: Whose dialect it is compiled for.
        kinds: The parameters of each row.
        build: Makes the statement, given their expressions.
        also_alone: A single row has a statement of its own: to a server, a table of many columns costs more than one row.
    """

    def __init__(
        self,
        layout: Layout,
        kinds: Mapping[str, Kind],
        build: Callable[[Given], ClauseElement],
        *,
        also_alone: bool = False,
    ) -> None:
        self._family = layout.family
        self._names = tuple(kinds)
        given = Given(layout, kinds)
        self._is_list = given.is_list
        self._alone = layout.prepare(build(Given(layout, kinds, is_alone=True))) if also_alone else None
        self.statement: Final = layout.prepare(build(given))

    def run(self, connection: Connection, rows: Sequence[Values], common: Values = _NOTHING) -> int:
        """Execute for every row; return how many rows of the table were touched in all.

        Args:
            connection: In a transaction, unless it is one row or a server.
            rows: Values for each of the parameters.
            common: Values that are the same for all rows, of parameters that the statement has beside those.
        """
        if not rows:
            return 0
        if self._alone is not None and len(rows) == 1:
            return self._alone.run(connection, {**rows[0], **common} if common else rows[0])
        if self._family == "sqlite":
            return self.statement.run_many(connection, [{**row, **common} for row in rows] if common else rows)
        return sum(self.statement.run(connection, values) for values in self._arranged(rows, common))

    def rows(self, connection: Connection, rows: Sequence[Values], common: Values = _NOTHING) -> list[tuple[Any, ...]]:
        """Execute for every row; return what is selected or returned for all of them."""
        if not rows:
            return []
        if self._family == "sqlite":
            return [found for row in rows for found in self.statement.rows(connection, {**row, **common})]
        arranged = self._arranged(rows, common)
        return [found for values in arranged for found in self.statement.rows(connection, values)]

    def _arranged(self, rows: Sequence[Values], common: Values) -> Iterator[Values]:
        """The parameters of each execution: of one, but for very many keys."""
        if self._family == "postgresql":
            yield {**common, **{name: _array([row[name] for row in rows]) for name in self._names}}
        elif self._is_list:
            keys = tuple(row[self._names[0]] for row in rows)
            for start in range(0, len(keys), KEYS):
                yield {**common, _ROWS: keys[start : start + KEYS]}
        else:
            yield {**common, _ROWS: json.dumps([[row[name] for name in self._names] for row in rows])}


def _table(layout: Layout, kinds: Mapping[str, Kind]) -> FromClause | None:
    match layout.family:
        case "sqlite":
            return None
        case "postgresql":
            arrays = [cast(cast(bindparam(name), Text), ARRAY(_TYPES[kind])) for name, kind in kinds.items()]
            columns = [Column(name, _TYPES[kind]) for name, kind in kinds.items()]
            return func.unnest(*arrays).table_valued(*columns).render_derived(name="given")
        case "mysql":
            paths = ", ".join(
                f"{name} {_MYSQL[kind]} PATH '$[{place}]'" for place, (name, kind) in enumerate(kinds.items())
            )
            names = ", ".join(kinds)
            # The names are those of this package's own statements.
            rows = text(f"SELECT {names} FROM JSON_TABLE(:{_ROWS}, '$[*]' COLUMNS ({paths})) AS given_json")  # noqa: S608
            return rows.columns(**{name: _TYPES[kind] for name, kind in kinds.items()}).subquery("given")


def _array(values: Sequence[object]) -> str:
    """As PostgreSQL reads it; numbers may stand in quotes like everything else."""
    return "{" + ",".join(["NULL" if value is None else _element(value) for value in values]) + "}"


def _element(value: object) -> str:
    text = str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
