"""``goose new module --resource``: what it writes passes its own checks and tests, and keeps its data in every database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from end_to_end.installed import PATIENCE, Goose
from servers.shared import DATABASES, room

KINDS = (
    "text:str",
    "whole:int",
    "real:float",
    "flag:bool",
    "moment:datetime",
    "day:date",
    "code:UUID",
    "amount:Decimal",
    "names:list[str]",
    "counts:dict[str, int]",
    "note:str | None = None",
    "due:datetime | None = None",
    "more:dict[str, list[float]] | None = None",
    'said:str="it is"',
    "marks:list[int]=[1, 2]",
)
SAMPLE: dict[str, Any] = {
    "text": "text",
    "whole": 1,
    "real": 0.1,
    "flag": True,
    "moment": "2030-01-02T03:04:05.678901Z",
    "day": "2030-01-02",
    "code": "00000000-0000-0000-0000-000000000001",
    "amount": "1.5000",
    "names": ["a"],
    "counts": {"a": 1},
    "note": None,
    "due": None,
    "more": None,
    "said": "it is",
    "marks": [1, 2],
}


@pytest.fixture(scope="module")
def market(goose: Goose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application with a resource as one begins, and one of every kind of field."""
    folder = tmp_path_factory.mktemp("projects")
    goose(folder, "new", "app", "market")
    project = folder / "market"
    made = goose(project, "new", "module", "orders", "--resource", "item:str", "quantity:int=1")
    assert made.stdout.endswith("\nadded OrdersModule to AppModule.imports in app/module.py\n")
    goose(project, "new", "module", "all_kinds", "--resource", *KINDS)
    return project


@pytest.fixture(scope="module", params=["sqlite", *DATABASES])
def url(request: pytest.FixtureRequest, market: Path) -> Iterator[str]:
    """A database of nobody else's."""
    if request.param == "sqlite":
        yield "sqlite:///other.db"
        return
    place = room(request.param)
    place.clear()
    yield place.url.render_as_string(False)
    place.clear()


@pytest.fixture(scope="module")
def migrated(goose: Goose, market: Path, url: str) -> str:
    """What ``goose db migrate`` said."""
    return goose(market, "db", "migrate", DATABASE_URL=url).stdout


@pytest.fixture(scope="module")
def http(goose: Goose, market: Path, url: str, migrated: str) -> Iterator[httpx2.Client]:
    """A client of the application, served on that database."""
    with goose.running(market, "run", "--port", "0", DATABASE_URL=url) as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        with httpx2.Client(base_url=base, timeout=PATIENCE) as client:
            yield client
        assert server.stop() == 0
    assert "Traceback" not in server.log


def test_it_passes_its_own_checks_and_tests(goose: Goose, market: Path) -> None:
    goose.module(market, "-m", "ruff", "check")
    goose.module(market, "-m", "ruff", "format", "--check")
    goose.module(market, "-m", "mypy")
    assert goose.tests(market) == 36


def test_its_first_version_makes_the_tables_as_they_are_declared(
    goose: Goose, market: Path, url: str, migrated: str
) -> None:
    assert migrated == "migrated QueuesModule\nmigrated OrdersModule\nmigrated AllKindsModule\n"
    again = goose(market, "db", "revision", "AllKindsModule", "-m", "again", DATABASE_URL=url)
    assert again.stdout == "nothing to write: the database is as AllKindsModule.metadata says\n"
    goose(market, "check", DATABASE_URL=url)


def test_what_comes_next_follows_its_first_version(goose: Goose, market: Path, tmp_path: Path) -> None:
    project = shutil.copytree(market, tmp_path / "market", ignore=shutil.ignore_patterns("*.db*"))
    with (project / "app/orders/entities.py").open("a") as entities:
        entities.write("    note: Mapped[str | None] = mapped_column(String(255), default=None)\n")
    goose(project, "db", "migrate")
    wrote = goose(project, "db", "revision", "OrdersModule", "-m", "orders have notes").stdout
    assert "_orders_have_notes.py" in wrote
    assert goose(project, "db", "migrate").stdout == "migrated OrdersModule\n"
    goose(project, "db", "check")


