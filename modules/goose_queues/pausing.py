"""Named points at which a test may hold or kill the process: no-ops unless a test has set ``at``.

The moments between two steps that must not come apart are named here by those who take them: ``claim.committed``,
``handler.returned``, ``settle.sent``, ``settle.committed``, ``rescue.selected``, ``insert.committed``, ``handover.sent``,
``handover.delivered``.
"""

from __future__ import annotations

from collections.abc import Callable

at: Callable[[str], None] | None = None
"""Called with the name of each point that is reached, in whatever thread does; set by tests only."""


def reached(point: str) -> None:
    """Tell that the process is at this point."""
    if at is not None:
        at(point)
