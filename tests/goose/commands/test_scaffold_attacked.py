"""``goose new`` on hostile ground: refused or undone, never half a project, never anything outside of it."""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folders import everything_below
from goose.commands import main, scaffold
from goose.commands.new import plan

MODULE = """\
from goose import Module  # ours


class AppModule(Module):
    declarations = ()
"""
MAIN = "from goose_queues import QueuesModule\n\nqueues = QueuesModule()\n"
INTERRUPT = 128 + signal.SIGINT
"""The exit code of what Ctrl-C has ended, as shells have it."""
PARTS = ("module", "controller", "service", "middleware", "job")
EVERY = ("app", *PARTS)


def make_project(folder: Path) -> Path:
    """A folder with the least that parts can be added to."""
    project = folder / "project"
    (project / "app").mkdir(parents=True)
    (project / "app/__init__.py").touch()
    (project / "app/module.py").write_text(MODULE)
    (project / "main.py").write_text(MAIN)
    return project


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, which is the working folder; beside it lies what is not to be touched."""
    project = make_project(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/mine.py").write_text("mine")
    monkeypatch.chdir(project)
    return project


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stopped:
        main(words)
    return int(stopped.value.code or 0), out.getvalue(), err.getvalue()


def refused(folder: Path, *words: str) -> str:
    """The one line with which a command is refused; nothing in the folder has changed."""
    before = everything_below(folder)
    code, out, err = call(*words)
    assert (code in (1, 2), out, err.count("\n")) == (True, "", 1), (code, out, err)
    assert everything_below(folder) == before
    return err


# --- names

NAMES = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "../shop",
    "shop/../../x",
    "a/b",
    "a\\b",
    "~",
    "~root",
    "C:x",
    "$(touch x)",
    "`x`",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\tb",
    "a\0b",
    "a;b",
    "a'b",
    'a"b',
    '"""',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "%s",
    "a.b",
    "a-b",
    "__init__",
    "_",
    "1",
    "1a",
    "class",
    "None",
    "True",
    "async",
    "\N{FULLWIDTH LATIN CAPITAL LETTER A}BC",
    "ﬁle",
    "Ⅷ",
    "\N{CYRILLIC SMALL LETTER O}rders",
    "größe",
    "名前",
    "🦆",
    "a\u202eb",
    "a\u200bb",
    "\ud800",
    "x" * 41,
    "x" * 300,
    "x" * 100_000,
    "aux",
    "NUL",
]


@pytest.mark.parametrize("kind", EVERY)
def test_names_that_cannot_be_borne(ground: Path, kind: str) -> None:
    assert [name for name in NAMES if "cannot name a" not in refused(ground.parent, "new", kind, "--", name)] == []


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", ["-x", "--", "-", "--shop", "-rf", "--force=x"])
def test_names_that_begin_with_a_dash(ground: Path, kind: str, name: str) -> None:
    refused(ground.parent, "new", kind, name)


@pytest.mark.parametrize("module", NAMES)
def test_modules_that_cannot_be_named(ground: Path, module: str) -> None:
    refused(ground.parent, "new", "service", "Orders", f"--module={module}")


@pytest.mark.parametrize("entity", ["a b", "../x", "class", "{{ x }}"])
def test_entities_that_cannot_be_named(ground: Path, entity: str) -> None:
    assert "cannot name an entity" in refused(ground.parent, "new", "module", "a", "--resource", f"--entity={entity}")


@pytest.mark.parametrize("name", ["match", "type", "case", "print", "list", "self", "json", "goose", "asyncio", "app"])
@pytest.mark.parametrize("kind", PARTS)
def test_soft_keywords_builtins_and_modules_of_others_are_fine(ground: Path, kind: str, name: str) -> None:
    """What is written stands in packages of its own and is imported by its full name."""
    code, out, err = call("new", kind, name)
    assert (code, err) == (0, "")
    for line in out.splitlines():
        if line.startswith("wrote "):
            ast.parse((ground / line.removeprefix("wrote ")).read_text())


words = st.sampled_from(["orders", "Send", "Email", "_", "2", "HTTP", "class", "..", "/", "é", "-", "{{", "s", " "])
names = st.one_of(
    st.text(max_size=50),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,45}", fullmatch=True),
    st.lists(words, min_size=1, max_size=5).map("".join),
)


