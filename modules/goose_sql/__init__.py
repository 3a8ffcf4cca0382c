"""goose_sql: a database for an application: sessions as units of work, whole transactions, migrations."""

from goose_sql.columns import ExactDecimal, UtcDateTime
from goose_sql.database import Database
from goose_sql.errors import (
    BadUrl,
    CommitInDoubt,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseUnavailable,
    MissingDriver,
    SmallPool,
    SqlError,
)
from goose_sql.module import DatabaseCommands, SqlModule
from goose_sql.tables import Tables
from goose_sql.units import Unit, open_units, unit_of

__all__ = [
    "BadUrl",
    "CommitInDoubt",
    "Database",
    "DatabaseBusy",
    "DatabaseClosed",
    "DatabaseCommands",
    "DatabaseUnavailable",
    "ExactDecimal",
    "MissingDriver",
    "SmallPool",
    "SqlError",
    "SqlModule",
    "Tables",
    "Unit",
    "UtcDateTime",
    "open_units",
    "unit_of",
]
