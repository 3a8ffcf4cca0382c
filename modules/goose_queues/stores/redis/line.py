"""Line: one connection to a server, with the certainty whether something was sent. Used by ``pool`` and ``ear``.

redis-py makes the connection, speaks the protocol and never tries anything again. A line on which an answer was not
read to its end is cut: what is left of the answer would be taken for that to the next command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Connection
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from goose_queues.errors import ConfigError, StoreUnavailable
from goose_queues.redact import one_line
from goose_queues.stores.redis.address import Address, Node
from goose_queues.stores.redis.errors import AnswerLost
from goose_queues.stores.redis.refusal import Refusal
from goose_queues.stores.redis.steps import Words

CONNECT: Final = 2.0
ANSWER: Final = 5.0
"""Seconds for a connection, and for each answer, where the URL says nothing else."""

DECIDED: Final = {"encoding": "utf-8", "encoding_errors": "backslashreplace", "decode_responses": True, "protocol": 2}
"""What of redis-py's options is no matter of the URL. The older protocol is the one that every version reads alike."""

_PLAIN: Final[dict[type[Any], type[Any]]] = {}


class Line:
    """An open connection; made by ``open_line``, used by one task at a time."""

    def __init__(self, connection: Connection, node: Node, address: Address) -> None:
        self._connection = connection
        self._node = node
        self._address = address
        self._patience = address.answer_timeout or ANSWER

    @property
    def is_alive(self) -> bool:
        """Whether it is open as far as is known: a server that has gone in order says so."""
        reader = self._connection._reader  # noqa: SLF001 - redis-py's own way would wait, or throw away what it reads
        return reader is not None and reader.exception() is None and not reader.at_eof()

    async def exchange(self, commands: Sequence[Words]) -> list[Any]:
        """Send commands together and read their answers, ``Refusal`` among them.

        Raises:
            AnswerLost: One of the answers did not come.
        """
        connection = self._connection
        packed = _packed(commands)
        answers: list[Any] = []
        try:
            async with asyncio.timeout(self._patience) as limit:
                await connection.send_packed_command(packed, check_health=False)
                answers.append(await self.read())
                for _ in commands[1:]:
                    limit.reschedule(asyncio.get_running_loop().time() + self._patience)
                    answers.append(await self.read())
        except TimeoutError as error:
            raise AnswerLost(self._address.text, f"{self._node} did not answer within {self._patience:g} s.") from error
        except (RedisError, OSError) as error:
            raise AnswerLost(self._address.text, self._said(error)) from error
        finally:
            if len(answers) < len(commands):
                await self.cut()
        return answers

    async def send(self, *words: Any) -> None:
        """Send one command, whose answer somebody will read."""
        try:
            await self._connection.send_command(*words, check_health=False)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(self._address.text, self._said(error)) from error

    async def read(self) -> Any:
        """The next answer; redis-py's error where the connection breaks."""
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return Refusal(str(error))

    async def cut(self) -> None:
        """Close it without waiting; takes no turn of the event loop, so that it is done even by a cancelled task."""
        await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close it and wait until it is."""
        try:
            await self._connection.disconnect()
        except (RedisError, OSError):
            await self.cut()

    def _said(self, error: BaseException) -> str:
        return said(self._address, self._node, error)


def _packed(commands: Sequence[Words]) -> bytes:
    """What goes over the network; redis-py's own way takes more than twice as long, which a bulk of jobs feels."""
    pieces: list[bytes] = []
    for words in commands:
        pieces.append(b"*%d\r\n" % len(words))
        for word in words:
            data = word if type(word) is bytes else str(word).encode("utf-8", "backslashreplace")
            pieces.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(pieces)


async def open_line(address: Address, node: Node, *, is_sentinel: bool = False) -> Line:
    """Connect, and make sure that the server answers: up to here nothing has been sent that could be lost.

    Raises:
        StoreUnavailable: It does not.
    """
    connection = new_connection(address, node, is_sentinel=is_sentinel)
    line = Line(connection, node, address)
    patience = address.connect_timeout or CONNECT
    fault: str | None = "not connected"
    try:
        async with asyncio.timeout(patience):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("PING", check_health=False)
            fault = _of_ping(await line.read())
    except TimeoutError as error:
        raise StoreUnavailable(address.text, f"{node} did not answer within {patience:g} s.") from error
    except ResponseError as error:
        refusal = Refusal(str(error))
        raise StoreUnavailable(address.text, refusal.reason or f"{one_line(refusal.text)}.") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(address.text, said(address, node, error)) from error
    finally:
        if fault is not None:
            await line.cut()
    if fault is not None:
        raise StoreUnavailable(address.text, fault)
    return line


def new_connection(address: Address, node: Node, *, is_sentinel: bool = False) -> Connection:
    """redis-py's connection, not yet connected.

    Raises:
        ConfigError: It does not take the URL's options.
    """
    options = address.sentinel_options if is_sentinel else address.options
    kind = SSLConnection if address.is_tls else Connection
    try:
        connection = kind(
            host=node.host,
            port=node.port,
            # The whole exchange has a limit, not each of its parts.
            socket_timeout=None,
            socket_connect_timeout=address.connect_timeout or CONNECT,
            retry=Retry(NoBackoff(), 0),
            **{"socket_keepalive": True, **options, **DECIDED},
        )
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(f"url={address.text!r}: {one_line(error)}") from None
    connection.set_parser(without_classes(type(connection._parser)))  # noqa: SLF001 - it has chosen the right one
    return connection


def without_classes(parser: type[Any]) -> type[Any]:
    """A parser that gives every error as the server's whole text, whatever classes redis-py has for some of them."""
    if parser not in _PLAIN:
        _PLAIN[parser] = type(f"Plain{parser.__name__}", (parser,), {"EXCEPTION_CLASSES": {}})
    return _PLAIN[parser]


def said(address: Address, node: Node, error: BaseException) -> str:
    """What redis-py says of a connection, in one sentence."""
    text = one_line(address.without_secrets(str(error))).rstrip(". ") or type(error).__name__
    return f"{text}." if str(node.port) in text else f"{node}: {text}."


def _of_ping(answer: Any) -> str | None:
    """Why a server that answers cannot be used."""
    if not isinstance(answer, Refusal) or answer.code == "NOPERM":
        return None
    return answer.reason or f"{one_line(answer.text)}."
