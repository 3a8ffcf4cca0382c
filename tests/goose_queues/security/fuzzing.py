"""Write nonsense into the rows of a queue that is at work, and watch what comes of it.

Run by ``test_fuzzed_rows`` in a process of its own, since the audit hook by which it watches the interpreter stays for good:
``python fuzzing.py FOLDER SEED MUTATIONS`` prints a report as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from nonsense import Nonsense, Row, Text
from pydantic import BaseModel, TypeAdapter

import goose
from goose import Kernel, Module
from goose_queues import (
    BatchNotFound,
    Client,
    Clock,
    Job,
    JobConflict,
    JobContext,
    JobNotFound,
    JobStatus,
    QueuesModule,
)
from goose_queues.ids import new_id
from goose_queues.supervisor import Supervisor

VICTIMS: Final = 170
INNOCENT: Final = 30
HELD: Final = 10
"""Jobs of one round: spoilt before they run, left alone, and spoilt while they run."""
LEASE: Final = 5.0
PATIENCE: Final = 60.0

NEVER: Final = (
    "import",
    "compile",
    "exec",
    "marshal",
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.remove",
    "os.rename",
    "os.chmod",
    "os.mkdir",
    "shutil",
    "subprocess",
    "ctypes.dlopen",
    "socket.connect",
    "socket.bind",
    "urllib",
    "sqlite3.load_extension",
    "code.__new__",
    "function.__new__",
)
"""Audit events, by their beginning, that no row may bring about."""

STATUS: Final = TypeAdapter(JobStatus)
RAN: Final[list[tuple[str, str]]] = []
"""Class and id of every attempt, in order."""
NAPPED: Final[set[str]] = set()
GATE: Final = asyncio.Event()


class Inner(BaseModel):
    size: int = 1
    words: list[str] = []


class Add(Job, queue="fuzz"):
    number: int

    async def handle(self, ctx: JobContext) -> int:
        RAN.append(("Add", ctx.job_id))
        return self.number + 1


class Anything(Job, queue="fuzz", max_retries=1, retry_delay=0.1):
    data: Any = None
    inner: Inner = Inner()
    maybe: float | None = None

    async def handle(self, ctx: JobContext) -> Any:
        RAN.append(("Anything", ctx.job_id))
        return [self.data, ctx.meta]


class Threaded(Job, queue="fuzz"):
    text: str

    def handle(self, ctx: JobContext) -> str:
        RAN.append(("Threaded", ctx.job_id))
        return self.text


class Fails(Job, queue="fuzz", max_retries=1, retry_delay=0.1):
    word: str = "word"

    async def handle(self, ctx: JobContext) -> None:
        RAN.append(("Fails", ctx.job_id))
        raise ValueError(self.word)

    async def on_failure(self, ctx: JobContext, error: Exception) -> None:
        RAN.append(("Fails", ctx.job_id))


class Naps(Job, queue="fuzz"):
    async def handle(self, ctx: JobContext) -> None:
        RAN.append(("Naps", ctx.job_id))
        if ctx.job_id not in NAPPED:
            NAPPED.add(ctx.job_id)
            raise ctx.snooze(0.1)
        raise ctx.cancel("no use")


class Held(Job, queue="held"):
    number: int = 0

    async def handle(self, ctx: JobContext) -> int:
        RAN.append(("Held", ctx.job_id))
        await GATE.wait()
        return self.number


class FuzzModule(Module):
    declarations = (Add, Anything, Threaded, Fails, Naps, Held)


class Watch:
    """What the interpreter did and a row must never make it do."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.armed and event.startswith(NEVER):
            self.seen.append(f"{event} {arguments!s:.200}")


