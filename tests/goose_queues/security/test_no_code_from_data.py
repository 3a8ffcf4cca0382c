"""Nothing that is stored is unpickled, evaluated, imported or looked up by name, but among the registered jobs."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

import goose_queues
import goose_sql
from goose_queues import Client, Job, JobContext, JobFailed
from goose_queues import payload as payloads
from goose_queues.record import Claim
from goose_queues.registry import Registry
from goose_queues.supervisor import Supervisor
from queue_apps import Boot
from sources import calls, files, imports

ROOT = Path(__file__).parents[3]

CODE_FROM_DATA = frozenset(
    [
        "pickle",
        "_pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "jsonpickle",
        "joblib",
        "marshal",
        "shelve",
        "dbm",
        "yaml",
        "ruamel",
        "code",
        "codeop",
        "runpy",
        "pkgutil",
        "multiprocessing",
    ]
)
"""Modules that make code or objects of data; multiprocessing pickles whatever it sends."""
RUNNERS = frozenset({"eval", "exec", "compile", "__import__", "execfile", "resolve_name", "run_path", "run_module"})

IMPORTERS = {
    "goose/commands/hook.py": "the commands that a module's class names",
    "goose/commands/locate.py": "the application that --app, pyproject.toml or main:app names",
    "goose/commands/main.py": "importlib.metadata: the version that is installed",
    "goose/commands/new/dependencies.py": "importlib.metadata: what installed distributions require",
    "goose/origin.py": "the application again, for a process that this one starts; places of modules already imported",
    "goose_queues/commands/bench.py": "importlib.metadata: the version that is installed",
    "goose_queues/stores/redis/scripts.py": "importlib.resources: the package's own Lua files",
    "goose_queues/stores/redis/servers.py": "find_spec: whether the package redis is installed",
    "goose_sql/migrations.py": "the migrations that a module's class names",
    "goose_sql/server_engine.py": "the driver that a URL of the settings asks for, by a name that SQLAlchemy knows",
    "goose_sql/urls.py": "find_spec: whether the driver is installed that a URL of the settings asks for",
}
"""Who may use importlib, and for what; each name is of the application's code or settings, never of a store."""

LOOKUPS = {
    "goose_queues/payload.py": {"getattr(job, name)": "a field that the job's class declares"},
    "goose_queues/registry.py": {"getattr(cls, method)": "a constant of the file"},
    "goose_queues/shape.py": {"getattr(value, field.name)": "a field that the dataclass declares"},
    "goose_queues/stores/sql/insert.py": {"getattr(job, name)": "a constant of the file"},
    "goose_queues/wire.py": {"getattr(value, field.name)": "a field that the dataclass declares"},
    "goose_sql/commits.py": {
        "getattr(dialect, word)": "a constant of the file",
        "setattr(dialect, word, partial(_then, getattr(dialect, word), ended))": "a constant of the file",
    },
    "goose_sql/sockets.py": {"getattr(socket, name, None)": "a constant of the file"},
}
"""Attributes that are looked up by a name which is no literal, in the packages that read from a store."""


class TestSource:
    def test_modules_that_run_data_are_not_imported(self) -> None:
        found = [
            (name, module)
            for name, file in files()
            for module in imports(file)
            if module.partition(".")[0] in CODE_FROM_DATA
        ]
        assert found == []

    def test_nothing_is_evaluated(self) -> None:
        """Not by the builtins; ``re.compile`` and a statement's ``compile`` are other words."""
        found = [
            (name, ast.unparse(node))
            for name, file in files()
            for called, node in calls(file)
            if called in RUNNERS and not (called == "compile" and isinstance(node.func, ast.Attribute))
        ]
        assert found == []

    def test_importlib_is_used_where_it_is_said_why(self) -> None:
        users = {
            name
            for name, file in files()
            if any(module.partition(".")[0] == "importlib" for module in imports(file))
            or any(called == "import_module" for called, _ in calls(file))
        }
        assert users == set(IMPORTERS)
        named = {
            ast.unparse(node.args[0])
            for name, file in files(goose_queues)
            if name in IMPORTERS
            for called, node in calls(file)
            if called in {"find_spec", "files"}
        }
        assert named == {"'redis'", "'goose_queues.stores.redis'"}

    def test_attributes_are_looked_up_by_names_of_the_source(self) -> None:
        """Where data of a store is read, a computed name is one that the source or a class declares."""
        found: dict[str, set[str]] = {}
        for name, file in files(goose_queues, goose_sql):
            for called, node in calls(file):
                looks = called in {"getattr", "setattr", "delattr", "attrgetter", "methodcaller"}
                if looks and not (len(node.args) > 1 and isinstance(node.args[1], ast.Constant)):
                    found.setdefault(name, set()).add(ast.unparse(node))
        assert found == {name: set(lookups) for name, lookups in LOOKUPS.items()}

    def test_namespaces_are_no_dictionaries(self) -> None:
        """Nobody takes a thing out of ``globals()``, ``sys.modules`` or ``__builtins__`` where a store is read."""
        words = re.compile(r"\bglobals\(|\bsys\.modules\b|__builtins__|__subclasses__|__getattribute__")
        found = [name for name, file in files(goose_queues, goose_sql) if words.search(file.read_text())]
        assert found == []

    def test_templates_make_no_such_code(self) -> None:
        templates = sorted((ROOT / "templates").rglob("*.py.jinja"))
        words = re.compile(rf"\b(?:{'|'.join(CODE_FROM_DATA - {'code'})})\b|\b(?:eval|exec|compile|__import__)\(")
        assert len(templates) > 10
        assert [template.name for template in templates if words.search(template.read_text())] == []


