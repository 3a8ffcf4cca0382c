"""From what the client sent to a validated object: JSON bodies, forms and query strings. Called by ``context``."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.datastructures import FormData, ImmutableMultiDict, QueryParams
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

from goose.http.errors import HttpError

T = TypeVar("T")

JSON: Final = "application/json"
FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
MAX_FAULTS: Final = 100
"""Faults that one 422 names; a body of a megabyte can hold half a million."""


def limited(receive: Receive, limit: int) -> Receive:
    """``receive``, refusing a body as soon as more than ``limit`` bytes of it have come."""
    taken = 0

    async def receive_limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise too_large(limit)
        return message

    return receive_limited


def too_large(limit: int) -> HttpError:
    """The error for a body over the limit."""
    return HttpError(413, f"The body is larger than {limit} bytes.")


async def read_json(request: Request, model: type[T]) -> T:
    """The request's JSON body as a ``model``.

    Raises:
        HttpError: 400 where it is empty or no JSON, 422 where it does not fit the model.
    """
    body = await request.body()
    if not body:
        raise HttpError(400, "The body is empty; JSON was expected.")
    try:
        if b"NaN" in body or b"Infinity" in body:  # pydantic takes them for numbers, JSON knows no such thing
            from_json(body, allow_inf_nan=False)
        bound: T = adapter(model).validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        if len(faults) == 1 and faults[0]["type"] == "json_invalid":
            raise HttpError(400, f"The body is not valid JSON: {faults[0].get('ctx', {})['error']}.") from error
        raise violation(faults, "body") from error
    except ValueError as error:
        raise HttpError(400, f"The body is not valid JSON: {error}.") from error
    return bound


async def read_form(request: Request, model: type[T], limit: int) -> T:
    """The request's form as a ``model``; uploaded files are Starlette's ``UploadFile``.

    Raises:
        HttpError: 400 where it is malformed, 422 where it does not fit the model.
    """
    try:
        form = await request.form(max_part_size=limit)
    except (HTTPException, MultiPartException) as error:
        reason = error.detail if isinstance(error, HTTPException) else error.message
        raise HttpError(400, f"The form is malformed: {reason.rstrip('.')}.") from error
    return _validated(model, form, "form")


def read_query(params: QueryParams, model: type[T]) -> T:
    """The query string as a ``model``; a repeated key fills a list.

    Raises:
        HttpError: 422 where it does not fit the model.
    """
    return _validated(model, params, "query")


def unsupported(media_type: str) -> HttpError:
    """The error for a body that is neither JSON nor a form."""
    accepted = ", ".join((JSON, *FORMS))
    said = "The body has no Content-Type" if not media_type else "The body's Content-Type is not supported"
    return HttpError(415, f"{said}; send {accepted}.", headers={"Accept": accepted})


def violation(faults: Sequence[ErrorDetails], part: str) -> HttpError:
    """The error for input that is well-formed and does not fit its model, with the path of every field."""
    count = f"{len(faults)} fault" if len(faults) == 1 else f"{len(faults)} faults"
    shown = f", the first {MAX_FAULTS} of them here" if len(faults) > MAX_FAULTS else ""
    errors = [
        {"pointer": _pointer(fault["loc"]), "detail": fault["msg"], "code": fault["type"]}
        for fault in faults[:MAX_FAULTS]
    ]
    return HttpError(422, f"The {part} is not valid: {count}{shown}.", extra={"errors": errors})


def adapter(model: Any) -> TypeAdapter[Any]:
    """The validator of a model, made once."""
    return _adapter(model)


@lru_cache(maxsize=1024)
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _validated(model: type[T], pairs: FormData | QueryParams, part: str) -> T:
    try:
        bound: T = adapter(model).validate_python(_gather(pairs, _list_keys_of(model)))
    except ValidationError as error:
        raise violation(error.errors(include_url=False, include_input=False), part) from error
    return bound


def _gather(pairs: ImmutableMultiDict[str, Any], lists: AbstractSet[str]) -> dict[str, Any]:
    """One value a key, a list for list fields. A key repeated for a plain field stays a list, which it then refuses."""
    gathered: dict[str, Any] = {}
    for key in pairs:
        values = pairs.getlist(key)
        gathered[key] = values if key in lists or len(values) > 1 else values[0]
    return gathered


def _list_keys_of(model: Any) -> frozenset[str]:
    return _list_keys(model)


@lru_cache(maxsize=1024)
def _list_keys(model: Any) -> frozenset[str]:
    """The keys whose fields hold several values."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return frozenset(
            key
            for name, info in model.model_fields.items()
            if _holds_several(info.annotation)
            for key in (name, *_aliases(info.validation_alias), *_aliases(info.alias))
        )
    if isinstance(model, type) and is_dataclass(model):
        hints = get_type_hints(model)
        return frozenset(field.name for field in fields(model) if _holds_several(hints[field.name]))
    return frozenset()


def _aliases(alias: object) -> tuple[str, ...]:
    if isinstance(alias, AliasChoices):
        return tuple(choice for choice in alias.choices if isinstance(choice, str))
    return (alias,) if isinstance(alias, str) else ()


def _holds_several(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin is Annotated:
        return _holds_several(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return any(_holds_several(arg) for arg in get_args(hint))
    if not isinstance(origin, type) or issubclass(origin, str | bytes | Mapping):
        return False
    return issubclass(origin, Sequence | AbstractSet)


def _pointer(path: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901) as a URI fragment, as RFC 9457 shows it."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
