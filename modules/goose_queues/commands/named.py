"""Queues that somebody named: taken where the application or its store knows them, else refused with the near one."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from goose.commands import CommandError, did_you_mean
from goose_queues.redact import cut


def refuse_unknown(names: Iterable[str], known: Collection[str]) -> None:
    """Let nobody pause, empty or wait for a queue that is not there.

    Args:
        names: What was typed.
        known: The queues that the application names or that have a job, as ``Client.stats`` tells them.

    Raises:
        CommandError: One of them is not known.
    """
    for name in names:
        if name not in known:
            raise CommandError(f"no queue {cut(repr(name))}{did_you_mean(name, known)}")
