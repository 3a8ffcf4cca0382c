"""Context: what a handler is given for one request. Made by ``router``; guards get the same one."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Send
from starlette.types import Scope as HttpScope
from typing_extensions import TypeForm

from goose.container import View
from goose.http import reply
from goose.http.binding import FORMS, JSON, limited, read_form, read_json, read_query, unsupported
from goose.http.errors import HttpError, UnknownParameter
from goose.scope import Scope

T = TypeVar("T")


class Context:
    """One request, and the words to answer it.

    Args:
        http: The ASGI scope.
        receive: The ASGI channel that brings the body.
        send: The ASGI channel that takes the response.
        scope: What is scoped lives here until the handler has returned.
        view: What the controller's module sees.
        max_body_size: Bytes of body that are read at most.
    """

    __slots__ = ("_http", "_max_body_size", "_receive", "_request", "_scope", "_send", "_status", "_view")

    def __init__(
        self, http: HttpScope, receive: Receive, send: Send, scope: Scope, view: View, max_body_size: int
    ) -> None:
        self._http = http
        self._receive = receive
        self._send = send
        self._scope = scope
        self._view = view
        self._max_body_size = max_body_size
        self._status: int | None = None
        self._request: Request | None = None

    @property
    def request(self) -> Request:
        """Starlette's own request, for all that has no word here; its body is limited as ``bind`` is."""
        if self._request is None:
            self._request = Request(self._http, limited(self._receive, self._max_body_size), self._send)
        return self._request

    async def bind(self, model: type[T]) -> T:
        """The body as a pydantic model or a dataclass; JSON or a form, by its Content-Type.

        Raises:
            HttpError: 400 malformed or empty, 413 too large, 415 another media type, 422 does not fit the model.
        """
        request = self.request
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == JSON or media_type.endswith("+json"):
            return await read_json(request, model)
        if media_type in FORMS:
            self._scope.on_exit(lambda _: request.close())
            return await read_form(request, model, self._max_body_size)
        if not media_type and not await request.body():
            raise HttpError(400, "The body is empty; JSON or a form was expected.")
        raise unsupported(media_type)

    def bind_query(self, model: type[T]) -> T:
        """The query string as a pydantic model or a dataclass; a repeated key fills a list.

        Raises:
            HttpError: 422 where it does not fit the model.
        """
        return read_query(self.request.query_params, model)

    def param(self, name: str) -> Any:
        """A parameter of the path: text, or what its convertor (``{id:int}``) makes of it.

        Raises:
            UnknownParameter: The route has no such parameter.
        """
        params = self._http["path_params"]
        if name not in params:
            raise UnknownParameter(name, list(params))
        return params[name]

    @overload
    def query(self, name: str) -> str | None: ...
    @overload
    def query(self, name: str, default: T) -> str | T: ...
    def query(self, name: str, default: Any = None) -> Any:
        """A parameter of the query string; the last one where it is repeated."""
        return self.request.query_params.get(name, default)

    @overload
    def header(self, name: str) -> str | None: ...
    @overload
    def header(self, name: str, default: T) -> str | T: ...
    def header(self, name: str, default: Any = None) -> Any:
        """A header of the request, whatever the case of its name."""
        return self.request.headers.get(name, default)

    def get(self, key: TypeForm[T]) -> T:
        """An instance by its type, as the controller's module sees it and for this request's scope.

        Raises:
            NotFound: The controller's module sees no such declaration.
            NeedsAwait: Async code builds it: let it be injected instead.
        """
        return self._view.get(key, self._scope)

    def status(self, code: int) -> Context:
        """Choose the status of the answer: ``ctx.status(201).json(order)``, or return a plain value afterwards."""
        if not 200 <= code <= 599:
            raise ValueError(f"ctx.status({code}): a status is from 200 to 599")
        self._status = code
        return self

    def json(self, value: object) -> Response:
        """A JSON response; models, dataclasses, times, UUIDs, decimals and enums are fine anywhere in it."""
        return reply.json_response(value, self._status or 200)

    def text(self, value: str) -> Response:
        """A plain text response."""
        return reply.text_response(value, self._status or 200)

    def html(self, value: str) -> Response:
        """An HTML response; escape what needs it before."""
        return reply.html_response(value, self._status or 200)

    def redirect(self, url: str) -> Response:
        """Send the client elsewhere: 303 (to be fetched with GET) unless ``ctx.status()`` chose another 3xx."""
        status = self._status or 303
        if not 300 <= status <= 399:
            raise ValueError(f"ctx.status({status}).redirect(...): the status of a redirect is from 300 to 399")
        return RedirectResponse(url, status)

    def response(self, value: object) -> Response:
        """What is sent for a handler's return value; the router calls it.

        Raises:
            UnknownReply: The value is none of those that can be sent.
        """
        return reply.respond(value, self._status)
