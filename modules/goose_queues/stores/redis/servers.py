"""Servers: the way to one Redis server, to a master that sentinels watch, or to a cluster.

Used by ``store`` and what belongs to it. A command is sent once: whether it may be sent again when its answer was lost
is for the caller to say, who knows what it does. What a server refused it has not done; that is sent again here, where
it helps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from goose_queues.errors import ConfigError, StoreUnavailable
from goose_queues.stores.redis.address import Address, Node, address_of
from goose_queues.stores.redis.cluster import Cluster
from goose_queues.stores.redis.route import Call, fulfil
from goose_queues.stores.redis.scripts import Script
from goose_queues.stores.redis.sentinel import Sentinels
from goose_queues.stores.redis.single import Single
from goose_queues.stores.redis.steps import Answers, Arg, Ask, Drop, Pause, Steps, Topology, Words

if TYPE_CHECKING:
    from goose_queues.stores.redis.pool import Pool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a script, whose keys are all in one slot."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Arg]


class Servers:
    """Every connection of the store.

    Args:
        url: ``redis://``, ``redis+sentinel://`` or ``redis+cluster://``; with ``rediss`` by TLS.
        pool_size: Connections to each server at most; who comes later waits. Listening and threads have their own.

    Raises:
        ConfigError: The URL cannot be used, or the package ``redis`` is not installed.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        if find_spec("redis") is None:
            raise ConfigError(
                "driver=\"redis\" needs the package redis, which is not installed: pip install 'goose-framework[redis]'"
            )
        from goose_queues.stores.redis.blocking import BlockingLines
        from goose_queues.stores.redis.line import new_connection

        self._address = address_of(url)
        for node in self._address.nodes:
            new_connection(self._address, node)
        self._topology = _topology_of(self._address)
        self._pool_size = pool_size
        self._pools: dict[Node, Pool] = {}
        self._blocking = BlockingLines(self._address)
        self._locating: asyncio.Task[None] | None = None
        self._is_open = False

    @property
    def url(self) -> str:
        """With its passwords masked."""
        return self._address.text

    @property
    def is_cluster(self) -> bool:
        """Whether keys are on several servers."""
        return self._topology.has_slots

    async def open(self) -> None:
        """Find the servers, and connect to one.

        Raises:
            StoreUnavailable: They do not answer.
            ConfigError: They are not what the URL says.
        """
        self._is_open = True
        self._blocking.open()
        try:
            # Also where nothing has to be found: the first command should not be the first to fail.
            self._topology.doubt()
            await self._located()
            await self.command("PING")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of every connection."""
        self._is_open = False
        if self._locating is not None:
            self._locating.cancel()
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()
        self._blocking.close()

    async def run(self, run: Run) -> Any:
        """Run a script, and give what it returns: texts, whole numbers, None, and lists of them.

        Raises:
            AnswerLost: It may have run, or not.
            StoreUnavailable: It has not run.
            Refused: The server finds it wrong; what it had done before, it has done.
        """
        return _one(await self._fulfilled([_call(run)]))

    async def run_all(self, runs: Sequence[Run]) -> list[Any]:
        """Run scripts side by side, each atomic by itself; those on one server share a round trip.

        Raises:
            QueueError: As ``run`` does; the first of the errors, when all of them have been answered.
        """
        return _all(await self._fulfilled([_call(run) for run in runs]))

    def run_blocking(self, run: Run, *, timeout: float) -> Any:
        """The same as ``run``, from any thread, by connections of its own, without an event loop.

        Args:
            run: What to run.
            timeout: Until everything has to be done, in seconds.
        """
        if not self._is_open:
            raise StoreUnavailable(self.url, "it is not open.")
        steps: list[Steps[Any]] = [] if self._topology.is_known else [self._topology.locate()]
        return _one(self._blocking.take([*steps, fulfil(self._topology, self.url, [_call(run)])], timeout=timeout))

    async def command(self, *words: Arg) -> Any:
        """Send a plain command, whose second word is its key; one without goes to any server."""
        key = str(words[1]) if len(words) > 1 else None
        return _one(await self._fulfilled([Call(words, key)]))

    async def commands(self, key: str, commands: Sequence[Words]) -> list[Any]:
        """Send plain commands about one key, all in one round trip."""
        return _all(await self._fulfilled([Call(words, key) for words in commands]))

    async def each_node(self, *words: Arg) -> list[Any]:
        """Send a command to every primary."""
        return _all(await self._on_each(lambda _: words))

    async def scan(self, pattern: str, limit: int) -> list[str]:
        """Keys like the pattern, on all primaries; about ``limit`` of all keys are looked at."""
        await self._located()
        nodes = self._topology.primaries()
        share = max(1, limit // len(nodes))
        found = await asyncio.gather(*(self._scanned(node, pattern, share) for node in nodes))
        return [key for keys in found for key in keys]

    async def listen(self, pattern: str, hear: Callable[[str, str], None], ready: Callable[[], None]) -> None:
        """Hear what is published on channels like the pattern, by a connection of its own; never returns.

        Args:
            pattern: As PSUBSCRIBE takes it.
            hear: Called with the channel and the message.
            ready: Called once everything is heard that is published from now on.

        Raises:
            StoreUnavailable: The connection could not be made, broke, or leads nowhere any more.
        """
        from goose_queues.stores.redis import ear

        await self._located()
        try:
            # In a cluster, every node hears of everything.
            await ear.hear(self._address, self._topology.node_of(None), pattern, tell=hear, ready=ready)
        except StoreUnavailable:
            self._topology.doubt()
            raise

    async def _scanned(self, node: Node, pattern: str, limit: int) -> list[str]:
        keys: list[str] = []
        cursor, step = "0", min(limit, 1000)
        for _ in range(-(-limit // step)):
            call = Call(("SCAN", cursor, "MATCH", pattern, "COUNT", step), None, node=node)
            cursor, found = _one(await self._fulfilled([call]))
            keys += found
            if cursor == "0":
                break
        return keys

    async def _on_each(self, words_for: Callable[[Node], Sequence[Arg]]) -> list[Any]:
        await self._located()
        return await self._fulfilled([Call(words_for(node), None, node=node) for node in self._topology.primaries()])

    async def _fulfilled(self, calls: Sequence[Call]) -> list[Any]:
        if not self._topology.is_known:
            await self._located()
        return await self._taken(fulfil(self._topology, self.url, calls))

    async def _located(self) -> None:
        """Have the servers found, once for all who wait for it."""
        if self._topology.is_known:
            return
        if self._locating is None or self._locating.done():
            self._locating = asyncio.ensure_future(self._taken(self._topology.locate()))
            self._locating.add_done_callback(_retrieved)
        try:
            await asyncio.shield(self._locating)
        except asyncio.CancelledError:
            if self._is_open or not self._locating.cancelled():
                raise
            raise StoreUnavailable(self.url, "it is not open.") from None
        await self._let_go()

    async def _let_go(self) -> None:
        """Close what leads to servers that are none of the primaries any more."""
        for node in set(self._pools).difference(self._topology.primaries()):
            await self._pools.pop(node).close()

    async def _taken(self, steps: Steps[T]) -> T:
        """Take every step, on the event loop."""
        answers: list[Answers] = []
        try:
            step = next(steps)
            while True:
                answers = []
                match step:
                    case Pause(seconds=seconds):
                        await asyncio.sleep(seconds)
                    case Drop(node=node):
                        if pool := self._pools.get(node):
                            await pool.drop()
                    case [ask]:
                        answers = [await self._answers(ask)]
                    case _:
                        answers = list(await asyncio.gather(*map(self._answers, step)))
                step = steps.send(answers)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    async def _answers(self, ask: Ask) -> Answers:
        if not self._is_open:
            return StoreUnavailable(self.url, "it is not open.")
        try:
            if ask.is_sentinel:
                return await self._of_sentinel(ask)
            return await self._pool(ask.node).exchange(ask.commands)
        except StoreUnavailable as error:
            return error

    async def _of_sentinel(self, ask: Ask) -> list[Any]:
        from goose_queues.stores.redis.line import open_line

        line = await open_line(self._address, ask.node, is_sentinel=True)
        try:
            return await line.exchange(ask.commands)
        finally:
            await line.cut()

    def _pool(self, node: Node) -> Pool:
        from goose_queues.stores.redis.pool import Pool

        if node not in self._pools:
            self._pools[node] = Pool(self._address, node, self._pool_size)
        return self._pools[node]


def _topology_of(address: Address) -> Topology:
    match address.kind:
        case "single":
            return Single(address.nodes[0])
        case "sentinel":
            return Sentinels(address)
        case "cluster":
            return Cluster(address)


def _call(run: Run) -> Call:
    rest = (len(run.keys), *run.keys, *run.args)
    key = run.keys[0] if run.keys else None
    return Call(("EVALSHA", run.script.sha, *rest), key, unknown=("EVAL", run.script.text, *rest))


def _one(answers: list[Any]) -> Any:
    return _all(answers)[0]


def _all(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _retrieved(task: asyncio.Task[None]) -> None:
    """Whoever still waits for it gets the error; if nobody does, nobody has to be told."""
    if not task.cancelled():
        task.exception()
