"""Fields as they are typed."""

from __future__ import annotations

import pytest

from goose.commands.errors import CommandError
from goose.commands.new.fields import LIMIT, Field, read_fields


def test_a_field_gives_its_templates_what_they_need() -> None:
    field = Field.read("sent_at: datetime | None = None", ())
    assert (field.name, field.annotation, field.default) == ("sent_at", "datetime | None", "None")
    assert (field.declaration, field.factory) == ("sent_at: datetime | None = None", None)
    assert (field.imports, field.sample_imports) == (("datetime.datetime",), ("datetime.UTC", "datetime.datetime"))
    assert (field.argument, field.sample_json) == ("sent_at=datetime(2030, 1, 2, tzinfo=UTC)", "2030-01-02T00:00:00Z")


def test_a_texts_sample_is_its_name() -> None:
    field = Field.read("to:str", ())
    assert (field.declaration, field.argument, field.sample_json) == ("to: str", 'to="to"', "to")


@pytest.mark.parametrize(
    ("typed", "declared"),
    [
        ("a:list[str]=[]", "a: list[str] = Field(default_factory=list)"),
        ("a:dict[str, int]={}", "a: dict[str, int] = Field(default_factory=dict)"),
        ("a:list[int]=[1]", "a: list[int] = Field(default_factory=lambda: [1])"),
        ("a:str='['", 'a: str = "["'),
        ("a:str='a=b:c'", 'a: str = "a=b:c"'),
    ],
)
def test_a_list_or_dict_is_made_anew_each_time(typed: str, declared: str) -> None:
    assert Field.read(typed, ()).declaration == declared


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["to"], "'to' is no field: write name:type or name:type=default, as in to:str"),
        ([""], "'' is no field: write name:type or name:type=default, as in to:str"),
        (["to=1"], "'to=1' is no field: write name:type or name:type=default, as in to:str"),
        ([":str"], "'' cannot name a field: use letters, digits and _, beginning with a letter"),
        (["a b:str"], "'a b' cannot name a field: use letters, digits and _, beginning with a letter"),
        (["_to:str"], "'_to' cannot name a field: use letters, digits and _, beginning with a letter"),
        (["größe:int"], "'größe' cannot name a field: use letters, digits and _, beginning with a letter"),
        (["from:str"], "'from' cannot name a field: it is a keyword of Python"),
        (["handle:str"], "'handle' cannot name a field: the class has its own handle"),
        (["self:str"], "'self' cannot name a field: the class has its own self"),
        (["date:date"], "'date' cannot name a field: it is the name of a type; say what it is of, as in sent_date"),
        (["to:str", "to:int"], "the field 'to' is there twice"),
        (
            ["a:int=1", "b:int"],
            "the field 'b' has no default and follows 'a', which has one: name it before that",
        ),
        (["to:strr"], "the field 'to': the type strr is unknown (did you mean 'str'?)"),
        (["to:str=1"], "the field 'to': 1 is no str"),
        (["to:str="], "the field 'to': '' is not a literal"),
        (["file:bytes"], "the field 'file': bytes is no JSON: encode it yourself, into a str"),
        (
            ["a" * (LIMIT + 1)],
            f"the field '{'a' * 20}'... has more than {LIMIT} characters: add it to the class by hand",
        ),
    ],
)
def test_what_is_no_field_is_refused(typed: list[str], sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        read_fields(typed, {"handle", "self"})
    assert str(refused.value) == sentence
