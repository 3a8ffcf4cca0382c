"""How the jobs are doing, over HTTP."""

from dataclasses import dataclass
from typing import Any

from goose import Context, Controller, get
from goose_queues import Client


@dataclass
class JobsController(Controller):
    queue: Client

    @get("/jobs/{id}")
    async def status(self, ctx: Context) -> dict[str, Any]:
        status = await self.queue.get_status(ctx.param("id"))  # JobNotFound is answered with 404
        return {
            "id": status.id,
            "status": status.status,
            "attempts": status.attempts,
            "created_at": status.created_at,
            "started_at": status.started_at,
            "finished_at": status.finished_at,
            "result": status.result,
        }

    @get("/queues")
    async def stats(self, ctx: Context) -> dict[str, Any]:
        stats = await self.queue.stats()
        return {
            queue: {
                "pending": counts.pending,
                "processing": counts.processing,
                "completed": counts.completed,
                "failed": counts.failed,
            }
            for queue, counts in stats.items()
        }
