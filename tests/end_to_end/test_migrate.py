"""``goose db``: a version is written, missed by check, and carried out."""

from __future__ import annotations

from pathlib import Path

from end_to_end.installed import Goose

STORED = """
import goose
from goose import ApiPlatform, Module, api
from goose_queues import QueuesModule
from goose_sql import SqlModule
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): ...

class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)

class OrdersModule(Module):
    imports = (SqlModule(url="sqlite:///orders.db"),)
    metadata = Base.metadata
    migrations = "shop.versions"

app = api(ApiPlatform(), OrdersModule, [QueuesModule(auto_migrate=False)])
"""


def test_a_change_of_tables_is_written_down_checked_and_carried_out(goose: Goose, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(STORED)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    written = goose(tmp_path, "db", "revision", "OrdersModule", "-m", "Orders begin").stdout
    assert written.startswith(f"wrote {tmp_path}/shop/versions/")
    unready = goose(tmp_path, "db", "check", code=1).stderr
    assert unready == (
        f"goose: sqlite:///{tmp_path}/orders.db lacks migrations of QueuesModule, OrdersModule. Run: goose db migrate\n"
    )
    assert goose(tmp_path, "db", "migrate").stdout == "migrated QueuesModule\nmigrated OrdersModule\n"
    assert goose(tmp_path, "db", "check").stdout == "nothing to migrate\n"
    assert goose(tmp_path, "db", "migrate").stdout == "nothing to migrate\n"
