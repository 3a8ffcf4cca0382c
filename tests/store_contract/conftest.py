"""Fixtures of the conformance suite: every test runs once on each store in ``places``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from goose_queues.clock import Clock
from goose_queues.store import Store
from goose_sql import Database
from store_contract.making import make_orders
from store_contract.places import PLACES, Place, open_or_skip


@pytest.fixture(params=list(PLACES))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    name: str = request.param
    async with PLACES[name](tmp_path) as place:
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
