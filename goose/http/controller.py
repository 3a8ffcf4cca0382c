"""Controller: the base of classes whose methods answer requests. ``router`` collects their routes at boot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from goose.declaration import Lifetime
from goose.http.errors import InvalidRoute
from goose.http.route import MARKS, Guard, Mark, Route, check_guards, check_path, check_start


class Controller:
    """A class whose decorated methods answer requests; one instance for each request, built by injection.

    Class keywords:
        prefix: Stands before the path of every route; inherited, and replaced where a subclass gives its own.
        guards: Checked before every handler; a subclass adds to those that it inherits.
    """

    __goose_lifetime__: ClassVar[Lifetime] = "scoped"
    __goose_prefix__: ClassVar[str] = ""
    __goose_guards__: ClassVar[tuple[type[Guard], ...]] = ()
    """Those that this very class names; ``guards_of`` gathers the inherited ones."""

    def __init_subclass__(
        cls, *, prefix: str | None = None, guards: Sequence[type[Guard]] | None = None, **kwargs: Any
    ) -> None:
        # @dataclass(slots=True) makes the class a second time, without the keywords and with this class's attributes:
        # what is set here stays there.
        super().__init_subclass__(**kwargs)
        if prefix is not None:
            cls.__goose_prefix__ = check_start(prefix, cls.__name__).rstrip("/")
        if guards is not None:
            cls.__goose_guards__ = check_guards(guards, cls.__name__)

    @classmethod
    def __goose_implied__(cls) -> Iterable[type]:
        """Every guard of the class and its routes: the kernel declares those that the module does not see."""
        return dict.fromkeys((*guards_of(cls), *(guard for route in routes_of(cls) for guard in route.guards)))


def guards_of(controller: type[Controller]) -> tuple[type[Guard], ...]:
    """The guards of a controller, those of its bases first."""
    named = [vars(cls).get("__goose_guards__", ()) for cls in reversed(controller.__mro__)]
    return tuple(dict.fromkeys(guard for guards in named for guard in guards))


def routes_of(controller: type[Controller]) -> tuple[Route, ...]:
    """The routes of a controller in the order of their definition, inherited ones first.

    A method that overrides a route of a base class keeps that route, unless it has decorators of its own.

    Raises:
        InvalidRoute: A path cannot be routed.
    """
    common = guards_of(controller)
    return tuple(
        Route(
            method=mark.method,
            path=check_path(_join(controller.__goose_prefix__, mark.path), f"{controller.__name__}.{name}"),
            controller=controller,
            handler=name,
            guards=tuple(dict.fromkeys((*common, *mark.guards))),
        )
        for name, mark in _marked(controller)
    )


def _marked(controller: type[Controller]) -> Iterator[tuple[str, Mark]]:
    names = dict.fromkeys(name for cls in reversed(controller.__mro__) for name in vars(cls))
    for name in names:
        found = [vars(cls)[name] for cls in controller.__mro__ if name in vars(cls)]
        marks = next((getattr(value, MARKS) for value in found if hasattr(value, MARKS)), ())
        if marks and found[0] is None:
            continue  # `show = None` takes an inherited route away
        if marks and not callable(found[0]):
            raise InvalidRoute(f"{controller.__name__}.{name}", "it hides a handler of a base class. Rename it.")
        for mark in marks:
            yield name, mark


def _join(prefix: str, path: str) -> str:
    """``/orders`` and ``/`` make ``/orders``."""
    return (prefix if path == "/" else prefix + path) or "/"
