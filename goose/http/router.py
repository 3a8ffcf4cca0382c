"""Router: from the kernel's controllers to Starlette routes, made once at boot. Called by ``platform``.

Everything a request needs is looked up here and held by a closure; a request itself looks nothing up by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio.to_thread
from starlette.datastructures import URLPath
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import PARAM_REGEX, BaseRoute, Match, NoMatchFound, compile_path
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as HttpScope

from goose.container import Resolver, View
from goose.http.binding import too_large
from goose.http.context import Context
from goose.http.controller import Controller, routes_of
from goose.http.deadline import Deadline, Deadlines
from goose.http.errors import DuplicateRoute, HandlerExit, HandlerTimeout, HttpError
from goose.http.health import HEALTH_PATH, READY_PATH, health, readiness
from goose.http.problems import Problems
from goose.http.route import Guard, Route
from goose.kernel import Kernel
from goose.module import Module
from goose.scope import Scope

log = logging.getLogger("goose.http")

BODILESS_METHODS: Final = frozenset({"GET", "HEAD"})
"""Methods whose requests are not expected to have a body: its length is not looked at before the handler asks."""

Answer: TypeAlias = Callable[[HttpScope, Receive, Send], Awaitable[Response]]
"""From a request to its response: the scope that it opened has ended by then."""


@dataclass(frozen=True, slots=True)
class Handling:
    """What the platform wants of every request."""

    name: str
    version: str
    timeout: float | None
    max_body_size: int
    guards: tuple[type[Guard], ...]
    problems: Problems


@dataclass(frozen=True, slots=True)
class Entry:
    """One method and path, who answers there, and how."""

    method: str
    path: str
    name: str
    app: ASGIApp


class PathRoute(StarletteRoute):
    """All methods of one path."""

    def __init__(self, path: str, entries: Sequence[Entry]) -> None:
        self.apps = {entry.method: entry.app for entry in entries}
        if "GET" in self.apps:
            self.apps.setdefault("HEAD", self.apps["GET"])
        self.names = {entry.name for entry in entries}
        super().__init__(path, self, methods=list(self.apps), name=entries[0].name)

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        await self.apps[scope["method"]](scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        return super().url_path_for(self.name if name in self.names else name, **path_params)

    def params(self, path: str) -> dict[str, Any] | None:
        """The parameters of a path that fits; None where it does not."""
        found = self.path_regex.match(path)
        if found is None:
            return None
        try:
            return {name: self.param_convertors[name].convert(value) for name, value in found.groupdict().items()}
        except ValueError:  # the convertor refuses what its pattern let pass, like an int of 5,000 digits
            return None


class RouteTable(BaseRoute):
    """All routes as one: a fixed path is found at once, others by trying patterns. Of two that fit, the more exact wins."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        by_path: dict[str, list[Entry]] = {}
        for entry in entries:
            by_path.setdefault(entry.path, []).append(entry)
        self.routes = [PathRoute(path, by_path[path]) for path in sorted(by_path, key=_vagueness)]
        self._fixed = {route.path: route for route in self.routes if not route.param_convertors}
        self._patterns = [route for route in self.routes if route.param_convertors]

    def matches(self, scope: HttpScope) -> tuple[Match, HttpScope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        path, method = _route_path(scope), scope["method"]
        fixed = self._fixed.get(path)
        if fixed is not None and method in fixed.apps:
            return Match.FULL, {"endpoint": fixed, "path_params": {}}
        partial = fixed
        for route in self._patterns:
            params = route.params(path)
            if params is None:
                continue
            if method in route.apps:
                return Match.FULL, {"endpoint": route, "path_params": params}
            partial = partial or route
        return (Match.NONE, {}) if partial is None else (Match.PARTIAL, {"endpoint": partial, "path_params": {}})

    async def handle(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        route: PathRoute = scope["endpoint"]
        if scope["method"] not in route.apps:
            allowed = ", ".join(self._allowed(_route_path(scope)))
            raise HttpError(405, f"This path answers {allowed}.", headers={"Allow": allowed})
        await route(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        for route in self.routes:
            with contextlib.suppress(NoMatchFound):
                return route.url_path_for(name, **path_params)
        raise NoMatchFound(name, path_params)

    def _allowed(self, path: str) -> list[str]:
        """Every method that some route answers at a path."""
        return sorted({method for route in self.routes if route.params(path) is not None for method in route.apps})


def build_routes(kernel: Kernel, root: Module, handling: Handling) -> RouteTable:
    """The routes of every controller below a root module, and those of health.

    Raises:
        InvalidRoute: A route cannot be served.
        DuplicateRoute: Two handlers have the same method and path.
    """
    entries = [
        Entry("GET", HEALTH_PATH, "goose.healthz", health(handling.name, handling.version)),
        Entry("GET", READY_PATH, "goose.readyz", readiness(kernel, debug=handling.problems.debug)),
    ]
    deadlines = Deadlines(handling.timeout)
    platform_guards = [kernel.view(root).resolver(guard) for guard in handling.guards]
    for declared in kernel.declared(Controller, root):
        view = kernel.view(declared.module)
        for route in routes_of(declared.cls):
            own = [view.resolver(guard) for guard in route.guards if guard not in handling.guards]
            entry = _Endpoint(kernel, view, route, (*platform_guards, *own), handling, deadlines)
            entries.append(Entry(route.method, route.path, route.name, entry.app()))
    _refuse_duplicates(entries)
    return RouteTable(entries)


def _refuse_duplicates(entries: Iterable[Entry]) -> None:
    seen: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        shape = re.sub(r"\?P<\w+>", "", compile_path(entry.path)[0].pattern)
        first = seen.setdefault((entry.method, shape), entry)
        if first is not entry:
            raise DuplicateRoute(entry.method, first.name, first.path, entry.name, entry.path)


def _vagueness(path: str) -> tuple[int, ...]:
    """What routes are sorted by: fixed text before parameters, narrow parameters before wide ones."""
    return tuple(_segment_vagueness(segment) for segment in path.split("/"))


def _segment_vagueness(segment: str) -> int:
    kinds = [kind[1:] or "str" for _, kind in PARAM_REGEX.findall(segment)]
    if "path" in kinds:
        return 4
    if not kinds:
        return 0
    if PARAM_REGEX.sub("", segment):
        return 1
    return 3 if kinds == ["str"] else 2


def _route_path(scope: HttpScope) -> str:
    """The path below ``root_path``, as Starlette counts it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and (path == root or path.startswith(root + "/")) else path


class _Endpoint:
    """One handler with all that it takes to call it; used at boot only, for the closures that it makes."""

    def __init__(
        self,
        kernel: Kernel,
        view: View,
        route: Route,
        guards: Sequence[Resolver[Guard]],
        handling: Handling,
        deadlines: Deadlines,
    ) -> None:
        self.open_scope = kernel.scope
        self.view = view
        self.route = route
        self.name = route.name
        self.guards = tuple(guards)
        self.controller: Resolver[Controller] = view.resolver(route.controller)
        self.handler: Callable[[Any, Context], Any] = getattr(route.controller, route.handler)
        self.deadlines = deadlines
        self.max_body_size = handling.max_body_size
        self.problems = handling.problems

    def app(self) -> ASGIApp:
        """The handler as an ASGI application: it answers every error, and sends only after its scope has ended."""
        answer = self._async_answer() if inspect.iscoroutinefunction(self.handler) else self._thread_answer()
        limit, problems, name = self.max_body_size, self.problems, self.name
        looks_at_length = self.route.method not in BODILESS_METHODS

        async def app(http: HttpScope, receive: Receive, send: Send) -> None:
            try:
                if looks_at_length:
                    _check_length(http, limit)
                response = await answer(http, receive, send)
            except ClientDisconnect:
                log.debug("the client went away", extra={"handler": name})
                return
            except (Exception, SystemExit) as error:  # noqa: BLE001 - sys.exit() in a handler must not end the server
                response = problems.response(error, name)
            await response(http, receive, send)

        return app

    def _async_answer(self) -> Answer:
        prepare, handler, name = self._preparation(), self.handler, self.name
        open_scope, view, limit, deadlines = self.open_scope, self.view, self.max_body_size, self.deadlines

        async def answer(http: HttpScope, receive: Receive, send: Send) -> Response:
            async with open_scope() as scope:
                ctx = Context(http, receive, send, scope, view, limit)
                with Deadline(deadlines, name):
                    value = await handler(await prepare(ctx, scope), ctx)
                return ctx.response(value)

        return answer

    def _thread_answer(self) -> Answer:
        """For a plain ``def``. Its thread cannot be stopped, so its scope lives in a task that may outlast the answer."""
        prepare, handler, seconds, name = self._preparation(), self.handler, self.deadlines.seconds, self.name
        open_scope, view, limit = self.open_scope, self.view, self.max_body_size
        unfinished: set[asyncio.Task[Response]] = set()

        async def work(http: HttpScope, receive: Receive, send: Send, fate: _Fate) -> Response:
            try:
                async with open_scope() as scope:
                    ctx = Context(http, receive, send, scope, view, limit)
                    controller = await prepare(ctx, scope)
                    value = await anyio.to_thread.run_sync(fate.call, handler, controller, ctx)
                    if inspect.isawaitable(value):
                        value = await value
                    if fate.given_up:
                        raise _GivenUp
                    return ctx.response(value)
            except SystemExit as error:  # a task that ends with it takes the event loop along
                raise HandlerExit(name) from error

        async def answer(http: HttpScope, receive: Receive, send: Send) -> Response:
            fate = _Fate()
            task = asyncio.create_task(work(http, receive, send, fate))
            unfinished.add(task)
            task.add_done_callback(unfinished.discard)
            try:
                await asyncio.wait((task,), timeout=seconds)
            finally:
                if not task.done():
                    fate.give_up(task)
            if not task.done() and seconds is not None:
                raise HandlerTimeout(name, seconds)
            return task.result()

        return answer

    def _preparation(self) -> Callable[[Context, Scope], Awaitable[Any]]:
        """What happens before the handler: its guards have their say, then its controller is built."""
        guards, controller = self.guards, self.controller

        async def prepare(ctx: Context, scope: Scope) -> Any:
            for guard in guards:
                checker = await guard.build(scope) if guard.is_async else guard.get(scope)
                await checker.check(ctx)
            return await controller.build(scope) if controller.is_async else controller.get(scope)

        return prepare


class _GivenUp(Exception):
    """A handler's thread came back after its request had been answered: has the scope roll back, reaches nobody."""


class _Fate:
    """Whether anyone still waits for a thread; agreed on between the thread and the loop under a lock."""

    __slots__ = ("_lock", "_started", "given_up")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self.given_up = False

    def call(self, handler: Callable[[Any, Context], Any], controller: object, ctx: Context) -> Any:
        """Call the handler, in the thread, unless nobody waits for it any more."""
        with self._lock:
            if self.given_up:
                raise _GivenUp
            self._started = True
        return handler(controller, ctx)

    def give_up(self, task: asyncio.Task[Response]) -> None:
        """Have the scope rolled back: now, or where the handler is running, when it has come back."""
        with self._lock:
            self.given_up = True
            started = self._started
        task.add_done_callback(_log_late_error)
        if not started:
            task.cancel()


def _log_late_error(task: asyncio.Task[Response]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, _GivenUp):
        log.error("a handler failed after its request had been given up", exc_info=error)


def _check_length(http: HttpScope, limit: int) -> None:
    """Refuse a body that says itself that it is too large, before anything of it is read."""
    for name, value in http["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise too_large(limit)