@pytest.mark.parametrize("kind", EVERY)
@settings(max_examples=25, deadline=None)
@given(name=names)
def test_any_name_makes_all_or_nothing(kind: str, name: str) -> None:
    with _elsewhere() as folder:
        before = everything_below(folder)
        code, out, err = call("new", kind, "--", name)
        after = everything_below(folder)
        if code != 0:
            assert (code in (1, 2), out, err.count("\n"), after) == (True, "", 1, before)
            return
        wrote = [line.removeprefix("wrote ") for line in out.splitlines() if line.startswith("wrote ")]
        new = {path for path in after.keys() - before.keys() if after[path] is not None}
        assert new == {f"project/{path}" for path in wrote}
        assert {path for path in before if before[path] != after[path]} <= {"project/app/module.py", "project/main.py"}
        for path, text in after.items():
            if path.endswith(".py") and isinstance(text, bytes):
                ast.parse(text)


annotations = st.recursive(
    st.sampled_from(["str", "int", "float", "datetime", "UUID", "bytes", "Any", "strr", "None", ""]),
    lambda inner: st.one_of(
        inner.map("list[{}]".format), inner.map("dict[str, {}]".format), inner.map("{} | None".format)
    ),
    max_leaves=3,
)
defaults = st.one_of(
    st.just(""),
    st.text(max_size=8).map("={}".format),
    st.text(max_size=8).map("={!r}".format),
    st.just("=[]"),
    st.just("=None"),
)
fields = st.one_of(
    st.text(max_size=20),
    st.tuples(
        st.sampled_from(["to", "a", "self", "id", "date", "class", "Field", "x" * 30]), annotations, defaults
    ).map(lambda parts: f"{parts[0]}:{parts[1]}{parts[2]}"),
)


