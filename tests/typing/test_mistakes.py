"""What mypy --strict says of mistakes that users make; that correct code passes is for ``make lint``."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

HEAD = """
from goose import Module, declare
from goose_queues import Client, Job, JobContext

class Mailer: ...
class Other: ...

class SendEmail(Job, queue="emails"):
    to: str

    async def handle(self, ctx: JobContext) -> None: ...

async def code(queue: Client) -> None:
"""

CONFIG = """
[mypy]
strict = True
enable_error_code = unused-awaitable
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("queue.dispatch(SendEmail(to='a'))", "unused-awaitable"),
        ("await queue.dispatch(SendEmail(to=5))", "arg-type"),
        ("await queue.dispatch(SendEmail())", "call-arg"),
        ("await queue.dispatch(SendEmail)", "arg-type"),
        ("await queue.dispatch(SendEmail(to='a')).delay('5m')", "arg-type"),
        ("queue.chain(SendEmail(to='a')).dispatch()", "unused-coroutine"),
        ("await queue.batch([SendEmail(to='a')])", "misc"),
        ("await queue.chain(SendEmail).dispatch()", "arg-type"),
        ("await queue.batch([SendEmail(to='a')]).then(Mailer()).dispatch()", "arg-type"),
        ("queue.jobs(status='done')", "arg-type"),
        ("declare(Mailer, Other)", "arg-type"),
        ("await queue.dispatch(SendEmail(to='a'))", None),
    ],
)
def test_line(line: str, code: str | None, tmp_path: Path) -> None:
    """A mistake is found where it is made, and the right form passes."""
    (tmp_path / "mistake.py").write_text(f"{HEAD}    {line}\n")
    (tmp_path / "mypy.ini").write_text(CONFIG)
    out, err, _ = api.run(
        [
            "--config-file",
            str(tmp_path / "mypy.ini"),
            "--cache-dir",
            str(tmp_path.parent / "mypy-cache"),
            str(tmp_path / "mistake.py"),
        ]
    )
    assert err == ""
    found = [text for text in out.splitlines() if "mistake.py" in text and "error:" in text]
    assert len(found) == (code is not None), out
    if code is not None:
        assert f"[{code}]" in found[0]
