"""Secrets are shown nowhere: not in logs, errors, stored tracebacks, nor in what jobs and settings look like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import goose
from goose import Module
from goose_queues import Client, Job, JobContext, PayloadError, QueuesModule, StoreUnavailable
from goose_queues.config import Settings
from goose_queues.errors import ConfigError
from goose_queues.supervisor import Supervisor
from goose_queues.testing import drain
from goose_sql import Database, SqlModule
from goose_sql.errors import BadUrl, DatabaseBusy, DatabaseClosed, DatabaseUnavailable, MissingDriver
from queue_apps import Boot

SECRET = "hunter2"
NAMES = ("password", "user_token", "client_secret", "Authorization", "cookie", "api_key", "apikey", "X-Api-Key")
URL = f"postgresql://ann:{SECRET}@db.example.com/orders?password={SECRET}"


class Login(BaseModel):
    password: str


class Secretive(Job, max_retries=0):
    password: str = SECRET
    session_cookie: str = SECRET
    extra: dict[str, Any] = {"api_key": SECRET, "list": [{"token": SECRET}]}
    login: Login = Login(password=SECRET)
    text: str = ""

    async def handle(self, ctx: JobContext) -> None:
        hidden = f"{SECRET}-local"
        raise LookupError(self.text) from KeyError(hidden[:0], self)


class Sealed(Job):
    pin: SecretStr

    async def handle(self, ctx: JobContext) -> None: ...


def test_a_job_does_not_show_its_secrets() -> None:
    """Neither its own fields nor what they hold."""
    for shown in (repr(Secretive()), str(Secretive()), f"{Secretive()}"):
        assert SECRET not in shown
        assert shown.count("***") >= 5


def test_settings_and_databases_do_not_show_passwords() -> None:
    url = f"sqlite:///x.db?password={SECRET}"
    shown = [
        repr(Settings(url=URL)),
        str(Settings(url=URL)),
        repr(QueuesModule(url=url).settings),
        repr(Database(url)),
        Database(url).url,
        repr(vars(SqlModule(url=url))),
    ]
    assert [text for text in shown if SECRET in text] == []


@pytest.mark.parametrize(
    "refused",
    [
        lambda: QueuesModule(url=URL.replace("postgresql", "mongodb")),
        lambda: QueuesModule(url=f"mongodb://ann:a/{SECRET}@db"),
        lambda: QueuesModule(driver="redis", url=f"redis+tls://:{SECRET}@db"),
        lambda: QueuesModule(queue=f"password={SECRET}"),
        lambda: Database(URL.replace("postgresql", "oracle")),
        lambda: Database(URL.replace("postgresql", "postgresql+psycopg2")),
        lambda: Database(f"sqlite://ann:{SECRET}@host/x.db"),
    ],
)
def test_what_is_refused_is_named_without_its_password(refused: Callable[[], Any]) -> None:
    with pytest.raises((ConfigError, BadUrl, MissingDriver)) as caught:
        refused()
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error) + repr(error)
        error = error.__cause__


async def test_a_boot_that_fails_does_not_tell_the_password() -> None:
    class App(Module):
        declarations = (Sealed,)

    with pytest.raises(goose.GooseError) as caught:
        async with goose.running(goose.worker(App, [QueuesModule(url=f"sqlite:////proc/no/{SECRET}?token={SECRET}")])):
            pass
    assert f"token={SECRET}" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [DatabaseUnavailable, StoreUnavailable, DatabaseClosed, lambda url, _: DatabaseBusy(url, 1.0)]
)
def test_errors_of_the_store_carry_the_masked_url(error: Any) -> None:
    """They are given what a ``Database`` says of itself."""
    url = Database(f"sqlite:///x.db?password={SECRET}").url
    made = error(url) if error is DatabaseClosed else error(url, "it is away.")
    assert SECRET not in f"{made} {made!r} {vars(made)}"


MESSAGES = [
    *(f"{name}={SECRET}" for name in NAMES),
    *(f"{name}: {SECRET}" for name in NAMES),
    *(f"{{'{name}': '{SECRET}', \"{name}\": \"{SECRET}\"}}" for name in NAMES),
    *(f"https://example.com/?{name}={SECRET}&page=1" for name in NAMES),
    f"cannot reach {URL}",
    f"redis://:{SECRET}@db",
    f"Authorization: Bearer {SECRET}",
    f"Cookie: a={SECRET}; b={SECRET}",
]


async def test_errors_are_kept_and_logged_without_secrets(boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
    """In the message, its causes, the traceback, and every log record."""
    caplog.set_level(logging.DEBUG, "goose_queues")
    async with boot(Secretive) as kernel:
        client = kernel.get(Client)
        handles = await client.dispatch_many(Secretive(text=message) for message in MESSAGES)
        assert (await drain(kernel)).failed == len(MESSAGES)
        for handle, message in zip(handles, MESSAGES, strict=True):
            record = await kernel.get(Supervisor).store.get(handle.id)
            assert record is not None
            assert record.error is not None
            assert SECRET not in f"{record.error.type} {record.error.message}", message
            assert SECRET not in record.error.traceback, message
            assert "in handle" in record.error.traceback
            assert SECRET not in repr(await handle.status())
    logged = [record for record in caplog.records if record.name.startswith("goose_queues")]
    assert len(logged) >= len(MESSAGES)
    assert [r.getMessage() for r in logged if SECRET in f"{r.getMessage()} {vars(r)}"] == []


async def test_a_declared_secret_is_refused_and_not_told(boot: Boot) -> None:
    async with boot(Sealed) as kernel:
        with pytest.raises(PayloadError) as caught:
            kernel.get(Client).dispatch(Sealed(pin=SecretStr(SECRET)))
    assert str(caught.value) == "Sealed: $.pin: secrets do not belong in a payload"
    assert SECRET not in repr(caught.value)
