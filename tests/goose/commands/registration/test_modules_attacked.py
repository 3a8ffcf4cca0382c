"""Modules as people write them: what is added is there, and every other byte is as it was; or nothing has changed."""

from __future__ import annotations

import ast
import contextlib
import difflib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goose.commands.errors import CannotRegister
from goose.commands.registration import register

PLACE = "app.jobs.send_email"


def registered(source: bytes, listed: str = "declarations") -> bytes:
    return register(source, None, listed, "SendEmail", PLACE, "app")[0]


def text_of(source: str, listed: str = "declarations") -> str:
    return registered(source.encode(), listed).decode()


HEADS = [
    "",
    '"""Doc."""\n\n',
    "from __future__ import annotations\n\n",
    '"""Doc."""\n\nfrom __future__ import annotations\n\nimport os\nfrom typing import Any\n\n',
    "from goose import Module\n\nfrom app.a import A, B  # these\nfrom app.z import (\n    Z,  # that\n)\n",
    "from .a import A\nfrom . import b\n",
    "import app.jobs.send_email\n",
    "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from app.a import A\n\n",
    "try:\n    import uvloop\nexcept ImportError:\n    uvloop = None\n\n",
    "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# Grüße\nimport sys; sys.path  # why\n\n",
    "from goose import Module\n\nX = 1\n\nfrom app.z import Z\n\n",
]
OPENINGS = [
    "",
    '    """Ours."""\n',
    "    # ours\n",
    "    imports = (A,)\n",
    "    exports = (A,)  # seen\n\n",
    "    is_global = True\n",
]
LISTINGS = [
    "()",
    "[]",
    "(A,)",
    "( A , B )",
    "A, B",
    "A,",
    "[A, B]",
    "[A, B,]",
    "(\n        A,\n        B,\n    )",
    "(\n        A,\n        B\n    )",
    "(\n        A,  # first\n        # between\n        B,  # last\n    )",
    "(\n        A,\n        B,\n        # the end\n    )",
    "(\n        # nothing yet\n    )",
    "(A,\n                    B)",
    "(\n        A, B,\n        C, D,\n    )",
    "[\n\n        A,\n\n        B,\n\n    ]",
    "(declare(A, value={'x': (1, 2)}), *OTHERS, B)",
    "(\n        declare(\n            A,\n        ),\n    )",
]
ENDINGS = [
    "",
    "\n    def check(self):\n        return [self]\n",
    "    # the end\n",
    "\n\nclass Other:\n    x = (1,)\n",
    "\nfrom app.late import late\n",
]
SETS = [
    "declarations = {}",
    "declarations: tuple[object, ...] = {}",
    "declarations = {}  # ours",
    "declarations = {}; x = 1",
]

modules = st.builds(
    lambda head, opening, sets, listing, ending: (
        f"{head}\nclass AppModule(Module):\n{opening}    {sets.format(listing)}\n{ending}"
    ),
    st.sampled_from(HEADS),
    st.sampled_from(OPENINGS),
    st.sampled_from(SETS),
    st.sampled_from(LISTINGS),
    st.sampled_from(ENDINGS),
)


@settings(max_examples=250, deadline=None)
@given(
    source=modules,
    newline=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    tabs=st.booleans(),
)
def test_any_module_gets_one_more_and_keeps_the_rest(source: str, newline: str, mark: bytes, tabs: bool) -> None:
    if tabs:
        source = source.replace("    ", "\t")
    before = mark + source.replace("\n", newline).encode()
    after = registered(before)
    assert after.startswith(mark)
    assert elements(after) == [*elements(before), "SendEmail"]
    assert imports_it_first(after)
    assert after.count(b"\r\n") == (after.count(b"\n") if newline == "\r\n" else 0)
    lines = [text.decode().removeprefix("\ufeff").splitlines() for text in (before, after)]
    lost = [line for line in difflib.ndiff(*lines) if line.startswith("- ")]
    assert len(lost) <= 1, lost
    assert registered(after) == after


def elements(source: bytes) -> list[str]:
    """What the module lists, as a reader of Python sees it."""
    (cls,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "AppModule"]
    for node in cls.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "declarations":
            return [ast.unparse(item) for item in node.value.elts]
    return []


def imports_it_first(source: bytes) -> bool:
    """Whether it is imported at the top, once, above the class that lists it; a __future__ stays above everything."""
    body = ast.parse(source).body
    compile(source, "module.py", "exec")
    places = [number for number, node in enumerate(body) if isinstance(node, ast.ImportFrom) and node.module == PLACE]
    owner = next(number for number, node in enumerate(body) if isinstance(node, ast.ClassDef))
    return len(places) == 1 and places[0] < owner


