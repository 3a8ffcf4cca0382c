"""Tests of goose_sql.urls: what a URL leads to and what of it may be shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

import goose_sql.urls
from goose_sql import Database
from goose_sql.errors import BadUrl, MissingDriver
from goose_sql.urls import address_of, masked, place_of, without_secrets


@pytest.fixture(autouse=True)
def _every_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goose_sql.urls, "find_spec", lambda _: object())


@pytest.mark.parametrize(
    ("text", "driver", "dialect"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg", "postgresql"),
        ("postgres://u@h/d", "postgresql+psycopg", "postgresql"),
        ("mysql://u@h/d", "mysql+asyncmy", "mysql"),
        ("mariadb://u@h/d", "mariadb+asyncmy", "mariadb"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg", "postgresql"),
    ],
)
def test_driver(text: str, driver: str, dialect: str) -> None:
    """A plain scheme picks our async driver, a named one is honoured."""
    address = address_of(text)
    assert (address.url.drivername, address.dialect) == (driver, dialect)


@pytest.mark.parametrize(
    "text", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://", "sqlite:///file::memory:?uri=true"]
)
def test_private(text: str) -> None:
    """What names no file is a private temporary one, the same place as nothing else."""
    address = address_of(text)
    assert address.is_private
    assert not address.same_place(address)


def test_file_is_resolved(tmp_path: Path) -> None:
    """A link, a relative path and a file: URI lead to the same place as the file itself."""
    (tmp_path / "link").symlink_to(tmp_path)
    here = address_of(f"sqlite:///{tmp_path}/a.db")
    for text in (
        f"sqlite:///{tmp_path}/link/a.db",
        f"sqlite+aiosqlite:///{os.path.relpath(tmp_path)}/a.db",
        f"sqlite:///file:{tmp_path}/a.db?uri=true",
    ):
        assert here.same_place(address_of(text)), text
    assert not here.same_place(address_of(f"sqlite:///{tmp_path}/b.db"))


def test_same_server() -> None:
    """Servers are the same by host, port and database, whoever logs in by what driver; mysql and mariadb are one."""
    here = address_of("mysql://one:x@localhost/shop")
    assert here.same_place(place_of("mysql+pymysql://two@localhost/shop"))
    assert here.same_place(address_of("mariadb+aiomysql://two@127.0.0.1:3306/shop"))
    assert not here.same_place(address_of("mysql://one@localhost/other"))
    assert not here.same_place(address_of("postgresql://one@localhost/shop"))


@pytest.mark.parametrize(
    "there",
    [
        "postgresql+psycopg2://two@localhost/shop",
        "postgresql+pg8000://127.0.0.1:5432/shop",
        "postgresql+asyncpg:///shop?host=/var/run/postgresql",
        "postgres://[::1]/shop?application_name=other",
    ],
)
def test_same_server_by_another_driver(there: str) -> None:
    """A caller's own engine may use a driver that is blocking or not installed here, and reach this machine as it likes."""
    database = Database("postgresql://one:x@localhost/shop")
    assert database.same_place(there)
    assert not database.same_place(there.replace("/shop", "/other"))
    assert not database.same_place("postgresql+psycopg2://elsewhere/shop")
    assert not database.same_place("oracle://localhost/shop")


def test_masked() -> None:
    """A password is hidden in the place of passwords and in the query, and cut out of a driver's message."""
    url = make_url("postgresql://u:s3cret@h/d?sslpassword=other&application_name=a")
    assert "s3cret" not in masked(url)
    assert "other" not in masked(url)
    assert "application_name=a" in masked(url)
    assert without_secrets("no s3cret, no other", url) == "no ***, no ***"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nonsense s3cret",
            "The database URL: it cannot be read. It looks like one of: "
            "sqlite:///file.db, postgresql://user@host/name, mysql://user@host/name.",
        ),
        (
            "oracle://u:s3cret@h/d",
            "oracle://u:***@h/d: 'oracle' is not supported. Use one of: "
            "sqlite:///file.db, postgresql://user@host/name, mysql://user@host/name.",
        ),
        (
            "postgresql+psycopg2://u:s3cret@h/d",
            "postgresql+psycopg2://u:***@h/d: 'psycopg2' is not an async driver. Leave it out to get 'psycopg'.",
        ),
        (
            "mysql+nonsense://u:s3cret@h/d",
            "mysql+nonsense://u:***@h/d: SQLAlchemy knows no driver 'nonsense' for this database.",
        ),
        (
            "sqlite://file.db",
            "sqlite://file.db: a file takes three slashes, an absolute path four. Write sqlite:///file.db.",
        ),
        (
            "sqlite+pysqlcipher:///file.db",
            "sqlite+pysqlcipher:///file.db: the driver 'pysqlcipher' is not supported for SQLite. "
            "Write sqlite:///file.db.",
        ),
    ],
)
def test_refused(text: str, message: str) -> None:
    """What cannot be used is refused in one sentence that shows no password."""
    with pytest.raises(BadUrl) as refusal:
        address_of(text)
    assert str(refusal.value) == message


def test_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is not there says which extra brings it."""
    monkeypatch.setattr(goose_sql.urls, "find_spec", lambda _: None)
    with pytest.raises(MissingDriver) as refusal:
        address_of("postgresql://u:s3cret@h/d")
    assert str(refusal.value) == (
        "postgresql+psycopg://u:***@h/d needs the package psycopg, which is not installed: "
        'pip install "goose-framework[postgres]"'
    )
    with pytest.raises(MissingDriver) as other:
        address_of("postgresql+asyncpg://h/d")
    assert other.value.install == "asyncpg"
