"""The fields of a resource: what they are in the table, in its first version and over HTTP; that they are kept, end to end."""

from __future__ import annotations

import pytest

from goose.commands.errors import CommandError
from goose.commands.new.attributes import Attribute
from goose.commands.new.fields import Field


def attribute(text: str) -> Attribute:
    return Attribute.of(Field.read(text, ()))


@pytest.mark.parametrize(
    ("text", "column", "version", "narrowed"),
    [
        ("item:str", "String(255)", "sa.String(length=255)", "Text"),
        ("item:str|None", "String(255)", "sa.String(length=255)", "Text | None"),
        ("item:Decimal", "ExactDecimal()", "sa.Numeric(precision=15, scale=4)", "Amount"),
        ("item:bool", "Boolean()", "sa.Boolean()", "bool"),
        ("item:list[str]", "JSON()", "sa.JSON()", "list[str]"),
        ("item:dict[str,int]|None", "JSON(none_as_null=True)", "sa.JSON()", "dict[str, Whole] | None"),
        ("item:list[dict[str,float|None]]", "JSON()", "sa.JSON()", "list[dict[str, Real | None]]"),
    ],
)
def test_a_field_is_a_column_and_a_type_of_what_every_database_keeps(
    text: str, column: str, version: str, narrowed: str
) -> None:
    kept = attribute(text)
    assert (kept.column, kept.version, kept.narrowed) == (column, version, narrowed)
    assert kept.nullable == text.endswith("None")


def test_a_version_names_what_mysql_needs_for_moments() -> None:
    moment = attribute("sold_at:datetime")
    assert moment.column_import == "goose_sql.UtcDateTime"
    assert ".with_variant(" in moment.version
    assert "mysql.DATETIME(fsp=6)" in moment.version


@pytest.mark.parametrize("text", ["a:str", "a:bool", "a:date", "a:UUID", "a:list[int]", "a:dict[str, list[float]]"])
def test_the_other_value_is_another(text: str) -> None:
    kept = attribute(text)
    assert kept.other != kept.sample


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "wait:timedelta",
            "the field 'wait': databases keep a timedelta in ways of their own: keep its seconds, as an int",
        ),
        ("days:list[date]", "the field 'days': a column cannot keep list[date], only what JSON has"),
        ("Text:str", "'Text' cannot name a field of a resource: begin it with a small letter"),
    ],
)
def test_what_no_resource_keeps_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        attribute(text)
    assert str(refused.value) == sentence
