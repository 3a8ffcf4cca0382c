"""What a name means in a source, and an import more in it. Used by ``sources``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst

from goose.commands.layout import import_lines


def binding(tree: cst.Module, name: str, package: str) -> str | None:
    """The Python module that a name is imported from; empty where it is bound otherwise; None where it is free.

    Args:
        tree: The source.
        name: What is looked for.
        package: Where the source stands, for its relative imports.
    """
    for item in tree.body:
        if isinstance(item, cst.SimpleStatementLine):
            for statement in item.body:
                if isinstance(statement, cst.ImportFrom) and name in _imported_names(statement):
                    return source_of(statement, package)
                if name in _bound(statement):
                    return ""
        elif name in _bound(item):
            return ""
    return None


def with_import(tree: cst.Module, above: int, name: str, place: str) -> cst.Module:
    """Put ``from place import name`` where it sorts among the imports of the same package, else behind all imports.

    Args:
        tree: The source.
        above: The number of the statement that needs it; imports below that one do not count.
        name: What is imported.
        place: The Python module that it stands in.
    """
    body = tree.body
    text = import_lines([f"{place}.{name}"]).replace("\n", tree.default_newline)
    line = cst.ensure_type(cst.parse_statement(text, config=tree.config_for_parsing), cst.SimpleStatementLine)
    package = place.partition(".")[0]
    kin = [
        (number, source)
        for number, item in enumerate(body[:above])
        if (source := _from_import(item)) is not None and source.partition(".")[0] == package
    ]
    before = [number for number, source in kin if source <= place]
    if before:
        return _inserted(tree, before[-1] + 1, line)
    if kin:
        first = body[kin[0][0]]
        if isinstance(first, cst.SimpleStatementLine) and parts_only(first):
            moved = line.with_changes(leading_lines=first.leading_lines)
            rest = [first.with_changes(leading_lines=[]), *body[kin[0][0] + 1 :]]
            return tree.with_changes(body=[*body[: kin[0][0]], moved, *rest])
        return _inserted(tree, kin[-1][0] + 1, line)
    last = max((number for number, item in enumerate(body[:above]) if _is_preamble(item, number)), default=-1)
    if last >= 0:
        line = line.with_changes(leading_lines=[cst.EmptyLine(indent=False)])
    return _inserted(tree, last + 1, line)


def parts_only(item: cst.BaseStatement) -> bool:
    """Whether only blank lines stand above it, which part it from what is before."""
    lines: Sequence[cst.EmptyLine] = getattr(item, "leading_lines", ())
    return all(line.comment is None for line in lines)


def source_of(statement: cst.ImportFrom, package: str) -> str:
    """The Python module that names are imported from, in full."""
    named = "" if statement.module is None else _dotted(statement.module)
    if not statement.relative:
        return named
    parents = package.split(".")[: len(package.split(".")) + 1 - len(statement.relative)]
    return ".".join([*parents, named] if named else parents)


def targets(statement: cst.BaseSmallStatement) -> list[str]:
    """The names that an assignment sets."""
    match statement:
        case cst.Assign(targets=found):
            return [each.target.value for each in found if isinstance(each.target, cst.Name)]
        case cst.AnnAssign(target=cst.Name(value=value)):
            return [value]
    return []


def _bound(node: cst.CSTNode) -> set[str]:
    """Every name that a statement could bind: what it defines, and what it imports or sets, however deep."""
    match node:
        case cst.ClassDef(name=cst.Name(value=value)) | cst.FunctionDef(name=cst.Name(value=value)):
            return {value}
    found = _Names()
    node.visit(found)
    return found.names


class _Names(cst.CSTVisitor):
    """Collects names that are set, imported or defined, without those inside of functions and classes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:  # noqa: N802 - LibCST's names
        self.names.add(node.name.value)
        return False

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:  # noqa: N802
        self.names.add(node.name.value)
        return False

    def visit_ImportAlias(self, node: cst.ImportAlias) -> bool:  # noqa: N802
        self.names.add(node.evaluated_alias or node.evaluated_name.partition(".")[0])
        return False

    def visit_AssignTarget(self, node: cst.AssignTarget) -> None:  # noqa: N802
        self.names.update(_names(node.target))

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:  # noqa: N802
        self.names.update(_names(node.target))

    def visit_For(self, node: cst.For) -> None:  # noqa: N802
        self.names.update(_names(node.target))


def _names(target: cst.BaseExpression) -> Iterator[str]:
    match target:
        case cst.Name(value=value):
            yield value
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            for element in elements:
                yield from _names(element.value)


def _imported_names(statement: cst.ImportFrom) -> list[str]:
    if isinstance(statement.names, cst.ImportStar):
        return []
    return [alias.evaluated_alias or alias.evaluated_name for alias in statement.names]


def _dotted(expression: cst.BaseExpression) -> str:
    if isinstance(expression, cst.Attribute):
        return f"{_dotted(expression.value)}.{expression.attr.value}"
    return expression.value if isinstance(expression, cst.Name) else ""


def _inserted(tree: cst.Module, at: int, line: cst.SimpleStatementLine) -> cst.Module:
    return tree.with_changes(body=[*tree.body[:at], line, *tree.body[at:]])


def _from_import(item: cst.BaseStatement) -> str | None:
    if isinstance(item, cst.SimpleStatementLine) and isinstance(item.body[0], cst.ImportFrom):
        return None if item.body[0].relative else source_of(item.body[0], "")
    return None


def _is_preamble(item: cst.BaseStatement, number: int) -> bool:
    if not isinstance(item, cst.SimpleStatementLine):
        return False
    first = item.body[0]
    return isinstance(first, (cst.Import, cst.ImportFrom)) or (number == 0 and isinstance(first, cst.Expr))
