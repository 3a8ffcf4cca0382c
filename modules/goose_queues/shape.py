"""What a value may be so that JSON gives it back the same: one look per class, a few comparisons per job.

Called by ``payload``. A class is read once: fields that are declared as plain text, numbers and booleans need next to
nothing, for the others the values are walked, knowing which types their annotation can restore.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import io
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

import typing_extensions
from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic.functional_serializers import PlainSerializer, WrapSerializer

from goose_queues.redact import cut

MAX_DEPTH: Final = 64
MAX_BITS: Final = 64
"""Of an integer: more is not exact for everyone who reads the JSON."""

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_CONTAINERS: Final = frozenset({list, dict})
_RESTORABLE: Final = (enum.Enum, datetime, date, time, timedelta, Decimal, UUID)
_BYTES: Final = (bytes, bytearray, memoryview)
_SECRETS: Final = (SecretStr, SecretBytes, Secret)
_NOT_JSON: Final = (*_BYTES, set, frozenset, complex, PurePath)


class Fault(Exception):
    """A value that JSON would not give back; ``text`` continues the path to a sentence."""

    def __init__(self, where: str, text: str) -> None:
        self.path = where
        self.text = text
        super().__init__(where + text)


class Shape:
    """What to look at in the values of one class."""

    def __init__(self, cls: type[BaseModel]) -> None:
        decorators = cls.__pydantic_decorators__
        serialized = {name for item in decorators.field_serializers.values() for name in item.info.fields}
        skipped = set(cls.model_fields) if decorators.model_serializers or "*" in serialized else serialized
        self.integers: tuple[str, ...] = ()
        self.floats: tuple[str, ...] = ()
        self.others: tuple[tuple[str, frozenset[Any]], ...] = ()
        self.all: tuple[tuple[str, frozenset[Any]], ...] = ()
        for name, info in cls.model_fields.items():
            if name in skipped or any(isinstance(m, PlainSerializer | WrapSerializer) for m in info.metadata):
                continue  # The class says itself how this is written.
            declared = declared_types(info.annotation)
            self.all += ((name, declared),)
            self._sort(name, declared)
        if cls.model_config.get("extra") == "allow":
            self.check = self._check_with_extra  # type: ignore[method-assign]

    def _sort(self, name: str, declared: frozenset[Any]) -> None:
        if not declared <= _PLAIN:
            self.others += ((name, declared),)
            return
        if int in declared:
            self.integers += (name,)
        if float in declared:
            self.floats += (name,)

    def check(self, model: BaseModel) -> None:
        """Refuse what pydantic would write and not give back; text is looked at by ``check_text``."""
        values = vars(model)
        for name in self.integers:
            value: Any = values.get(name)
            if value.__class__ is int and value.bit_length() > MAX_BITS:
                raise Fault(path([name]), _too_big(value))
        for name in self.floats:
            value = values.get(name)
            if value is not None and value.__class__ is not str and not math.isfinite(value):
                raise Fault(path([name]), " is not finite")
        for name, declared in self.others:
            _Walk(declared).look(values.get(name), [name])

    def _check_with_extra(self, model: BaseModel) -> None:
        Shape.check(self, model)
        for name, value in (model.__pydantic_extra__ or {}).items():
            _Walk(frozenset()).look(value, [name])

    def check_text(self, model: BaseModel) -> None:
        """Refuse text that cannot be stored anywhere in the values."""
        for name, declared in self.all:
            _Walk(declared).look(model.__dict__.get(name), [name])


_shapes: WeakKeyDictionary[type[BaseModel], Shape] = WeakKeyDictionary()


def of(cls: type[BaseModel]) -> Shape:
    """The shape of a class, read once."""
    found = _shapes.get(cls)
    if found is None:
        found = _shapes[cls] = Shape(cls)
    return found


def check_plain(value: object) -> None:
    """Refuse whatever is not plain JSON data."""
    _Walk(frozenset()).look(value, [])


def check_result(value: object) -> None:
    """Refuse what JSON cannot hold; unlike a payload, a result need not come back as the same type."""
    _Walk(frozenset(), lenient=True).look(value, [])


def path(steps: Iterable[str | int]) -> str:
    """``$.items[3].name`` from the keys and indexes that lead to a value."""
    return "$" + "".join(map(_step, steps))


def fault_of(value: object, where: str) -> Fault:
    """What is wrong with a value that is no data."""
    kind = type(value).__name__
    if isinstance(value, _SECRETS):
        return Fault(where, ": secrets do not belong in a payload")
    if _is_live(value):
        return Fault(where, f": {kind} is no data; pass its id")
    if isinstance(value, _RESTORABLE) or dataclasses.is_dataclass(value) or isinstance(value, BaseModel):
        return Fault(where, f": {kind} would not come back as {kind}; declare the field as {kind}")
    return Fault(where, f": {kind} is not JSON; encode it yourself")


def declared_types(annotation: Any) -> frozenset[Any]:
    """Every type that an annotation names, at any depth, down to the fields of typed dicts and named tuples."""
    found: set[Any] = set()
    _collect(annotation, found, set())
    return frozenset(found)


def _collect(hint: Any, found: set[Any], seen: set[int]) -> None:
    if id(hint) in seen:
        return
    seen.add(id(hint))
    if hint is None:
        found.add(type(None))
        return
    if isinstance(hint, typing.NewType | typing_extensions.NewType):
        _collect(hint.__supertype__, found, seen)
        return
    if isinstance(hint, typing_extensions.TypeAliasType) or hasattr(hint, "__value__"):
        _collect(hint.__value__, found, seen)
        return
    origin = typing_extensions.get_origin(hint)
    args = typing_extensions.get_args(hint)
    if origin in (typing.Literal, typing_extensions.Literal):
        found.update(type(value) for value in args)
        return
    if origin in (typing.Annotated, typing_extensions.Annotated):
        _collect(args[0], found, seen)
        return
    if origin is not None:
        if origin not in (typing.Union, types.UnionType):
            found.add(origin)
        for arg in args:
            _collect(arg, found, seen)
        return
    found.add(hint)
    if isinstance(hint, type) and (issubclass(hint, tuple) or typing_extensions.is_typeddict(hint)):
        for inner in typing.get_type_hints(hint, include_extras=True).values():
            _collect(inner, found, seen)


class _Walk:
    """One way through a value, knowing what its annotation can restore."""

    def __init__(self, declared: frozenset[Any], *, lenient: bool = False) -> None:
        self._declared = declared
        self._lenient = lenient
        self._above: list[int] = []

    def look(self, value: Any, steps: list[str | int]) -> None:
        kind = value.__class__
        if kind is str:
            _check_text(value, steps)
        elif kind is int:
            if value.bit_length() > MAX_BITS:
                raise Fault(path(steps), _too_big(value))
        elif kind is float:
            if not math.isfinite(value):
                raise Fault(path(steps), " is not finite")
        elif kind in _CONTAINERS:
            self._descend(value, steps)
        elif kind is not bool and value is not None:
            self._look_closer(value, steps)

    def _look_closer(self, value: Any, steps: list[str | int]) -> None:
        if isinstance(value, (*_SECRETS, *_NOT_JSON)):
            raise fault_of(value, path(steps))
        if isinstance(value, datetime) and value.utcoffset() is None:
            raise Fault(path(steps), ": naive datetime; use datetime.now(timezone.utc)")
        if isinstance(value, Decimal) and not value.is_finite():
            raise Fault(path(steps), " is not finite")
        if isinstance(value, enum.Enum):
            self._allow(value, steps)
            self.look(value.value, steps)
        elif isinstance(value, str | int | float):
            # A subclass is written, and comes back, as what it is derived from.
            self.look(_plain_of(value), steps)
        elif isinstance(value, tuple) and not self._lenient and not self._restores(value):
            raise Fault(path(steps), f": {type(value).__name__} would come back as list; declare it as tuple")
        elif isinstance(value, Mapping | list | tuple) or _is_collection(value):
            if not isinstance(value, dict | list | tuple):
                self._allow(value, steps)
            self._descend(value, steps)
        elif isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            self._allow(value, steps, exact=True)
            self._descend(value, steps)
        else:
            self._allow(value, steps)

    def _allow(self, value: Any, steps: list[str | int], *, exact: bool = False) -> None:
        if self._lenient:
            return
        if not (type(value) in self._declared if exact else self._restores(value)):
            raise fault_of(value, path(steps))
        if _is_live(value):
            raise fault_of(value, path(steps))

    def _restores(self, value: Any) -> bool:
        """Whether the annotation names the value's type, so that it comes back as that."""
        kinds = type(value).__mro__
        return any(kind in self._declared for kind in kinds if kind is not object)

    def _descend(self, value: Any, steps: list[str | int]) -> None:
        if len(self._above) >= MAX_DEPTH:
            raise Fault(path(steps[:1]), f" is nested deeper than {MAX_DEPTH}")
        if id(value) in self._above:
            raise Fault(path(steps), " refers to its parent")
        self._above.append(id(value))
        if isinstance(value, Mapping):
            self._look_at_items(value, steps)
        elif isinstance(value, BaseModel):
            self._look_at_model(value, steps)
        elif dataclasses.is_dataclass(value):
            self._look_at_dataclass(value, steps)
        else:
            for index, item in enumerate(value):
                self.look(item, [*steps, index])
        self._above.pop()

    def _look_at_items(self, value: Mapping[Any, Any], steps: list[str | int]) -> None:
        for key, item in value.items():
            if not isinstance(key, str):
                raise Fault(path(steps), f": key {cut(_shown(key), 40)} is not a string")
            _check_text(key, steps, "has a key that ")
            self.look(item, [*steps, str(key)])

    def _look_at_model(self, value: BaseModel, steps: list[str | int]) -> None:
        for name, declared in of(type(value)).all:
            self._look_within(declared, value.__dict__.get(name), [*steps, name])

    def _look_at_dataclass(self, value: Any, steps: list[str | int]) -> None:
        hints = typing.get_type_hints(type(value), include_extras=True)
        for field in dataclasses.fields(value):
            self._look_within(declared_types(hints[field.name]), getattr(value, field.name), [*steps, field.name])

    def _look_within(self, declared: frozenset[Any], value: Any, steps: list[str | int]) -> None:
        outer, self._declared = self._declared, declared
        self.look(value, steps)
        self._declared = outer