def test_create_read_update_and_delete(http: httpx2.Client) -> None:
    made = http.post("/orders", json={"item": "egg"})
    assert (made.status_code, made.json()) == (201, {"id": made.json()["id"], "item": "egg", "quantity": 1})
    place = made.headers["location"]
    assert http.get(place).json() == made.json()
    assert http.patch(place, json={"quantity": 3}).json() == {**made.json(), "quantity": 3}
    assert http.patch(place, json={}).json() == http.get(place).json() == {**made.json(), "quantity": 3}
    assert made.json()["id"] in [each["id"] for each in http.get("/orders").json()["items"]]
    assert (http.delete(place).status_code, http.delete(place).status_code) == (204, 404)
    assert http.get(place).json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no order of this id.",
    }


@pytest.mark.parametrize(
    "values",
    [
        {"text": "", "whole": -(2**63), "real": -1.7976931348623157e308, "flag": False, "amount": "-99999999999.9999"},
        {"text": "\U0001f95a" * 255, "whole": 2**63 - 1, "real": 5e-300, "amount": "99999999999.9999"},
        {"text": "two\nlines ", "moment": "1000-01-01T00:00:00Z", "day": "0001-01-01", "names": [], "counts": {}},
        {"moment": "9998-12-31T23:59:59.999999Z", "day": "9999-12-31", "code": "ffffffff-ffff-ffff-ffff-ffffffffffff"},
        {"names": ["\U0001f95a", "a\u0000b"], "counts": {"\u0000": 2**63 - 1}, "marks": [-(2**63)]},
        {"note": "note", "due": "2030-01-02T03:04:05Z", "more": {"a": [0.1], "": []}, "said": "'; --", "marks": []},
    ],
)
def test_what_is_let_in_is_kept_as_it_is(http: httpx2.Client, values: dict[str, Any]) -> None:
    made = http.post("/all-kinds", json=SAMPLE | values)
    assert made.status_code == 201, made.text
    place = made.headers["location"]
    assert made.json() == http.get(place).json() == {"id": made.json()["id"], **SAMPLE, **values}
    assert http.patch(place, json=SAMPLE).json() == {"id": made.json()["id"], **SAMPLE}
    assert http.patch(place, json=values).json() == http.get(place).json() == made.json()


def test_what_is_the_same_is_shown_in_one_way(http: httpx2.Client) -> None:
    made = http.post("/all-kinds", json=SAMPLE | {"moment": "2030-01-02T08:04:05+05:00", "amount": 1.5})
    assert made.json() == {"id": made.json()["id"], **SAMPLE, "moment": "2030-01-02T03:04:05Z"}
    assert http.get(made.headers["location"]).json() == made.json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", "x" * 256),
        ("text", "a\u0000b"),
        ("text", None),
        ("whole", 2**63),
        ("whole", -(2**63) - 1),
        ("real", "NaN"),
        ("moment", "2030-01-02T03:04:05"),
        ("moment", "0001-01-01T00:00:00+14:00"),
        ("moment", "9999-12-31T23:59:59-14:00"),
        ("amount", "100000000000"),
        ("amount", "0.00001"),
        ("amount", "Infinity"),
        ("code", "1"),
        ("counts", {"a": 2**63}),
        ("more", {"a": ["Infinity"]}),
        ("id", 7),
    ],
)
def test_what_no_database_would_keep_is_not_let_in(http: httpx2.Client, field: str, value: Any) -> None:
    place = http.post("/all-kinds", json=SAMPLE).headers["location"]
    for refused in (http.post("/all-kinds", json=SAMPLE | {field: value}), http.patch(place, json={field: value})):
        assert refused.status_code == 422, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["errors"][0]["pointer"].startswith(f"#/{field}")
    assert http.get(place).json()["text"] == "text"
