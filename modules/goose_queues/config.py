"""The queue's settings: every option of ``QueuesModule``, from its arguments or from the environment, checked at once.

Made by ``module``, read by everything that runs. Durations are seconds here.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import PlainSerializer, PlainValidator, ValidationError, ValidationInfo, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from goose_queues import values
from goose_queues.backoff import Backoff, backoff
from goose_queues.errors import ConfigError
from goose_queues.redact import cut, mask_secrets

ENVIRONMENT: Final = "GOOSE_QUEUES_"
DEFAULT_SLOTS: Final = 4
"""Concurrent jobs of a queue that ``workers`` does not name."""
MAX_SLOTS: Final = 10_000
MAX_PAYLOAD: Final = 64 * 1024 * 1024
SHORTEST_LEASE: Final = 5.0
SHORTEST_POLL: Final = 0.05
SHORTEST_POOL: Final = 2
LARGEST_POOL: Final = 1_000
_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,31}\Z")
SCHEMES: Final[Mapping[str, frozenset[str]]] = {
    "sql": frozenset({"sqlite", "postgresql", "mysql", "mariadb"}),
    "redis": frozenset({"redis", "rediss"}),
}
"""What a URL may begin with, by driver; with SQL, a ``+`` and what follows it is the database's own affair."""
REDIS_KINDS: Final = frozenset({"", "+cluster", "+sentinel"})
"""What follows Redis's schemes: nothing for one server."""


