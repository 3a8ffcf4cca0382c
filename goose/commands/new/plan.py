"""What a ``goose new`` command is about to write, and the carrying out of it."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goose.commands.errors import CommandError
from goose.commands.new.home import Listed
from goose.commands.output import Branch, say, show
from goose.commands.scaffold import Edit, NewFile, check, read, write


@dataclass(frozen=True, slots=True)
class Plan:
    """New files below a folder, and how an existing source comes to use what is in them."""

    root: Path
    files: Sequence[NewFile]
    listed: Listed | None = None

    @classmethod
    def of_part(cls, files: Iterable[NewFile], listed: Listed) -> Plan:
        """A part of the project in the working directory; its packages may be there already, and stay as they are."""
        wanted = [file for file in files if not (file.path.name == "__init__.py" and file.path.exists())]
        return cls(Path(), wanted, listed)

    def carry_out(self, *, dry_run: bool, force: bool) -> None:
        """Write everything or nothing, and say what was written; or only show what would be.

        Raises:
            CommandError: Something stands in the way; nothing has been written.
        """
        for file in self.files:
            if file.path.suffix == ".py":
                _refuse_broken(file)
        if dry_run:
            self._show(force=force)
            return
        write(self.root, self.files, self._edits(), force=force)
        for file in self.files:
            say(f"wrote {self.root / file.path}")
        if self.listed is not None:
            say(self.listed.remark)

    def _show(self, *, force: bool) -> None:
        """A tree of what would be written, and a diff of what would change."""
        check(self.root, self.files, force=force)
        paths = [self.root / file.path for file in self.files]
        show(Branch("would write", tuple(_branches([path.parts for path in paths]))))
        changes = [
            Edit(path, read(path), file.text.encode())
            for path, file in zip(paths, self.files, strict=True)
            if path.exists()
        ]
        for edit in [*changes, *self._edits()]:
            say("\n".join(["", *edit.diff()]))
        if self.listed is not None:
            say(f"\nwould have {self.listed.remark}" if self.listed.edit else f"\n{self.listed.remark}")

    def _edits(self) -> list[Edit]:
        edit = self.listed.edit if self.listed is not None else None
        return [] if edit is None or edit.before == edit.after else [edit]


def _branches(paths: Sequence[tuple[str, ...]]) -> Iterator[Branch]:
    """Files below their folders, the folders first."""
    heads = dict.fromkeys(path[0] for path in paths)
    for head in sorted(heads, key=lambda head: ((head,) in paths, head)):
        below = [path[1:] for path in paths if path[0] == head and len(path) > 1]
        yield Branch(f"{head}/" if below else head, tuple(_branches(below)))


def _refuse_broken(file: NewFile) -> None:
    """See that what was rendered is Python, and that no class bears a name which its own file imports.

    Raises:
        CommandError: It is not, or one does.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what only looks odd is its author's business
            tree = ast.parse(file.text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CommandError(f"{file.path} would be no Python in line {line}: nothing was written") from error
    twice = [name for name, count in Counter(_names(tree)).items() if count > 1]
    if twice:
        raise CommandError(
            f"the name {twice[0]} is taken: {file.path} needs another {twice[0]} beside it; choose another name"
        )


def _names(tree: ast.Module) -> Iterator[str]:
    """What a source imports and defines."""
    for node in tree.body:
        match node:
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
