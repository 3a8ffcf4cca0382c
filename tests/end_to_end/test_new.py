"""``goose new``: what it writes passes its own tests and checks, and nothing is written by halves."""

from __future__ import annotations

import shlex
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
    assert shown.stdout.startswith(
        "would write\n  app/\n    jobs/\n      send_email.py\n  tests/\n    jobs/\n      test_send_email.py\n"
    )
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


GROWN = """
goose new module orders
goose new module order_items --resource size:int "tags:list[str]=[]"
goose new controller Returns --module app.orders.module
goose new service Stock --module app.orders.module
goose new service HTTPStock
goose new middleware Timing
goose new middleware Tracing --module app.orders.module
goose new middleware MiddlewareOfTheLongestNamePossible
goose new job SendEmail to:str subject:str "cc:list[str]=[]" "at:datetime | None=None" rate:float=1 --queue emails --retries 5
goose new job ShipOrder id:UUID on:date within:timedelta price:Decimal "days:dict[str, list[date]]" --module app.orders.module
goose new job a_job_that_has_the_longest_name_possible "text:str='so'" --queue {long} --retries 1000 --timeout 316224000
"""
"""What is added to one application."""


def test_what_an_application_is_grown_by_passes_its_tests_and_checks(goose: Goose, tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    shop = tmp_path / "shop"
    before = goose.tests(shop)
    for line in GROWN.format(long="q" * 64).strip().splitlines():
        goose(shop, *shlex.split(line)[1:])
    assert goose.tests(shop) >= before + len(GROWN.strip().splitlines())
    test_a_new_application_passes_its_own_checks(goose, shop)
    tree = goose(shop, "graph").stdout
    assert all(name in tree for name in ("OrdersModule", "ReturnsController", "HTTPStockService", "ShipOrder (job)"))


@pytest.mark.parametrize("name", ["asyncio", "goose", "app"])
def test_an_application_may_bear_the_name_of_what_it_does_not_depend_on(
    goose: Goose, tmp_path: Path, name: str
) -> None:
    """Its folder is no package, and the packages in it have names of their own."""
    goose(tmp_path, "new", "app", name)
    assert goose.tests(tmp_path / name) == 6
    assert "GreetingsController" in goose(tmp_path / name, "routes").stdout


def test_a_projects_own_templates_go_before_ours(goose: Goose, tmp_path: Path) -> None:
    goose(tmp_path, "new", "app", "shop")
    shop = tmp_path / "shop"
    settings = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(settings.replace("[tool.goose]", '[tool.goose]\ntemplates = "ours"'))
    own = shop / "ours/service/{{ folder }}/services"
    own.mkdir(parents=True)
    (own / "{{ label }}.py.jinja").write_text("class {{ name }}:\n    ours = True\n")
    goose(shop, "new", "service", "Orders")
    assert (shop / "app/services/orders.py").read_text() == "class OrdersService:\n    ours = True\n"
    assert goose.tests(shop, "tests/services/test_orders.py") == 1


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
