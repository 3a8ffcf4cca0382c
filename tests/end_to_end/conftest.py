"""The installed ``goose`` that the tests of this folder share, and the application that it has written."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from end_to_end.installed import Goose, install


@pytest.fixture(scope="session")
def goose(tmp_path_factory: pytest.TempPathFactory) -> Goose:
    """Built and installed once in a run; its processes wait for the first of them to have done it."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    place /= "installed"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = place / "done"
        if done.exists():
            return Goose(place / "environment")
        goose = install(place)
        done.touch()
        return goose


@pytest.fixture(scope="module")
def shop(goose: Goose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh application, as ``goose new app`` writes it; one for each file of tests."""
    folder = tmp_path_factory.mktemp("projects")
    done = goose(folder, "new", "app", "shop")
    assert done.stdout.endswith("\nNext: cd shop && goose run\n")
    return folder / "shop"
