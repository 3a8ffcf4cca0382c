"""The way to the servers for a plain thread, without an event loop: the heartbeat's, which must not wait for the loop.

One connection to each server that such threads have had to do with; they take turns. redis-py says of none of its
blocking connection's methods what they take, hence the ``Any``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from redis import Connection
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from goose_queues.errors import StoreUnavailable
from goose_queues.redact import one_line
from goose_queues.stores.redis.address import Address, Node
from goose_queues.stores.redis.errors import AnswerLost
from goose_queues.stores.redis.line import CONNECT, DECIDED, said, without_classes
from goose_queues.stores.redis.refusal import Refusal
from goose_queues.stores.redis.steps import Answers, Ask, Drop, Pause, Steps, Words

T = TypeVar("T")

_SHORTEST: Final = 0.01
"""A socket without any time left would not wait at all."""


class BlockingLines:
    """The connections of plain threads."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._turn = threading.Lock()
        self._lines: dict[Node, Any] = {}
        self._is_closed = False

    def open(self) -> None:
        """The end of ``close``: a store that could not be opened is opened again later."""
        self._is_closed = False

    def take(self, steps: Sequence[Steps[Any]], *, timeout: float) -> Any:
        """Take all steps of each, and give what the last one comes to.

        Raises:
            AnswerLost: Something was sent, and not answered within the time.
            StoreUnavailable: Nothing was sent.
        """
        end = time.monotonic() + timeout
        if not self._turn.acquire(timeout=timeout):
            raise StoreUnavailable(self._address.text, f"another thread waits for an answer for over {timeout:g} s.")
        try:
            found = None
            for each in steps:
                found = self._taken(each, end)
            return found
        finally:
            if self._is_closed:
                self._cut_all()
            self._turn.release()

    def close(self) -> None:
        """Let go of all connections, at the latest when the thread that uses them has its answer."""
        self._is_closed = True
        if self._turn.acquire(blocking=False):
            try:
                self._cut_all()
            finally:
                self._turn.release()

    def _taken(self, steps: Steps[T], end: float) -> T:
        answers: list[Answers] = []
        try:
            step = next(steps)
            while True:
                answers = []
                match step:
                    case Pause(seconds=seconds):
                        time.sleep(max(0, min(seconds, end - time.monotonic())))
                    case Drop(node=node):
                        self._cut(node)
                    case _:
                        answers = [self._answers(ask, end) for ask in step]
                step = steps.send(answers)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def _answers(self, ask: Ask, end: float) -> Answers:
        if self._is_closed:
            return StoreUnavailable(self._address.text, "it is not open.")
        if (left := end - time.monotonic()) <= 0:
            return StoreUnavailable(self._address.text, f"{ask.node} could not be asked in time.")
        try:
            if not ask.is_sentinel:
                return self._exchange(self._line(ask.node, left), ask.node, ask.commands, end)
            sentinel = self._connected(ask.node, left, is_sentinel=True)
            try:
                return self._exchange(sentinel, ask.node, ask.commands, end)
            finally:
                sentinel.disconnect()
        except StoreUnavailable as error:
            return error

    def _line(self, node: Node, left: float) -> Any:
        line = self._lines.get(node)
        if line is not None and _is_alive(line):
            return line
        self._cut(node)
        line = self._lines[node] = self._connected(node, left)
        return line

    def _connected(self, node: Node, left: float, *, is_sentinel: bool = False) -> Any:
        patience = max(_SHORTEST, min(left, self._address.connect_timeout or CONNECT))
        connection = new_connection(self._address, node, patience, is_sentinel=is_sentinel)
        try:
            connection.connect()
            connection.send_command("PING", check_health=False)
            connection.read_response()
        except ResponseError as error:
            refusal = Refusal(str(error))
            if refusal.code == "NOPERM":
                return connection
            connection.disconnect()
            raise StoreUnavailable(self._address.text, refusal.reason or f"{one_line(refusal.text)}.") from error
        except RedisTimeout as error:
            connection.disconnect()
            raise StoreUnavailable(self._address.text, f"{node} did not answer within {patience:g} s.") from error
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise StoreUnavailable(self._address.text, said(self._address, node, error)) from error
        return connection

    def _exchange(self, line: Any, node: Node, commands: Sequence[Words], end: float) -> list[Any]:
        packed = line.pack_commands(commands)
        answers: list[Any] = []
        try:
            line._sock.settimeout(max(_SHORTEST, end - time.monotonic()))  # noqa: SLF001 - no other way for one command
            line.send_packed_command(packed, check_health=False)
            answers += [_read(line) for _ in commands]
        except RedisTimeout as error:
            raise AnswerLost(self._address.text, f"{node} did not answer in time.") from error
        except (RedisError, OSError) as error:
            raise AnswerLost(self._address.text, said(self._address, node, error)) from error
        finally:
            if not answers:
                # What is left of an answer would be taken for that to the next command.
                line.disconnect()
                self._lines.pop(node, None)
        return answers

    def _cut(self, node: Node) -> None:
        if line := self._lines.pop(node, None):
            line.disconnect()

    def _cut_all(self) -> None:
        for node in list(self._lines):
            self._cut(node)


def new_connection(address: Address, node: Node, patience: float, *, is_sentinel: bool = False) -> Any:
    """redis-py's connection, not yet connected."""
    options = address.sentinel_options if is_sentinel else address.options
    kind = SSLConnection if address.is_tls else Connection
    connection: Any = kind(
        host=node.host,
        port=node.port,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        **{"socket_keepalive": True, **options, **DECIDED},
    )
    connection.set_parser(without_classes(type(connection._parser)))  # noqa: SLF001 - it has chosen the right one
    return connection


def _read(line: Any) -> Any:
    try:
        return line.read_response()
    except ResponseError as error:
        return Refusal(str(error))


def _is_alive(line: Any) -> bool:
    """Whether it is open as far as is known: there is nothing to be read, not even its end."""
    try:
        return not line.can_read(timeout=0)
    except (RedisError, OSError):
        return False
