"""What a module offers: ``declare()``, keys and lifetimes, and what a constructor asks for, read from its type hints.

Called by a user's module, read by ``graph``. Pure: nothing is built here.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from typing_extensions import TypeForm, is_protocol

from goose.errors import InvalidDeclaration

Lifetime: TypeAlias = Literal["singleton", "scoped", "transient"]
"""One for the application; one for each request or job attempt; a new one each time it is asked for."""

LIFETIMES: Final = ("singleton", "scoped", "transient")

T = TypeVar("T")
Source: TypeAlias = (
    Callable[..., T] | Callable[..., Awaitable[T]] | Callable[..., Iterator[T]] | Callable[..., AsyncIterator[T]]
)


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Named:
    """Picks one of several declarations of a type: ``Annotated[Database, Named("replica")]``."""

    name: str


@dataclass(frozen=True, slots=True)
class Key:
    """What a declaration is found by: a type, and a name where it has one."""

    type: Any
    name: str | None = None

    @classmethod
    def of(cls, form: object) -> Key:
        """The key that a type form means; ``Annotated[T, Named(...)]`` carries its name along."""
        if isinstance(form, Key):
            return form
        if get_origin(form) is Annotated:
            base, *extras = get_args(form)
            name = next((extra.name for extra in extras if isinstance(extra, Named)), None)
            return cls(base, name)
        return cls(form)

    def __str__(self) -> str:
        text = self.type.__name__ if isinstance(self.type, type) else str(self.type)
        return text if self.name is None else f"{text} named {self.name!r}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One entry of ``Module.declarations``, made by ``declare()`` or from a bare class."""

    key: Key
    source: Any
    """What builds it: a class or a factory; the value itself where ``is_value``."""
    lifetime: Lifetime
    is_value: bool = False
    is_factory: bool = False
    dispose: bool = True
    """False: its factory looks after its end by itself."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a callable wants injected."""

    name: str
    key: Key | None
    """None: it has no type hint."""
    has_default: bool
    accepts_none: bool
    positional: bool


class HintError(Exception):
    """The hints of a callable cannot be resolved; ``str()`` says why."""


@overload
def declare(
    key: TypeForm[T],
    implementation: Callable[..., T] | None = None,
    *,
    lifetime: Lifetime | None = None,
    name: str | None = None,
    dispose: bool = True,
) -> Declaration: ...
@overload
def declare(
    key: TypeForm[T],
    *,
    factory: Source[T],
    lifetime: Lifetime | None = None,
    name: str | None = None,
    dispose: bool = True,
) -> Declaration: ...
@overload
def declare(key: TypeForm[T], *, value: T, name: str | None = None) -> Declaration: ...
def declare(
    key: Any,
    implementation: Any = None,
    *,
    factory: Any = None,
    value: Any = UNSET,
    lifetime: Lifetime | None = None,
    name: str | None = None,
    dispose: bool = True,
) -> Declaration:
    """Say how a key is fulfilled.

    Args:
        key: The type that others ask for.
        implementation: A class that fulfils it; the key itself where nothing is given.
        factory: A function that builds it; its parameters are injected. It may be async, a generator or an
            async generator (resumed when the thing is disposed), or return a context manager (entered).
        value: A ready object; never disposed.
        lifetime: ``"singleton"`` unless the class says otherwise (a controller is scoped).
        name: Tells it apart from another declaration of the same type; asked for with ``Named``.
        dispose: False where the factory looks after the end of what it builds by itself.

    Raises:
        InvalidDeclaration: The arguments contradict each other.
    """
    given = [word for word, there in (("implementation", implementation), ("factory", factory)) if there is not None]
    given += ["value"] if value is not UNSET else []
    if len(given) > 1:
        raise InvalidDeclaration(f"declare({_say(key)}): {' and '.join(given)} were given. Give one of them.")
    if lifetime is not None and lifetime not in LIFETIMES:
        raise InvalidDeclaration(f"declare({_say(key)}): lifetime={lifetime!r} is none of {', '.join(LIFETIMES)}.")
    if name is not None and not str(name).isidentifier():
        raise InvalidDeclaration(f"declare({_say(key)}): name={name!r} is not a Python identifier.")
    base = Key.of(key)
    full = Key(base.type, name if name is not None else base.name)
    if value is not UNSET:
        if lifetime is not None:
            raise InvalidDeclaration(f"declare({_say(key)}): a value has no lifetime. Leave lifetime= out.")
        return Declaration(full, value, "singleton", is_value=True)
    source = factory if factory is not None else implementation if implementation is not None else base.type
    source = get_origin(source) if inspect.isclass(get_origin(source)) else source
    if not callable(source):
        raise InvalidDeclaration(f"declare({_say(key)}): {source!r} cannot be called. Give a class or a factory.")
    if factory is None and inspect.isclass(source) and (inspect.isabstract(source) or is_protocol(source)):
        raise InvalidDeclaration(
            f"declare({_say(key)}): {source.__name__} is abstract and cannot be built. "
            f"Name an implementation: declare({_say(key)}, Implementation)."
        )
    chosen = lifetime or default_lifetime(source)
    return Declaration(full, source, chosen, is_factory=factory is not None, dispose=dispose)


