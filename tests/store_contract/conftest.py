"""Fixtures of the conformance suite: every test runs once on each store in ``places``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from goose_queues.clock import Clock
from goose_queues.store import Store
from goose_sql import Database
from store_contract.making import make_orders
from store_contract.places import EVERYWHERE, PLACES, Place, open_or_skip

SHORT = (
    "test_batches",
    "test_cancel",
    "test_chains",
    "test_claim",
    "test_due",
    "test_insert",
    "test_lease",
    "test_limits",
    "test_listing",
    "test_rescue",
    "test_retry",
    "test_settle",
    "test_stats",
    "test_wakeups",
)
"""The files that make the short form of the suite."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each store, and the short form on several Redis servers as well."""
    chosen = [mark for mark in metafunc.definition.iter_markers("parametrize") if mark.args[0] == "place"]
    if "place" in metafunc.fixturenames and not chosen:
        is_short = metafunc.module.__name__.rpartition(".")[2] in SHORT
        metafunc.parametrize("place", list(EVERYWHERE if is_short else PLACES), indirect=True)


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    name: str = request.param
    async with EVERYWHERE[name](tmp_path) as place:
        yield place


@pytest.fixture
async def store(place: Place, request: pytest.FixtureRequest) -> Store:
    return await open_or_skip(place, request.node.callspec.params["place"])


@pytest.fixture
async def other(place: Place, store: Store) -> Store:
    """A second process on the same place."""
    return await place.open()


@pytest.fixture
def clock(place: Place) -> Clock:
    """The time of every store here: moved by its offset, never waited for."""
    return place.clock


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Database]:
    """A database of the application's, in which there are no jobs."""
    async with Database(f"sqlite:///{tmp_path / 'elsewhere.db'}") as database:
        await database.write(make_orders)
        yield database
