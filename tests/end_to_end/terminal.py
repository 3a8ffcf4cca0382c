"""A shell in a real terminal, typed into as a person does: for what ``goose`` shows and does only there."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pexpect
import pytest

from end_to_end.installed import PATIENCE, Goose

PROMPT: Final = re.compile(r"\[(\d+)\]\$ \Z")
"""In it stands the exit code of what has ended."""
CONTROL: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78MH])"
    r"|\x1b[^\x1b]*\Z"  # one that has not come whole
    r"|[\x00\x07]"
)


class Terminal:
    """A bash with nothing of this user's settings in it, and all that its screen has shown so far."""

    def __init__(self, goose: Goose, folder: Path, **variables: str) -> None:
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("bash is not installed")
        env = {
            "PATH": goose.environment()["PATH"],
            "HOME": str(folder),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            "PS1": "[$?]$ ",
            **variables,
        }
        arguments = ["--norc", "--noprofile", "-i"]
        self._shell = pexpect.spawn(
            bash, arguments, cwd=str(folder), env=env, dimensions=(40, 120), encoding="utf-8", codec_errors="replace"
        )
        self.written = ""
        """As it came, with what moves and colours it."""
        self._seen = 0
        self.ends()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shell.close(force=True)

    def run(self, command: str, code: int = 0) -> str:
        """Type a command and wait for its end; what it showed."""
        self.type(command)
        return self.ends(code)

    def type(self, command: str) -> None:
        """Type a command and press enter; it may run on."""
        self.press(f"{command}\r")

    def press(self, keys: str) -> None:
        self._shell.send(keys)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._shell.sendintr()

    def ends(self, code: int = 0) -> str:
        """What is shown until the next prompt, awaited; the exit code is that."""
        before = self._seen
        found = self.shows(PROMPT)
        shown = self._text()[before : found.start()]
        assert int(found[1]) == code, shown
        return shown

    def shows(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """The next match of what has not been seen yet, awaited."""
        end = time.monotonic() + PATIENCE
        while (found := re.compile(pattern).search(self._text(), self._seen)) is None:
            self._read(end - time.monotonic())
        self._seen = found.end()
        return found

    def _read(self, patience: float) -> None:
        try:
            self.written += self._shell.read_nonblocking(65536, timeout=max(patience, 0))
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise AssertionError(f"not shown: {self._text()[self._seen :]}") from error

    def _text(self) -> str:
        return CONTROL.sub("", self.written).replace("\r\n", "\n").replace("\r", "\n")
