"""Values as the formatter writes them."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goose.commands.new.literals import written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("it's", '"it\'s"'),
        ('"', "'\"'"),
        ("'\"", '"\'\\""'),
        ("\\", '"\\\\"'),
        ("a\tb", '"a\\tb"'),
        ("Grüße", '"Grüße"'),
        ("\N{CYRILLIC SMALL LETTER A}", '"\\u0430"'),
        ("\N{MULTIPLICATION SIGN}", '"\\xd7"'),
        ([1, None, True], "[1, None, True]"),
        ({"a": {}}, '{"a": {}}'),
    ],
)
def test_a_value_is_written_as_the_formatter_has_it(value: object, text: str) -> None:
    assert written(value) == text


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(plain)
def test_what_is_written_reads_as_the_same_value(value: object) -> None:
    assert ast.literal_eval(written(value)) == value
