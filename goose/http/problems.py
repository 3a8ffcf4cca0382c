"""Problems: every error as an RFC 9457 ``application/problem+json`` answer, and the log of those that are ours.

``router`` calls it for what handlers raise, ``platform`` hangs it into Starlette for what is raised around them.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import responses
from typing import Any, Final

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from goose.errors import GooseError
from goose.http.errors import HandlerTimeout, HttpError

log = logging.getLogger("goose.http")

MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
"""What RFC 9110 calls them; Python's names change with its version."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the client is to see it."""

    status: int
    detail: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    def response(self) -> Response:
        body: dict[str, object] = {"type": "about:blank", "title": _title(self.status), "status": self.status}
        if self.detail is not None:
            body["detail"] = self.detail
        body |= {key: value for key, value in self.extra.items() if key not in ("status", "detail")}
        headers = {**self.headers, "x-content-type-options": "nosniff"}
        return Response(to_json(body, fallback=str), self.status, headers, MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Problems:
    """Which problem an error is.

    Attributes:
        errors: An application's own exceptions and their statuses. The class nearest to the error's own decides;
            the text of one that is the client's fault (4xx) is shown to it.
        debug: True: unexpected errors are shown to the client with their traceback.
    """

    errors: Mapping[type[Exception], int] = field(default_factory=dict)
    debug: bool = False

    def response(self, error: BaseException, handler: str | None = None) -> Response:
        """The answer to a request that ended in an error; what is our fault (5xx) is logged with its traceback."""
        if isinstance(error, HTTPException) and error.status_code < 400:  # Starlette's way out with a 304
            return Response(status_code=error.status_code, headers=error.headers)
        problem = self.problem(error)
        if problem.status >= 500:
            log.error("request failed", exc_info=error, extra={"handler": handler, "status": problem.status})
        return problem.response()

    def problem(self, error: BaseException) -> Problem:
        """What the client is to see of an error."""
        if isinstance(error, HttpError):
            return Problem(error.status_code, _clean(error.detail), error.headers, error.extra)
        if isinstance(error, HTTPException):
            return Problem(error.status_code, _detail(error), error.headers or {})
        if isinstance(error, HandlerTimeout):
            return Problem(503, "The request took too long.", extra=self._insight(error))
        status = self._status(error)
        if status is None:
            return Problem(500, "The server met an unexpected error.", extra=self._insight(error))
        if status >= 500:
            return Problem(status, extra=self._insight(error))
        return Problem(status, _text(error))

    def _status(self, error: BaseException) -> int | None:
        """By the error's classes, nearest first: as the application maps them, else as one of ours says itself."""
        for cls in type(error).__mro__:
            mapped = self.errors.get(cls)
            if mapped is not None:
                return mapped
            own = vars(cls).get("status_code")
            if isinstance(own, int) and issubclass(cls, GooseError):
                return own
        return None

    def _insight(self, error: BaseException) -> dict[str, Any]:
        if not self.debug:
            return {}
        lines = [line for part in traceback.format_exception(error) for line in part.splitlines()]
        return {"exception": f"{type(error).__name__}: {_text(error)}", "traceback": [_clean(line) for line in lines]}


def _title(status: int) -> str:
    if status in TITLES:
        return TITLES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _detail(error: HTTPException) -> str | None:
    """What Starlette's exception says beyond the name of its status."""
    return None if error.detail == responses.get(error.status_code, "") else _clean(error.detail)


def _text(error: BaseException) -> str | None:
    """An error's text; one whose ``str()`` fails has none."""
    try:
        return _clean(str(error)) or None
    except Exception:  # noqa: BLE001 - whatever its text does, the request is answered
        return None


def _clean(text: str | None) -> str | None:
    """Text that UTF-8 can carry."""
    return None if text is None else str(text).encode("utf-8", "backslashreplace").decode("utf-8")
