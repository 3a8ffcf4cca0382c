"""Names of what is scaffolded."""

from __future__ import annotations

import pytest

from goose.commands.errors import CommandError
from goose.commands.names import LONGEST, Name, identifier, part_name, queue_name, singular


@pytest.mark.parametrize(
    ("typed", "cls", "label"),
    [
        ("SendEmail", "SendEmail", "send_email"),
        ("send_email", "SendEmail", "send_email"),
        ("email", "Email", "email"),
        ("HTTPCall", "HTTPCall", "http_call"),
        ("CallHTTP", "CallHTTP", "call_http"),
        ("sendEmail", "SendEmail", "send_email"),
        ("Send_Email", "SendEmail", "send_email"),
        ("S3Upload", "S3Upload", "s3_upload"),
        ("s3_upload", "S3Upload", "s3_upload"),
        ("step_2_of_3", "Step2Of3", "step_2_of_3"),
        ("OAuth2Token", "OAuth2Token", "o_auth2_token"),
        ("x_y_position", "XYPosition", "x_y_position"),
        ("ORDERS", "ORDERS", "orders"),
        ("print_", "Print", "print"),
        ("match", "Match", "match"),
        ("list", "List", "list"),
    ],
)
def test_a_name_becomes_a_class_and_a_file(typed: str, cls: str, label: str) -> None:
    assert part_name(typed, "a job") == Name(cls, label)


@pytest.mark.parametrize(
    "typed", ["Orders", "orders", "OrdersController", "orders_controller", "ordersController", "Orders_Controller"]
)
def test_an_ending_may_be_typed_or_not(typed: str) -> None:
    assert part_name(typed, "a controller", "Controller") == Name("OrdersController", "orders")


def test_an_acronym_keeps_its_ending_apart() -> None:
    assert part_name("HTTP", "a controller", "Controller") == Name("HTTPController", "http")
    assert part_name("Exception", "a controller", "Controller") == Name("ExceptionController", "exception")


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
        ("ﬁle", "'ﬁle' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("\ud800", "'\\ud800' cannot name a job: use letters, digits and _, beginning with a letter"),
        ("class", "'class' cannot name a job: it is a keyword of Python"),
        ("Class", "'Class' cannot name a job: class is a keyword of Python, and so no file's name"),
        ("none", "'none' cannot name a job: none is a keyword of Python, and so no file's name"),
        ("Exception", "'Exception' cannot name a job: Python has its own Exception"),
        ("Aux", "'Aux' cannot name a job: on Windows it is a device, and so no file's name"),
        ("x" * 41, f"'{'x' * 40}'... cannot name a job: it has more than 40 characters"),
        ("x" * 100_000, f"'{'x' * 40}'... cannot name a job: it has more than 40 characters"),
        (
            "Ab" * 20,
            f"'{'Ab' * 20}' cannot name a job: its file, {'_'.join(['ab'] * 20)}, has more than 40 characters",
        ),
    ],
)
def test_refuses_what_no_class_or_file_can_bear(typed: str, sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        part_name(typed, "a job")
    assert str(refused.value) == sentence


@pytest.mark.parametrize("typed", ["Controller", "controller"])
def test_an_ending_alone_says_nothing(typed: str) -> None:
    with pytest.raises(CommandError) as refused:
        part_name(typed, "a controller", "Controller")
    assert str(refused.value) == f"{typed!r} cannot name a controller: say what it is about"


def test_an_identifier_stays_as_it_is() -> None:
    assert identifier("shop_2", "a project") == "shop_2"
    assert identifier("x" * LONGEST, "a project") == "x" * LONGEST


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("Orders", "Order"),
        ("OrderItems", "OrderItem"),
        ("Categories", "Category"),
        ("Movies", "Movie"),
        ("Ties", "Tie"),
        ("Keys", "Key"),
        ("Boxes", "Box"),
        ("Addresses", "Address"),
        ("Branches", "Branch"),
        ("Houses", "House"),
        ("Status", "Status"),
        ("Analysis", "Analysis"),
        ("News", "News"),
        ("Stock", "Stock"),
        ("S", "S"),
    ],
)
def test_a_singular_is_what_the_letters_tell(plural: str, one: str) -> None:
    assert singular(plural) == one


@pytest.mark.parametrize("name", ["", " a", "a/b", "../x", "q; DROP TABLE", "a\n", 'a"'])
def test_refuses_what_no_queue_can_bear(name: str) -> None:
    with pytest.raises(CommandError) as refused:
        queue_name(name)
    assert str(refused.value) == f"{name!r} cannot name a queue: use 1 to 64 of the letters A-Z a-z, digits and _ . -"


def test_a_queue_may_have_64_letters() -> None:
    assert queue_name("x" * 64) == "x" * 64
    with pytest.raises(CommandError, match="cannot name a queue"):
        queue_name("x" * 65)