class Plain(BaseModel):
    size: int = 1


@dataclasses.dataclass
class Point:
    x: int = 0


class Note(Job, queue="notes"):
    text: str
    plain: Plain = Plain()
    point: Point = dataclasses.field(default_factory=Point)
    data: Any = None

    async def handle(self, ctx: JobContext) -> str:
        return self.text


class Open(Note):
    """What a payload holds beyond the fields is not let in by the class's own configuration either."""

    model_config = ConfigDict(extra="allow")


POISON: dict[str, Any] = {
    "__class__": "os.system",
    "__dict__": {"text": "other"},
    "__init__": "x",
    "__reduce__": ["os.system", ["true"]],
    "__setstate__": {"text": "other"},
    "__pydantic_private__": {"a": 1},
    "__pydantic_extra__": {"a": 1},
    "__pydantic_fields_set__": ["data"],
    "model_config": {"extra": "allow"},
    "model_fields": {},
    "handle": "os.system",
    "on_failure": "os.system",
    "py/object": "os.system",
    "$ref": "#/definitions/x",
    "unknown": 1,
}


class TestPayload:
    @pytest.mark.parametrize("cls", [Note, Open])
    @pytest.mark.parametrize("key", POISON)
    def test_only_declared_fields_are_built(self, cls: type[Note], key: str) -> None:
        """Whatever else a stored payload holds, at any depth, changes nothing."""
        poison = {key: POISON[key]}
        text = json.dumps({"text": "a", "plain": {"size": 2, **poison}, "point": {"x": 3, **poison}, **poison})
        job = payloads.decode(cls, text)
        assert type(job) is cls
        assert vars(job) == {"text": "a", "plain": Plain(size=2), "point": Point(3), "data": None}
        assert (type(job.plain), vars(job.plain)) == (Plain, {"size": 2})
        assert (type(job.point), vars(job.point)) == (Point, {"x": 3})
        assert not job.__pydantic_extra__
        assert job.handle.__func__ is cls.handle  # type: ignore[attr-defined]

    def test_what_has_no_type_stays_data(self) -> None:
        job = payloads.decode(Note, json.dumps({"text": "a", "data": POISON}))
        assert job == Note(text="a", data=POISON)


class TestNames:
    @pytest.mark.parametrize(
        "name", ["os.system", "goose_queues.job:Job", "Job", "builtins.eval", "note", "Note\x00", ""]
    )
    def test_a_stored_name_is_looked_up_among_the_registered_jobs_only(self, name: str) -> None:
        assert Registry([Note]).by_name(name) is None

    async def test_a_row_of_another_name_is_not_claimed(self, boot: Boot, hand: Any) -> None:
        async with boot(Note) as kernel:
            await kernel.get(Client).dispatch(Note(text="a"))
            hand("update goose_jobs set name = 'os.system'")
            supervisor = kernel.get(Supervisor)
            claim = Claim("notes", supervisor.registry.names, 9, 30.0, "worker")
            assert (await supervisor.store.claim(claim)).jobs == ()

    @pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "os.system", "goose_queues.errors.JobTimeout"])
    async def test_a_stored_error_is_text(self, boot: Boot, hand: Any, name: str) -> None:
        """Its class is not looked for: whoever waits gets ``JobFailed``, with the name as a fact."""
        error = json.dumps({"type": name, "message": "m", "traceback": ""})
        async with boot(Note) as kernel:
            handle = await kernel.get(Client).dispatch(Note(text="a"))
            hand("update goose_jobs set state = 'failed', finished_at = 1, error = ?", error)
            with pytest.raises(JobFailed) as caught:
                await handle.result(timeout=30)
        assert (caught.value.error_type, caught.value.message) == (name, "m")
