"""Adding a class to a module's ``declarations`` or ``imports`` in its source, with formatting and comments kept (LibCST).

Used by ``new``. Where it cannot be done safely it is not done: ``CannotRegister`` says why, and ``new`` says which lines
to add by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeAlias

import libcst as cst

from goose.commands.errors import CannotRegister

Listing: TypeAlias = cst.Tuple | cst.List
ABOVE: Final = {"declarations": ("imports",), "imports": ()}
"""What a module sets, and what stands above that where it is set for the first time."""


def register(source: bytes, wanted: str | None, listed: str, name: str, place: str) -> tuple[bytes, str]:
    """Import a class into a module's source and list it there.

    Args:
        source: The file that defines the module.
        wanted: The module's class; None where the file has only one.
        listed: Where in the module: ``declarations`` or ``imports``.
        name: The class to be listed.
        place: The Python module that it stands in.

    Returns:
        The new source, and the name of the module's class.

    Raises:
        CannotRegister: It cannot be done safely.
    """
    try:
        tree = cst.parse_module(source)
    except (cst.ParserSyntaxError, UnicodeDecodeError) as error:
        raise CannotRegister("it is not valid Python") from error
    owner = _module_class(tree, wanted)
    imported = _binding(tree, name)
    if imported is not None and imported != place:
        raise CannotRegister(f"{name} means something else there already")
    edited = owner if _lists(owner, listed, name) else _with_element(owner, listed, name)
    body: list[cst.BaseStatement] = [edited if statement is owner else statement for statement in tree.body]
    if imported is None:
        body = _import(body, name, place)
    return tree.with_changes(body=body).bytes, owner.name.value


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


# --- the listing


def _lists(owner: cst.ClassDef, listed: str, name: str) -> bool:
    """Whether the class is listed already: written over with --force."""
    statement = _listing_statement(owner, listed)
    if statement is None or not isinstance(statement.value, Listing):
        return False
    return any(isinstance(item.value, cst.Name) and item.value.value == name for item in statement.value.elements)


def _with_element(owner: cst.ClassDef, listed: str, name: str) -> cst.ClassDef:
    statement = _listing_statement(owner, listed)
    if statement is None:
        return _with_new_listing(owner, listed, name)
    if not isinstance(statement.value, Listing):
        raise CannotRegister(f"{owner.name.value}.{listed} is not a plain tuple or list")
    return owner.with_deep_changes(statement, value=_appended(statement.value, name))


def _listing_statement(owner: cst.ClassDef, listed: str) -> cst.Assign | cst.AnnAssign | None:
    """Where the class body sets the listing; refused where something else sets them as well."""
    direct = [small for small in _small_statements(owner.body) if listed in _targets(small)]
    anywhere = _Mentions(listed)
    owner.body.visit(anywhere)
    if anywhere.count != len(direct) or len(direct) > 1:
        raise CannotRegister(f"{owner.name.value} sets its {listed} in more than one place, or in its methods")
    statement = direct[0] if direct else None
    return statement if isinstance(statement, (cst.Assign, cst.AnnAssign)) else None


class _Mentions(cst.CSTVisitor):
    """Counts a word as a name or an attribute."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.count = 0

    def visit_Name(self, node: cst.Name) -> None:  # noqa: N802 - LibCST's name
        self.count += node.value == self.word


def _small_statements(body: cst.BaseSuite) -> Iterator[cst.BaseSmallStatement]:
    for line in body.body:
        if isinstance(line, cst.SimpleStatementLine):
            yield from line.body


def _targets(statement: cst.BaseSmallStatement) -> list[str]:
    match statement:
        case cst.Assign(targets=targets):
            return [target.target.value for target in targets if isinstance(target.target, cst.Name)]
        case cst.AnnAssign(target=cst.Name(value=value)):
            return [value]
    return []