@settings(max_examples=100, deadline=None)
@given(
    source=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
)
def test_what_is_no_module_is_refused_and_never_breaks(source: bytes) -> None:
    with contextlib.suppress(CannotRegister):
        ast.parse(registered(source))


def test_imports_below_the_class_do_not_count() -> None:
    source = "class AppModule(Module):\n    declarations = ()\n\n\nfrom app.z import Z\n"
    assert text_of(source).startswith("from app.jobs.send_email import SendEmail\nclass AppModule")


def test_a_relative_import_of_the_same_is_one() -> None:
    source = "from .jobs.send_email import SendEmail\n\n\nclass AppModule(Module):\n    declarations = ()\n"
    assert text_of(source) == source.replace("()\n", "(SendEmail,)\n")


def test_a_missing_imports_stands_above_the_declarations() -> None:
    source = 'class AppModule(Module):\n    """Ours."""\n\n    declarations = (\n        A,\n    )\n'
    assert text_of(source, "imports") == (
        "from app.jobs.send_email import SendEmail\n"
        + source.replace("    decl", "    imports = (SendEmail,)\n    decl")
    )


def test_a_pass_that_says_something_stays() -> None:
    source = "class AppModule(Module):\n    pass  # nothing yet\n"
    assert "    pass  # nothing yet\n" in text_of(source)


def test_a_comment_in_empty_brackets_stays_above() -> None:
    source = "class AppModule(Module):\n    declarations = (\n        # jobs\n    )\n"
    assert text_of(source).endswith("    declarations = (\n        # jobs\n        SendEmail,\n    )\n")


@pytest.mark.parametrize(
    ("listing", "longer"),
    [
        ("(First, Second)", "(\n        First,\n        Second,\n        SendEmail,\n    )"),
        ("[First, Second]", "[\n        First,\n        Second,\n        SendEmail,\n    ]"),
        ("First, Second", "(\n        First,\n        Second,\n        SendEmail,\n    )"),
    ],
)
def test_a_listing_that_gets_too_long_is_broken_as_ruff_does(project: Path, listing: str, longer: str) -> None:
    (project / "pyproject.toml").write_text("[tool.ruff]\nline-length = 38\n")
    source = f"class AppModule(Module):\n    declarations = {listing}\n"
    assert text_of(source).endswith(f"    declarations = {longer}\n")
    # What was too long before is its author's way.
    (project / "pyproject.toml").write_text("[tool.ruff]\nline-length = 20\n")
    assert "\n    " not in text_of(source).partition("declarations = ")[2]


def test_an_import_that_is_too_long_is_broken_as_ruff_does(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\n")
    source = "class AppModule(Module):\r\n    declarations = ()\r\n"
    assert text_of(source).startswith("from app.jobs.send_email import (\r\n    SendEmail,\r\n)\r\nclass")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("class AppModule(Module): declarations = (A,)\n", "AppModule is written on one line"),
        (
            "class AppModule(Module):\n    declarations = (A,) + B\n",
            "AppModule.declarations is not a plain tuple or list",
        ),
        (
            "class AppModule(Module):\n    declarations = tuple(x)\n",
            "AppModule.declarations is not a plain tuple or list",
        ),
        ("class AppModule(Module):\n    declarations = {A}\n", "AppModule.declarations is not a plain tuple or list"),
        ("class AppModule(Module):\n    declarations: tuple\n", "AppModule.declarations is not a plain tuple or list"),
        (
            "class AppModule(Module):\n    if x:\n        declarations = (A,)\n",
            "AppModule sets its declarations in more than one place, or in its methods",
        ),
        (
            "if TYPE_CHECKING:\n    from app.jobs.send_email import SendEmail\n\n"
            "class AppModule(Module):\n    declarations = ()\n",
            "SendEmail means something else there already",
        ),
        (
            "import x as SendEmail\nclass AppModule(Module):\n    declarations = ()\n",
            "SendEmail means something else there already",
        ),
        (
            "a, (SendEmail, b) = x\nclass AppModule(Module):\n    declarations = ()\n",
            "SendEmail means something else there already",
        ),
        (
            "from ..jobs.send_email import SendEmail\nclass AppModule(Module):\n    declarations = ()\n",
            "SendEmail means something else there already",
        ),
        ("if True:\n    class AppModule(Module):\n        pass\n", "it has no subclass of Module"),
        ("# coding: nonsense\nclass AppModule(Module):\n    pass\n", "it is not valid Python"),
    ],
)
def test_what_cannot_be_edited_safely_is_said(source: str, reason: str) -> None:
    with pytest.raises(CannotRegister) as refused:
        text_of(source)
    assert str(refused.value) == reason
