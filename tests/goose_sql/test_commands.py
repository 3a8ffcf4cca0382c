"""Tests of ``goose db``: what it says and does, as a real command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAIN = """
import goose
from goose import ApiPlatform, Module, api
from goose_sql import SqlModule, Tables
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): ...

class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)

class OrdersModule(Module):
    imports = (SqlModule(url="sqlite:///orders.db"),)
    metadata = Base.metadata
    migrations = "shop.migrations"

class JobsModule(Module):
    def tables_to_migrate(self):
        metadata = MetaData()
        Table("jobs", metadata, Column("id", Integer, primary_key=True))
        return Tables("JobsModule", metadata, url="sqlite:///jobs.db", at_boot=False)

app = api(ApiPlatform(), OrdersModule, [JobsModule()])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    return tmp_path


def goose(project: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("goose"), "db", *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_whole_way(project: Path) -> None:
    """A version is written, missed by check, migrated with every other module's tables, and found by check."""
    wrote = goose(project, "revision", "OrdersModule", "-m", "Orders begin")
    assert wrote.startswith(f"wrote {project}/shop/migrations/")
    assert goose(project, "check", code=1) == (
        f"goose: sqlite:///{project}/orders.db and sqlite:///{project}/jobs.db lack migrations "
        "of OrdersModule, JobsModule. Run: goose db migrate\n"
    )
    assert goose(project, "migrate") == "migrated OrdersModule\nmigrated JobsModule\n"
    assert goose(project, "migrate") == "nothing to migrate\n"
    assert goose(project, "check") == "nothing to migrate\n"
    assert goose(project, "revision", "OrdersModule", "-m", "again") == (
        "nothing to write: the database is as OrdersModule.metadata says\n"
    )


def test_unknown_module(project: Path) -> None:
    """A revision of a module that has no tables names those that have."""
    assert goose(project, "revision", "OrderModule", "-m", "x", code=1) == (
        "goose: OrderModule is not a module with tables of its own. Modules that are: JobsModule, OrdersModule.\n"
    )


def test_no_database(project: Path) -> None:
    """Tables without a database to put them in are told so."""
    source = MAIN.replace('    imports = (SqlModule(url="sqlite:///orders.db"),)\n', "").replace(
        "[JobsModule()]", "[JobsModule(), DatabaseCommands()]"
    )
    (project / "main.py").write_text("from goose_sql import DatabaseCommands\n" + source)
    assert goose(project, "check", code=1) == (
        "goose: OrdersModule has tables, but the application has no database: add a SqlModule to it.\n"
    )


def test_unusable_database(project: Path) -> None:
    """A database that cannot be opened is one line."""
    (project / "orders.db").write_text("no database" * 1000)
    assert goose(project, "migrate", code=1) == (
        f"goose: The database sqlite:///{project}/orders.db is not available: file is not a database. "
        "Is this the right file?\n"
    )
