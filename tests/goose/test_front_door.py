"""What the packages' front doors promise."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

PACKAGES = ["goose", "goose_sql", "goose_queues"]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_sorted_and_there(name: str) -> None:
    """__all__ is sorted, and everything in it can be imported."""
    package = importlib.import_module(name)
    assert list(package.__all__) == sorted(package.__all__)
    for exported in package.__all__:
        assert getattr(package, exported) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_no_submodule_bears_an_exported_name(name: str) -> None:
    """Importing a submodule sets it on its package: none may take the place of something exported."""
    package = importlib.import_module(name)
    submodules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert submodules.isdisjoint(package.__all__)
