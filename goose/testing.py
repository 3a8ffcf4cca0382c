"""What tests of an application use: the application over HTTP, in-process, with providers overridden.

Needs the extra: ``goose-framework[testing]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from starlette.testclient import TestClient

from goose.errors import NotRunning
from goose.instance import Instance, Message, Receive, Send, lifespan
from goose.kernel import Kernel


@runtime_checkable
class Drainable(Protocol):
    """A module that can finish, here and now, the work that it would do in the background."""

    async def drain(self, kernel: Kernel) -> Any:
        """Do what is due; return a report."""


class AppTestClient(TestClient):
    """The application booted in a thread of its own, spoken to over HTTP in-process. Use it with ``with``.

    No background work is started: jobs wait until ``drain()``.

    Args:
        app: What ``api()`` made.
        overrides: Ready objects by key, in place of what the modules declare.
        raise_server_exceptions: Whether an unexpected exception of a handler is raised in the test; else the test
            gets the answer that a client would get, 500.
    """

    __test__ = False

    def __init__(
        self,
        app: Instance,
        *,
        overrides: Mapping[Any, Any] | None = None,
        raise_server_exceptions: bool = True,
    ) -> None:
        self._instance = app
        self._overrides = overrides
        super().__init__(self._serve, raise_server_exceptions=raise_server_exceptions)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    @property
    def kernel(self) -> Kernel:
        """The booted application's kernel.

        Raises:
            NotRunning: Outside the ``with`` block.
        """
        if self._instance.kernel is None:
            raise NotRunning("the application is not booted: use AppTestClient in a with block")
        return self._instance.kernel

    def drain(self) -> Any:
        """Run everything that is due, here and now, and what comes of it; return the report of the queue."""
        kernel = self.kernel
        for module in kernel.modules:
            if isinstance(module, Drainable):
                return kernel.run_blocking(module.drain(kernel))
        raise NotRunning("this application has no module with background work to drain")

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(self._instance, receive, send, background=False, overrides=self._overrides)
        else:
            await self._instance(scope, receive, send)