def _with_new_listing(owner: cst.ClassDef, listed: str, name: str) -> cst.ClassDef:
    if not isinstance(owner.body, cst.IndentedBlock):
        raise CannotRegister(f"{owner.name.value} is written on one line")
    listing = cst.Tuple([cst.Element(cst.Name(name), comma=cst.Comma())])
    line = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(cst.Name(listed))], listing)])
    body = [item for item in owner.body.body if not _is_pass(item)]
    behind = 1 + max((number for number, item in enumerate(body) if _opens(item, number, listed)), default=-1)
    rest = body[behind:]
    if behind == 1 and not _sets(body[0], ABOVE[listed]):  # a docstring alone: a blank line after it
        line = line.with_changes(leading_lines=[cst.EmptyLine(indent=False)])
        if rest and _sets(rest[0], ABOVE) and _parts_only(rest[0]):
            rest[0] = rest[0].with_changes(leading_lines=[])
    return owner.with_changes(body=owner.body.with_changes(body=[*body[:behind], line, *rest]))


def _is_pass(item: cst.BaseStatement) -> bool:
    return isinstance(item, cst.SimpleStatementLine) and any(isinstance(small, cst.Pass) for small in item.body)


def _opens(item: cst.BaseStatement, number: int, listed: str) -> bool:
    """Whether the listing stands below it: a docstring, the imports."""
    if not isinstance(item, cst.SimpleStatementLine):
        return False
    return _sets(item, ABOVE[listed]) or (number == 0 and isinstance(item.body[0], cst.Expr))


def _sets(item: cst.BaseStatement, words: Collection[str]) -> bool:
    return isinstance(item, cst.SimpleStatementLine) and any(
        word in _targets(small) for small in item.body for word in words
    )


def _appended(listing: Listing, name: str) -> Listing:
    """One element more, laid out as the others are; a comment behind the last one stays there."""
    elements = list(listing.elements)
    if not elements:
        alone = cst.Comma() if isinstance(listing, cst.Tuple) else cst.MaybeSentinel.DEFAULT
        return listing.with_changes(elements=[cst.Element(cst.Name(name), comma=alone)])
    has_comma = isinstance(elements[-1].comma, cst.Comma)
    between, closing = _between(listing), _before_closing(listing)
    if isinstance(between, cst.ParenthesizedWhitespace) and isinstance(closing, cst.ParenthesizedWhitespace):
        between = closing.with_changes(indent=between.indent, last_line=between.last_line)
        listing = _with_closing(listing, closing.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[]))
    elif len(elements) == 1 and isinstance(listing, cst.Tuple):
        has_comma = False  # (A,) becomes (A, B)
    elements[-1] = elements[-1].with_changes(comma=cst.Comma(whitespace_after=between))
    trailing = cst.Comma() if has_comma else cst.MaybeSentinel.DEFAULT
    return listing.with_changes(elements=[*elements, cst.Element(cst.Name(name), comma=trailing)])


def _between(listing: Listing) -> cst.BaseParenthesizableWhitespace:
    """What parts two elements: a blank, or a new line with its indentation."""
    if len(listing.elements) > 1:
        comma = listing.elements[0].comma
        found = comma.whitespace_after if isinstance(comma, cst.Comma) else cst.SimpleWhitespace(" ")
    else:
        found = _after_opening(listing)
    if isinstance(found, cst.ParenthesizedWhitespace):
        return found.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
    return cst.SimpleWhitespace(" ")


def _after_opening(listing: Listing) -> cst.BaseParenthesizableWhitespace:
    if isinstance(listing, cst.List):
        return listing.lbracket.whitespace_after
    return listing.lpar[-1].whitespace_after if listing.lpar else cst.SimpleWhitespace("")


def _before_closing(listing: Listing) -> cst.BaseParenthesizableWhitespace:
    if isinstance(listing, cst.List):
        return listing.rbracket.whitespace_before
    return listing.rpar[0].whitespace_before if listing.rpar else cst.SimpleWhitespace("")


