"""One element more in a tuple or list, laid out as the others are. Used for a module's listings and a call's argument."""

from __future__ import annotations

from typing import TypeAlias

import libcst as cst

Listing: TypeAlias = cst.Tuple | cst.List


def contains(listing: Listing, name: str) -> bool:
    """Whether a class is listed already: written over with --force."""
    return any(isinstance(item.value, cst.Name) and item.value.value == name for item in listing.elements)


def of_one(name: str) -> cst.Tuple:
    """``(name,)``."""
    return cst.Tuple([cst.Element(cst.Name(name), comma=cst.Comma())])


def appended(listing: Listing, name: str) -> Listing:
    """One element more; a comment behind the last one stays there."""
    elements = list(listing.elements)
    if not elements:
        return _first(listing, name)
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


def one_per_line(listing: Listing, indent: str, deep: int = 1) -> Listing:
    """The elements on lines of their own, for a listing that has become too long for one.

    Args:
        listing: On one line.
        indent: One step of it.
        deep: How many steps they stand further in than their statement; the closing bracket one less.
    """
    if isinstance(listing, cst.Tuple) and not listing.lpar:
        listing = listing.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    inner, outer = new_line(indent * deep), new_line(indent * (deep - 1))
    elements = [item.with_changes(comma=cst.Comma(whitespace_after=inner)) for item in listing.elements]
    elements[-1] = elements[-1].with_changes(comma=cst.Comma())
    return _with_opening(_with_closing(listing.with_changes(elements=elements), outer), inner)


def new_line(indent: str) -> cst.ParenthesizedWhitespace:
    """The end of a line inside of brackets, and how much further in than its statement the next one begins."""
    return cst.ParenthesizedWhitespace(indent=True, last_line=cst.SimpleWhitespace(indent))


def _first(listing: Listing, name: str) -> Listing:
    """The only element; on a line of its own where a comment stands between the brackets."""
    comma = cst.Comma() if isinstance(listing, cst.Tuple) else cst.MaybeSentinel.DEFAULT
    space = _after_opening(listing)
    if isinstance(space, cst.ParenthesizedWhitespace):
        closing = cst.ParenthesizedWhitespace(indent=True, last_line=space.last_line)
        comment = next((line for line in space.empty_lines if line.comment is not None), None)
        inner = cst.SimpleWhitespace(comment.whitespace.value if comment is not None else " " * 4)
        listing = _with_closing(_with_opening(listing, space.with_changes(last_line=inner)), closing)
        comma = cst.Comma()
    return listing.with_changes(elements=[cst.Element(cst.Name(name), comma=comma)])


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


def _with_opening(listing: Listing, space: cst.BaseParenthesizableWhitespace) -> Listing:
    if isinstance(listing, cst.List):
        return listing.with_changes(lbracket=listing.lbracket.with_changes(whitespace_after=space))
    return listing.with_changes(lpar=[*listing.lpar[:-1], listing.lpar[-1].with_changes(whitespace_after=space)])
