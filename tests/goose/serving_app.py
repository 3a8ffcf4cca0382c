"""A small application for real processes: what it does at boot and shutdown it writes to standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import goose
from goose import Instance, Kernel, Module


def say(text: str) -> None:
    print(text, flush=True)


class Plain:
    """A platform in a few lines: answers with JSON, slowly on /slow, and fails to stop where told so."""

    def __init__(self, port: int, name: str) -> None:
        self.host, self.port, self.timeout, self.name = "127.0.0.1", port, 5.0, name

    def implied(self) -> tuple[type, ...]:
        return ()

    def mount(self, kernel: Kernel, root: Module) -> Any:
        async def answer(scope: Any, _: Any, send: Any) -> None:
            if scope["path"] == "/slow":
                say("slow began")
                await kernel.get(Gate).opened.wait()
            body = json.dumps({"name": self.name, "root": str(root), "workers": kernel.get(Work).runs}).encode()
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
            )
            await send({"type": "http.response.body", "body": body})

        return answer


class Work:
    def __init__(self) -> None:
        self.runs = 0

    async def on_run(self) -> None:
        self.runs += 1
        say("work begins")
        try:
            await asyncio.Event().wait()
        finally:
            say("work ends")


class Gate:
    """Lets the slow request through once the background work has been told to end."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def on_run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            asyncio.get_running_loop().call_later(0.2, self.opened.set)

    def on_shutdown(self) -> None:
        say("shutdown")
        if "--broken-shutdown" in sys.argv:
            raise ValueError("tape is full")
        if "--hang" in sys.argv:
            say("hanging")
            import time

            time.sleep(60)


class Shared(Module):
    is_global = True
    declarations = (Work, Gate)
    exports = (Work, Gate)

    async def on_boot(self) -> None:
        if "--broken-boot" in sys.argv:
            raise ValueError("no disk")


class First(Module): ...


class Second(Module): ...


def instances(ports: list[int]) -> list[Instance]:
    shared = Shared()
    roots = (First, Second)
    return [goose.api(Plain(port, f"p{n}"), roots[n], [shared]) for n, port in enumerate(ports)]  # type: ignore[arg-type]


if __name__ == "__main__":
    goose.start(*instances([int(argument) for argument in sys.argv[1].split(",")]))
