from __future__ import annotations

import logging
from typing import Any

import pytest

from goose.module import Module


class Sound(Module):
    async def check(self) -> None: ...


class Broken(Module):
    async def check(self) -> None:
        raise ConnectionError("10.0.0.1 is away")


async def test_healthz_says_who_is_up(serve: Any) -> None:
    async with serve(name="orders", version="1.2.0") as client:
        response = await client.get("/healthz")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert response.json() == {"status": "ok", "name": "orders", "version": "1.2.0"}


async def test_readyz_passes_when_every_module_does(serve: Any) -> None:
    async with serve(imports=(Sound,)) as client:
        response = await client.get("/readyz")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert response.json() == {"status": "ready", "checks": {"Sound": "ok"}}


async def test_readyz_names_what_fails_and_the_log_says_why(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(imports=(Sound, Broken)) as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "checks": {"Sound": "ok", "Broken": "failed"}}
    (record,) = [record for record in caplog.records if record.name == "goose.http"]
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "not ready")
    assert record.__dict__["reasons"] == {"Broken": "ConnectionError: 10.0.0.1 is away"}


async def test_readyz_gives_the_reason_in_debug_mode(serve: Any) -> None:
    async with serve(imports=(Broken,), debug=True) as client:
        response = await client.get("/readyz")
    assert response.json()["checks"] == {"Broken": "failed: ConnectionError: 10.0.0.1 is away"}


async def test_health_is_not_behind_the_platforms_guards(serve: Any) -> None:
    class Closed:
        async def check(self, ctx: object) -> None:
            raise AssertionError

    async with serve(guards=(Closed,)) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
