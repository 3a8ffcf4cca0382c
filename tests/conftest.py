"""What every test has around it."""

from __future__ import annotations

import os


def pytest_collection_finish() -> None:
    """Not in the process that only shares the tests out: it has to hand this on to those that run them.

    The processes that tests start are the product at work; measuring them as well would take its time away.
    """
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
