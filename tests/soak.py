"""How long the fault tests go on: seconds as a part of the suite, minutes under ``make soak``."""

from __future__ import annotations

import os
from typing import Final, TypeVar

T = TypeVar("T")

SOAK: Final = os.environ.get("GOOSE_SOAK") == "1"


def size(short: T, long: T) -> T:
    """The figure for the suite, or the one for ``make soak``."""
    return long if SOAK else short
