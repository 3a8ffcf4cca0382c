"""pytest fixtures for tests of an application that has a queue: ``fake_queue`` and ``frozen_clock``.

Loaded by pytest wherever Goose is installed. Both go in by ``overrides``::

    def test_it(app, fake_queue):
        with AppTestClient(app, overrides={Client: fake_queue}) as http: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from goose_queues.testing import FakeQueue, FrozenClock


def pytest_configure(config: pytest.Config) -> None:
    """A dispatch that is never awaited fails the test that forgot it."""
    config.addinivalue_line("filterwarnings", "error:dispatch of .* was never sent:RuntimeWarning")
    # What is raised while a sentence is collected, pytest reports as a warning of its own.
    sentence = "error:Exception ignored in. <function Sentence.__del__:pytest.PytestUnraisableExceptionWarning"
    config.addinivalue_line("filterwarnings", sentence)


@pytest.fixture
def fake_queue() -> FakeQueue:
    """A queue that only records: ``overrides={Client: fake_queue}``."""
    from goose_queues.testing import FakeQueue  # not before coverage measures

    return FakeQueue()


@pytest.fixture
def frozen_clock() -> FrozenClock:
    """A clock that stands still until it is moved: ``overrides={Clock: frozen_clock}``."""
    from goose_queues.testing import FrozenClock  # not before coverage measures

    return FrozenClock()
