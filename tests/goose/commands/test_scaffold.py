"""Writing all files or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from folders import everything_below
from goose.commands import scaffold
from goose.commands.errors import CommandError
from goose.commands.scaffold import Edit, NewFile, write


def files(*names: str) -> list[NewFile]:
    return [NewFile(Path(name), f"text of {name}\n") for name in names]


def test_makes_files_and_their_folders(tmp_path: Path) -> None:
    write(tmp_path / "shop", files("a.py", "app/jobs/b.py"))
    assert everything_below(tmp_path) == {
        "shop": None,
        "shop/a.py": b"text of a.py\n",
        "shop/app": None,
        "shop/app/jobs": None,
        "shop/app/jobs/b.py": b"text of app/jobs/b.py\n",
    }


def test_edits_what_is_there_and_keeps_its_mode(tmp_path: Path) -> None:
    script = tmp_path / "module.py"
    script.write_bytes(b"before")
    script.chmod(0o750)
    write(tmp_path, files("new.py"), [Edit(Path("module.py"), b"before", b"after")])
    assert (script.read_bytes(), script.stat().st_mode & 0o777) == (b"after", 0o750)


def test_overwrites_with_force_only(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("mine")
    before = everything_below(tmp_path)
    with pytest.raises(CommandError) as refused:
        write(tmp_path, files("a.py", "b.py"))
    assert str(refused.value) == "b.py exists: nothing was written; --force overwrites it"
    assert everything_below(tmp_path) == before
    write(tmp_path, files("a.py", "b.py"), force=True)
    assert (tmp_path / "b.py").read_text() == "text of b.py\n"


def test_never_writes_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("mine")
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.py").symlink_to(outside)
    with pytest.raises(CommandError) as refused:
        write(project, files("a.py"), force=True)
    assert str(refused.value) == "a.py is a link: nothing was written; remove it first"
    assert outside.read_text() == "mine"


def test_never_writes_outside_the_project(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    (project / "app").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError) as refused:
        write(project, files("app/jobs/a.py"), force=True)
    assert str(refused.value) == f"app/jobs/a.py would lie outside {project}: nothing was written"
    assert everything_below(tmp_path / "elsewhere") == {}


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").mkdir()
    with pytest.raises(CommandError) as refused:
        write(tmp_path, files("a.py"), force=True)
    assert str(refused.value) == "a.py is a folder: nothing was written"


def test_a_failure_in_the_middle_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.py").write_text("mine")
    (tmp_path / "module.py").write_bytes(b"before")
    before = everything_below(tmp_path)
    put = scaffold._Writing.put

    def fail_at_the_third(self: object, path: Path, *args: object, **kwargs: object) -> None:
        put(self, path, *args, **kwargs)
        if path.name == "third.py":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaffold._Writing, "put", fail_at_the_third)
    with pytest.raises(CommandError) as refused:
        write(tmp_path, files("app/first.py", "old.py", "app/third.py"), force=True)
    assert str(refused.value) == f"nothing was written: {tmp_path / 'app/third.py'}: No space left on device"
    assert everything_below(tmp_path) == before


def test_an_edit_of_what_has_changed_meanwhile_undoes_the_rest(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_bytes(b"somebody else's")
    before = everything_below(tmp_path)
    with pytest.raises(CommandError) as refused:
        write(tmp_path, files("app/jobs/a.py"), [Edit(Path("module.py"), b"before", b"after")])
    assert str(refused.value) == "module.py has changed meanwhile: nothing was written"
    assert everything_below(tmp_path) == before