def _with_closing(listing: Listing, space: cst.BaseParenthesizableWhitespace) -> Listing:
    if isinstance(listing, cst.List):
        return listing.with_changes(rbracket=listing.rbracket.with_changes(whitespace_before=space))
    return listing.with_changes(rpar=[listing.rpar[0].with_changes(whitespace_before=space), *listing.rpar[1:]])


# --- the import


def _binding(tree: cst.Module, name: str) -> str | None:
    """The Python module that a name is imported from; empty where it is bound otherwise; None where it is free."""
    for item in tree.body:
        if isinstance(item, (cst.ClassDef, cst.FunctionDef)) and item.name.value == name:
            return ""
        small = item.body if isinstance(item, cst.SimpleStatementLine) else ()
        for statement in small:
            if name in _targets(statement):
                return ""
            if isinstance(statement, cst.ImportFrom) and name in _imported_names(statement):
                return _source_of(statement)
    return None


def _imported_names(statement: cst.ImportFrom) -> list[str]:
    if isinstance(statement.names, cst.ImportStar):
        return []
    return [alias.evaluated_alias or alias.evaluated_name for alias in statement.names]


def _source_of(statement: cst.ImportFrom) -> str:
    if statement.relative or statement.module is None:
        return ""
    return _dotted(statement.module)


def _dotted(expression: cst.BaseExpression) -> str:
    if isinstance(expression, cst.Attribute):
        return f"{_dotted(expression.value)}.{expression.attr.value}"
    return expression.value if isinstance(expression, cst.Name) else ""


def _import(body: Sequence[cst.BaseStatement], name: str, place: str) -> list[cst.BaseStatement]:
    """Put ``from place import name`` where it sorts among the imports of the same package, else behind all imports."""
    line = cst.SimpleStatementLine([cst.ImportFrom(_expression(place), [cst.ImportAlias(cst.Name(name))])])
    package = place.partition(".")[0]
    kin = [
        (number, source)
        for number, item in enumerate(body)
        if (source := _from_import(item)) is not None and source.partition(".")[0] == package
    ]
    before = [number for number, source in kin if source <= place]
    if before:
        return _inserted(body, before[-1] + 1, line)
    if kin and _parts_only(body[kin[0][0]]):
        first = body[kin[0][0]]
        moved = line.with_changes(leading_lines=first.leading_lines)  # type: ignore[attr-defined]
        rest = [first.with_changes(leading_lines=[]), *body[kin[0][0] + 1 :]]
        return [*body[: kin[0][0]], moved, *rest]
    if kin:
        return _inserted(body, kin[-1][0] + 1, line)
    last = max((number for number, item in enumerate(body) if _is_preamble(item, number)), default=-1)
    return _inserted(
        body, last + 1, line.with_changes(leading_lines=[cst.EmptyLine(indent=False)] if last >= 0 else [])
    )


def _inserted(body: Sequence[cst.BaseStatement], at: int, line: cst.BaseStatement) -> list[cst.BaseStatement]:
    return [*body[:at], line, *body[at:]]


def _expression(place: str) -> cst.Attribute | cst.Name:
    first, *rest = place.split(".")
    found: cst.Attribute | cst.Name = cst.Name(first)
    for part in rest:
        found = cst.Attribute(found, cst.Name(part))
    return found


def _from_import(item: cst.BaseStatement) -> str | None:
    if isinstance(item, cst.SimpleStatementLine) and isinstance(item.body[0], cst.ImportFrom):
        return _source_of(item.body[0]) or None
    return None


def _parts_only(item: cst.BaseStatement) -> bool:
    """Whether only blank lines stand above it, which part it from the imports before."""
    lines: Sequence[cst.EmptyLine] = getattr(item, "leading_lines", ())
    return all(line.comment is None for line in lines)


def _is_preamble(item: cst.BaseStatement, number: int) -> bool:
    if not isinstance(item, cst.SimpleStatementLine):
        return False
    first = item.body[0]
    return isinstance(first, (cst.Import, cst.ImportFrom)) or (number == 0 and isinstance(first, cst.Expr))
