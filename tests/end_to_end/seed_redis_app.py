"""The seed document's configuration for Redis, run in a process of its own: ``python seed_redis_app.py api PORT``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import goose
from goose import ApiPlatform, Context, Controller, Module, api, declare, get, post
from goose_queues import Client, Job, JobContext, QueuesModule
from ledger import Ledger


class Noted(Job):
    async def handle(self, ctx: JobContext, book: Ledger) -> str:
        book.write("start", ctx.job_id, ctx.attempt)
        return ctx.queue


@dataclass
class NotedController(Controller):
    queue: Client

    @post("/jobs/{queue}")
    async def dispatch(self, ctx: Context) -> str:
        return (await self.queue.dispatch(Noted()).on_queue(ctx.param("queue"))).id

    @get("/jobs/{id}")
    async def status(self, ctx: Context) -> dict[str, Any]:
        status = await self.queue.get_status(ctx.param("id"))
        return {"status": status.status, "result": status.result}


class AppModule(Module):
    declarations = (NotedController, Noted, declare(Ledger, value=Ledger(Path(os.environ["LEDGER"]))))


if __name__ == "__main__":
    queues_module = QueuesModule(
        driver="redis",
        url=os.environ["DATABASE_URL"],
        queues=("default", "emails", "exports"),
        workers={"default": 2, "emails": 4, "exports": 1},
    )
    goose.start(api(ApiPlatform(port=int(sys.argv[2])), AppModule, [queues_module]))
