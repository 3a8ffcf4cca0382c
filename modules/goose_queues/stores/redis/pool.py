"""Pool: the connections to one server. As many as were asked for, and not one more: who comes later waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.address import Address, Node
from goose_queues.stores.redis.line import Line, open_line
from goose_queues.stores.redis.steps import Words

_WAIT: Final = 20.0
"""Seconds that somebody waits for one of the connections."""


class Pool:
    """The lines to one server, of which each is used by one task at a time."""

    def __init__(self, address: Address, node: Node, size: int) -> None:
        self._address = address
        self._node = node
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[Line] = []
        self._is_closed = False

    async def exchange(self, commands: Sequence[Words]) -> list[Any]:
        """Send commands over a line of one's own, and have their answers.

        Raises:
            AnswerLost: They were sent, and not all of them answered.
            StoreUnavailable: Nothing was sent.
        """
        await self._turn()
        try:
            line = await self._line()
            try:
                return await line.exchange(commands)
            finally:
                if self._is_closed:
                    await line.cut()
                elif line.is_alive:
                    self._idle.append(line)
        finally:
            self._free.release()

    async def drop(self) -> None:
        """Let go of the lines that are not in use."""
        idle, self._idle = self._idle, []
        for line in idle:
            await line.cut()

    async def close(self) -> None:
        """Let go of all; those in use follow when they are given back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for line in idle:
            await line.close()

    async def _turn(self) -> None:
        if self._free.locked():
            try:
                async with asyncio.timeout(_WAIT):
                    await self._free.acquire()
            except TimeoutError as error:
                reason = f"none of the {self._size} connections to {self._node} became free within {_WAIT:g} s."
                raise StoreUnavailable(self._address.text, reason) from error
        else:
            await self._free.acquire()

    async def _line(self) -> Line:
        if self._is_closed:
            raise StoreUnavailable(self._address.text, f"the connections to {self._node} have been closed.")
        while self._idle:
            # The one that was used last is the least likely to have been closed.
            line = self._idle.pop()
            if line.is_alive:
                return line
            await line.cut()
        return await open_line(self._address, self._node)
