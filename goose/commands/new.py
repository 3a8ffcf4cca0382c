"""``goose new``: write a project, or a part of one, from templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from goose.commands.errors import CannotRegister, CommandError
from goose.commands.names import class_name, identifier, queue_name
from goose.commands.scaffold import Edit, NewFile, check, render, write
from goose.declaration import snake_case

JOB_IMPORTS: Final = ("Job", "JobContext", "Client")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]

new = typer.Typer(name="new", help="Write a project, or a part of one.", rich_markup_mode=None, no_args_is_help=True)


@new.command("app")
def new_app(
    name: Annotated[str, typer.Argument(help="The project's name, and that of its folder.")],
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a project that runs and passes its own tests."""
    identifier(name, "a project")
    folder = Path(name)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CommandError(f"{name} exists and is no folder: nothing was written")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise CommandError(f"the folder {name} is not empty: nothing was written; --force writes into it")
    _carry_out(Plan(folder, render("app", name=name)), dry_run=dry_run, force=force)
    if not dry_run:
        typer.echo(f"\nNext: cd {name} && goose run")


@new.command("job")
def new_job(
    name: Annotated[str, typer.Argument(help="The job's class: SendEmail.")],
    queue: Annotated[str | None, typer.Option(metavar="Q", help="The queue it goes to; else the default one.")] = None,
    module: Annotated[
        str, typer.Option(metavar="M", help="The module that declares it: app.orders.module, or with :OrdersModule.")
    ] = "app.module",
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Write a job and its test, and add it to a module's declarations."""
    cls = class_name(name, "a job", JOB_IMPORTS)
    home = Home.of(module)
    place = f"{home.package}.jobs.{snake_case(cls)}"
    files = _job_files(cls, None if queue is None else queue_name(queue), home, place)
    plan = Plan(Path(), files)
    try:
        plan.edit, owner = home.registered(cls, place)
        done = f"added {cls} to {owner}.declarations in {home.path}"
    except CannotRegister as reason:
        done = (
            f"{home.path} was left as it is ({reason}). Add to it:\n"
            f"    from {place} import {cls}\nand {cls} to the module's declarations."
        )
    _carry_out(plan, dry_run=dry_run, force=force)
    typer.echo(f"would have {done}" if dry_run and plan.edit else done)


@dataclass(slots=True)
class Plan:
    """What a command is about to write."""

    root: Path
    files: list[NewFile]
    edit: Edit | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """The module that a new part belongs to: its package, its file, and its class where it was named."""

    package: str
    path: Path
    cls: str | None

    @classmethod
    def of(cls, module: str) -> Home:
        """Read ``app.orders.module`` or ``app.orders.module:OrdersModule``.

        Raises:
            CommandError: It names no file below the working directory.
        """
        dotted, _, wanted = module.partition(":")
        parts = [identifier(part, "a module") for part in dotted.split(".")]
        path = Path(*parts).with_suffix(".py")
        if not path.is_file():
            raise CommandError(
                f"there is no {path} here: go to the project's folder, or name the module with --module package.module"
            )
        if not path.resolve().is_relative_to(Path.cwd().resolve()):
            raise CommandError(f"{path} lies outside this folder: nothing was written")
        if len(parts) < 2:
            raise CommandError(f"{path} is in no package: name a module in one with --module package.module")
        return cls(".".join(parts[:-1]), path, identifier(wanted, "a module") if wanted else None)

    @property
    def folder(self) -> Path:
        """The package's folder."""
        return self.path.parent

    def registered(self, name: str, place: str) -> tuple[Edit, str]:
        """The edit that declares a class in this module, and the name of the module's class.

        Raises:
            CannotRegister: It has to be done by hand.
        """
        from goose.commands.registration import register  # LibCST takes longer to import than all else here

        before = self.path.read_bytes()
        after, owner = register(before, self.cls, name, place)
        return Edit(self.path, before, after), owner


def _job_files(cls: str, queue: str | None, home: Home, place: str) -> list[NewFile]:
    made = {
        file.path.name: file.text for file in render("job", name=cls, queue=queue, module=place, label=snake_case(cls))
    }
    below = Path(*home.folder.parts[1:])
    files = [
        NewFile(home.folder / "jobs" / f"{snake_case(cls)}.py", made["job.py"]),
        NewFile(Path("tests") / below / "jobs" / f"test_{snake_case(cls)}.py", made["test_job.py"]),
    ]
    package = home.folder / "jobs" / "__init__.py"
    return files if package.exists() else [NewFile(package, made["__init__.py"]), *files]


def _carry_out(plan: Plan, *, dry_run: bool, force: bool) -> None:
    edits = [plan.edit] if plan.edit is not None and plan.edit.before != plan.edit.after else []
    if dry_run:
        check(plan.root, plan.files, force=force)
        for file in plan.files:
            typer.echo(f"would write {plan.root / file.path}")
        for edit in edits:
            typer.echo("\n".join(edit.diff()))
        return
    write(plan.root, plan.files, edits, force=force)
    for file in plan.files:
        typer.echo(f"wrote {plan.root / file.path}")
