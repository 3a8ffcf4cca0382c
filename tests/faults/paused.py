"""A worker process that may end itself at a named point: ``python paused.py [POINT NUMBER SIGNAL [dispatch]]``; see ``pausing``.

The test boots the same application to dispatch into the store that this one works on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import goose
from goose import Instance, Module, worker
from goose_queues import Client, Job, JobContext, QueuesModule, pausing
from ledger import Ledger
from waiting import wait_until


class Step(Job):
    label: str

    async def handle(self, ctx: JobContext, book: Ledger) -> str:
        book.write("start", ctx.job_id, ctx.attempt, self.label)
        book.write("end", ctx.job_id, ctx.attempt, self.label)
        return self.label


class Abroad(Step, queue="abroad"):
    """One whose queue is on another node of a cluster of three."""


class Held(Job, queue="held"):
    """Runs until there is a file ``go`` beside the ledger; blocks nobody meanwhile."""

    async def handle(self, ctx: JobContext, book: Ledger) -> int:
        book.write("start", ctx.job_id, ctx.attempt)
        await wait_until(book.path.with_name("go").exists, deadline=120)
        book.write("end", ctx.job_id, ctx.attempt)
        return os.getpid()


def application(url: str, ledger: Path) -> Instance:
    class PausedModule(Module):
        declarations = (Step, Abroad, Held, goose.declare(Ledger, value=Ledger(ledger)))

    queues = QueuesModule(url=url, workers=4, stale_job_timeout=5, poll_interval=0.5, auto_migrate=True)
    return worker(PausedModule, [queues])


class EndAt:
    """Sends this process a signal when it reaches a point for the nth time."""

    def __init__(self, point: str, number: int, sent: int) -> None:
        self._point = point
        self._left = number
        self._sent = sent
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        with self._lock:
            self._left -= point == self._point
            if self._left or point != self._point:
                return
        os.kill(os.getpid(), self._sent)


async def dispatch(app: Instance) -> None:
    """A chain over two queues, from a process that runs nothing."""
    async with goose.running(app) as kernel:
        links = (kind(label=str(place)) for place, kind in enumerate((Step, Abroad, Step, Abroad)))
        await kernel.get(Client).chain(*links).dispatch()


def main(*arguments: str) -> None:
    """The whole process: with a point, the how-manieth time and a signal, or without; to work, or to dispatch."""
    app = application(os.environ["DATABASE_URL"], Path(os.environ["LEDGER"]))
    if arguments:
        point, number, sent, *_ = arguments
        pausing.at = EndAt(point, int(number), signal.Signals[sent])
    if arguments[3:] == ("dispatch",):
        asyncio.run(dispatch(app))
    else:
        goose.start(app)


if __name__ == "__main__":
    main(*sys.argv[1:])