@settings(max_examples=50, deadline=None)
@given(typed=st.lists(fields, max_size=3))
def test_any_fields_make_all_or_nothing(typed: list[str]) -> None:
    with _elsewhere() as folder:
        before = everything_below(folder)
        code, out, err = call("new", "job", "--", "SendEmail", *typed)
        if code != 0:
            assert (code in (1, 2), out, err.count("\n")) == (True, "", 1), err
            assert everything_below(folder) == before
            return
        tree = ast.parse((folder / "project/app/jobs/send_email.py").read_text())
        (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        declared = [node.target.id for node in cls.body if isinstance(node, ast.AnnAssign)]
        assert declared == [field.partition(":")[0].strip() for field in typed]
        ast.parse((folder / "project/tests/jobs/test_send_email.py").read_text())


@contextlib.contextmanager
def _elsewhere() -> Iterator[Path]:
    """A project in a folder of its own, which is the working folder meanwhile; gives the folder around it."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(make_project(Path(name))):
        yield Path(name)


# --- what is there already


@pytest.mark.parametrize("kind", PARTS)
def test_what_is_there_stays_without_force(ground: Path, kind: str) -> None:
    assert call("new", kind, "Orders")[0] == 0
    assert "exists: nothing was written; --force overwrites it" in refused(ground.parent, "new", kind, "Orders")


@pytest.mark.parametrize("link", ["app/jobs", "tests", "tests/jobs"])
def test_folders_that_lead_out_of_the_project(ground: Path, link: str) -> None:
    (ground / link).parent.mkdir(exist_ok=True)
    (ground / link).symlink_to(ground.parent / "outside")
    for force in ((), ("--force",)):
        assert "would lie outside" in refused(ground.parent, "new", "job", "SendEmail", *force)


@pytest.mark.parametrize("link", ["app/jobs", "tests"])
@pytest.mark.parametrize("target", ["../../outside/new", "/nowhere", "jobs", "../tests"])
def test_links_that_lead_nowhere_or_in_circles(ground: Path, link: str, target: str) -> None:
    (ground / link).symlink_to(target)
    refused(ground.parent, "new", "job", "SendEmail", "--force")


@pytest.mark.parametrize("path", ["app/jobs/send_email.py", "tests/jobs/test_send_email.py"])
@pytest.mark.parametrize("target", ["../../../outside/mine.py", "nowhere", "../module.py"])
def test_files_that_are_links(ground: Path, path: str, target: str) -> None:
    (ground / path).parent.mkdir(parents=True)
    (ground / path).symlink_to(target)
    assert "is a link: nothing was written; remove it first" in refused(
        ground.parent, "new", "job", "SendEmail", "--force"
    )


def test_a_module_that_lies_outside(ground: Path) -> None:
    (ground / "app").rename(ground.parent / "elsewhere")
    (ground / "app").symlink_to(ground.parent / "elsewhere")
    assert "lies outside this folder" in refused(ground.parent, "new", "job", "SendEmail")


def test_a_module_that_is_a_link_inside_of_the_project_stays_one(ground: Path) -> None:
    (ground / "app/module.py").rename(ground / "app/root.py")
    (ground / "app/module.py").symlink_to("root.py")
    assert call("new", "service", "Orders")[0] == 0
    assert (ground / "app/module.py").is_symlink()
    assert "OrdersService" in (ground / "app/root.py").read_text()


@pytest.mark.parametrize("path", ["app/jobs", "tests", "tests/jobs", "app/jobs/send_email.py/x"])
def test_a_file_where_a_folder_should_be_and_the_other_way_round(ground: Path, path: str) -> None:
    (ground / path).parent.mkdir(parents=True, exist_ok=True)
    (ground / path).write_text("mine")
    refused(ground.parent, "new", "job", "SendEmail", "--force")


@pytest.mark.parametrize("path", ["shop", "shop/mine"])
def test_a_project_takes_nobodys_place(ground: Path, path: str) -> None:
    (ground / path).parent.mkdir(exist_ok=True)
    (ground / path).write_text("mine")
    refused(ground.parent, "new", "app", "shop")


def test_a_project_that_is_a_link(ground: Path) -> None:
    (ground / "shop").symlink_to(ground.parent / "outside")
    assert "exists and is no folder" in refused(ground.parent, "new", "app", "shop", "--force")


def test_a_folder_in_a_project_that_leads_out_of_it(ground: Path) -> None:
    (ground / "shop").mkdir()
    (ground / "shop/app").symlink_to(ground.parent / "outside")
    assert "would lie outside" in refused(ground.parent, "new", "app", "shop", "--force")


# --- what goes wrong on the way


def failing_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Have the opening of a file for writing fail, the n-th time."""
    opened = 0
    opening = Path.open

    def fail(self: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        nonlocal opened
        opened += mode[0] in "wx"
        if mode[0] in "wx" and opened == number:
            raise error
        return opening(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", fail)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_file_that_cannot_be_written(
    ground: Path, monkeypatch: pytest.MonkeyPatch, kind: str, number: int, code: int
) -> None:
    failing_at(monkeypatch, number, OSError(code, os.strerror(code)))
    err = refused(ground.parent, "new", kind, "orders")
    assert err.startswith("goose: nothing was written: ")
    assert err.endswith(f": {os.strerror(code)}\n")


@pytest.mark.parametrize("kind", EVERY)
def test_an_interrupt_on_the_way(ground: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    before = everything_below(ground.parent)
    failing_at(monkeypatch, 3, KeyboardInterrupt())
    code, out, _ = call("new", kind, "orders")
    assert (code, out) == (INTERRUPT, "")
    assert everything_below(ground.parent) == before


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_disk_that_is_full_half_way(ground: Path, force: tuple[str, ...]) -> None:
    """As the operating system says it: files may have no more bytes than the module's has."""
    if force:
        call("new", "service", "Orders")
        (ground / "app/services/orders.py").write_text("mine")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(MODULE) + 10, before[1]))
    try:
        err = refused(ground.parent, "new", "service", "Orders", *force)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert err.endswith("File too large\n")


@pytest.fixture
def small_disk(ground: Path) -> Iterator[Path]:
    """A project on a disk of 64 KiB."""
    place = ground.parent / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False).returncode:
        pytest.skip("disks cannot be mounted here")
    try:
        yield make_project(place)
    finally:
        os.chdir(ground)
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("kind", EVERY)
def test_a_small_disk_that_is_full(small_disk: Path, kind: str) -> None:
    os.chdir(small_disk)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 8192)  # room for two files
    assert refused(small_disk, "new", kind, "orders").endswith("No space left on device\n")


