"""Types of fields: what is read, what follows from it, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from goose.commands.new.annotations import SCALARS, Annotation, Misfit

NAMES = {
    "UTC": UTC,
    "Decimal": Decimal,
    "UUID": UUID,
    "date": date,
    "datetime": datetime,
    "timedelta": timedelta,
}


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("str", "str"),
        (" int ", "int"),
        ("list[str]", "list[str]"),
        ("dict[ str,int ]", "dict[str, int]"),
        ("str|None", "str | None"),
        ("None | str", "str | None"),
        ("str | None | None", "str | None"),
        ("list[dict[str, list[UUID | None]]] | None", "list[dict[str, list[UUID | None]]] | None"),
    ],
)
def test_a_type_is_read_and_written_in_one_way(typed: str, written: str) -> None:
    assert str(Annotation.read(typed)) == written


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "'' is not a type"),
        ("str]", "'str]' is not a type"),
        ("str = 1", "'str = 1' is not a type"),
        ("1 is 2", "the type 1 is 2 is unknown: there are"),
        ("'\\d'", "\"'\\\\d'\" is not a type"),
        ("\0", "'\\x00' is not a type"),
        ("(" * 1000, None),
        ("None", "the type None is unknown"),
        ("strr", "the type strr is unknown (did you mean 'str'?)"),
        ("datetme", "the type datetme is unknown (did you mean 'datetime'?)"),
        ("decimal", "the type decimal is unknown (did you mean 'Decimal'?)"),
        ("string", "the type string is unknown (did you mean 'str'?)"),
        ("uuid", "the type uuid is unknown (did you mean 'UUID'?)"),
        (
            "Whatever",
            "the type Whatever is unknown: there are str, int, float, bool, datetime, date, timedelta, UUID, ",
        ),
        ("bytes", "bytes is no JSON: encode it yourself, into a str"),
        ("list[bytes]", "bytes is no JSON: encode it yourself, into a str"),
        ("list", "list needs to say of what, as in list[str]"),
        ("list[str, int]", "list needs to say of what, as in list[str]"),
        ("dict[str]", "dict needs to say of what, as in dict[str, int]"),
        ("dict[int, str]", "a dict's keys are str in JSON, not int"),
        ("dict[str | None, str]", "a dict's keys are str in JSON, not str | None"),
        ("int | str", "int | str is a choice of types: only X | None is known"),
        ("datetime.datetime", "the type datetime.datetime is unknown (did you mean 'datetime'?)"),
        ("__import__('os').system('x')", "the type __import__('os').system('x') is unknown: there are"),
        ("[x for x in y]", "the type [x for x in y] is unknown: there are"),
        ("(lambda: 0)()", "the type (lambda: 0)() is unknown: there are"),
        ("'str'", "the type 'str' is unknown"),
        ("list[*x]", "the type *x is unknown: there are"),
    ],
)
def test_what_is_no_type_of_a_field_is_refused(typed: str, reason: str | None) -> None:
    with pytest.raises(Misfit) as refused:
        Annotation.read(typed)
    assert reason is None or str(refused.value).startswith(reason)


@pytest.mark.parametrize(
    ("type_", "typed", "written"),
    [
        ("str", "'it'", '"it"'),
        ("str", '"say \\"it\\""', "'say \"it\"'"),
        ("str", "'a' 'b'", '"ab"'),
        ("str", '"Grüße\\n\u0430"', '"Grüße\\n\\u0430"'),
        ("int", "-1", "-1"),
        ("int", "0x10", "16"),
        ("float", "1", "1.0"),
        ("float", "1e3", "1000.0"),
        ("bool", "True", "True"),
        ("str | None", "None", "None"),
        ("datetime | None", "None", "None"),
        ("list[datetime]", "[]", "[]"),
        ("list[float]", "[1, 2.5]", "[1.0, 2.5]"),
        ("dict[str, list[int] | None]", "{'a': [1], 'b': None}", '{"a": [1], "b": None}'),
    ],
)
def test_a_default_is_a_literal_of_the_type(type_: str, typed: str, written: str) -> None:
    assert Annotation.read(type_).default(typed) == written


@pytest.mark.parametrize(
    ("type_", "typed", "reason"),
    [
        ("int", "'1'", "'1' is no int"),
        ("int", "1.0", "1.0 is no int"),
        ("int", "True", "True is no int"),
        ("float", "True", "True is no float"),
        ("bool", "1", "1 is no bool"),
        ("str", "None", "None is no str"),
        ("str", "b'x'", "b'x' is no str"),
        ("str", "hello", "hello is no literal"),
        ("str", "", "'' is not a literal"),
        ("str", "f'{x}'", "f'{x}' is no literal"),
        ("int", "1 + 1", None),
        ("int", "__import__('os')", "__import__('os') is no literal"),
        ("int", "2 ** 63", "2 ** 63 is no literal"),
        ("int", str(2**63), f"{2**63} has more than 64 bits"),
        ("float", "1e999", "1e999 is not finite"),
        ("float", "1" + "0" * 400, None),
        ("str", "'\\0'", "'\\0' holds characters that cannot be stored"),
        ("str", "'\\ud800'", "'\\ud800' holds characters that cannot be stored"),
        ("list[int]", "[1, 'a']", "[1, 'a'] is no int"),
        ("list[int]", "(1,)", "(1,) is no list[int]"),
        ("dict[str, int]", "{1: 1}", "{1: 1} is no str"),
        ("dict[str, int]", "{[]: 1}", None),
        ("dict[str, int]", "{**{}}", None),
        ("date", "'2026-01-01'", "'2026-01-01' is no date: a date has no literals, so leave its default out"),
    ],
)
def test_what_is_no_default_of_the_type_is_refused(type_: str, typed: str, reason: str | None) -> None:
    with pytest.raises(Misfit) as refused:
        Annotation.read(type_).default(typed)
    assert reason is None or str(refused.value) == reason


@pytest.mark.parametrize(
    "type_", [*SCALARS, "list[date]", "dict[str, list[UUID]]", "Decimal | None", "list[datetime | None]"]
)
def test_a_sample_is_a_value_of_the_type_and_its_json_is_too(type_: str) -> None:
    """In Python as the generated test has it, and in JSON as pydantic writes it."""
    annotation = Annotation.read(type_)
    adapter = TypeAdapter(eval(type_, dict(NAMES)))
    value = eval(annotation.sample, dict(NAMES))
    assert adapter.validate_python(value, strict=True) == value
    assert adapter.dump_python(value, mode="json") == annotation.sample_json


def test_what_has_to_be_imported_is_named_once() -> None:
    annotation = Annotation.read("dict[str, list[datetime]] | None")
    assert annotation.imports == ("datetime.datetime",)
    assert annotation.sample_imports == ("datetime.UTC", "datetime.datetime")
    assert Annotation.read("list[int]").imports == ()
