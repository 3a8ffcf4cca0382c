"""A worker process that may end itself at a named point: ``python paused.py [POINT NUMBER SIGNAL]``; see ``pausing``.

The test boots the same application to dispatch into the store that this one works on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import goose
from goose import Instance, Module, worker
from goose_queues import Job, JobContext, QueuesModule, pausing
from ledger import Ledger
from waiting import wait_until


class Step(Job):
    label: str

    async def handle(self, ctx: JobContext, book: Ledger) -> str:
        book.write("start", ctx.job_id, ctx.attempt, self.label)
        book.write("end", ctx.job_id, ctx.attempt, self.label)
        return self.label


class Held(Job, queue="held"):
    """Runs until there is a file ``go`` beside the ledger; blocks nobody meanwhile."""

    async def handle(self, ctx: JobContext, book: Ledger) -> int:
        book.write("start", ctx.job_id, ctx.attempt)
        await wait_until(book.path.with_name("go").exists, deadline=120)
        book.write("end", ctx.job_id, ctx.attempt)
        return os.getpid()


def application(url: str, ledger: Path) -> Instance:
    class PausedModule(Module):
        declarations = (Step, Held, goose.declare(Ledger, value=Ledger(ledger)))

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


def main(*arguments: str) -> None:
    """The whole process: with a point, the how-manieth time and a signal, or without."""
    if arguments:
        point, number, sent = arguments
        pausing.at = EndAt(point, int(number), signal.Signals[sent])
    goose.start(application(os.environ["DATABASE_URL"], Path(os.environ["LEDGER"])))


if __name__ == "__main__":
    main(*sys.argv[1:])
