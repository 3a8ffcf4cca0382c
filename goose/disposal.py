"""From what a class or factory gave to what is injected, and its end: generators, context managers, ``close()``.

Called by ``container`` for everything that it builds.
"""

from __future__ import annotations

import inspect
from typing import Any

from goose.declaration import Declaration, return_class
from goose.errors import NeedsAwait
from goose.scope import Scope


def is_async(declaration: Declaration) -> bool:
    """Whether building it needs an await, as far as can be told before it is built."""
    source = _unwrapped(declaration.source)
    if inspect.iscoroutinefunction(source) or inspect.isasyncgenfunction(source):
        return True
    produced = _produced(declaration.source)
    return declaration.dispose and produced is not None and hasattr(produced, "__aenter__")


def is_plain(declaration: Declaration) -> bool:
    """Whether what its class makes is injected as it is, and has no end."""
    source = declaration.source
    if not inspect.isclass(source):
        return False
    return not (declaration.dispose and any(hasattr(source, word) for word in ("__enter__", "aclose", "close")))


def finish(made: Any, scope: Scope, name: str, *, dispose: bool) -> Any:
    """Turn what sync code gave into what is injected, and have the scope see to its end."""
    if inspect.isgenerator(made):
        value = next(made)
        scope.on_exit(lambda error: _resume(made, error))
        return value
    if not dispose:
        return made
    kind = type(made)
    if inspect.iscoroutine(made):
        made.close()
        raise NeedsAwait(name)
    if hasattr(kind, "__aenter__"):
        raise NeedsAwait(name)
    if hasattr(kind, "__enter__"):
        value = made.__enter__()
        scope.on_exit(lambda error: _leave(made, error))
        return value
    _close_later(made, scope)
    return made


async def finish_async(made: Any, scope: Scope, *, dispose: bool = True) -> Any:
    """The same where the code that built it, or what it gave, has to be awaited."""
    if inspect.isasyncgen(made):
        value = await anext(made)
        scope.on_exit(lambda error: _resume_async(made, error))
        return value
    if inspect.iscoroutine(made):
        made = await made
    if dispose and hasattr(type(made), "__aenter__"):
        value = await made.__aenter__()
        scope.on_exit(lambda error: _leave_async(made, error))
        return value
    return finish(made, scope, type(made).__name__, dispose=dispose)


def _close_later(made: Any, scope: Scope) -> None:
    for word in ("aclose", "close"):
        close = getattr(made, word, None)
        if callable(close) and hasattr(type(made), word):
            scope.on_exit(lambda _, close=close: close())  # type: ignore[misc]
            return


def _resume(generator: Any, error: BaseException | None) -> None:
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration:
        return
    generator.close()


async def _resume_async(generator: Any, error: BaseException | None) -> None:
    try:
        if error is None:
            await anext(generator)
        else:
            await generator.athrow(error)
    except StopAsyncIteration:
        return
    await generator.aclose()


def _leave(manager: Any, error: BaseException | None) -> None:
    manager.__exit__(type(error) if error is not None else None, error, error.__traceback__ if error else None)


async def _leave_async(manager: Any, error: BaseException | None) -> None:
    await manager.__aexit__(type(error) if error is not None else None, error, error.__traceback__ if error else None)


def _unwrapped(source: Any) -> Any:
    return inspect.unwrap(getattr(source, "func", source)) if not inspect.isclass(source) else source


def _produced(source: Any) -> type | None:
    return source if inspect.isclass(source) else return_class(source)
