"""Tests of goose_sql.columns: what is put in comes back, on every database, and a version made of them changes nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.exc import StatementError
from sqlalchemy.types import TypeDecorator

from goose_sql import Database, ExactDecimal, Tables, UtcDateTime
from goose_sql.migrations import migrate, revise
from servers.shared import DATABASES, room

METADATA = MetaData()
SALES = Table(
    "sales",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sold_at", UtcDateTime()),
    Column("price", ExactDecimal(15, 4)),
)


@pytest.fixture(params=["sqlite", *DATABASES])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        url: Any = f"sqlite:///{tmp_path / 'sales.db'}"
    else:
        room(request.param).clear()
        url = room(request.param).url
    async with Database(url) as database:
        yield database


async def kept(database: Database, **values: object) -> Any:
    """The row of these values, as it comes back."""
    await database.write(METADATA.create_all)
    await database.write(lambda connection: connection.execute(insert(SALES), values))
    return await database.read(lambda connection: connection.execute(select(SALES)).one())


async def test_a_moment_comes_back_in_utc_to_the_microsecond(database: Database) -> None:
    moment = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=5)))
    row = await kept(database, sold_at=moment)
    assert row.sold_at == moment
    assert row.sold_at.tzinfo is UTC
    found = select(SALES.c.id).where(SALES.c.sold_at == moment)
    assert await database.read(lambda connection: connection.scalar(found)) == row.id
    assert row.price is None


async def test_a_naive_moment_is_refused(database: Database) -> None:
    with pytest.raises(
        StatementError, match=r"datetime.datetime\(2030, 1, 2, 0, 0\) is naive: use datetime.now\(UTC\)"
    ):
        await kept(database, sold_at=datetime(2030, 1, 2))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    ("given", "comes_back"),
    [
        ("12345678901.2345", "12345678901.2345"),
        ("-99999999999.9999", "-99999999999.9999"),
        ("0.1", "0.1000"),
        ("7", "7.0000"),
        ("0.00005", "0.0001"),
        ("-0.00005", "-0.0001"),
    ],
)
async def test_a_decimal_is_exact(database: Database, given: str, comes_back: str) -> None:
    row = await kept(database, price=Decimal(given))
    assert str(row.price) == comes_back
    found = select(SALES.c.id).where(SALES.c.price == Decimal(comes_back))
    assert await database.read(lambda connection: connection.scalar(found)) == row.id
    assert row.sold_at is None


async def test_a_decimal_that_is_too_large_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="99999999999.99999 has more than 11 digits before the point"):
        await kept(database, price=Decimal("99999999999.99999"))


def test_more_digits_than_every_database_keeps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ExactDecimal\(16, 2\): at most 15 digits, the scale among them"):
        ExactDecimal(16, 2)


class Loud(TypeDecorator[str]):
    """An application's own type."""

    impl = String(20)
    cache_ok = True


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module ``loud``, which has ``Loud``, and beside it a package for versions."""
    (tmp_path / "market").mkdir()
    (tmp_path / "market/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Loud, "__module__", "loud")
    monkeypatch.setitem(sys.modules, "loud", sys.modules[__name__])
    importlib.invalidate_caches()
    yield "market.migrations"
    for name in [name for name in sys.modules if name.partition(".")[0] == "market"]:
        del sys.modules[name]


async def test_a_version_names_what_is_beneath_and_leaves_nothing_to_write(database: Database, package: str) -> None:
    metadata = MetaData()
    Table("sales", metadata, *(Column(each.name, each.type, primary_key=each.primary_key) for each in SALES.columns))
    Table("cries", metadata, Column("cry", Loud()))
    tables = Tables("MarketModule", metadata, package)
    path = await revise(database, tables, "begin")
    assert path is not None
    version = path.read_text()
    assert "sa.Numeric(precision=15, scale=4)" in version
    assert "sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), 'mariadb').with_variant(mysql" in version
    assert "goose_sql" not in version
    assert "\nimport loud\n\nrevision = " in version
    assert await migrate(database, (tables,)) == ("MarketModule",)
    assert await revise(database, tables, "again") is None
