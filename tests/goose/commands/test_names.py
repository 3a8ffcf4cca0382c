"""Names of what is scaffolded."""

from __future__ import annotations

import pytest

from goose.commands.errors import CommandError
from goose.commands.names import class_name, identifier, queue_name


@pytest.mark.parametrize(
    ("typed", "cls"),
    [
        ("SendEmail", "SendEmail"),
        ("send_email", "SendEmail"),
        ("email", "Email"),
        ("HTTPCall", "HTTPCall"),
        ("sendEmail", "SendEmail"),
    ],
)
def test_a_name_becomes_a_class(typed: str, cls: str) -> None:
    assert class_name(typed, "a job", ()) == cls


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("1job", "'1job' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("", "'' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("../../etc/x", "'../../etc/x' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("Send-Email", "'Send-Email' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("Send\n", "'Send\\n' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("_", "'_' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("Grüße", "'Grüße' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("class", "'class' cannot name a job: it is a keyword of Python"),
        ("Class", "'Class' cannot name a job: class is a keyword of Python, and so no file's name"),
        ("Job", "'Job' cannot name a job: the name Job is taken"),
        ("job", "'job' cannot name a job: the name Job is taken"),
        ("Exception", "'Exception' cannot name a job: the name Exception is taken"),
    ],
)
def test_refuses_what_no_class_or_file_can_bear(typed: str, sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        class_name(typed, "a job", ("Job",))
    assert str(refused.value) == sentence


def test_an_identifier_stays_as_it_is() -> None:
    assert identifier("shop_2", "a project") == "shop_2"


@pytest.mark.parametrize("name", ["", " a", "a/b", "x" * 65, "../x", "q; DROP TABLE", "a\n", 'a"'])
def test_refuses_what_no_queue_can_bear(name: str) -> None:
    with pytest.raises(CommandError) as refused:
        queue_name(name)
    assert str(refused.value) == f"{name!r} cannot name a queue: use 1 to 64 of the letters A-Z a-z, digits and _ . -"
