"""Health: ``GET /healthz`` (the process is up) and ``GET /readyz`` (it can do its work). ``router`` puts them in place."""

from __future__ import annotations

import logging
from typing import Final

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as HttpScope

from goose.kernel import Kernel

log = logging.getLogger("goose.http")

HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"


def health(name: str, version: str) -> ASGIApp:
    """Says that the process answers, and which one it is."""
    response = _json({"status": "ok", "name": name, "version": version}, 200)

    async def healthz(http: HttpScope, receive: Receive, send: Send) -> None:
        await response(http, receive, send)

    return healthz


def readiness(kernel: Kernel, *, debug: bool) -> ASGIApp:
    """Says whether every part can do its work: 200, or 503 with the names of those that cannot.

    Anyone may ask, so the reasons stand in the log; with ``debug`` in the answer too.
    """

    async def readyz(http: HttpScope, receive: Receive, send: Send) -> None:
        reasons = await kernel.check()
        failed = {name: reason for name, reason in reasons.items() if reason is not None}
        if failed:
            log.warning("not ready", extra={"reasons": failed})
        checks = {name: _verdict(reason, debug=debug) for name, reason in reasons.items()}
        body = {"status": "not ready" if failed else "ready", "checks": checks}
        await _json(body, 503 if failed else 200)(http, receive, send)

    return readyz


def _verdict(reason: str | None, *, debug: bool) -> str:
    if reason is None:
        return "ok"
    return f"failed: {reason}" if debug else "failed"


def _json(body: object, status: int) -> Response:
    return Response(to_json(body), status, {"cache-control": "no-store"}, "application/json")
