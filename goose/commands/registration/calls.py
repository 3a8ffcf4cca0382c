"""A class more in a sequence that a call is given: ``QueuesModule(middleware=(Timing,))``."""

from __future__ import annotations

import libcst as cst

from goose.commands.errors import CannotRegister
from goose.commands.registration.listings import Listing, appended, contains, new_line, of_one, one_per_line
from goose.commands.registration.sources import imported, read, written
from goose.commands.settings import line_length


def calls(source: bytes, callee: str) -> int:
    """How often a source calls something by its own name.

    Raises:
        CannotRegister: It is not valid Python.
    """
    return len(_calls(read(source), callee))


def add_to_call(source: bytes, callee: str, keyword: str, name: str, place: str, package: str) -> bytes:
    """Import a class and add it to an argument of the one call in a source.

    Args:
        source: The file with the call.
        callee: What is called: ``QueuesModule``.
        keyword: The argument: ``middleware``.
        name: The class to be added.
        place: The Python module that it stands in.
        package: Where the file stands; empty: in no package.

    Raises:
        CannotRegister: It cannot be done safely.
    """
    tree = read(source)
    found = _calls(tree, callee)
    if len(found) != 1:
        raise CannotRegister(f"it has {len(found)} calls of {callee}")
    call = found[0]
    edited = _on_lines(tree, call, _with_element(call, callee, keyword, name))
    holder = next(number for number, item in enumerate(tree.body) if _holds(item, call))
    tree = imported(cst.ensure_type(tree.deep_replace(call, edited), cst.Module), holder, name, place, package)
    return written(tree, source)


class _Calls(cst.CSTVisitor):
    """Collects the calls of a name, or of an attribute of that name."""

    def __init__(self, callee: str) -> None:
        super().__init__()
        self.callee = callee
        self.found: list[cst.Call] = []

    def visit_Call(self, node: cst.Call) -> None:  # noqa: N802 - LibCST's name
        match node.func:
            case cst.Name(value=self.callee) | cst.Attribute(attr=cst.Name(value=self.callee)):
                self.found.append(node)


def _calls(tree: cst.CSTNode, callee: str) -> list[cst.Call]:
    visitor = _Calls(callee)
    tree.visit(visitor)
    return visitor.found


def _holds(item: cst.CSTNode, call: cst.Call) -> bool:
    return item is call or any(_holds(child, call) for child in item.children)


def _with_element(call: cst.Call, callee: str, keyword: str, name: str) -> cst.Call:
    given = [arg for arg in call.args if arg.keyword is not None and arg.keyword.value == keyword]
    if not given:
        if any(arg.star for arg in call.args):
            raise CannotRegister(f"{callee} is called with * or **")
        return _with_argument(call, keyword, of_one(name))
    value = given[0].value
    if not isinstance(value, Listing):
        raise CannotRegister(f"the {keyword} of {callee} is not a plain tuple or list")
    if contains(value, name):
        return call
    return call.with_deep_changes(given[0], value=appended(value, name))


def _with_argument(call: cst.Call, keyword: str, value: cst.BaseExpression) -> cst.Call:
    """One argument more, laid out as the others are; a comment behind the last one stays there."""
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    new = cst.Arg(value, keyword=cst.Name(keyword), equal=equal)
    if not call.args:
        return call.with_changes(args=[new])
    *others, last = call.args
    closing = last.comma.whitespace_after if isinstance(last.comma, cst.Comma) else last.whitespace_after_arg
    between: cst.BaseParenthesizableWhitespace = cst.SimpleWhitespace(" ")
    parts = others[0].comma if others else None
    pattern = parts.whitespace_after if isinstance(parts, cst.Comma) else call.whitespace_before_args
    if isinstance(pattern, cst.ParenthesizedWhitespace) and isinstance(closing, cst.ParenthesizedWhitespace):
        between = closing.with_changes(indent=pattern.indent, last_line=pattern.last_line)
        closing = closing.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
    before = last.with_changes(comma=cst.Comma(whitespace_after=between), whitespace_after_arg=cst.SimpleWhitespace(""))
    if isinstance(last.comma, cst.Comma):
        return call.with_changes(args=[*others, before, new.with_changes(comma=cst.Comma(whitespace_after=closing))])
    return call.with_changes(args=[*others, before, new.with_changes(whitespace_after_arg=closing)])


def _on_lines(tree: cst.Module, call: cst.Call, longer: cst.Call) -> cst.Call:
    """The longer call on more lines, as ruff has it, where one has become too long and nothing else is on it."""
    before, after = (tree.code_for_node(each) for each in (call, longer))
    heads = [line for line in tree.code.splitlines() if line.endswith(before.splitlines()[0])]
    head = heads[0].removesuffix(before.splitlines()[0]) if len(heads) == 1 else "("
    margin = len(head) - len(head.lstrip())
    if any(each in head for each in "([{") or "#" in after:
        return longer
    if not _widest(head + before, margin) <= line_length() < _widest(head + after, margin):
        return longer
    step = tree.default_indent
    bare = [
        arg.with_changes(comma=cst.MaybeSentinel.DEFAULT, whitespace_after_arg=cst.SimpleWhitespace(""))
        for arg in longer.args
    ]
    codes = [tree.code_for_node(arg) for arg in bare]
    if not isinstance(longer.args[-1].comma, cst.Comma) and margin + len(step + ", ".join(codes)) <= line_length():
        args = [arg.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))) for arg in bare[:-1]]
        args.append(bare[-1].with_changes(whitespace_after_arg=new_line("")))
    else:
        args = [
            arg.with_changes(
                comma=cst.Comma(whitespace_after=new_line("" if arg is bare[-1] else step)),
                value=one_per_line(arg.value, step, 2)
                if isinstance(arg.value, Listing) and margin + len(f"{step}{code},") > line_length()
                else arg.value,
            )
            for arg, code in zip(bare, codes, strict=True)
        ]
    return longer.with_changes(args=args, whitespace_before_args=new_line(step))


def _widest(text: str, margin: int) -> int:
    """Columns of the widest line; all but the first stand further in by the margin than they are written."""
    first, *others = text.splitlines()
    return max(len(first), *(margin + len(line) for line in others), 0)
