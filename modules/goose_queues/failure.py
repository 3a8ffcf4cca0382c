"""An exception as text that any store can hold, however odd the exception is.

Called by ``runner`` for every failed attempt. Nothing here may fail because of what the error contains.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

from goose_queues.record import ErrorRecord
from goose_queues.redact import mask_secrets

MESSAGE_BYTES: Final = 8 * 1024
TRACEBACK_BYTES: Final = 32 * 1024
MAX_CHAIN: Final = 20
"""Exceptions of one traceback: causes, contexts and members of groups."""
FRAMES_SHOWN: Final = 40
"""Of one exception, half of them from each end."""

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_OWN: Final = "goose_queues."


def record_error(error: BaseException) -> ErrorRecord:
    """What is kept of an exception: its class name, its message, and its traceback without locals."""
    return ErrorRecord(
        type=_clean(type(error).__name__, 255),
        message=_head(message_of(error), MESSAGE_BYTES),
        traceback=_head_and_tail("".join(_describe(error, set())), TRACEBACK_BYTES),
    )


def message_of(error: BaseException) -> str:
    """What an exception says, masked and clean, at most 8 KiB of characters; it may even fail to say anything."""
    try:
        text = str(error)
    except BaseException as failure:  # noqa: BLE001 - SystemExit in a __str__ included
        text = f"<str() raised {type(failure).__name__}>"
    return _clean(text, MESSAGE_BYTES)


def say(error: BaseException) -> str:
    """``ValueError: no such order``."""
    text = message_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _describe(error: BaseException, seen: set[int]) -> Iterator[str]:
    """The exceptions that led here first, as Python itself prints them."""
    seen.add(id(error))
    before, link = _before(error)
    if before is not None and id(before) not in seen and len(seen) < MAX_CHAIN:
        yield from _describe(before, seen)
        yield link
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from _frames(error.__traceback__)
    yield f"{say(error)}\n"
    for note in _notes(error):
        yield f"{note}\n"
    if isinstance(error, BaseExceptionGroup):
        yield from _members(error, seen)


def _before(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return error.__cause__, _CAUSE
    return (None if error.__suppress_context__ else error.__context__), _CONTEXT


def _members(group: BaseExceptionGroup[BaseException], seen: set[int]) -> Iterator[str]:
    for number, member in enumerate(group.exceptions, 1):
        if len(seen) >= MAX_CHAIN:
            yield f"  ... and {len(group.exceptions) - number + 1} more\n"
            return
        yield f"  --- {number} of {len(group.exceptions)} ---\n"
        for part in _describe(member, seen):
            yield "".join(f"  {line}" for line in part.splitlines(keepends=True))


def _frames(trace: TracebackType) -> Iterator[str]:
    places = [(step.tb_frame, step.tb_lineno) for step in _steps(_without_own(trace))]
    left_out = len(places) - FRAMES_SHOWN
    if left_out > 0:
        half = FRAMES_SHOWN // 2
        yield from map(_place, places[:half])
        yield f"  ... {left_out} frames left out ...\n"
        places = places[-half:]
    yield from map(_place, places)


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _without_own(trace: TracebackType) -> TracebackType:
    """From the first frame on that is not the queue's own; the whole where there is no other."""
    return next((step for step in _steps(trace) if not _is_own(step.tb_frame)), trace)


def _is_own(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OWN)


def _place(place: tuple[FrameType, int]) -> str:
    frame, line = place
    code = frame.f_code
    source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
    shown = f"    {source}\n" if source else ""
    return f'  File "{code.co_filename}", line {line}, in {code.co_name}\n{shown}'


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", ())
    return [_clean(note, MESSAGE_BYTES) for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _clean(text: str, limit: int) -> str:
    """Cut first, so that a message of 100 MB costs no more than a short one; then make it storable, then mask it."""
    head = text[:limit].replace("\x00", "\\x00")
    return mask_secrets(head if head.isascii() else head.encode("utf-8", "backslashreplace").decode())


def _head(text: str, limit: int) -> str:
    data = text.encode("utf-8", "backslashreplace")
    return text if len(data) <= limit else data[: limit - 3].decode("utf-8", "ignore") + "..."


def _head_and_tail(text: str, limit: int) -> str:
    data = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace")
    if len(data) > limit:
        mark = b"\n... cut ...\n"
        half = (limit - len(mark)) // 2
        data = data[:half] + mark + data[-half:]
    return data.decode("utf-8", "ignore")
