"""Parent: what one of several processes says to the one that has started it, and how it sees that this is gone.

Found by ``hook`` in the environment of the process; commands report through it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from goose.commands.processes.channel import Failed, Leaving, Message, Place, Ready, State, Successor, pack

log = logging.getLogger("goose.processes")

REPORT_EVERY: Final = 5.0
"""Seconds between two reports of how a process stands."""
ORPHANED: Final = 300.0
"""Seconds that a process may go on at most after its parent is gone, where its command knows no better."""
_HELD: Final = 1 << 16
"""Bytes that wait for a parent that does not read, beyond which states are dropped."""


class Parent:
    """The process that has started this one."""

    def __init__(self, place: Place) -> None:
        self.number: Final = place.number
        self.turn: Final = place.turn
        self.limit = ORPHANED
        """Seconds after which this process is ended although something still runs, once the parent is gone."""
        self._sockets = place.sockets
        self._channel = socket.socket(fileno=place.channel)
        self._unsent = bytearray()
        self._saying = threading.Lock()
        for descriptor in (place.channel, place.turn, *place.sockets):
            # What this process starts must not hold them open.
            os.set_inheritable(descriptor, False)

    @classmethod
    def found(cls) -> Parent | None:
        """That of this process; None where it was not started as one of several."""
        place = Place.taken()
        return None if place is None else cls(place)

    def sockets(self) -> list[socket.socket]:
        """Those that the parent has bound; to be called once."""
        return [socket.socket(fileno=descriptor) for descriptor in self._sockets]

    def ready(self, on: str) -> None:
        """This process is at work."""
        self._say(Ready(on))

    def leaving(self, reason: str, successor: Successor) -> None:
        """This process takes nothing more on, finishes what runs, and ends."""
        self._say(Leaving(reason, successor))

    def failed(self, reason: str, code: int) -> None:
        """This process ends with an error."""
        self._say(Failed(reason, code))

    async def report(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Say how this process stands, again and again, until cancelled."""
        while True:
            self._say(State(facts()))
            await asyncio.sleep(REPORT_EVERY)

    def watch(self, gone: Callable[[], None]) -> None:
        """Call ``gone`` on this event loop when the parent is; whatever runs here then has ``limit`` seconds."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop, gone), name="goose-parent", daemon=True).start()

    def _watch(self, loop: asyncio.AbstractEventLoop, gone: Callable[[], None]) -> None:
        with suppress(OSError):
            while self._channel.recv(1):
                continue
        log.warning("the parent process is gone: finishing what runs, then stopping")
        with suppress(RuntimeError):  # The loop has been closed: this process ends anyway.
            loop.call_soon_threadsafe(gone)
        threading.Event().wait(self.limit)
        log.error("what runs has not ended in %g s: ending now", self.limit)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def _say(self, message: Message) -> None:
        """Never waits: a parent that stands still holds nobody up."""
        with self._saying, suppress(OSError):
            if len(self._unsent) < _HELD or not isinstance(message, State):
                self._unsent += pack(message)
            while self._unsent:
                del self._unsent[: self._channel.send(self._unsent, socket.MSG_DONTWAIT)]
