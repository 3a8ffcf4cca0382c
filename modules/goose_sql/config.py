"""Every option of ``SqlModule``, checked: from its arguments, else from the environment."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from goose_sql.database import BUSY_TIMEOUT, POOL_SIZE
from goose_sql.errors import ConfigError
from goose_sql.sqlite import Synchronous

URL_VARIABLE: Final = "DATABASE_URL"

_ALLOWED: Final = {
    "url": 'a URL like "sqlite:///app.db" or "postgresql://user@host/name"',
    "synchronous": '"full" or "normal"',
    "busy_timeout": "seconds above 0, at most 3600",
    "pool_size": "an integer 1..1000, on a server at least 2",
    "auto_migrate": "True, False or None",
    "echo": "True or False",
}


class SqlSettings(BaseSettings):
    """What ``SqlModule`` was told. An argument wins over ``$GOOSE_SQL_<OPTION>``, and ``url`` over ``$DATABASE_URL``.

    Raises:
        ConfigError: Options are wrong; all of them are named, each with its value and what is allowed.
    """

    model_config = SettingsConfigDict(env_prefix="GOOSE_SQL_", extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, Field(min_length=1, repr=False)]
    synchronous: Synchronous = "full"
    """SQLite: whether a commit survives a power cut, or a crash of the process alone."""
    busy_timeout: Annotated[float, Field(gt=0, le=3600)] = BUSY_TIMEOUT
    """SQLite: seconds to wait for the write lock."""
    pool_size: Annotated[int, Field(ge=1, le=1000)] = POOL_SIZE
    """Connections, on a server at least 2 and never more than these (beside one of the heartbeat's)."""
    auto_migrate: bool | None = None
    """Whether boot makes and upgrades the tables; None: on SQLite yes, on servers no."""
    echo: bool = False
    """Log every statement."""

    def __init__(self, **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        if "url" not in given and URL_VARIABLE in os.environ:
            given["url"] = os.environ[URL_VARIABLE]
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ConfigError(_sentence(error, given)) from None


def _sentence(error: ValidationError, given: dict[str, Any]) -> str:
    return "SqlModule: " + "; ".join(_fault(str(fault["loc"][0]), fault["type"], given) for fault in error.errors())


def _fault(name: str, kind: str, given: dict[str, Any]) -> str:
    if kind == "missing":
        return f"{name} is missing. Pass {name}= or set ${URL_VARIABLE}"
    value = given.get(name, os.environ.get(f"GOOSE_SQL_{name.upper()}"))
    return f"{name}={value!r} is not allowed; it is {_ALLOWED.get(name, 'no option at all')}"
