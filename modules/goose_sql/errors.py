"""Every fault that goose_sql reports by itself: one class each, facts in attributes, the sentence in ``str()``.

What a statement does wrong (a constraint, a syntax error) stays SQLAlchemy's or the driver's own error.
"""

from __future__ import annotations

from goose.errors import ConfigError, GooseError

__all__ = [
    "BadUrl",
    "CommitInDoubt",
    "ConfigError",
    "DatabaseBusy",
    "DatabaseClosed",
    "DatabaseUnavailable",
    "MigrationFailed",
    "MissingDriver",
    "MissingMigrations",
    "NewerDatabase",
    "NoDatabase",
    "NotYourTransaction",
    "PendingMigrations",
    "SmallPool",
    "SqlError",
    "SqliteOnly",
    "UnknownModule",
    "UnsupportedDatabase",
    "WrongColour",
]


class SqlError(GooseError):
    """Root of all errors of goose_sql."""


class BadUrl(SqlError, ConfigError):
    """A database URL that cannot be used."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"


class MissingDriver(SqlError, ConfigError):
    """The URL needs a driver package that is not installed."""

    def __init__(self, url: str, package: str, install: str) -> None:
        super().__init__(url, package, install)
        self.url = url
        self.package = package
        self.install = install

    def __str__(self) -> str:
        return f"{self.url} needs the package {self.package}, which is not installed: pip install {self.install}"


class SmallPool(SqlError, ConfigError):
    """A server's pool in which two things that wait for each other would not find room."""

    def __init__(self, url: str, pool_size: int, needed: int) -> None:
        super().__init__(url, pool_size, needed)
        self.url = url
        self.pool_size = pool_size
        self.needed = needed

    def __str__(self) -> str:
        return (
            f"{self.url}: pool_size={self.pool_size} is not allowed; a server needs at least {self.needed}, "
            "as a session that is open must leave room for what its code writes meanwhile."
        )


class UnsupportedDatabase(SqlError):
    """The database is older than what Goose works with."""

    def __init__(self, url: str, found: str, needed: str) -> None:
        super().__init__(url, found, needed)
        self.url = url
        self.found = found
        self.needed = needed

    def __str__(self) -> str:
        return f"{self.url}: found {self.found}, need {self.needed} or newer."


class DatabaseClosed(SqlError):
    """Something was asked of a database that is not open."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"The database {self.url} is not open: it was closed, or open() was not awaited yet."


class DatabaseUnavailable(SqlError):
    """The database did not answer, or cannot be worked with; nothing is known to be stored."""

    status_code = 503

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"The database {self.url} is not available: {self.reason}"


class CommitInDoubt(DatabaseUnavailable):
    """The connection broke while the answer to a commit was awaited: it was stored wholly or not at all."""

    def __str__(self) -> str:
        return f"The database {self.url} did not say whether it has committed: {self.reason}"


class DatabaseBusy(DatabaseUnavailable):
    """The write lock of a SQLite file was not to be had in time; nothing was written."""

    def __init__(self, url: str, waited: float) -> None:
        super().__init__(
            url,
            f"its write lock was not free within {waited:g} s. "
            "Somebody keeps a transaction open: commit sooner, and write through one session per task.",
        )
        self.waited = waited

    def __reduce__(self) -> tuple[type[DatabaseBusy], tuple[str, float]]:
        return DatabaseBusy, (self.url, self.waited)


class NoDatabase(SqlError):
    """A module has tables, and the application no database to put them in."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module

    def __str__(self) -> str:
        return f"{self.module} has tables, but the application has no database: add a SqlModule to it."


class NotYourTransaction(SqlError):
    """Code that was lent a connection tried to end the transaction that it stands in."""

    def __str__(self) -> str:
        return "This transaction belongs to the caller: return to have it committed, raise to have it rolled back."


class SqliteOnly(SqlError):
    """Something was asked of a database server that only a SQLite file has."""

    def __init__(self, what: str, url: str) -> None:
        super().__init__(what, url)
        self.what = what
        self.url = url

    def __str__(self) -> str:
        return f"{self.what} is for SQLite; {self.url} is a server."


class WrongColour(SqlError, TypeError):
    """A transaction of async code was used from blocking code, or the other way round."""

    def __init__(self, subject: str, instead: str) -> None:
        super().__init__(subject, instead)
        self.subject = subject
        self.instead = instead

    def __str__(self) -> str:
        return f"{self.subject}: {self.instead}"


class MissingMigrations(SqlError):
    """A module names a package of migrations that cannot be imported, or names none where one is needed."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(module, reason)
        self.module = module
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.module}: {self.reason}"


class MigrationFailed(SqlError):
    """A migration stopped with an error; where the database can undo layout changes, it has."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(module, reason)
        self.module = module
        self.reason = reason

    def __str__(self) -> str:
        return f"Migrating {self.module} failed: {self.reason}"


class NewerDatabase(SqlError):
    """A database was migrated by code that is newer than this process."""

    def __init__(self, module: str, url: str, version: str) -> None:
        super().__init__(module, url, version)
        self.module = module
        self.url = url
        self.version = version

    def __str__(self) -> str:
        return (
            f"{self.url} has version {self.version} of {self.module}, which this code does not know. "
            "It was migrated by newer code: update this process."
        )


class PendingMigrations(SqlError):
    """Tables are missing or older than the code."""

    def __init__(self, modules: tuple[str, ...], url: str) -> None:
        super().__init__(modules, url)
        self.modules = modules
        self.url = url

    def __str__(self) -> str:
        lack = "lack" if " and " in self.url else "lacks"
        return f"{self.url} {lack} migrations of {', '.join(self.modules)}. Run: goose db migrate"


class UnknownModule(SqlError):
    """``goose db revision`` was given a name that no module with tables has."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"{self.name} is not a module with tables of its own. Modules that are: {known}."
