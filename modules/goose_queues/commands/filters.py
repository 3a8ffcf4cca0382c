"""The options by which commands choose jobs, and what was chosen in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer

from goose_queues.client import Client
from goose_queues.commands.named import refuse_unknown
from goose_queues.listing import JobListing
from goose_queues.record import Status
from goose_queues.redact import one_line

Queue: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this queue.")]
Name: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this stored name.")]
Chain: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="Only links of this chain.")]
Batch: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="Only members of this batch.")]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant, whatever their status; None: whatever."""

    queue: str | None
    name: str | None
    chain: str | None
    batch: str | None

    @property
    def is_empty(self) -> bool:
        """Whether it leaves nothing out."""
        return (self.queue, self.name, self.chain, self.batch) == (None, None, None, None)

    async def check(self, client: Client) -> None:
        """Refuse a queue that is not there.

        Raises:
            CommandError: It is not known.
        """
        if self.queue is not None:
            refuse_unknown([self.queue], await client.stats())

    def jobs(
        self, client: Client, status: Status | None, limit: int | None = None, cursor: str | None = None
    ) -> JobListing:
        """Those jobs, in that status."""
        return client.jobs(
            queue=self.queue,
            name=self.name,
            chain=self.chain,
            batch=self.batch,
            status=status,
            limit=limit,
            cursor=cursor,
        )

    def __str__(self) -> str:
        """What stands behind ``12 failed jobs``."""
        said = ("in", self.queue), ("named", self.name), ("of chain", self.chain), ("of batch", self.batch)
        return "".join(f" {word} {one_line(value, 80)}" for word, value in said if value is not None)
