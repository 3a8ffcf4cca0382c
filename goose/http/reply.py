"""What a handler returns, as a response: the one place where Python values become bodies.

Called by ``context`` for ``ctx.json(...)`` and its like, and by ``router`` for plain return values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response

from goose.http.errors import UnknownReply

EXPECTED: Final = "dict, list, str, bytes, a dataclass, a pydantic model, None or a Starlette Response"
BODILESS: Final = (204, 304)
"""Statuses whose responses have no body, whatever the handler says."""


def respond(value: object, status: int | None) -> Response:
    """The response for a handler's return value.

    Args:
        value: A ``Response`` is passed on as it is; None is 204 unless a status was chosen.
        status: What ``ctx.status()`` chose, if anything.

    Raises:
        UnknownReply: The value is none of those that can be sent.
    """
    maker = _MAKERS.get(type(value))
    if maker is not None:
        return maker(value, status or 200)
    if isinstance(value, Response):
        return value
    if value is None:
        return Response(status_code=status or 204)
    for kind, make in _MAKERS.items():
        if isinstance(value, kind):
            return make(value, status or 200)
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return json_response(value, status or 200)
    raise UnknownReply(_kind(value), f"which cannot be sent. Return {EXPECTED}.")


def json_response(value: object, status: int) -> Response:
    """A JSON response. Models, dataclasses, times, UUIDs, decimals and enums are written as pydantic writes them.

    Raises:
        UnknownReply: Something in the value cannot be written as JSON.
    """
    try:
        body = to_json(value, inf_nan_mode="null")
    except PydanticSerializationError as error:
        raise UnknownReply(_kind(value), f"which cannot be written as JSON ({error}).") from error
    return _response(body, status, "application/json")


def text_response(value: object, status: int) -> Response:
    """A plain text response."""
    return _response(value, status, "text/plain")


def html_response(value: object, status: int) -> Response:
    """An HTML response; the caller has escaped what needs it."""
    return _response(value, status, "text/html")


def bytes_response(value: object, status: int) -> Response:
    """A response of raw bytes."""
    return _response(value, status, "application/octet-stream")


def _response(body: object, status: int, media_type: str) -> Response:
    if status in BODILESS:
        raise UnknownReply("a body", f"but a response with status {status} has none. Return None, or another status.")
    return Response(body, status, media_type=media_type)


def _kind(value: object) -> str:
    name = type(value).__qualname__
    return f"the class {value.__qualname__}" if isinstance(value, type) else f"a value of type {name}"


_MAKERS: Final[dict[type, Callable[[object, int], Response]]] = {
    dict: json_response,
    list: json_response,
    str: text_response,
    bytes: bytes_response,
}
