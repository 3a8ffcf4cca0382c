"""``goose new``: what it writes passes its own tests and checks, and nothing is written by halves."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.installed import Goose


def test_a_new_application_passes_its_own_tests(goose: Goose, shop: Path) -> None:
    assert goose.tests(shop) == 6


def test_a_new_application_passes_its_own_checks(goose: Goose, shop: Path) -> None:
    goose.module(shop, "-m", "ruff", "check")
    goose.module(shop, "-m", "ruff", "format", "--check")
    goose.module(shop, "-m", "mypy")


def test_a_new_job_is_registered_and_its_test_passes(goose: Goose, shop: Path) -> None:
    shown = goose(shop, "new", "job", "SendEmail", "--queue", "emails", "--dry-run")
    assert shown.stdout.startswith("would write app/jobs/send_email.py\nwould write tests/jobs/test_send_email.py\n")
    assert "\n+        SendEmail,\n" in shown.stdout
    assert not (shop / "app/jobs/send_email.py").exists()

    done = goose(shop, "new", "job", "SendEmail", "--queue", "emails")
    assert done.stdout == (
        "wrote app/jobs/send_email.py\n"
        "wrote tests/jobs/test_send_email.py\n"
        "added SendEmail to AppModule.declarations in app/module.py\n"
    )
    assert "SendEmail (job)" in goose(shop, "graph").stdout
    assert goose.tests(shop, "tests/jobs/test_send_email.py") == 1
    test_a_new_application_passes_its_own_checks(goose, shop)

    again = goose(shop, "new", "job", "SendEmail", code=1)
    assert again.stderr == "goose: app/jobs/send_email.py exists: nothing was written; --force overwrites it\n"
    goose(shop, "new", "job", "SendEmail", "--force")
    assert (shop / "app/module.py").read_text().count("SendEmail") == 2


def test_a_module_that_cannot_be_edited_is_left_alone(goose: Goose, shop: Path, tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    module = tmp_path / "shop/app/module.py"
    text = module.read_text().replace("declarations = (", "declarations = tuple() + (")
    module.write_text(text)
    done = goose(tmp_path / "shop", "new", "job", "SendEmail")
    assert done.stdout.endswith(
        "app/module.py was left as it is (AppModule.declarations is not a plain tuple or list). Add to it:\n"
        "    from app.jobs.send_email import SendEmail\n"
        "and SendEmail to the module's declarations.\n"
    )
    assert module.read_text() == text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("new", "app", "../shop"),
            "'../shop' cannot name a project: use letters, digits and _, beginning with a letter",
        ),
        (("new", "app", "class"), "'class' cannot name a project: it is a keyword of Python"),
        (
            ("new", "job", "../../etc/x"),
            "'../../etc/x' cannot name a job: use letters, digits and _, beginning with a letter",
        ),
        (
            ("new", "job", "A", "--module", "../module"),
            "'' cannot name a module: use letters, digits and _, beginning with a letter",
        ),
        (
            ("new", "job", "SendEmail"),
            "there is no app/module.py here: go to the project's folder, or name the module with --module package.module",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    goose: Goose, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert goose(tmp_path, *words, code=1).stderr == f"goose: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_written_into(goose: Goose, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/mine.txt").write_text("mine")
    refused = goose(tmp_path, "new", "app", "shop", code=1)
    assert refused.stderr == "goose: the folder shop is not empty: nothing was written; --force writes into it\n"
    goose(tmp_path, "new", "app", "shop", "--force")
    assert (tmp_path / "shop/mine.txt").read_text() == "mine"
