"""Job <-> JSON text: what can be stored comes back the same, what could not is refused with its path.

``encode`` is called where a job is dispatched, ``decode`` where it is run; ``encode_json`` serves ``meta``,
``encode_result`` what a handler returned. pydantic writes and reads the text; ``shape`` looks at the values.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from goose_queues import shape
from goose_queues.errors import CorruptRow, PayloadError, PayloadMismatch, PayloadTooLarge
from goose_queues.job import Job
from goose_queues.redact import one_line

# How JSON writes a NUL. Where this stands in the text, the values are looked at: it may be a backslash and letters.
_NUL: Final = b"\\u0000"

_OPTIONS: Final[dict[str, Any]] = {"by_alias": False, "round_trip": True, "warnings": "error"}


def encode(job: Job, limit: int) -> str:
    """The fields of a job as JSON text.

    Raises:
        PayloadError: A value would not come back as it is.
        PayloadTooLarge: The text has more than ``limit`` bytes.
    """
    cls = type(job)
    try:
        shape.of(cls).check(job)
        try:
            text = cls.__pydantic_serializer__.to_json(job, **_OPTIONS)
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise _culprit(job) from error
        if _NUL in text:
            shape.check_plain(json.loads(text))
    except shape.Fault as fault:
        raise PayloadError(cls.__name__, fault.path, fault.text) from fault.__cause__
    if len(text) > limit:
        raise PayloadTooLarge(cls.__name__, len(text), limit)
    return text.decode()


def decode(cls: type[Job], text: str) -> Job:
    """A job from its stored text; fields that its class does not know are ignored.

    Raises:
        PayloadMismatch: The text does not fit the class.
        CorruptRow: It is no JSON.
    """
    try:
        job: Job = cls.__pydantic_validator__.validate_json(text, extra="ignore", by_alias=False, by_name=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if found[0]["type"] == "json_invalid":
            raise CorruptRow(cls.__name__, "payload", one_line(found[0]["msg"])) from None
        faults = [(shape.path(fault["loc"]), one_line(fault["msg"])) for fault in found]
        raise PayloadMismatch(cls.__name__, tuple(faults)) from None
    except Exception as error:
        # A validator of the user's that raises something of its own.
        raise PayloadMismatch(cls.__name__, (("$", one_line(f"{type(error).__name__}: {error}")),)) from error
    return job


def encode_json(value: object, what: str, limit: int) -> str:
    """Plain data as JSON text: strings, numbers, booleans, None, lists, and dicts with string keys.

    Args:
        value: The data.
        what: What an error calls it: ``meta``.
        limit: Bytes of JSON.

    Raises:
        PayloadError: JSON would not give the value back as it is.
        PayloadTooLarge: The text has more than ``limit`` bytes.
    """
    try:
        shape.check_plain(value)
    except shape.Fault as fault:
        raise PayloadError(what, fault.path, fault.text) from fault.__cause__
    text = to_json(value)
    if len(text) > limit:
        raise PayloadTooLarge(what, len(text), limit)
    return text.decode()


def encode_result(value: object, limit: int) -> tuple[str | None, str | None]:
    """What a handler returned as JSON text, and a note where it could not be kept; both None where it returned None."""
    if value is None:
        return None, None
    try:
        shape.check_result(value)
        text = to_json(value)
    except shape.Fault as fault:
        return None, one_line(f"the result was dropped: {fault.path}{fault.text}")
    except Exception as error:  # noqa: BLE001 - whatever a foreign object does when it is looked at
        return None, one_line(f"the result was dropped: {type(error).__name__}: {error}")
    if len(text) > limit:
        return None, f"the result was dropped: {len(text)} bytes > {limit}; store a reference"
    return text.decode(), None


def _culprit(job: Job) -> shape.Fault:
    """The value for which pydantic could not write the job."""
    try:
        shape.of(type(job)).check_text(job)
    except shape.Fault as fault:
        return fault
    for name in type(job).model_fields:
        try:
            type(job).__pydantic_serializer__.to_json(job, include={name}, **_OPTIONS)
        except (PydanticSerializationError, ValueError, RecursionError):
            return shape.fault_of(getattr(job, name), shape.path([name]))
    return shape.Fault("$", " cannot be written as JSON")