def _checked(check: Callable[[Any], Any], allowed: str) -> PlainValidator:
    """A validator that says what is allowed, whatever way a value is wrong."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except (TypeError, ValueError):
            raise ValueError(allowed) from None

    return PlainValidator(validate)


def _at_least(seconds: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        found = values.duration(value)
        if found < seconds:
            raise ValueError(value)
        return found

    return check


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(value)
        return value

    return check


def _per_queue(check: Callable[[Any], int]) -> Callable[[Any], dict[str, int]]:
    def check_all(value: Any) -> dict[str, int]:
        if not isinstance(value, Mapping):
            raise TypeError(value)
        return {values.queue_name(queue): check(number) for queue, number in value.items()}

    return check_all


def _workers(value: Any) -> int | dict[str, int]:
    check = _whole(0, MAX_SLOTS)
    return _per_queue(check)(value) if isinstance(value, Mapping) else check(value)


def _queues(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(value)
    names = tuple(dict.fromkeys(values.queue_name(name) for name in value))
    if not names:
        raise ValueError(value)
    return names


def _middleware(value: Any) -> tuple[type, ...]:
    classes = tuple(value)
    if not all(isinstance(cls, type) and callable(getattr(cls, "handle", None)) for cls in classes):
        raise TypeError(value)
    return classes


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.match(value):
        raise ValueError(value)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(value)
        return value

    return check


def _url(value: Any, info: ValidationInfo) -> str | None:
    driver = info.data.get("driver", "sql")
    if value is None and driver == "redis":
        raise ValueError('needed with driver="redis": redis://host:6379/0')
    if value is None:
        return None
    schemes = SCHEMES[driver]
    scheme = re.match(r"([a-z][a-z0-9]*)(\+[a-z0-9_]+)?://", value) if isinstance(value, str) else None
    if scheme is None or scheme.group(1) not in schemes:
        listed = ", ".join(f"{word}://" for word in sorted(schemes))
        raise ValueError(f'a URL that begins with one of {listed} (driver="{driver}")')
    if driver == "redis" and (scheme.group(2) or "") not in REDIS_KINDS:
        word = scheme.group(1)
        raise ValueError(f"after {word} comes ://, or +cluster:// or +sentinel:// where there are several servers")
    return str(value)


def _listen_url(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and re.match(r"postgres(ql)?(\+[a-z0-9_]+)?://", value)):
        raise ValueError(value)
    return value


Seconds: TypeAlias = Annotated[float, _checked(_at_least(0), "a non-negative timedelta or number of seconds")]
PositiveSeconds: TypeAlias = Annotated[
    float, _checked(_at_least(0.001), "a timedelta or number of seconds, at least 1 ms")
]
Flag: TypeAlias = Annotated[bool, _checked(_flag, "True or False")]
IDENTIFIER: Final = "lower-case letters, digits and _, at most 32, no digit first"
QueueName: TypeAlias = Annotated[str, _checked(values.queue_name, "a queue's name: [A-Za-z0-9_.-]{1,64}")]


class Settings(BaseSettings):
    """Every option of ``QueuesModule``, checked. An argument wins over ``GOOSE_QUEUES_<OPTION>``.

    Raises:
        ConfigError: Options are wrong; all of them are named, each with its value and what is allowed.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True)

    driver: Annotated[Literal["sql", "redis"], _checked(_one_of("sql", "redis"), '"sql" or "redis"')] = "sql"
    """Unless it is named, a URL of Redis means ``"redis"``."""
    url: Annotated[str | None, PlainValidator(_url)] = None
    """None: the application's own database, else ``sqlite:///goose.db``."""
    listen_url: Annotated[str | None, _checked(_listen_url, "a postgresql:// URL that leads past the pooler")] = None
    """PostgreSQL: where notifications are heard; None: where the jobs are."""
    queue: QueueName = "default"
    """Where a job goes that names no queue."""
    default_retry_limit: Annotated[int, _checked(values.retries, f"an integer 0..{values.MAX_RETRIES}")] = 3
    default_retry_delay: Annotated[
        Backoff,
        _checked(backoff, "a timedelta, a number of seconds, or a backoff: exponential(1, cap=300)"),
        PlainSerializer(repr),
    ] = Backoff(1.0)
    default_timeout: Annotated[
        float | None, _checked(values.timeout, "a timedelta or number of seconds above 0, or None for no timeout")
    ] = 300.0
    poll_interval: Annotated[float, _checked(_at_least(SHORTEST_POLL), "at least 50 ms")] = 5.0
    cleanup_interval: PositiveSeconds = 3600.0
    retention_period: Seconds = 7 * 24 * 3600.0
    stale_job_timeout: Annotated[float, _checked(_at_least(SHORTEST_LEASE), "at least 5 s")] = 30.0
    """The lease: a worker silent for this long has lost its jobs."""
    enable_stale_job_recovery: Flag = True
    queues: Annotated[
        tuple[str, ...] | None, _checked(_queues, "names of queues, each [A-Za-z0-9_.-]{1,64}, or None for all")
    ] = None
    """What this process serves; None: every queue that a registered job or ``workers`` names, and the default one."""
    workers: Annotated[
        int | dict[str, int],
        _checked(_workers, f"an integer 0..{MAX_SLOTS}, or one for each queue: {{'default': 2, 'emails': 4}}"),
    ] = DEFAULT_SLOTS
    """Concurrent jobs of each queue in this process; 0 claims nothing."""
    limits: Annotated[
        dict[str, int], _checked(_per_queue(_whole(1, 1_000_000)), "an integer above 0 for each queue: {'exports': 1}")
    ] = {}
    """Concurrent jobs of a queue across all processes and machines."""
    shutdown_timeout: Seconds = 30.0
    middleware: Annotated[
        tuple[type, ...], _checked(_middleware, "classes derived from JobMiddleware"), PlainSerializer(repr)
    ] = ()
    max_payload_size: Annotated[int, _checked(_whole(1, MAX_PAYLOAD), f"an integer 1..{MAX_PAYLOAD}, in bytes")] = (
        256 * 1024
    )
    """Bytes of JSON; for results as well."""
    auto_migrate: Annotated[
        bool | None, _checked(lambda value: None if value is None else _flag(value), "True, False or None")
    ] = None
    """None: yes on SQLite, no on servers."""
    table_prefix: Annotated[str, _checked(_identifier, IDENTIFIER)] = "goose_"
    """What the names of the tables, or of the keys on Redis, begin with; queues of different prefixes do not see each other."""
    table_schema: Annotated[
        str | None,
        _checked(lambda value: None if value is None else _identifier(value), f"{IDENTIFIER}; None for the usual one"),
    ] = None
    """Where the tables are on a server: a schema of PostgreSQL, a database of MySQL; None: where a connection looks."""
    pool_size: Annotated[
        int, _checked(_whole(SHORTEST_POOL, LARGEST_POOL), f"an integer {SHORTEST_POOL}..{LARGEST_POOL}")
    ] = 10
    """Connections that are kept to the queue's own database; its ``SqlModule`` says it of the application's."""
    synchronous: Annotated[Literal["full", "normal"], _checked(_one_of("full", "normal"), '"full" or "normal"')] = (
        "full"
    )

    @model_validator(mode="before")
    @classmethod
    def _driver_of_url(cls, options: Any) -> Any:
        """Let the URL say where jobs are kept, so that it alone has to change."""
        url = options.get("url") if isinstance(options, dict) else None
        if (
            isinstance(url, str)
            and "driver" not in options
            and url.partition(":")[0].partition("+")[0] in SCHEMES["redis"]
        ):
            return {**options, "driver": "redis"}
        return options

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise ConfigError(_sentence(error, options)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' own signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, read in this project's own way."""
        return (init_settings, _Environment(settings_cls))

    def slots(self, queue: str) -> int:
        """How many jobs of a queue run at once in this process."""
        if isinstance(self.workers, int):
            return self.workers
        return self.workers.get(queue, DEFAULT_SLOTS)

    def served(self, registered: frozenset[str]) -> tuple[str, ...]:
        """The queues of this process, given those that registered jobs name."""
        if self.queues is not None:
            return self.queues
        named = self.workers if isinstance(self.workers, dict) else {}
        return tuple(sorted({self.queue, *registered, *named}))

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, _shown(name, value)) for name, value in super().__repr_args__() if name is not None]


class _Environment(PydanticBaseSettingsSource):
    """Options from ``GOOSE_QUEUES_<OPTION>``: numbers, true/false, none, JSON, or names parted by commas."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return _parsed(field_name, os.environ[_variable(field_name)]), field_name, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        return {
            name: self.get_field_value(field, name)[0]
            for name, field in fields.items()
            if name != "middleware" and os.environ.get(_variable(name), "").strip()
        }


