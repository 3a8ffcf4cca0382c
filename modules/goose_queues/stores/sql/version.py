"""Which version of the layout a database has, and whether this process can work with it. Asked at every opening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from goose_queues.stores.sql.tables import Tables
from goose_sql.existing import is_there

VERSION: Final = 2
"""What this code was written for: the number of the newest step in ``migrations``."""


@dataclass(frozen=True, slots=True)
class Version:
    """What the tables say of themselves."""

    number: int
    oldest: int
    """The oldest version whose code can work with them."""

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to migrate."""
        return self.number >= VERSION

    @property
    def is_workable(self) -> bool:
        """Whether this code can work with the tables; newer ones say so themselves."""
        return self.is_current and self.oldest <= VERSION


def version_of(connection: Connection, tables: Tables) -> Version | None:
    """The version of the tables, 0 where none was written down; None where there are no tables."""
    layout = tables.layout
    if not is_there(connection, layout):
        return None
    columns = select(layout.c.version, layout.c.oldest).order_by(layout.c.version.desc()).limit(1)
    row = connection.execute(columns).first()
    return Version(0, 0) if row is None else Version(row.version, row.oldest)