class Complaints(logging.Handler):
    """Log records that tell of a fault of the queue itself, not of a job."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.name.startswith("asyncio") or "not available" in record.getMessage():
            self.found.append(record)

    def told(self) -> list[str]:
        """Not before the end: to print a traceback, Python compiles its lines."""
        return [logging.Formatter("%(name)s %(message)s").format(record)[-2_000:] for record in self.found[:9]]


class Hand:
    """Edits the file past the queue, many rows in one transaction."""

    def __init__(self, file: Path, nonsense: Nonsense) -> None:
        self.nonsense = nonsense
        self.mutations = 0
        self._raw = sqlite3.connect(file, isolation_level=None, timeout=30, check_same_thread=False)
        self._raw.execute("PRAGMA synchronous=OFF")
        self._raw.row_factory = sqlite3.Row
        self._raw.text_factory = lambda data: data.decode("utf-8", "surrogateescape")

    def close(self) -> None:
        self._raw.close()

    def spoil(self, ids: list[str], queue: str) -> None:
        """Move these jobs to this queue, where workers see them, with nonsense in one to three columns of each."""
        dice = self.nonsense.dice
        self._raw.execute("BEGIN IMMEDIATE")
        rows = self._rows(f"select rowid, * from goose_jobs where id in ({','.join('?' * len(ids))})", *ids)
        for row in rows:
            self._raw.execute("update goose_jobs set queue = ? where rowid = ?", (queue, row["rowid"]))
            for column in dice.sample([name for name in row if name != "rowid"], dice.choice([1, 1, 2, 3])):
                self._write("goose_jobs", row["rowid"], column, self.nonsense.value(rows, column))
        self._raw.execute("COMMIT")

    def spoil_the_rest(self) -> None:
        """The same, a row at a time, in the tables beside the jobs."""
        self._raw.execute("BEGIN IMMEDIATE")
        for table in ("goose_batches", "goose_callbacks", "goose_counts", "goose_paused"):
            rows = self._rows(f"select rowid, * from {table} order by rowid desc limit 9")
            for row in rows:
                column = self.nonsense.dice.choice([name for name in row if name != "rowid"])
                self._write(table, row["rowid"], column, self.nonsense.value(rows, column))
        self._raw.execute("COMMIT")

    def stuck(self) -> list[Row]:
        """Jobs of our queues that ought to have run by now; one whose id or lease cannot be read, nobody can settle."""
        rows = self._rows(
            "select id, state, queue, name, token, lease_until, max_retries from goose_jobs where state in ('ready', 'processing')"
            "and queue in ('fuzz', 'held') and name in ('Add', 'Anything', 'Threaded', 'Fails', 'Naps', 'Held')"
        )
        return [row for row in rows if not self._is_excused(row)]

    def _is_excused(self, row: Row) -> bool:
        try:
            f"{row['id']}{row['token']}{row['lease_until']}".encode()
        except UnicodeEncodeError:
            return True
        return isinstance(row["max_retries"], int) and row["max_retries"] > 1_000

    def _rows(self, sql: str, *parameters: Any) -> list[Row]:
        return [dict(row) for row in self._raw.execute(sql, parameters)]

    def _write(self, table: str, rowid: int, column: str, value: Any) -> None:
        mark = "?"
        if isinstance(value, str):
            value = Text(value.encode("utf-8", "surrogateescape"))
        if isinstance(value, Text):
            mark, value = "CAST(? AS TEXT)", value.data
        sql = f"update or ignore {table} set {column} = {mark} where rowid = ?"
        self.mutations += self._raw.execute(sql, (value, rowid)).rowcount


async def one_round(kernel: Kernel, hand: Hand, clock: Clock, number: int) -> None:
    """Jobs that are spoilt and jobs that are not, and a good one after all of them."""
    client, supervisor = kernel.get(Client), kernel.get(Supervisor)
    victims, held = await shelve(client, hand, number), await hold(client, supervisor)
    before = len(RAN)
    await asyncio.to_thread(hand.spoil, held, "held")
    await asyncio.to_thread(hand.spoil_the_rest)
    innocent = await client.dispatch_many(Add(number=n) for n in range(INNOCENT))
    await asyncio.to_thread(hand.spoil, victims, "fuzz")
    GATE.set()
    for n, handle in enumerate(innocent):
        expect(await handle.result(timeout=PATIENCE) == n + 1, "an innocent job has another's result")
    await asyncio.wait_for(supervisor.idle(), PATIENCE)
    runs = [job_id for _, job_id in RAN[before:]]
    expect(all(runs.count(handle.id) == 1 for handle in innocent), "an innocent job ran again")
    clock.offset += 61
    for queue in ("fuzz", "held"):
        good = await client.dispatch(Add(number=41)).on_queue(queue).priority(32767)
        expect(await good.result(timeout=PATIENCE) == 42, "a good job went wrong")
    await steer(client, hand, [*victims, *held])
    await supervisor.maintenance.rescue()
    await supervisor.maintenance.prune()


async def shelve(client: Client, hand: Hand, number: int) -> list[str]:
    """Jobs in a queue that nobody serves; some due later, some in chains and batches."""
    dice, on_shelf = hand.nonsense.dice, "shelf"
    loose = client.dispatch_many(jobs(hand)).on_queue(on_shelf).meta(tenant="acme", tags=["a"])
    handles = await (loose.delay(60) if number % 3 == 0 else loose)
    chain = client.chain(Add(number=1), client.batch([Add(number=2), Naps()]), Fails(), Add(number=3))
    batch = client.batch([Add(number=4), client.chain(Add(number=5), Threaded(text="x")), Fails()])
    batch.then(Add(number=6)).catch(Add(number=7)).finally_(Add(number=8))
    await chain.on_queue(on_shelf).dispatch()
    await batch.on_queue(on_shelf).dispatch()
    if dice.random() < 0.2:
        await client.purge(on_shelf)
    return [*(handle.id for handle in handles), *chain.ids, *batch.ids]


def jobs(hand: Hand) -> Iterator[Job]:
    for number in range(VICTIMS):
        data = {"n": [number, None, "é"]}
        some = (Add(number=number), Anything(data=data, maybe=0.5), Threaded(text="t"), Fails(), Naps())
        yield hand.nonsense.dice.choice(some)


async def hold(client: Client, supervisor: Supervisor) -> list[str]:
    """Jobs that run until the gate opens."""
    await asyncio.wait_for(supervisor.idle(), PATIENCE)
    GATE.clear()
    before = len(RAN)
    handles = await client.dispatch_many(Held(number=n) for n in range(HELD))
    # A suspect among what is left of earlier rounds may keep them from starting: it runs alone, until the gate opens.
    await wait_until(lambda: len(RAN) - before >= HELD or supervisor._solitude.wanted, "held jobs do not start")
    return [handle.id for handle in handles]


async def steer(client: Client, hand: Hand, ids: list[str]) -> None:
    """Look at everything and steer some of it; only errors that say what was asked for may come of it."""
    dice = hand.nonsense.dice
    await client.stats()
    wanted: Any = dice.choice([{}, {"queue": "fuzz"}, {"status": dice.choice(["pending", "failed", "processing"])}])
    listed = 0
    async for status in client.jobs(**wanted):
        STATUS.dump_json(status)
        listed += 1
        expect(listed < 50_000, "a listing does not end")
    for job_id in (*dice.sample(ids, 20), new_id()):
        with suppress(JobNotFound, JobConflict, BatchNotFound):
            status = await client.get_status(job_id)
            await dice.choice([client.retry, client.cancel])(job_id)
            async for other in client.jobs(chain=status.chain_id or "none"):
                STATUS.dump_json(other)
            await client.get_batch(status.batch_id or "none")
    await client.pause("shelf")
    await client.resume("shelf")


async def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        expect(time.monotonic() < deadline, what)
        await asyncio.sleep(0.005)


def expect(held: object, what: str) -> None:
    if not held:
        raise AssertionError(what)


async def main(folder: Path, seed: int, mutations: int) -> dict[str, Any]:
    watch, complaints = Watch(), Complaints()
    logging.basicConfig(level=logging.DEBUG, handlers=[complaints])
    clock, canary, file = Clock(), folder / "canary", folder / "queue.db"
    queues = QueuesModule(
        url=f"sqlite:///{file}",
        workers={"fuzz": 20, "held": 2 * HELD},
        stale_job_timeout=LEASE,
        retention_period=0,
        poll_interval=0.2,
        synchronous="normal",
    )
    app = goose.worker(FuzzModule, [queues])
    async with goose.running(app, background=True, overrides={Clock: clock}) as kernel:
        with closing(Hand(file, Nonsense(seed, canary))) as hand:
            number = 0
            while hand.mutations < mutations:
                await one_round(kernel, hand, clock, number)
                number += 1
                watch.armed = True  # What a first round imports lazily, the package has asked for.
            watch.armed = False
            clock.offset += 3_600
            await kernel.get(Supervisor).maintenance.rescue()
            await asyncio.wait_for(kernel.get(Supervisor).idle(), PATIENCE)
            return {
                "mutations": hand.mutations,
                "runs": len(RAN),
                "seen": watch.seen[:9],
                "complaints": complaints.told(),
                "canary": canary.exists(),
                "ready": await kernel.check(),
                "stuck": hand.stuck()[:9],
                "threads": threading.active_count(),
            }


if __name__ == "__main__":
    report = asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
    json.dump(report, sys.stdout, default=repr)
