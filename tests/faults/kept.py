"""The application of the fault tests as the command line finds it: ``goose --app faults.kept:app queue work``."""

from __future__ import annotations

import os
from pathlib import Path

from faults.application import application

app = application("worker", os.environ["DATABASE_URL"], Path(os.environ["LEDGER"]))
