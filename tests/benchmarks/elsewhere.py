"""A process with workers on a trial's database, and what is heard of its jobs; the near side of ``elsewhere_goose``."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .contest import BenchmarkError
from .measure import LIMIT


class Elsewhere:
    """The other process, while it runs."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._heard: dict[tuple[str, int], asyncio.Future[float]] = defaultdict(asyncio.Future)
        self.starts: list[float] = []
        """When its jobs have started, by ``time.time()``."""

    async def when(self, what: str, number: int) -> float:
        """Wait until job ``number`` has ``started`` or ``ended``; the time at which it did."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._heard[what, number]), LIMIT)
        except TimeoutError:
            raise BenchmarkError(f"job {number} in the other process had not {what} after a minute") from None

    async def next_start(self) -> float:
        """The first start that has not been heard of yet."""
        known = len(self.starts)
        async with asyncio.timeout(LIMIT):
            while len(self.starts) == known:  # noqa: ASYNC110 - a line of output is no event
                await asyncio.sleep(0.001)
        return self.starts[known]

    async def listen(self) -> None:
        """Hear what it says, until it ends."""
        output = self._process.stdout
        while output is not None and (line := await output.readline()):
            what, number, at = line.split()
            if what == b"started":
                self.starts.append(float(at))
            moment = self._heard[what.decode(), int(number)]
            if not moment.done():
                moment.set_result(float(at))


@asynccontextmanager
async def elsewhere(url: str, slots: int, module: str = f"{__package__}.elsewhere_goose") -> AsyncIterator[Elsewhere]:
    """Run workers on the database in another process; they end, finishing what they do, when the block does."""
    command = (sys.executable, "-m", module, url, str(slots))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    other = Elsewhere(process)
    listening = asyncio.create_task(other.listen())
    try:
        await other.when("ready", 0)
        yield other
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        await listening
