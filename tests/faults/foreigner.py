"""A program that knows nothing of us: ``python foreigner.py FILE TIMES HELD FREE`` locks our SQLite file now and then."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ledger import Ledger


def lock(file: str, times: int, held: float, free: float) -> None:
    """Hold the file's exclusive lock for ``held`` seconds, ``free`` seconds after the last time."""
    book = Ledger(Path(os.environ["LEDGER"]))
    raw = sqlite3.connect(file, timeout=60, isolation_level=None)
    for _ in range(times):
        time.sleep(free)
        raw.execute("BEGIN EXCLUSIVE")
        book.write("held", "lock")
        time.sleep(held)
        book.write("freed", "lock")
        raw.execute("COMMIT")
    time.sleep(free)
    raw.close()


if __name__ == "__main__":
    lock(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
