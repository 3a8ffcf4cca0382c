"""The drivers that tests of servers run on, and how their URLs are made of a server's."""

from __future__ import annotations

import importlib.util
from typing import Final

from sqlalchemy import URL

from servers.shared import skip_or_fail

CHOSEN: Final = {"postgres": "postgresql+psycopg", "mysql": "mysql+asyncmy"}
"""What a URL without a driver gets."""
SERVER_OF: Final = {
    "postgresql+psycopg": "postgres",
    "postgresql+asyncpg": "postgres",
    "mysql+asyncmy": "mysql",
    "mysql+aiomysql": "mysql",
}
DRIVERS: Final = tuple(SERVER_OF)


def by(driver: str, url: URL) -> URL:
    """The URL by way of a driver; the test is skipped, or fails, where that is not installed."""
    package = driver.partition("+")[2]
    if importlib.util.find_spec(package) is None:
        skip_or_fail(SERVER_OF[driver], f"the package {package} is not installed")
    return url.set(drivername=driver)
