"""Module: what a part of an application imports, declares and exports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Module:
    """A part of an application.

    The attributes stand on the class, or are set on ``self`` in ``__init__`` where they depend on arguments. A module
    is named by class (made once for each application) or by instance (shared by identity). It keeps nothing of a
    running application on itself: what lives from boot to shutdown is a declared singleton.

    A module takes part in the lifecycle by ``on_boot``, ``on_run`` and ``on_shutdown`` as any declared singleton does,
    and in readiness by ``async def check(self)``, which raises where the application cannot do its work.
    """

    imports: Sequence[type[Module] | Module] = ()
    """Modules whose exports may be injected here."""
    declarations: Sequence[Any] = ()
    """Classes, ``declare(...)``, controllers, jobs."""
    exports: Sequence[Any] = ()
    """Keys of declarations that modules importing this one may inject."""
    is_global: bool = False
    """True: the exports are visible to every module of the application."""
    implied: Sequence[type] = ()
    """Classes that this module has built as the root module would: with what the root module sees."""
    commands: str | None = None
    """Where a ``typer.Typer`` stands that ``goose`` shows as a group: ``"package.module:attribute"``."""

    def __repr__(self) -> str:
        return type(self).__name__