def _parsed(option: str, text: str) -> Any:
    text = text.strip()
    if option in ("driver", "url", "listen_url", "queue", "synchronous", "table_prefix"):
        return text
    if text.lower() in ("none", "null"):
        return None
    if option == "queues" and not text.startswith("["):
        return [part.strip() for part in text.split(",")]
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text


def _variable(option: str) -> str:
    return ENVIRONMENT + option.upper()


def _sentence(error: ValidationError, options: Mapping[str, Any]) -> str:
    return "; ".join(_fault(fault, options) for fault in error.errors(include_url=False))


def _fault(fault: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    option = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(option, Settings.model_fields, 1)
        return f"{option}: no such option" + (f"; did you mean {near[0]}?" if near else "")
    found = options.get(option, fault["input"])
    from_environment = option not in options and _variable(option) in os.environ
    origin = f" (from {_variable(option)})" if from_environment else ""
    allowed = str(fault["msg"]).removeprefix("Value error, ")
    return f"{option}={_shown(option, found)!r}{origin}: {allowed}"


class _Plain(str):
    """Text whose repr is itself, so that a shown value is not quoted twice."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _shown(option: str, value: Any) -> _Plain:
    if option in ("url", "listen_url"):
        return _Plain(repr(mask_secrets(str(value))) if value is not None else "None")
    try:
        return _Plain(cut(mask_secrets(repr(value))))
    except ValueError:
        return _Plain(type(value).__name__)
