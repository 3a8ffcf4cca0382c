"""``goose queue stats --watch``: in a terminal and in a pipe, until Ctrl-C, also while the store is away."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pexpect
import pytest

from goose import Kernel
from goose_queues import Client, QueueStats, Stats, StoreUnavailable
from goose_queues.commands import watching
from goose_queues.commands.watching import Sight
from goose_queues.testing import drain
from servers.private_redis import PrivateRedis


class Counts:
    """Stands where the client would: one answer after the other, then Ctrl-C."""

    def __init__(self, stopping: asyncio.Event, *answers: Stats | Exception | float) -> None:
        self.answers = list(answers)
        self.stopping = stopping
        self.given_up = False

    async def stats(self) -> Stats:
        if not self.answers:
            self.stopping.set()
        answer = self.answers.pop(0) if self.answers else 3600.0
        if isinstance(answer, float):
            try:
                await asyncio.sleep(answer)
            except asyncio.CancelledError:
                self.given_up = True
                raise
            return Stats()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def sights(*answers: Stats | Exception | float, names: tuple[str, ...] = ()) -> tuple[list[Sight], Counts]:
    stopping = asyncio.Event()
    counts = Counts(stopping, *answers)
    found = [sight async for sight in watching._sights(cast("Client", counts), names, 0.01, stopping)]
    return found, counts


def pending(number: int) -> Stats:
    return Stats({"emails": QueueStats(pending=number), "default": QueueStats()})


class TestSights:
    async def test_rates_come_with_the_second_look(self) -> None:
        [first, second], _ = await sights(pending(1), pending(5))
        assert (first.stats, first.rates) == (pending(1), None)
        assert second.rates is not None
        assert second.rates["emails"].came > 0
        assert second.rates["default"].came == 0

    async def test_a_store_that_is_away(self) -> None:
        """What was seen last stays, with the reason; rates then count from the last look that was answered."""
        away = StoreUnavailable("redis://there", "gone")
        [seen, missing, back], _ = await sights(pending(4), away, pending(4))
        assert seen.trouble is None
        assert (missing.stats, missing.rates, missing.trouble) == (pending(4), None, str(away))
        assert (back.stats, back.trouble) == (pending(4), None)
        assert back.rates is not None

    async def test_a_store_that_is_away_from_the_first_look_on(self) -> None:
        [sight], _ = await sights(StoreUnavailable("redis://there", "gone"))
        assert (sight.stats, sight.rates) == ({}, None)

    async def test_a_store_that_does_not_answer(self) -> None:
        """It is said while it is waited for; Ctrl-C waits for nothing."""
        found, counts = await sights(pending(4), 1.5)
        assert [sight.trouble for sight in found] == [None, "the store has not answered for 1 s", None]
        assert counts.given_up

    async def test_another_error_ends_it(self) -> None:
        with pytest.raises(ZeroDivisionError):
            await sights(pending(1), ZeroDivisionError())

    async def test_named_queues_alone(self) -> None:
        [sight], _ = await sights(pending(1), names=("emails", "empty"))
        assert dict(sight.stats) == {"emails": QueueStats(pending=1), "empty": QueueStats()}


class TestTerminal:
    def test_numbers_change_until_ctrl_c(
        self, terminal: Callable[..., pexpect.spawn[str]], on_queue: Any, main: Any
    ) -> None:
        watched = terminal("queue", "stats", "--watch", "--interval", "0.1")
        watched.expect(r"emails +0 .* - +- +- +- ")
        on_queue(lambda kernel: kernel.get(Client).dispatch_many([main.Send(to="a@b")] * 3))
        watched.expect(r"emails +3 +0 +0 +0 +0 +0 +[1-9][\d.]* +0\.0 +0\.0 +\d s")
        on_queue(drain)
        watched.expect(r"emails +0 +0 +0 +3 +0 +0 +0\.0 +[1-9][\d.]* +0\.0 +-")
        watched.sendintr()
        watched.expect(pexpect.EOF)
        shown = watched.before or ""
        watched.close()
        assert (watched.exitstatus, watched.signalstatus) == (0, None)
        assert "Traceback" not in shown
        assert re.search(r"emails +0 +0 +0 +3 ", shown)
        # The cursor is to be seen again.
        assert shown.rindex("\x1b[?25h") > shown.rfind("\x1b[?25l")

    def test_a_narrow_one(self, terminal: Callable[..., pexpect.spawn[str]]) -> None:
        """Where there is no room for all columns, the less telling ones are left out, and nothing is folded."""
        watched = terminal("queue", "stats", "--watch", "--interval", "0.1", columns=80)
        heads = ["QUEUE", "PENDING", "PROCESSING", "FAILED", "IN/S", "DONE/S", "OLDEST", "PAUSED"]
        watched.expect("[^A-Z]+".join(heads))
        watched.sendintr()
        watched.expect(pexpect.EOF)

    def test_a_server_that_goes_and_comes_back(
        self, project: Path, terminal: Callable[..., pexpect.spawn[str]]
    ) -> None:
        with PrivateRedis() as server:
            text = (project / "main.py").read_text()
            text = text.replace("DRIVER = 'sql'", "DRIVER = 'redis'").replace("sqlite:///queue.db", str(server.url))
            (project / "main.py").write_text(text)
            watched = terminal("queue", "stats", "--watch", "--interval", "0.1", columns=250)
            watched.expect(r"emails +0 .* 0\.0 ")
            server.kill()
            watched.expect(r"the queue's store redis://\S+ is not available: [^\n]*[^.]\. Ctrl-C ends")
            server.start()
            watched.expect("every 0.1 s")
            watched.expect(r"emails +0 .* 0\.0 ")
            watched.sendintr()
            watched.expect(pexpect.EOF)
        watched.close()
        assert watched.exitstatus == 0


class TestPipe:
    def watch(self, project: Path, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from goose.commands import main; main()", "queue", "stats", "--watch"]
        return subprocess.Popen(
            [*command, "--interval", "0.1", *words],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_one_table_after_the_other(self, project: Path) -> None:
        with self.watch(project) as process:
            out = cast("Any", process.stdout)
            lines = [out.readline() for _ in range(10)]
            process.send_signal(signal.SIGINT)
            rest, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert [line.split()[:1] for line in lines] == [["QUEUE"], ["default"], ["emails"], ["(all)"], []] * 2
        assert "\x1b" not in "".join(lines) + rest

    def test_one_line_of_json_for_each_look(self, project: Path, on_queue: Any, main: Any) -> None:
        async def fill(kernel: Kernel) -> None:
            await kernel.get(Client).dispatch_many([main.Send()] * 2)

        on_queue(fill)
        with self.watch(project, "--json", "emails") as process:
            first, second = (json.loads(cast("Any", process.stdout).readline()) for _ in range(2))
            process.terminate()
            process.communicate(timeout=60)
        assert process.returncode == 0
        assert list(first) == ["at", "queues"]
        assert first["queues"]["emails"]["pending"] == 2
        speeds = ("in_per_second", "done_per_second", "failed_per_second")
        assert [first["queues"]["emails"][name] for name in speeds] == [None] * 3
        assert [second["queues"]["emails"][name] for name in speeds] == [0.0] * 3

    def test_a_store_that_is_away_is_a_line_as_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        away = Sight(watching.datetime.now(watching.UTC), {}, trouble="gone\x1b[31m\n")
        watching._say_json(away)
        watching._say(away)
        first, *rest = capsys.readouterr().out.splitlines()
        assert json.loads(first)["error"] == "gone\\x1b[31m\\x0a"
        assert rest == ["gone\\x1b[31m\\x0a", ""]
