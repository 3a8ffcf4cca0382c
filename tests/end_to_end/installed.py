"""``goose`` as a user has it: installed from a wheel, in an environment of its own, run as real processes.

The tests of this folder get it as the fixture ``goose``. What it needs beside itself comes from the environment that runs the
tests, so that nothing is fetched; an editable install there is not seen, as Python reads no .pth file by way of another.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parents[2]
PATIENCE: Final = 180.0
"""Seconds after which a process counts as hung."""
UNPLAIN: Final = re.compile(r"[\x1b\r\u2500-\u259f]")
"""Escape sequences, and what boxes and bars are drawn with."""


def install(place: Path) -> Goose:
    """Build the wheel from this source tree and install it below ``place``."""
    _do(SOURCES, sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place / "dist"))
    (wheel,) = (place / "dist").glob("*.whl")
    goose = Goose(place / "environment")
    _do(place, sys.executable, "-m", "venv", "--without-pip", str(goose.prefix))
    _do(place, *_installer(goose.python), "--quiet", "--no-deps", "--no-index", str(wheel))
    (packages,) = goose.prefix.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("-packages")) + "\n"
    )
    pytest = goose.script.with_name("pytest")
    pytest.write_text(f"#!{goose.python}\nimport sys\nimport pytest\n\nsys.exit(pytest.console_main())\n")
    pytest.chmod(0o755)
    return goose


def _installer(python: Path) -> list[str]:
    """An environment that uv made has no pip."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("the wheel cannot be installed: neither pip nor uv is here")
    return [uv, "pip", "install", "--python", str(python)]


def _do(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"


class Goose:
    """The installed ``goose``; each call is a process in a folder."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.script = prefix / "bin/goose"
        self.python = prefix / "bin/python"

    def __call__(self, folder: Path, *words: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, with the exit code that it should have; as every command in a pipe, it prints plainly."""
        done = self._run(folder, [self.script, *words], code, variables)
        assert not UNPLAIN.search(done.stdout + done.stderr), f"{words}: {done.stdout}\n{done.stderr}"
        assert "--debug" in words or "Traceback (most recent call last)" not in done.stderr, f"{words}: {done.stderr}"
        return done

    def module(self, folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a module or file in the environment: ``("-m", "pytest")``, ``("main.py",)``."""
        return self._run(folder, [self.python, *words], code, {"NO_COLOR": "1"})

    def tests(self, project: Path, *arguments: str) -> int:
        """How many tests of a project passed, all of them."""
        done = self.module(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments)
        found = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
        assert found is not None, done.stdout
        return int(found[1])

    def begin(
        self, folder: Path, *words: str, stdout: int = subprocess.PIPE, **variables: str
    ) -> subprocess.Popen[str]:
        """Start one command."""
        env = self.environment() | variables
        command = [self.script, *words]
        return subprocess.Popen(command, cwd=folder, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True)

    @contextmanager
    def running(self, folder: Path, *words: str, **variables: str) -> Iterator[Server]:
        """A command that serves until it is told to stop; killed if it is still there at the end."""
        process = self.begin(folder, *words, stdout=subprocess.DEVNULL, **variables)
        server = Server(process)
        try:
            yield server
        finally:
            process.kill()
            server.join()

    def environment(self) -> dict[str, str]:
        """This one's, without what would lead a project's own tests and tools astray."""
        led = ("GOOSE_", "PYTEST_", "COV_", "DATABASE_URL", "PYTHONPATH", "COVERAGE_", "VIRTUAL_ENV", "NO_COLOR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(led)}
        own = {
            "PATH": f"{self.prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
            # One for all projects: what mypy knows of the packages is the most of it.
            "MYPY_CACHE_DIR": str(self.prefix.with_name(f"mypy-{os.getpid()}")),
        }
        return kept | own

    def _run(
        self, folder: Path, command: list[str | Path], code: int, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        env = self.environment() | dict(variables)
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


class Server:
    """A process that serves, and everything that it has said on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._spoke = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def says(self, pattern: str) -> re.Match[str]:
        """The first match in what it says, awaited."""
        with self._spoke:
            self._spoke.wait_for(lambda: re.search(pattern, self.log) or not self._reader.is_alive(), PATIENCE)
        found = re.search(pattern, self.log)
        assert found is not None, f"it never said {pattern!r}:\n{self.log}"
        return found

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        assert not UNPLAIN.search(self.log), self.log
        return code

    def join(self) -> None:
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._spoke:
                self.lines.append(line)
                self._spoke.notify_all()


def ask(url: str, body: object = None) -> tuple[int, object]:
    """Status and JSON of a request: GET, or POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return response.status, json.load(response)
