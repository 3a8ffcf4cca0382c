"""ApiPlatform: how an application is served over HTTP. ``instance`` mounts it at each boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as HttpScope

from goose.errors import ConfigError
from goose.http.errors import HttpError, InvalidRoute
from goose.http.problems import Problems
from goose.http.route import Guard, check_guards
from goose.http.router import Handling, build_routes
from goose.kernel import Kernel
from goose.module import Module


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPlatform:
    """How an application is served over HTTP.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        name: The application's name, shown by ``/healthz``.
        version: Its version, shown there too.
        timeout: Seconds that a handler may take before its request is answered with 503; None for no limit.
        max_body_size: Bytes that the body of a request may have.
        middleware: Starlette's, as it is: ``Middleware(CORSMiddleware, allow_origins=[...])``; the first is outermost.
        guards: Checked before those of controllers and methods.
        errors: The application's own exceptions, and the statuses that they are answered with.
        debug: True: answers to unexpected errors show the error and its traceback. Never in production.

    Raises:
        ConfigError: An option is wrong; all that are, in one message.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    name: str = "app"
    version: str = "0.0.0"
    timeout: float | None = 30.0
    max_body_size: int = 1024 * 1024
    middleware: Sequence[Middleware] = ()
    guards: Sequence[type[Guard]] = ()
    errors: Mapping[type[Exception], int] = field(default_factory=dict)
    debug: bool = False

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError("; ".join(f"ApiPlatform: {fault}" for fault in faults))

    def implied(self) -> Sequence[type]:
        """The guards: built with what the root module sees."""
        return tuple(self.guards)

    def mount(self, kernel: Kernel, root: Module) -> ASGIApp:
        """The Starlette application of everything below a root module; called once for each boot.

        Raises:
            InvalidRoute: A route cannot be served.
            DuplicateRoute: Two handlers have the same method and path.
        """
        problems = Problems(dict(self.errors), debug=self.debug)
        handling = Handling(self.name, self.version, self.timeout, self.max_body_size, tuple(self.guards), problems)

        async def answer(_: Request, error: Exception) -> Response:
            return problems.response(error)

        return Starlette(
            routes=[build_routes(kernel, root, handling)],
            middleware=[Middleware(_Answering, problems), *self.middleware] if self.middleware else (),
            exception_handlers={HTTPException: answer, HttpError: answer, Exception: answer},
        )

    def _faults(self) -> Iterator[str]:
        if not _is_text(self.host):
            yield f"host={self.host!r} is not an address; give one like '127.0.0.1' or '0.0.0.0'"
        if not (_is_number(self.port, int) and 0 <= self.port <= 65535):
            yield f"port={self.port!r} is not a port; give a number from 0 to 65535"
        for option in ("name", "version"):
            if not _is_text(getattr(self, option)):
                yield f"{option}={getattr(self, option)!r} is not a text; give one that is not empty"
        if self.timeout is not None and not (_is_number(self.timeout, int | float) and 0 < self.timeout < float("inf")):
            yield f"timeout={self.timeout!r} is not a time; give a number of seconds above 0, or None for no limit"
        if not (_is_number(self.max_body_size, int) and self.max_body_size > 0):
            yield f"max_body_size={self.max_body_size!r} is not a size; give a number of bytes above 0"
        yield from self._faults_of_collections()

    def _faults_of_collections(self) -> Iterator[str]:
        if not _is_middleware(self.middleware):
            yield "middleware is not a list of starlette.middleware.Middleware; write [Middleware(Class, option=...)]"
        try:
            check_guards(self.guards, "guards")
        except InvalidRoute as fault:
            yield str(fault)
        if not _is_kind(self.errors, Mapping):
            yield f"errors={self.errors!r} is not a mapping; write errors={{OrderNotFound: 404}}"
            return
        for cls, status in self.errors.items():
            if not (_is_kind(cls, type) and issubclass(cls, Exception)):
                yield f"errors has the key {cls!r}, which is no exception class; write errors={{OrderNotFound: 404}}"
            elif not (_is_number(status, int) and 400 <= status <= 599):
                yield f"errors has {cls.__name__}: {status!r}; give a status from 400 to 599"


class _Answering:
    """Outermost of the middleware: an error that the middleware itself raises is answered as any other."""

    def __init__(self, app: ASGIApp, problems: Problems) -> None:
        self.app = app
        self.problems = problems

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if started:
                raise
            await self.problems.response(error)(scope, receive, send)


# The values come from users who may run no type checker: these take anything.


def _is_kind(value: Any, kind: Any) -> bool:
    return isinstance(value, kind)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_middleware(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(item, Middleware) for item in value)


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
