"""What Redis runs is what stands in the script files; what is stored comes to them as keys and arguments, and is data."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import goose
import goose_queues
from goose import Module
from goose_queues import Client, Job, JobContext, QueuesModule
from goose_queues.drain import drain
from goose_queues.stores.redis.scripts import script
from hostile import Note, come_back_exactly, dispatch_all, finds_nothing
from servers.shared import room
from sources import calls, files

SCRIPTS = Path(next(iter(goose_queues.__path__))) / "stores" / "redis" / "scripts"

ATTACKS = (
    "']] return redis.call('FLUSHALL') --[[",
    "'); redis.call('FLUSHALL') --",
    "\r\nFLUSHALL\r\n",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    "%s %d {0} \\n KEYS[1] ARGV[1]",
    "{other}:data",
    "goose_{default}:data",
    "r\nNote\n0000000000000000000000",
    "]==] \\0 \\255",
)


class Named(Job, name=ATTACKS[0], aliases=(ATTACKS[1],)):
    async def handle(self, ctx: JobContext) -> None: ...


class NoteModule(Module):
    declarations = (Note, Named)


@pytest.fixture
def app() -> goose.Instance:
    ours = room("redis")
    ours.clear()
    return goose.worker(NoteModule, [QueuesModule(url=str(ours.url))])


def test_no_script_makes_code() -> None:
    words = re.compile(r"\b(?:loadstring|load|loadfile|dofile|require|setfenv|getfenv|debug)\b\s*[(.]")
    scripts = sorted(SCRIPTS.rglob("*.lua"))
    assert len(scripts) > 20
    # Two of them have a function of their own that reads a record.
    own = re.compile(r"\bload\(('[hlb]\\n'|field)|\bjob\.load\(|function (?:job\.)?load\(|\blink = chain and load\(")
    found = [
        (file.name, line)
        for file in scripts
        for line in file.read_text().splitlines()
        if words.search(own.sub("", line))
    ]
    assert found == []


def test_a_script_is_files_and_nothing_else() -> None:
    parts = {file.read_text() for file in SCRIPTS.rglob("*.lua")}
    for file in SCRIPTS.glob("*.lua"):
        rest = script(file.stem).text
        for part in parts:
            rest = rest.replace(part, "")
        assert rest.strip() == "", file.name


def test_scripts_are_run_in_one_place() -> None:
    """By their own text, and by names that stand in the source."""
    runs = {
        name
        for name, file in files(goose_queues)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.match(r"(EVAL|FCALL|SCRIPT)", node.value)
    }
    assert runs <= {"goose_queues/stores/redis/servers.py", "goose_queues/stores/redis/route.py"}
    computed = {
        ast.unparse(node.args[1])
        for name, file in files(goose_queues)
        if name.startswith("goose_queues/stores/redis/")
        for called, node in calls(file)
        if called in {"run", "run_on_all", "run_blocking"} and len(node.args) > 1
        if not isinstance(node.args[1], ast.Constant)
    }
    assert computed <= {"name"}


async def test_what_is_stored_comes_back_exactly(app: goose.Instance) -> None:
    async with goose.running(app) as kernel:
        client = kernel.get(Client)
        handles = await dispatch_all(client, ATTACKS)
        named = await client.dispatch(Named())
        report = await drain(kernel)
        assert (report.completed, report.failed) == (len(ATTACKS) + 1, 0)
        await come_back_exactly(handles, ATTACKS)
        assert (await named.status()).name == ATTACKS[0]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_names_and_ids_that_are_code_find_nothing(app: goose.Instance, attack: str) -> None:
    async with goose.running(app) as kernel:
        await finds_nothing(kernel.get(Client), attack)
