"""The application of the contention test: ``python crowd.py`` dispatches, works and writes through sessions at once."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

import goose
from goose import Module, worker
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_sql import Database, SqlModule
from ledger import Ledger


class Base(MappedAsDataclass, DeclarativeBase): ...


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[str] = mapped_column(primary_key=True)


class Step(Job, queue="steps"):
    async def handle(self, ctx: JobContext, book: Ledger) -> None:
        with book.attempt(ctx):
            await asyncio.sleep(0.005)


@dataclass
class Dispatcher:
    """Dispatches without a pause until there is enough, every tenth job inside a session's transaction."""

    queue: Client
    database: Database
    book: Ledger

    async def on_run(self) -> None:
        for number in itertools.count(1):
            if Path(os.environ["ENOUGH"]).exists():
                self.book.write("enough", str(number))
                return
            try:
                await self._dispatch(number)
            except Exception as error:
                self.book.write("error", str(number), note=repr(error))
                raise

    async def _dispatch(self, number: int) -> None:
        if number % 10:
            handle = await self.queue.dispatch(Step())
        else:
            async with self.database.session() as session, session.begin():
                session.add(Note(id=f"{os.getpid()}-{number}"))
                handle = await self.queue.dispatch(Step())
        self.book.write("dispatched", handle.id)


class CrowdModule(Module):
    imports = (SqlModule(url=os.environ["DATABASE_URL"]),)
    declarations = (Dispatcher, Step, goose.declare(Ledger, value=Ledger(Path(os.environ["LEDGER"]))))
    metadata = Base.metadata


if __name__ == "__main__":
    goose.start(worker(CrowdModule, [QueuesModule(workers=8)]))
