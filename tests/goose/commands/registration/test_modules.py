"""Adding a class to a module's declarations in its source."""

from __future__ import annotations

import pytest

from goose.commands.errors import CannotRegister
from goose.commands.registration import register

PLACE = "app.jobs.send_email"
LINE = "from app.jobs.send_email import SendEmail\n"


def registered(source: str, wanted: str | None = None) -> str:
    return register(source.encode(), wanted, "declarations", "SendEmail", PLACE, "app")[0].decode()


HEAD = "from goose import Module\n\nfrom app.a import A, B\n"
ENDED = HEAD + LINE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("(A,)", "(A, SendEmail)"),
        ("(A, B)", "(A, B, SendEmail)"),
        ("(A, B,)", "(A, B, SendEmail,)"),
        ("A, B", "A, B, SendEmail"),
        ("()", "(SendEmail,)"),
        ("[]", "[SendEmail]"),
        ("[A]", "[A, SendEmail]"),
        ("(\n        A,\n        B,\n    )", "(\n        A,\n        B,\n        SendEmail,\n    )"),
        ("(\n        A,\n    )", "(\n        A,\n        SendEmail,\n    )"),
        ("(\n        A,\n        B\n    )", "(\n        A,\n        B,\n        SendEmail\n    )"),
        (
            "[\n        A,  # first\n        B,  # last\n    ]",
            "[\n        A,  # first\n        B,  # last\n        SendEmail,\n    ]",
        ),
        ("(\n        A,\n        B  # last\n    )", "(\n        A,\n        B,  # last\n        SendEmail\n    )"),
        ("(\n        A,\n        # no more\n    )", "(\n        A,\n        # no more\n        SendEmail,\n    )"),
        (
            "(\n        *COMMON,\n        declare(A, B),\n    )",
            "(\n        *COMMON,\n        declare(A, B),\n        SendEmail,\n    )",
        ),
    ],
)
def test_adds_to_the_listing_in_its_own_layout(before: str, after: str) -> None:
    body = "\n\nclass AppModule(Module):\n    declarations = {}  # ours\n    exports = (A,)\n"
    assert registered(HEAD + body.format(before)) == ENDED + body.format(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    pass\n", "    declarations = (SendEmail,)\n"),
        ('    """Ours."""\n', '    """Ours."""\n\n    declarations = (SendEmail,)\n'),
        (
            "    imports = (A,)\n    exports = ()\n",
            "    imports = (A,)\n    declarations = (SendEmail,)\n    exports = ()\n",
        ),
        ("    exports = ()\n", "    declarations = (SendEmail,)\n    exports = ()\n"),
    ],
)
def test_begins_a_listing_where_there_is_none(before: str, after: str) -> None:
    assert (
        registered(f"{HEAD}\n\nclass AppModule(Module):\n{before}") == f"{ENDED}\n\nclass AppModule(Module):\n{after}"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from app.jobs.a import A\nfrom app.z import Z\n", f"from app.jobs.a import A\n{LINE}from app.z import Z\n"),
        ("import goose\n\nfrom app.z import Z\n", f"import goose\n\n{LINE}from app.z import Z\n"),
        ("import goose\n\n# why\nfrom app.z import Z\n", f"import goose\n\n# why\nfrom app.z import Z\n{LINE}"),
        ('"""Doc."""\n\nimport goose\n', f'"""Doc."""\n\nimport goose\n\n{LINE}'),
        ('"""Doc."""\n', f'"""Doc."""\n\n{LINE}'),
        (LINE, LINE),
        ("import goose\n" + LINE, "import goose\n" + LINE),
    ],
)
def test_imports_where_it_sorts(before: str, after: str) -> None:
    body = "\n\nclass AppModule(Module):\n    declarations = (SendEmail,)\n"
    assert registered(before + body) == after + body


def test_declares_nothing_twice() -> None:
    once = registered(HEAD + "\n\nclass AppModule(Module):\n    declarations = (A,)\n")
    assert registered(once) == once


def test_finds_the_module_that_is_meant() -> None:
    source = (
        HEAD
        + "\n\nclass AModule(Module):\n    declarations = (A,)\n\n\nclass BModule(goose.Module):\n    declarations = (B,)\n"
    )
    assert "declarations = (A,)\n" in registered(source, "BModule")
    assert "declarations = (B, SendEmail)\n" in registered(source, "BModule")


def test_keeps_line_endings_and_encoding() -> None:
    source = "# coding: latin-1\r\n# Grüße\r\nclass AppModule(Module):\r\n    declarations = (A,)\r\n".encode("latin-1")
    edited, _ = register(source, None, "declarations", "SendEmail", PLACE, "app")
    assert edited.count(b"\r\n") == edited.count(b"\n")
    assert "Grüße" in edited.decode("latin-1")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("class AppModule(Module:\n", "it is not valid Python"),
        ("class Other:\n    pass\n", "it has no subclass of Module"),
        (
            "class AModule(Module):\n    pass\nclass BModule(Module):\n    pass\n",
            "it has several modules: AModule, BModule",
        ),
        ("class AppModule(Module): pass\n", "AppModule is written on one line"),
        ("class AppModule(Module):\n    declarations = A + B\n", "AppModule.declarations is not a plain tuple or list"),
        (
            "class AppModule(Module):\n    def __init__(self):\n        self.declarations = (A,)\n",
            "AppModule sets its declarations in more than one place, or in its methods",
        ),
        (
            "class AppModule(Module):\n    declarations = (A,)\n    declarations += (B,)\n",
            "AppModule sets its declarations in more than one place, or in its methods",
        ),
        (
            "from other import SendEmail\nclass AppModule(Module):\n    declarations = (A,)\n",
            "SendEmail means something else there already",
        ),
        (
            "class SendEmail:\n    pass\nclass AppModule(Module):\n    declarations = (A,)\n",
            "SendEmail means something else there already",
        ),
    ],
)
def test_leaves_alone_what_it_cannot_edit_safely(source: str, reason: str) -> None:
    with pytest.raises(CannotRegister) as refused:
        registered(source)
    assert str(refused.value) == reason


def test_names_the_class_that_is_not_there() -> None:
    with pytest.raises(CannotRegister) as refused:
        registered("class AppModule(Module):\n    pass\n", "OrdersModule")
    assert str(refused.value) == "it has no class OrdersModule"
