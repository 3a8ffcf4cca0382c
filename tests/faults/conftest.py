"""The fleets whose processes the fault tests kill, freeze and stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.application import LEASE
from fleet import Fleet
from quick_fleet import QuickFleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.application", LEASE)
    yield fleet
    fleet.end()
