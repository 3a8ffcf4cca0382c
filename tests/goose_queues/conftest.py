"""Applications with a queue on a SQLite file of their own, for the tests of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import goose
from goose import Instance, Kernel, Module
from goose_queues import QueuesModule
from queue_apps import Boot, MakeApp


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The queue's SQLite file."""
    return f"sqlite:///{tmp_path}/queue.db"


@pytest.fixture
def make_app(url: str) -> MakeApp:
    """Make an application that declares these things and has a queue."""

    def make(*declared: Any, **options: Any) -> Instance:
        class AppModule(Module):
            declarations = declared

        return goose.worker(AppModule, [QueuesModule(**{"url": url, **options})])

    return make


@pytest.fixture
def boot(make_app: MakeApp) -> Boot:
    """Boot such an application."""

    @asynccontextmanager
    async def run(
        *declared: Any, background: bool = False, overrides: Any = None, **options: Any
    ) -> AsyncIterator[Kernel]:
        app = make_app(*declared, **options)
        async with goose.running(app, background=background, overrides=overrides) as kernel:
            yield kernel

    return run