def default_lifetime(source: object) -> Lifetime:
    """The lifetime that a class asks for itself (``__goose_lifetime__``), else ``"singleton"``."""
    lifetime: Lifetime = getattr(source, "__goose_lifetime__", "singleton")
    return lifetime


def is_listed(source: object) -> bool:
    """Whether a class is of a kind that other modules collect, so that it is listed and never constructed."""
    return inspect.isclass(source) and getattr(source, "__goose_listed__", False) is True


def snake_case(name: str) -> str:
    """``HTTPClient`` becomes ``http_client``: the name under which a class is found."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return parted.lower()


def constructor_parameters(source: Any) -> tuple[Parameter, ...]:
    """What a class's constructor or a factory wants injected.

    Raises:
        HintError: A hint cannot be resolved.
    """
    if not inspect.isclass(source):
        return function_parameters(source, skip=0)
    owner = next(cls for cls in source.__mro__ if "__init__" in cls.__dict__)
    if owner is object:
        return ()
    made = owner.__dict__.get("__dataclass_params__")
    if made is not None and made.init:
        return _field_parameters(owner)
    return function_parameters(owner.__dict__["__init__"], skip=1)


def function_parameters(function: Any, *, skip: int) -> tuple[Parameter, ...]:
    """What a function wants injected after its first ``skip`` parameters.

    Raises:
        HintError: A hint cannot be resolved.
    """
    try:
        wanted = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return ()
    wanted = [p for p in wanted if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    hints = _hints(function) if wanted else {}
    return tuple(
        _parameter(p.name, hints.get(p.name, UNSET), p.default is not p.empty, positional=p.kind is p.POSITIONAL_ONLY)
        for p in wanted
    )


def uninjected_fields(source: Any) -> tuple[str, ...]:
    """Annotated fields of a class that has neither ``@dataclass`` nor a constructor to take them."""
    if not inspect.isclass(source) or next(c for c in source.__mro__ if "__init__" in c.__dict__) is not object:
        return ()
    if issubclass(source, tuple):
        return ()
    return tuple(
        name
        for cls in source.__mro__
        for name, hint in inspect.get_annotations(cls).items()
        if not _is_class_var(hint) and not hasattr(cls, name)
    )


def return_class(factory: Any) -> type | None:
    """The class that a factory says it returns; None where it says nothing usable."""
    try:
        hint = _hints(factory).get("return")
    except HintError:
        return None
    return hint if inspect.isclass(hint) else None


def _field_parameters(owner: Any) -> tuple[Parameter, ...]:
    hints = _hints(owner)
    return tuple(
        _parameter(item.name, hints.get(item.name, UNSET), _has_default(item), positional=False)
        for item in fields(owner)
        if item.init
    )


def _has_default(item: Field[Any]) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


def _parameter(name: str, hint: Any, has_default: bool, *, positional: bool) -> Parameter:
    if hint is UNSET:
        return Parameter(name, None, has_default, accepts_none=False, positional=positional)
    hint, accepts_none = _without_none(hint)
    return Parameter(name, Key.of(hint), has_default, accepts_none, positional)


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    args = get_args(hint)
    rest = [arg for arg in args if arg is not type(None)]
    if len(rest) == 1 and len(args) > 1:
        return rest[0], True
    return hint, False


def _hints(source: Any) -> dict[str, Any]:
    target = source
    if not inspect.isclass(source) and not inspect.isroutine(source):
        target = getattr(source, "func", None) or type(source).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except Exception as error:
        raise HintError(str(error)) from error


def _is_class_var(hint: Any) -> bool:
    if isinstance(hint, str):
        return re.match(r"(\w+\.)*ClassVar\b", hint) is not None
    return hint is ClassVar or get_origin(hint) is ClassVar


def _say(key: Any) -> str:
    return str(Key.of(key))
