"""pytest fixtures for an application's tests: ``app``, the application itself, and ``http``, a client that boots it.

Loaded by pytest wherever Goose is installed; a project's own fixture of the same name takes the place of one here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from goose.instance import Instance
    from goose.testing import AppTestClient


@pytest.fixture(scope="session")
def app() -> Instance:
    """The application that ``[tool.goose] app`` names, else ``main:app``."""
    from goose.commands.locate import application_name, load

    return load(application_name(None))


@pytest.fixture
def http(app: Instance) -> Iterator[AppTestClient]:
    """A client that has booted the application, without its background work."""
    from goose.testing import AppTestClient

    with AppTestClient(app) as client:
        yield client