def _check_text(text: str, steps: list[str | int], prefix: str = "") -> None:
    if "\x00" in text:
        raise Fault(path(steps), f" {prefix}contains NUL at index {text.index(chr(0))}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Fault(path(steps), f" {prefix}is not valid Unicode") from None


def _plain_of(value: Any) -> str | int | float:
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)


def _is_collection(value: object) -> bool:
    return (
        hasattr(value, "__iter__") and hasattr(value, "__len__") and not hasattr(value, "__get_pydantic_core_schema__")
    )


def _is_live(value: object) -> bool:
    """Whether a value is a thing of this process, not data: an ORM instance, a file, a lock, a coroutine, a function."""
    return (
        isinstance(value, io.IOBase | types.ModuleType)
        or inspect.isawaitable(value)
        or inspect.isgenerator(value)
        or inspect.isasyncgen(value)
        or inspect.isroutine(value)
        or hasattr(type(value), "__mapper__")
        or (hasattr(value, "acquire") and hasattr(value, "release"))
    )


def _too_big(value: int) -> str:
    return f": an integer of {value.bit_length()} bits is not exact in JSON; the limit is {MAX_BITS}"


def _shown(key: object) -> str:
    try:
        return repr(key)
    except Exception:  # noqa: BLE001 - a foreign object's repr
        return type(key).__name__


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[A-Za-z_]\w{0,63}", step, re.ASCII) else f"[{json.dumps(step[:64])}]"
