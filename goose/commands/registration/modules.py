"""A class more in a module's ``declarations`` or ``imports``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import libcst as cst

from goose.commands.errors import CannotRegister
from goose.commands.registration.imports import parts_only, targets
from goose.commands.registration.listings import Listing, appended, contains, of_one, one_per_line
from goose.commands.registration.sources import imported, read, written
from goose.commands.settings import line_length

ABOVE: Final = {"declarations": ("imports",), "imports": ()}
"""What a module sets, and what stands above that where it is set for the first time."""


def register(source: bytes, wanted: str | None, listed: str, name: str, place: str, package: str) -> tuple[bytes, str]:
    """Import a class into a module's source and list it there.

    Args:
        source: The file that defines the module.
        wanted: The module's class; None where the file has only one.
        listed: Where in the module: ``declarations`` or ``imports``.
        name: The class to be listed.
        place: The Python module that it stands in.
        package: Where the file stands.

    Returns:
        The new source, and the name of the module's class.

    Raises:
        CannotRegister: It cannot be done safely.
    """
    tree = read(source)
    owner = _module_class(tree, wanted)
    edited = _listing(tree, owner, listed, name)
    body = [edited if statement is owner else statement for statement in tree.body]
    tree = imported(tree.with_changes(body=body), body.index(edited), name, place, package)
    return written(tree, source), owner.name.value


def _module_class(tree: cst.Module, wanted: str | None) -> cst.ClassDef:
    found = [item for item in tree.body if isinstance(item, cst.ClassDef)]
    if wanted is not None:
        chosen = [item for item in found if item.name.value == wanted]
        if len(chosen) != 1:
            raise CannotRegister(f"it has no class {wanted}")
        return chosen[0]
    modules = [item for item in found if any(_last_name(base.value).endswith("Module") for base in item.bases)]
    if not modules:
        raise CannotRegister("it has no subclass of Module")
    if len(modules) > 1:
        raise CannotRegister(f"it has several modules: {', '.join(item.name.value for item in modules)}")
    return modules[0]


def _last_name(expression: cst.BaseExpression) -> str:
    if isinstance(expression, cst.Attribute):
        return expression.attr.value
    return expression.value if isinstance(expression, cst.Name) else ""


def _listing(tree: cst.Module, owner: cst.ClassDef, listed: str, name: str) -> cst.ClassDef:
    """The class with one more in its listing; as it is where that has it already."""
    if not isinstance(owner.body, cst.IndentedBlock):
        raise CannotRegister(f"{owner.name.value} is written on one line")
    found = _setting(owner, listed)
    if found is None:
        return _with_new_listing(owner, owner.body, listed, name)
    line, statement = found
    if not isinstance(statement.value, Listing):
        raise CannotRegister(f"{owner.name.value}.{listed} is not a plain tuple or list")
    if contains(statement.value, name):
        return owner
    longer = appended(statement.value, name)
    indent = owner.body.indent or tree.default_indent
    before, after = (
        len(indent + tree.code_for_node(each).strip())
        for each in (line, line.with_deep_changes(statement, value=longer))
    )
    if "\n" not in tree.code_for_node(statement) and before <= line_length() < after:
        longer = one_per_line(longer, indent)
    return owner.with_deep_changes(statement, value=longer)


def _setting(owner: cst.ClassDef, listed: str) -> tuple[cst.SimpleStatementLine, cst.Assign | cst.AnnAssign] | None:
    """Where the class body sets the listing; refused where something else does as well."""
    direct = [(line, small) for line, small in _small_statements(owner.body) if listed in targets(small)]
    anywhere = _Mentions(listed)
    owner.body.visit(anywhere)
    if anywhere.count != len(direct) or len(direct) > 1:
        raise CannotRegister(f"{owner.name.value} sets its {listed} in more than one place, or in its methods")
    for line, statement in direct:
        if isinstance(statement, (cst.Assign, cst.AnnAssign)):
            return line, statement
    return None


class _Mentions(cst.CSTVisitor):
    """Counts a word as a name or an attribute."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.count = 0

    def visit_Name(self, node: cst.Name) -> None:  # noqa: N802 - LibCST's name
        self.count += node.value == self.word


def _small_statements(body: cst.BaseSuite) -> Iterator[tuple[cst.SimpleStatementLine, cst.BaseSmallStatement]]:
    for line in body.body:
        if isinstance(line, cst.SimpleStatementLine):
            yield from ((line, small) for small in line.body)


def _with_new_listing(owner: cst.ClassDef, block: cst.IndentedBlock, listed: str, name: str) -> cst.ClassDef:
    line = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(cst.Name(listed))], of_one(name))])
    body = [item for item in block.body if not _is_pass(item)]
    behind = 1 + max((number for number, item in enumerate(body) if _opens(item, number, listed)), default=-1)
    rest = body[behind:]
    if behind == 1 and not _sets(body[0], ABOVE[listed]):  # a docstring alone: a blank line after it
        line = line.with_changes(leading_lines=[cst.EmptyLine(indent=False)])
        if rest and _sets(rest[0], ABOVE) and parts_only(rest[0]):
            rest[0] = rest[0].with_changes(leading_lines=[])
    return owner.with_changes(body=block.with_changes(body=[*body[:behind], line, *rest]))


def _is_pass(item: cst.BaseStatement) -> bool:
    """Whether it only fills an empty class; one with a comment says more than that."""
    match item:
        case cst.SimpleStatementLine(body=[cst.Pass()], trailing_whitespace=cst.TrailingWhitespace(comment=None)):
            return parts_only(item)
    return False


def _opens(item: cst.BaseStatement, number: int, listed: str) -> bool:
    """Whether the listing stands below it: a docstring, the imports."""
    if not isinstance(item, cst.SimpleStatementLine):
        return False
    return _sets(item, ABOVE[listed]) or (number == 0 and isinstance(item.body[0], cst.Expr))


def _sets(item: cst.BaseStatement, words: Collection[str]) -> bool:
    return isinstance(item, cst.SimpleStatementLine) and any(
        word in targets(small) for small in item.body for word in words
    )
