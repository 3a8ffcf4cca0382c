"""The fleets whose processes the fault tests kill, freeze and stop, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from faults.application import LEASE
from fleet import Fleet
from quick_fleet import QuickFleet
from servers.private import PrivateMariaDB, PrivatePostgres, PrivateServer
from servers.private_redis import PrivateRedis
from servers.shared import SERVERS, room

PRIVATE = {"postgres": PrivatePostgres, "mysql": PrivateMariaDB, "redis": PrivateRedis}


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest) -> URL | None:
    """A fresh place for jobs on a shared server; None stands for a SQLite file of the fleet's own."""
    if request.param == "sqlite":
        return None
    there = room(request.param)
    there.empty()
    return there.url


@pytest.fixture
def fleet(tmp_path: Path, url: URL | None) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.application", LEASE, url)
    yield fleet
    fleet.end()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    """A server of the test's own, which may be killed; with the module's ``SETTINGS`` for its kind, if there are any."""
    settings = getattr(request.module, "SETTINGS", {}).get(request.param, {})
    with PRIVATE[request.param](**settings) as server:
        yield server
