"""A fleet whose processes are forked from one that has imported the application already, so that they start in no time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from fleet import Fleet, Process
from hand import Hand

_context: Final = multiprocessing.get_context("forkserver")
_PRELOADED: Final = ("faults.application", "faults.paused")


class QuickFleet(Fleet):
    """Its application is a module with a ``main``."""

    def __init__(
        self, folder: Path, module: str, lease: float = 30.0, url: URL | str | None = None, hand: Hand | None = None
    ) -> None:
        super().__init__(folder, Path(module), lease, url, hand)

    def launch(self, script: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> Process:
        _context.set_forkserver_preload([*_PRELOADED])
        process = _context.Process(target=_run, args=(str(script), arguments, environ, self.log), daemon=True)
        path = os.environ.get("PYTHONPATH")
        # The server is started with the first process, and finds what it imports by the environment alone.
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        try:
            process.start()
        finally:
            if path is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = path
        return _Forked(process)


class _Forked:
    """Such a process, with the methods of one that ``subprocess`` has started."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        self.pid: Final = process.pid or 0
        self.kill = process.kill
        self.poll = lambda: process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} has not ended within {timeout} s")
        return self._process.exitcode

    def send_signal(self, sig: int, /) -> None:
        os.kill(self.pid, sig)


def _run(module: str, arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_the_test, daemon=True).start()
    os.environ.update(environ)
    import_module(module).main(*arguments)


def _end_with_the_test() -> None:
    """A test that is killed leaves nobody behind."""
    test = multiprocessing.parent_process()
    if test is not None:
        test.join()
        os._exit(1)
