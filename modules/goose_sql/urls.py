"""From a database URL as people write it to where it leads: the async driver, the file, and what may be shown.

``database`` makes one ``Address`` of each URL; the queue's configuration checks its own URL by making one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from goose_sql.errors import BadUrl, MissingDriver

Dialect: TypeAlias = Literal["sqlite", "postgresql", "mysql", "mariadb"]

_CHOSEN: Final[dict[str, Dialect]] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
}
_DRIVERS: Final[dict[Dialect, str]] = {
    "sqlite": "aiosqlite",
    "postgresql": "psycopg",
    "mysql": "asyncmy",
    "mariadb": "asyncmy",
}
_EXTRAS: Final = {"psycopg": "postgres", "asyncmy": "mysql"}
_PACKAGES: Final = {"psycopg_async": "psycopg"}
_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_LOCAL: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})
_SECRET: Final = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
_EXAMPLES: Final = "sqlite:///file.db, postgresql://user@host/name, mysql://user@host/name"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads."""

    url: URL
    """With the driver filled in; carries the password."""
    dialect: Dialect
    file: Path | None
    """SQLite: the resolved file; None for a private temporary one, and on servers."""

    @property
    def is_private(self) -> bool:
        """Whether this is a temporary SQLite file of one ``Database`` alone."""
        return self.dialect == "sqlite" and self.file is None

    def same_place(self, other: Address) -> bool:
        """Whether both lead to the same data."""
        if self.dialect == "sqlite" or other.dialect == "sqlite":
            return self.file is not None and self.file == other.file
        return _place(self) == _place(other)

    def __str__(self) -> str:
        return masked(self.url)


def address_of(text: str | URL) -> Address:
    """Read a URL and check that it can be used.

    Raises:
        BadUrl: It cannot be read, or names no database or driver that can be used.
        MissingDriver: Its driver is not installed.
    """
    address = place_of(text)
    if address.dialect != "sqlite":
        _check_driver(address.url, address.url.get_driver_name())
    return address


def place_of(text: str | URL) -> Address:
    """Read a URL only to compare where it leads: a blocking session may use a driver that cannot be used here.

    Raises:
        BadUrl: It cannot be read, or names no database that is supported.
    """
    url = _parsed(text)
    backend, _, named = url.drivername.partition("+")
    dialect = _CHOSEN.get(backend)
    if dialect is None:
        raise BadUrl(masked(url), f"{backend!r} is not supported. Use one of: {_EXAMPLES}.")
    if dialect == "sqlite":
        return _sqlite_address(url, named)
    return Address(url.set(drivername=f"{dialect}+{named or _DRIVERS[dialect]}"), dialect, None)


def masked(url: URL) -> str:
    """The URL as it may be shown: without the password, wherever it stands."""
    hidden = {name: "***" for name in url.query if _SECRET.search(name)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True) if hidden else repr_of(url)


def repr_of(url: URL) -> str:
    """The URL with its password masked, nothing else changed."""
    return url.render_as_string(hide_password=True)


def without_secrets(text: str, url: URL) -> str:
    """A driver's message without the URL's password in it."""
    secrets = [url.password or "", *(str(v) for k, v in url.query.items() if _SECRET.search(k))]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def sqlite_file(url: URL) -> Path | None:
    """The file that a SQLite URL names, resolved; None where it names none."""
    name = url.database or ""
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
        name = re.sub(r"^//[^/]*(?=/)", "", name)
    if name in {"", ":memory:"} or url.query.get("mode") == "memory":
        return None
    return Path(name).expanduser().resolve()


def _parsed(text: str | URL) -> URL:
    if isinstance(text, URL):
        return text
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise BadUrl("The database URL", f"it cannot be read. It looks like one of: {_EXAMPLES}.") from None


def _sqlite_address(url: URL, named: str) -> Address:
    if named not in {"", "aiosqlite", "pysqlite"}:
        raise BadUrl(masked(url), f"the driver {named!r} is not supported for SQLite. Write sqlite:///file.db.")
    if url.host or url.username:
        raise BadUrl(masked(url), "a file takes three slashes, an absolute path four. Write sqlite:///file.db.")
    file = sqlite_file(url)
    shown = URL.create("sqlite", database=str(file)) if file is not None else URL.create("sqlite")
    return Address(shown, "sqlite", file)


def _check_driver(url: URL, driver: str) -> None:
    try:
        dialect = url.get_dialect(_is_async=True)
    except NoSuchModuleError:
        raise BadUrl(masked(url), f"SQLAlchemy knows no driver {driver!r} for this database.") from None
    if not dialect.is_async:
        chosen = _DRIVERS[_CHOSEN[url.get_backend_name()]]
        raise BadUrl(masked(url), f"{driver!r} is not an async driver. Leave it out to get {chosen!r}.")
    package = _PACKAGES.get(driver, driver)
    if find_spec(package) is None:
        extra = _EXTRAS.get(package)
        raise MissingDriver(masked(url), package, f'"goose-framework[{extra}]"' if extra else package)


def _place(address: Address) -> tuple[str, str, int | None, str | None]:
    url = address.url
    family = "mysql" if address.dialect == "mariadb" else address.dialect
    host = str(url.host or url.query.get("host") or "").lower()
    # A path is the folder of a socket, on this machine.
    here = host in _LOCAL or host.startswith("/")
    return family, "" if here else host, url.port or _PORTS[address.dialect], url.database or url.username
