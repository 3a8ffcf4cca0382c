"""The log as JSON: whatever a record carries, it is one line that can be read back."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from goose import log

Show: TypeAlias = Callable[[log.Style], None]


@pytest.fixture
def show() -> Iterator[Show]:
    """Show the log where nobody does so already, as pytest does."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level

    def show(style: log.Style) -> None:
        root.handlers[:] = []
        log.show(style)

    yield show
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_with_its_fields(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    show(log.Style(as_json=True, number=2))
    logging.getLogger("shop").warning("no %s\n left", "eggs", extra={"job_id": "7", "level": "mine"})
    (line,) = objects(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "shop",
        "message": "no eggs\n left",
        "pid": os.getpid(),
        "number": 2,
        "job_id": "7",
    }


def test_a_traceback(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    show(log.Style(as_json=True))
    try:
        raise ValueError("cracked")
    except ValueError:
        logging.getLogger("shop").exception("failed")
    (line,) = objects(capsys)
    assert line["exception"].endswith("ValueError: cracked")


def test_fields_that_are_no_json(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    """They are shown as Python does."""
    show(log.Style(as_json=True))
    itself: list[Any] = []
    itself.append(itself)
    for value in (float("nan"), itself, {1j: 1}, b"raw", {"set"}):
        logging.getLogger("shop").info("odd", extra={"value": value})
    assert [line["value"] for line in objects(capsys)] == ["nan", "[[...]]", "{1j: 1}", "b'raw'", "{'set'}"]


def test_who_shows_the_log_already_goes_on(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers[:] = [logging.StreamHandler(sys.stderr)]
    log.show(log.Style(as_json=True))
    logging.getLogger("shop").error("plain")
    assert capsys.readouterr().err == "plain\n"
    assert log.shown() is None


def test_the_last_line_of_a_command(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    """It is JSON where the log is."""
    log.complain("no disk")
    assert capsys.readouterr().err == "goose: no disk\n"
    show(log.Style(as_json=True))
    log.complain("no disk")
    (line,) = objects(capsys)
    assert (line["level"], line["message"]) == ("CRITICAL", "no disk")
