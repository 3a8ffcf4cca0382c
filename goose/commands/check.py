"""``goose check``: boot the whole application without serving, ask every module whether it is ready, and stop."""

from __future__ import annotations

import asyncio

import typer

import goose
from goose.commands.errors import NotReady
from goose.commands.hook import Invocation, invocation
from goose.commands.output import say
from goose.http.controller import Controller, routes_of
from goose.kernel import Kernel


def check(ctx: typer.Context) -> None:
    """See that the application boots and that its modules are ready; nothing is served and no job runs. For deploy scripts."""
    asked = invocation(ctx)
    kernel = asyncio.run(_checked(asked))
    say(f"{asked.name} is ready: {_counted(kernel)}")


async def _checked(asked: Invocation) -> Kernel:
    async with goose.running(asked.application()) as kernel:
        unready = {name: reason for name, reason in (await kernel.check()).items() if reason is not None}
        if unready:
            raise NotReady(asked.name, unready)
        return kernel


def _counted(kernel: Kernel) -> str:
    graph = kernel.graph
    counts = {
        "module": len(graph.tree.modules),
        "declaration": sum(len(graph.own(module)) for module in graph.tree.modules),
        "route": sum(len(routes_of(declared.cls)) for declared in kernel.declared(Controller)),
    }
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items())
