"""The PostgreSQL channel on which the processes of one queue tell each other, and what is said there.

A notification names its sender, who has no need to hear it, and the queues that have news. ``announcer`` and
``listener`` speak of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from goose_queues.stores.sql.statement import Layout

LONGEST: Final = 7_900
"""Bytes of a notification; the server takes 8,000."""
_PLACE: Final = text(
    "SELECT current_database(), (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass(:table))"
)
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def channel_name(connection: Connection, layout: Layout) -> str:
    """An identifier that is the same for everybody who works on these tables, by whatever URL; no name is a part of it."""
    jobs = layout.tables.jobs
    quote = layout.dialect.identifier_preparer
    place = connection.execute(_PLACE, {"table": quote.format_table(jobs)}).one()
    whole = "\0".join(map(str, (*place, layout.tables.prefix)))
    return f"goose_{hashlib.sha256(whole.encode()).hexdigest()[:32]}"


def written(sender: str, queues: frozenset[str]) -> Iterator[str]:
    """The notifications that say this; what a hand has written as a queue's name is left out."""
    names: list[str] = []
    length = len(sender)
    for queue in sorted(filter(_NAME.match, queues)):
        if length + len(queue) + 1 > LONGEST:
            yield " ".join([sender, *names])
            names, length = [], len(sender)
        names.append(queue)
        length += len(queue) + 1
    if names:
        yield " ".join([sender, *names])


def understood(payload: str) -> tuple[str, frozenset[str]]:
    """Who says it, and of which queues; anybody may have sent anything."""
    sender, *queues = payload.split(" ")
    return sender, frozenset(filter(_NAME.match, queues))
