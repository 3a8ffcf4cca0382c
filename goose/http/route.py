"""Route: one method and path with its handler; the decorators that make a method of a controller answer requests."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import PARAM_REGEX, compile_path

from goose.http.context import Context
from goose.http.errors import InvalidRoute

METHOD: Final = re.compile(r"[A-Z]+(-[A-Z]+)*")
MARKS: Final = "__goose_marks__"
"""Where the decorators leave their marks on a method."""


class Guard(Protocol):
    """Lets a request pass or refuses it; built by injection for each request."""

    async def check(self, ctx: Context, /) -> None:
        """Return to let the request pass; raise ``HttpError(401)`` or ``HttpError(403)`` to refuse it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator says of a method."""

    method: str
    path: str
    guards: tuple[type[Guard], ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path, and the handler that answers there; listed by ``goose routes``."""

    method: str
    path: str
    """Whole: the controller's prefix is in it."""
    controller: type[Any]
    handler: str
    """The name of the controller's method."""
    guards: tuple[type[Guard], ...]
    """The controller's, then the method's; each once."""

    @property
    def name(self) -> str:
        """``OrderController.show``: how errors and logs speak of it, and its name for ``url_for``."""
        return f"{self.controller.__name__}.{self.handler}"


Handler = TypeVar("Handler", bound=Callable[[Any, Context], Any])


class Decorator(Protocol):
    """Marks a handler and leaves it as it is."""

    def __call__(self, handler: Handler, /) -> Handler: ...


def get(path: str = "/", *, guards: Sequence[type[Guard]] = ()) -> Decorator:
    """Answer GET, and HEAD with it."""
    return route(path, methods=("GET",), guards=guards)


def post(path: str = "/", *, guards: Sequence[type[Guard]] = ()) -> Decorator:
    """Answer POST."""
    return route(path, methods=("POST",), guards=guards)


def put(path: str = "/", *, guards: Sequence[type[Guard]] = ()) -> Decorator:
    """Answer PUT."""
    return route(path, methods=("PUT",), guards=guards)


def patch(path: str = "/", *, guards: Sequence[type[Guard]] = ()) -> Decorator:
    """Answer PATCH."""
    return route(path, methods=("PATCH",), guards=guards)


def delete(path: str = "/", *, guards: Sequence[type[Guard]] = ()) -> Decorator:
    """Answer DELETE."""
    return route(path, methods=("DELETE",), guards=guards)


def route(path: str = "/", *, methods: Sequence[str], guards: Sequence[type[Guard]] = ()) -> Decorator:
    """Answer several methods with one handler; the other decorators are this with one method.

    Args:
        path: Below the controller's prefix; ``/orders/{id}``, ``{id:int}``, ``{rest:path}``.
        methods: ``("GET", "POST")``.
        guards: Checked in order after the platform's and the controller's.

    Raises:
        InvalidRoute: The path, a method or a guard is wrong, or the handler does not take ``(self, ctx)``.
    """

    def decorate(handler: Handler, /) -> Handler:
        place = getattr(handler, "__qualname__", repr(handler)).rsplit("<locals>.", 1)[-1]
        _check_handler(handler, place)
        marks = tuple(Mark(_method(m, place), check_start(path, place), check_guards(guards, place)) for m in methods)
        setattr(handler, MARKS, (*getattr(handler, MARKS, ()), *marks))
        return handler

    if isinstance(methods, str) or not methods:
        raise InvalidRoute(
            f"route({path!r}, methods={methods!r})", 'name the methods in a tuple, like ("GET", "POST").'
        )
    return decorate


def check_start(path: object, place: str) -> str:
    """A path or prefix that begins as it must."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidRoute(place, f"the path {path!r} does not begin with '/'. Write {'/' + str(path)!r}.")
    return path


def check_path(path: str, place: str) -> str:
    """A whole path that can be routed.

    Raises:
        InvalidRoute: A parameter of it is malformed, of an unknown convertor, or there twice.
    """
    if set("{}") & set(PARAM_REGEX.sub("", path)):
        raise InvalidRoute(
            place, f"the path {path!r} has a brace that is no parameter. Write {{name}} or {{name:int}}."
        )
    for _, convertor in PARAM_REGEX.findall(path):
        if convertor and convertor[1:] not in CONVERTOR_TYPES:
            known = ", ".join(sorted(CONVERTOR_TYPES))
            raise InvalidRoute(
                place, f"the path {path!r} has the unknown convertor {convertor[1:]!r}. Known are {known}."
            )
    try:
        compile_path(path)
    except ValueError:
        raise InvalidRoute(place, f"the path {path!r} has a parameter twice. Rename one of them.") from None
    return path


def check_guards(guards: object, place: str) -> tuple[type[Guard], ...]:
    """Guards that are what they must be: classes with an async ``check``."""
    if not isinstance(guards, Sequence):
        raise InvalidRoute(place, f"guards={guards!r} is no tuple. Write guards=(SignedIn,).")
    for guard in guards:
        if not (isinstance(guard, type) and inspect.iscoroutinefunction(getattr(guard, "check", None))):
            name = guard.__name__ if isinstance(guard, type) else repr(guard)
            raise InvalidRoute(
                place, f"the guard {name} is no class with `async def check(self, ctx: Context) -> None`."
            )
    return tuple(guards)


def _check_handler(handler: object, place: str) -> None:
    if not inspect.isfunction(handler):
        raise InvalidRoute(place, "only a method of a controller can answer requests. Put the decorator on a `def`.")
    try:
        inspect.signature(handler).bind(None, None)
    except TypeError:
        raise InvalidRoute(place, "a handler takes (self, ctx: Context) and nothing else.") from None


def _method(method: object, place: str) -> str:
    name = str(method).upper()
    if not METHOD.fullmatch(name):
        raise InvalidRoute(place, f"{method!r} is no HTTP method.")
    return name
