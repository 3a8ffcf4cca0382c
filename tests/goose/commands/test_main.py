"""The root of the command line: options of its own, the application, its modules' commands, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goose.commands.main import said_to_goose

APP = """
from goose import Module, worker

class MailModule(Module):
    commands = "mail_commands:mail"

class AppModule(Module):
    imports = (MailModule,)

app = worker(AppModule)
"""

COMMANDS = """
import typer
from goose.commands import CommandError, application

mail = typer.Typer(name="mail", help="Letters.")

@mail.callback()
def group() -> None: ...

@mail.command()
def send(ctx: typer.Context) -> None:
    typer.echo(f"sent from {application(ctx).module.__name__}")

@mail.command()
def lose() -> None:
    raise CommandError("the letter is\\n lost: look under the table")

@mail.command()
def crash() -> None:
    raise ValueError("seven is not a stamp")

@mail.command()
def leave() -> None:
    raise typer.Exit(3)
"""

HERE = "Go to the project's folder, or name the application: goose --app module:attribute ..."


@pytest.fixture
def app(project: Path) -> Path:
    (project / "main.py").write_text(APP)
    (project / "mail_commands.py").write_text(COMMANDS)
    return project


def test_options_of_goose_itself_stand_anywhere_before_a_double_dash() -> None:
    invocation, rest = said_to_goose(["--app", "a:b", "queue", "work", "--debug", "--queues", "x", "--", "--app", "c"])
    assert (invocation.app, invocation.debug) == ("a:b", True)
    assert rest == ["queue", "work", "--queues", "x", "--", "--app", "c"]
    assert said_to_goose(["run", "--app=shop.main:app"])[0].app == "shop.main:app"


@pytest.mark.parametrize("words", [["run", "--app"], ["--app", "--debug", "run"], ["--app="]])
def test_app_without_a_name_is_wrong_usage(goose: Callable, words: list[str]) -> None:
    said = goose(*words)
    assert (said.code, said.out) == (2, "")
    assert (
        said.err
        == "goose: Invalid value: --app needs the application's name, as in --app main:app. Try 'goose --help'.\n"
    )


def test_a_modules_commands_are_a_group(app: Path, goose: Callable) -> None:
    assert goose("mail", "send").out == "sent from AppModule\n"
    assert goose("mail", "leave").code == 3


def test_help_shows_the_applications_own_commands(app: Path, goose: Callable) -> None:
    assert "mail    Letters." in goose("--help").out
    assert "mail    Letters." in goose().out


def test_help_needs_no_application(project: Path, goose: Callable) -> None:
    said = goose("--help")
    assert said.code == 0
    assert "routes" in said.out


def test_help_says_why_an_applications_commands_are_missing(project: Path, goose: Callable) -> None:
    (project / "main.py").write_text("import goose\n1 / 0\n")
    said = goose("--help")
    assert said.code == 0
    assert " ".join(said.out.split()).endswith(
        "The application's own commands are not shown: "
        "main:app cannot be loaded: ZeroDivisionError: division by zero (main.py:2)"
    )


def test_an_error_is_one_line(app: Path, goose: Callable) -> None:
    said = goose("mail", "lose")
    assert (said.code, said.out, said.err) == (1, "", "goose: the letter is lost: look under the table\n")
    said = goose("mail", "crash")
    assert (said.code, said.err) == (1, "goose: ValueError: seven is not a stamp (--debug shows where)\n")


def test_debug_shows_where_it_happened(app: Path, goose: Callable) -> None:
    said = goose("mail", "crash", "--debug")
    assert said.code == 1
    assert "mail_commands.py" in said.err
    assert said.err.endswith("ValueError: seven is not a stamp\n")


def test_a_misspelt_command_names_the_near_one(app: Path, goose: Callable) -> None:
    said = goose("rutes")
    assert (said.code, said.err) == (2, "goose: No such command 'rutes'. Did you mean 'routes'? Try 'goose --help'.\n")
    said = goose("mail", "sned")
    assert (said.code, said.err) == (
        2,
        "goose: No such command 'sned'. Did you mean 'send'? Try 'goose mail --help'.\n",
    )
    said = goose("mial")
    assert (said.code, said.err) == (2, "goose: No such command 'mial'. Did you mean 'mail'? Try 'goose --help'.\n")


def test_a_misspelt_command_is_told_outside_an_application_too(project: Path, goose: Callable) -> None:
    assert goose("rutes").err == "goose: No such command 'rutes'. Did you mean 'routes'? Try 'goose --help'.\n"


def test_a_wrong_option_is_wrong_usage(app: Path, goose: Callable) -> None:
    said = goose("graph", "--bot")
    assert (said.code, said.out) == (2, "")
    assert said.err == "goose: No such option: --bot (Possible options: --dot) Try 'goose graph --help'.\n"


@pytest.mark.parametrize("word", ["queue", "db"])
def test_a_modules_command_outside_an_application_says_so(project: Path, goose: Callable, word: str) -> None:
    said = goose(word, "stats")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"goose: {word!r} is not a command of goose itself, and no application found: "
        f"there is no module 'main' in {project}. {HERE}\n"
    )


@pytest.mark.parametrize(
    ("main", "sentence"),
    [
        ("x = 1\n", f"no application found: main has no attribute 'app'. {HERE}"),
        ("apq = 1\n", f"no application found: main has no attribute 'app' (did you mean 'apq'?). {HERE}"),
        ("app = 1\n", "main:app is a int, not an application. Name what api() or worker() returned."),
        (
            "import nothing_of_this_name\n",
            "main:app cannot be loaded: No module named 'nothing_of_this_name' (main.py:1)",
        ),
        ("def f(:\n", "main:app cannot be loaded: SyntaxError: invalid syntax (main.py, line 1) (main.py:1)"),
        ("raise KeyError('x')\n", "main:app cannot be loaded: KeyError: 'x' (main.py:1)"),
    ],
)
def test_an_application_that_cannot_be_loaded(project: Path, goose: Callable, main: str, sentence: str) -> None:
    (project / "main.py").write_text(main)
    said = goose("graph")
    assert (said.code, said.err) == (1, f"goose: {sentence}\n")


def test_the_application_is_named_in_pyproject_or_by_app(app: Path, goose: Callable) -> None:
    (app / "main.py").rename(app / "shop.py")
    (app / "pyproject.toml").write_text('[tool.goose]\napp = "shop:app"\n')
    assert goose("mail", "send").code == 0
    (app / "pyproject.toml").write_text('[tool.goose]\napp = "wrong:app"\n')
    assert goose("mail", "send", "--app", "shop:app").code == 0
    assert goose("--app=shop", "mail", "send").code == 0
    assert goose("mail", "send").code == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[tool.goose]\napp = "a b:c"\n',
            "'a b:c' does not name an application: write module:attribute, as in main:app",
        ),
        ("[tool.goose]\napp = 1\n", 'pyproject.toml: [tool.goose] app is 1; write it as "module:attribute"'),
    ],
)
def test_a_wrong_setting_is_named(project: Path, goose: Callable, text: str, sentence: str) -> None:
    (project / "pyproject.toml").write_text(text)
    assert goose("graph").err == f"goose: {sentence}\n"


@pytest.mark.parametrize(
    ("commands", "sentence"),
    [
        ("nowhere:mail", "the commands nowhere:mail cannot be loaded: No module named 'nowhere'"),
        ("mail_commands:send", "mail_commands:send is a function, not a typer.Typer"),
        (
            "mail_commands:nothing",
            "the commands mail_commands:nothing cannot be loaded: module 'mail_commands' has no attribute 'nothing'",
        ),
    ],
)
def test_commands_that_a_module_names_wrongly(app: Path, goose: Callable, commands: str, sentence: str) -> None:
    (app / "main.py").write_text(APP.replace("mail_commands:mail", commands))
    assert goose("mail", "send").err == f"goose: {sentence}\n"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("typer.Typer()", 'mail_commands:mail has no name: make it with typer.Typer(name="...")'),
        ('typer.Typer(name="run")', "a module adds commands named 'run', which is a command of goose: rename them"),
    ],
)
def test_groups_need_a_name_of_their_own(app: Path, goose: Callable, made: str, sentence: str) -> None:
    (app / "mail_commands.py").write_text(COMMANDS.replace('typer.Typer(name="mail", help="Letters.")', made))
    assert goose("mail", "send").err == f"goose: {sentence}\n"


def test_a_group_without_a_command_shows_its_help(goose: Callable) -> None:
    said = goose("new")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: goose new [OPTIONS] COMMAND [ARGS]...\n")


def test_help_in_a_pipe_has_no_panels(app: Path, goose: Callable) -> None:
    """Also that of a group which a module made without a thought of it."""
    for words in ([], ["run"], ["mail"], ["mail", "send"]):
        said = goose(*words, "--help")
        assert said.code == 0
        assert said.out.isascii(), said.out


def test_a_shell_completes_core_and_module_commands(
    app: Path, goose: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_GOOSE_COMPLETE", "complete_bash")
    for words, wanted in (("goose ma", "mail"), ("goose mail se", "send"), ("goose --app main:app gra", "graph")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        said = goose()
        assert (said.code, said.out.split(), said.err) == (0, [wanted], "")


def test_a_shell_completes_where_the_application_is_broken(
    project: Path, goose: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "main.py").write_text("1 / 0")
    monkeypatch.setenv("_GOOSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "goose ro")
    monkeypatch.setenv("COMP_CWORD", "1")
    said = goose()
    assert (said.code, said.out, said.err) == (0, "routes\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(goose: Callable, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "_GOOSE_COMPLETE=complete_" in goose("--show-completion", shell).out.replace(f"{shell}_complete", "")


def test_version(goose: Callable) -> None:
    assert goose("--version").out.startswith("goose 0.")
