"""Jobs and counts as JSON holds them: their fields by name, times in ISO 8601 and UTC, secrets masked."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from goose_queues.redact import mask_fields


def plain(shown: Any) -> dict[str, Any]:
    """The fields of a ``JobStatus``, ``QueueStats`` or the like; their names are an interface."""
    fields: dict[str, Any] = mask_fields(_plain(dataclasses.asdict(shown)))
    return fields


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case dict():
            return {name: _plain(held) for name, held in value.items()}
        case list() | tuple():
            return [_plain(held) for held in value]
        case _:
            return value
