"""What a ``goose new`` command is about to write, and the carrying out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goose.commands.new.home import Listed
from goose.commands.output import say
from goose.commands.scaffold import Edit, NewFile, check, write


@dataclass(frozen=True, slots=True)
class Plan:
    """New files below a folder, and how an existing module comes to list what is in them."""

    root: Path
    files: list[NewFile]
    listed: Listed | None = None

    @classmethod
    def of_part(cls, files: list[NewFile], listed: Listed) -> Plan:
        """A part of the project in the working directory; its packages may be there already, and stay as they are."""
        return cls(
            Path(), [file for file in files if not (file.path.name == "__init__.py" and file.path.exists())], listed
        )

    @property
    def edits(self) -> list[Edit]:
        """What changes in existing files."""
        edit = self.listed.edit if self.listed is not None else None
        return [] if edit is None or edit.before == edit.after else [edit]

    def carry_out(self, *, dry_run: bool, force: bool) -> None:
        """Write everything or nothing, and say what was written; or only say what would be."""
        if dry_run:
            self._show(force=force)
            return
        write(self.root, self.files, self.edits, force=force)
        for file in self.files:
            say(f"wrote {self.root / file.path}")
        if self.listed is not None:
            say(self.listed.remark)

    def _show(self, *, force: bool) -> None:
        check(self.root, self.files, force=force)
        for file in self.files:
            say(f"would write {self.root / file.path}")
        for edit in self.edits:
            say("\n".join(edit.diff()))
        if self.listed is not None:
            say(f"would have {self.listed.remark}" if self.listed.edit else self.listed.remark)
