"""The types of the fixtures that boot applications with a queue; see ``goose_queues/conftest.py``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from goose import Instance, Kernel

MakeApp: TypeAlias = Callable[..., Instance]
"""``make_app(SendEmail, Mailer, workers=2)``: an application that declares these things and has such a queue."""
Boot: TypeAlias = Callable[..., AbstractAsyncContextManager[Kernel]]
"""``async with boot(SendEmail, workers=2, background=True, overrides={...}) as kernel``: the same, booted."""
