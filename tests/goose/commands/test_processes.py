"""Several processes of one command: started, replaced, stopped together, never left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from goose.commands.processes.restarts import FIRST, LAST, LAST_AFTER_KILL, STEADY, Pause
from waiting import wait_until

TOYS = Path(__file__).with_name("toys.py")


class Play:
    """A ``goose toys play`` in a folder of its own, and what its processes have noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        shutil.copy(TOYS, folder / "main.py")

    def start(self, *words: str, **environ: str) -> Play:
        command = [sys.executable, "-m", "goose", "toys", "play", *words]
        with self.log.open("wb") as log:
            self.parent = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **environ}, stderr=log, start_new_session=True
            )
        return self

    def notes(self, word: str) -> list[tuple[int, int]]:
        """Number and pid of each process that has noted this."""
        notes = self.folder / "notes"
        lines = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
        return [(int(number), int(pid)) for said, number, pid in lines if said == word]

    async def noted(self, word: str, times: int) -> list[tuple[int, int]]:
        await wait_until(lambda: len(self.notes(word)) >= times or self.parent.poll() is not None)
        assert len(self.notes(word)) >= times, self.log.read_text()
        return self.notes(word)

    async def up(self, times: int) -> list[tuple[int, int]]:
        """Number and pid of each process, when so many have been at work to the knowledge of their parent."""
        await wait_until(
            lambda: self.log.read_text().count("ready: playing") >= times or self.parent.poll() is not None
        )
        return await self.noted("up", times)

    async def says(self, sentence: str) -> None:
        await wait_until(lambda: sentence in self.log.read_text() or self.parent.poll() is not None)
        assert sentence in self.log.read_text()

    async def ends(self, *signals: signal.Signals) -> int:
        """Its exit code, after signals to the parent alone."""
        for number in signals:
            self.parent.send_signal(number)
        await wait_until(lambda: self.parent.poll() is not None)
        return int(self.parent.returncode)

    def go(self) -> None:
        """Let those end that linger."""
        (self.folder / "go").touch()

    def pids(self) -> set[int]:
        """All that have been there."""
        return {pid for word in ("up", "refuses") for _, pid in self.notes(word)}

    def end(self) -> None:
        self.go()
        self.parent.kill()
        self.parent.wait()
        for pid in self.pids():
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    play = Play(tmp_path)
    yield play
    play.end()


async def test_a_signal_ends_all_in_order(play: Play) -> None:
    """Each number is played by one process; SIGTERM has all of them finish, and the exit code is 0."""
    play.start("talk", "--count", "3")
    assert sorted(number for number, _ in await play.up(3)) == [1, 2, 3]
    assert await play.ends(signal.SIGTERM) == 0
    assert sorted(play.notes("down")) == sorted(play.notes("up"))
    log = play.log.read_text()
    assert log.count("the first one plays") == 1
    assert "Traceback" not in log
    assert {line[:10] for line in log.splitlines() if line.endswith("xxx")} == {f"[{n}] INFO: " for n in (1, 2, 3)}


async def test_a_process_that_is_killed_is_replaced(play: Play) -> None:
    """After a wait, under its number; where that one cannot start, after another, until it can."""
    play.start("wait", FIRST="0.2")
    ((number, pid),) = await play.up(1)
    (play.folder / "broken").touch()
    os.kill(pid, signal.SIGKILL)
    await play.noted("refuses", 1)
    (play.folder / "broken").unlink()
    assert (await play.up(2))[-1][0] == number
    log = play.log.read_text()
    assert "process 1 has ended: killed by SIGKILL; another is started in 0.2 s" in log
    assert "process 1 could not start: no disk; another is started in 0.4 s" in log
    assert await play.ends(signal.SIGINT) == 0


async def test_what_cannot_start_says_so_once(play: Play) -> None:
    """One process is tried, its sentence is the only line, and the exit code its own."""
    assert await play.start("refuse", "--count", "3").ends() == 1
    assert play.log.read_text() == "goose: no disk\n"
    assert len(play.notes("refuses")) == 1


async def test_a_process_that_ends_without_a_word_cannot_start(play: Play) -> None:
    assert await play.start("vanish", "--count", "2").ends() == 7
    assert play.log.read_text() == "goose: process 1 could not start: exit code 7\n"
    assert len(play.notes("vanishes")) == 1


async def test_what_cannot_start_any_more_says_so(play: Play) -> None:
    """Where none is left and none can be started for some times in a row, it gives up."""
    play.start("wait", "--count", "2")
    up = await play.up(2)
    (play.folder / "broken").touch()
    for _, pid in up:
        os.kill(pid, signal.SIGKILL)
    assert await play.ends() == 1
    last = play.log.read_text().splitlines()[-1]
    assert last == "goose: no process could be started, 2 times in a row; the last time: no disk"
    assert "process 1 could not start: no disk; another is started in " in play.log.read_text()


async def test_kills_do_not_count_as_faults(play: Play) -> None:
    """Whoever kills the first before it is at work does not make the command give up: all are started then."""
    play.start("hesitate", "--count", "2")
    for _ in range(3):
        ((_, pid), *_) = await play.noted("hesitates", 1)
        os.kill(pid, signal.SIGKILL)
        (play.folder / "notes").unlink()
    await play.noted("hesitates", 2)
    play.go()
    assert len(await play.up(2)) == 2
    assert await play.ends(signal.SIGTERM) == 0


async def test_a_process_that_leaves_is_replaced_at_once(play: Play) -> None:
    """Its successor starts while it still finishes what runs."""
    play.start("fill", FIRST="60")
    first, _ = await play.up(2)
    assert play.notes("down") == []
    play.go()
    assert await play.noted("down", 1) == [first]
    assert await play.ends(signal.SIGTERM) == 0
    assert len(play.notes("up")) == 2


