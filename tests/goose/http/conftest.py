"""What the tests of HTTP share: an application booted in this loop and spoken to over HTTP, and contexts by hand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest

import goose
from goose.http.context import Context
from goose.http.platform import ApiPlatform
from goose.scope import Scope

Serve = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def serve() -> Serve:
    """``async with serve(Controller, Service, timeout=1) as client``: options go to the platform."""

    @contextlib.asynccontextmanager
    async def serve(
        *declarations: Any, imports: Sequence[Any] = (), **options: Any
    ) -> AsyncIterator[httpx2.AsyncClient]:
        root = type("AppModule", (goose.Module,), {"declarations": declarations, "imports": imports})
        app = goose.api(ApiPlatform(**options), root)
        async with (
            goose.running(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client,
        ):
            yield client

    return serve


@pytest.fixture
def make_context() -> Callable[..., Context]:
    """A context of a request whose body comes in the chunks given."""

    def make(
        *chunks: bytes,
        headers: dict[str, str] | None = None,
        query: str = "",
        params: dict[str, Any] | None = None,
        limit: int = 1024,
        view: Any = None,
        scope: Scope | None = None,
    ) -> Context:
        left = list(chunks) or [b""]
        http = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "path_params": params or {},
        }

        async def receive() -> dict[str, Any]:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left)}

        async def send(message: object) -> None:
            raise AssertionError(message)

        return Context(http, receive, send, scope or Scope(), view, limit)

    return make