@pytest.fixture
def frozen(ground: Path) -> Iterator[Callable[[str], None]]:
    """Make a folder one that nobody, root included, can write into."""
    done: list[str] = []

    def freeze(path: str) -> None:
        if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
            pytest.skip("this file system has no immutable folders")
        done.append(path)

    yield freeze
    for path in done:
        subprocess.run(["chattr", "-i", path], check=True)


@pytest.mark.parametrize("path", ["app", "tests", "app/services", "app/module.py"])
def test_a_folder_or_file_that_is_read_only(ground: Path, frozen: Callable, path: str) -> None:
    (ground / "tests").mkdir()
    (ground / "app/services").mkdir()
    frozen(path)
    assert refused(ground.parent, "new", "service", "Orders").startswith("goose: nothing was written: ")


def test_a_module_that_its_owner_has_made_read_only(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root could write to it all the same, so the system is asked in its place."""
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode == os.W_OK and Path(path).name == "module.py"))
    assert refused(ground.parent, "new", "service", "Orders") == (
        "goose: nothing was written: app/module.py: Permission denied\n"
    )


def test_a_module_that_somebody_changes_meanwhile(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*args: object, **kwargs: object) -> None:
        (ground / "app/module.py").write_text(MODULE + "# theirs\n")
        scaffold.write(*args, **kwargs)

    monkeypatch.setattr(plan, "write", write)
    code, _, err = call("new", "service", "Orders")
    assert (code, err) == (1, "goose: app/module.py has changed meanwhile: nothing was written\n")
    assert (ground / "app/module.py").read_text() == MODULE + "# theirs\n"
    assert not (ground / "app/services").exists()
    assert not (ground / "tests").exists()


def test_a_file_that_somebody_writes_meanwhile(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ground / "app/services/orders.py"

    def check(*args: object, **kwargs: object) -> None:
        theirs.parent.mkdir()
        theirs.write_text("theirs")

    monkeypatch.setattr(scaffold, "check", check)
    code, _, err = call("new", "service", "Orders")
    assert (code, err) == (1, "goose: nothing was written: app/services/orders.py: File exists\n")
    assert everything_below(ground / "app/services") == {"orders.py": b"theirs"}
    assert (ground / "app/module.py").read_text() == MODULE


INTERRUPTED = """
import os, pathlib, signal, sys
from goose.commands import main

writes = 0
opening = pathlib.Path.open

def interrupted(self, mode="r", *args, **kwargs):
    global writes
    writes += mode[0] in "wx"
    if mode[0] in "wx" and writes == 3:
        os.kill(os.getpid(), signal.{signal})
    return opening(self, mode, *args, **kwargs)

pathlib.Path.open = interrupted
main(sys.argv[1:])
"""


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_on_the_way(ground: Path, kind: str, sent: signal.Signals) -> None:
    before = everything_below(ground)
    source = INTERRUPTED.format(signal=sent.name)
    done = subprocess.run([sys.executable, "-c", source, "new", kind, "orders"], capture_output=True, check=False)
    assert done.returncode in (INTERRUPT, -sent), done.stderr
    assert b"Traceback" not in done.stderr
    assert everything_below(ground) == before


def test_a_kill_leaves_no_half_of_a_project(ground: Path) -> None:
    source = INTERRUPTED.format(signal="SIGKILL")
    done = subprocess.run([sys.executable, "-c", source, "new", "app", "shop"], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (ground / "shop").exists()
    assert call("new", "app", "shop")[0] == 0


def test_a_kill_leaves_a_module_that_works(ground: Path) -> None:
    """What is new comes first, and the module's file changes at once: it names nothing that is not there."""
    source = INTERRUPTED.format(signal="SIGKILL")
    done = subprocess.run([sys.executable, "-c", source, "new", "job", "SendEmail"], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (ground / "app/module.py").read_text() == MODULE
    assert call("new", "job", "SendEmail", "--force")[0] == 0