async def test_one_that_leaves_too_soon_is_no_loop(play: Play) -> None:
    """What leaves because it has grown is replaced after a wait if that is soon after its start."""
    play.start("swell", FIRST="60")
    await play.says("it is swollen; another is started in 30.0 s")
    assert await play.ends(signal.SIGTERM) == 0
    assert len(play.notes("up")) == 1


async def test_the_parent_ends_with_the_last_that_is_done(play: Play) -> None:
    assert await play.start("once").ends() == 0
    assert len(play.notes("down")) == 1


async def test_a_second_signal_ends_all_at_once(play: Play) -> None:
    play.start("linger")
    await play.up(1)
    play.parent.send_signal(signal.SIGTERM)
    await play.noted("lingers", 1)
    assert await play.ends(signal.SIGTERM) == 128 + signal.SIGTERM
    await wait_until(lambda: not any(map(psutil.pid_exists, play.pids())))
    assert play.notes("down") == []


async def test_no_orphan_is_left(play: Play) -> None:
    """After kill -9 of the parent its processes finish what runs, and end."""
    play.start("linger")
    await play.up(1)
    play.parent.kill()
    await wait_until(lambda: len(play.notes("lingers")) == 1)
    play.go()
    await wait_until(lambda: len(play.notes("down")) == 1)
    await wait_until(lambda: not any(map(psutil.pid_exists, play.pids())))
    assert "the parent process is gone" in play.log.read_text()


async def test_a_terminals_interrupt_is_one(play: Play) -> None:
    """Ctrl-C reaches the parent's whole process group: its processes are told once, by the parent."""
    play.start("linger")
    await play.up(1)
    os.killpg(play.parent.pid, signal.SIGINT)
    await play.noted("lingers", 1)
    play.go()
    assert await play.ends() == 0
    assert len(play.notes("down")) == 1


async def test_a_service_managers_signal_to_all_is_one(play: Play) -> None:
    """systemd tells every process, and the parent passes it on: that is no second signal."""
    play.start("linger")
    up = await play.up(1)
    for _, pid in up:
        os.kill(pid, signal.SIGTERM)
    await play.noted("lingers", 1)
    play.parent.send_signal(signal.SIGTERM)
    await play.says("stopping: what runs is finished first")
    for _, pid in up:
        os.kill(pid, signal.SIGTERM)
    play.go()
    assert await play.ends() == 0
    assert len(play.notes("down")) == 1


async def test_one_that_does_not_end_well_is_told(play: Play) -> None:
    play.start("trip")
    await play.up(1)
    play.go()
    assert await play.ends(signal.SIGTERM) == 1
    assert play.log.read_text().splitlines()[-1].endswith("did not stop in order: it tripped")


class TestJson:
    async def test_each_line_is_an_object(self, play: Play) -> None:
        """Long ones too, from several processes into one pipe that is read slowly."""
        command = [sys.executable, "-m", "goose", "toys", "play", "talk", "--count", "2", "--json-logs"]
        play.parent = subprocess.Popen(command, cwd=play.folder, stderr=subprocess.PIPE)  # noqa: ASYNC220
        assert play.parent.stderr is not None
        lines = []
        with play.parent.stderr as log:
            while sum(said.get("line") == 19 for said in lines) < 2:
                lines.append(json.loads(log.readline()))
            play.parent.send_signal(signal.SIGTERM)
            lines += map(json.loads, log)
        assert play.parent.wait() == 0
        usual = {"time", "level", "logger", "message", "pid"}
        assert all(usual <= line.keys() for line in lines)
        talk = [line for line in lines if line["logger"] == "toys"]
        assert sorted((line["number"], line["line"]) for line in talk) == [(n, k) for n in (1, 2) for k in range(20)]
        assert {line["pid"] for line in talk} == play.pids()

    async def test_events(self, play: Play) -> None:
        """What becomes of a process is told with its number, its pid and the reason; and how it stands, again and again."""
        play.start("wait", "--json-logs")
        ((_, pid),) = await play.up(1)
        await play.says('"balls": 3')
        os.kill(pid, signal.SIGKILL)
        await play.up(2)
        assert await play.ends(signal.SIGTERM) == 0
        lines = [json.loads(line) for line in play.log.read_text().splitlines()]
        told = [(line["event"], line["reason"]) for line in lines if line.get("process_pid") == pid]
        assert ("state", "balls 3") in told
        told = [(event, reason) for event, reason in told if event != "state"]
        assert told[:2] == [("started", ""), ("ready", "playing")]
        assert told[-1] == ("ended", "killed by SIGKILL")
        assert [line["reason"] for line in lines if line.get("event") == "restarting"] == ["killed by SIGKILL"]

    async def test_the_last_line_too(self, play: Play) -> None:
        assert await play.start("refuse", "--json-logs").ends() == 1
        last = json.loads(play.log.read_text().splitlines()[-1])
        assert (last["level"], last["message"]) == ("CRITICAL", "no disk")


class TestPause:
    def test_it_doubles_up_to_a_limit(self) -> None:
        pause = Pause()
        assert [pause.after(None) for _ in range(4)] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
        assert [pause.after(0.1) for _ in range(9)][-1] == LAST

    def test_it_begins_anew_after_a_while_at_work(self) -> None:
        pause = Pause()
        for _ in range(5):
            pause.after(STEADY - 0.1)
        assert pause.after(STEADY) == FIRST

    def test_kills_from_outside_keep_it_short(self) -> None:
        pause = Pause()
        assert [pause.after(0.1, killed=True) for _ in range(9)][-1] == LAST_AFTER_KILL
