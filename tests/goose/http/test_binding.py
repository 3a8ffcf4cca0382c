from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from goose.http.binding import MAX_FAULTS
from goose.http.context import Context
from goose.http.errors import HttpError
from goose.scope import Scope

Make = Callable[..., Context]
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Line(BaseModel):
    item: str
    count: int = 1


class CreateOrder(BaseModel):
    customer: str
    lines: list[Line] = []
    due: date | None = None


@dataclass
class Address:
    street: str
    number: int
    tags: list[str] = field(default_factory=list)


async def refusal(ctx: Context, model: type[Any] = CreateOrder) -> tuple[int, str | None, object]:
    with pytest.raises(HttpError) as caught:
        await ctx.bind(model)
    return caught.value.status_code, caught.value.detail, caught.value.extra.get("errors")


async def test_json_becomes_a_model(make_context: Make) -> None:
    ctx = make_context(b'{"customer":"Ann",', b'"lines":[{"item":"egg"}],"due":"2027-01-01"}', headers=JSON)
    order = CreateOrder(customer="Ann", lines=[Line(item="egg")], due=date(2027, 1, 1))
    assert await ctx.bind(CreateOrder) == order


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.orders+json"]
)
async def test_json_by_its_other_names(make_context: Make, media_type: str) -> None:
    ctx = make_context(b'{"street":"High","number":"5"}', headers={"Content-Type": media_type})
    assert await ctx.bind(Address) == Address("High", 5)


async def test_the_body_can_be_bound_again(make_context: Make) -> None:
    ctx = make_context(b'{"street":"High","number":5}', headers=JSON)
    assert await ctx.bind(Address) == await ctx.bind(Address)
    assert await ctx.request.json() == {"street": "High", "number": 5}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b'{"a":1,}', "trailing comma at line 1 column 8"),
        (b"\xff", "expected value at line 1 column 1"),
        (b"[" * 100_000, "recursion limit exceeded at line 1 column 202"),
        (b'{"customer":NaN}', "expected value at line 1 column 13"),
        (b'{"customer":-Infinity}', "invalid number at line 1 column 14"),
    ],
)
async def test_malformed_json_is_400(make_context: Make, body: bytes, reason: str) -> None:
    ctx = make_context(body, headers=JSON, limit=1_000_000)
    assert await refusal(ctx) == (400, f"The body is not valid JSON: {reason}.", None)


async def test_the_word_nan_in_a_text_is_fine(make_context: Make) -> None:
    ctx = make_context(b'{"customer":"NaN of Infinity"}', headers=JSON)
    assert (await ctx.bind(CreateOrder)).customer == "NaN of Infinity"


async def test_an_empty_body_is_400(make_context: Make) -> None:
    assert await refusal(make_context(headers=JSON)) == (400, "The body is empty; JSON was expected.", None)
    assert await refusal(make_context()) == (400, "The body is empty; JSON or a form was expected.", None)


async def test_another_media_type_is_415(make_context: Make) -> None:
    accepted = "application/json, application/x-www-form-urlencoded, multipart/form-data"
    with pytest.raises(HttpError) as caught:
        await make_context(b"<a/>", headers={"Content-Type": "text/xml"}).bind(CreateOrder)
    assert caught.value.status_code == 415
    assert caught.value.detail == f"The body's Content-Type is not supported; send {accepted}."
    assert caught.value.headers == {"Accept": accepted}
    assert await refusal(make_context(b"{}")) == (415, f"The body has no Content-Type; send {accepted}.", None)


async def test_every_field_that_does_not_fit_is_named(make_context: Make) -> None:
    ctx = make_context(b'{"lines":[{"item":"egg"},{"item":1,"count":"x"}],"due":"soon"}', headers=JSON)
    status, detail, errors = await refusal(ctx)
    assert (status, detail) == (422, "The body is not valid: 4 faults.")
    assert errors == [
        {"pointer": "#/customer", "detail": "Field required", "code": "missing"},
        {"pointer": "#/lines/1/item", "detail": "Input should be a valid string", "code": "string_type"},
        {
            "pointer": "#/lines/1/count",
            "detail": "Input should be a valid integer, unable to parse string as an integer",
            "code": "int_parsing",
        },
        {
            "pointer": "#/due",
            "detail": "Input should be a valid date or datetime, input is too short",
            "code": "date_from_datetime_parsing",
        },
    ]


async def test_a_pointer_escapes_what_a_key_holds(make_context: Make) -> None:
    ctx = make_context(b'{"a/b~c":"x"}', headers=JSON)
    _, detail, errors = await refusal(ctx, dict[str, int])
    assert detail == "The body is not valid: 1 fault."
    assert [error["pointer"] for error in errors] == ["#/a~1b~0c"]  # type: ignore[attr-defined]


async def test_a_storm_of_faults_is_cut_short(make_context: Make) -> None:
    body = b"[" + b",".join([b'"x"'] * 1000) + b"]"
    _, detail, errors = await refusal(make_context(body, headers=JSON, limit=10_000), list[int])
    assert detail == f"The body is not valid: 1000 faults, the first {MAX_FAULTS} of them here."
    assert len(errors) == MAX_FAULTS  # type: ignore[arg-type]


async def test_a_body_over_the_limit_is_413_and_no_more_of_it_is_read(make_context: Make) -> None:
    class Unread(bytes):
        def __len__(self) -> int:
            raise AssertionError

    ctx = make_context(b"x" * 6, b"x" * 6, Unread(b"x"), headers=JSON, limit=10)
    assert await refusal(ctx) == (413, "The body is larger than 10 bytes.", None)


async def test_a_body_of_just_the_limit_passes(make_context: Make) -> None:
    assert await make_context(b"[1,", b"2]", headers=JSON, limit=5).bind(list[int]) == [1, 2]


async def test_the_requests_own_reading_is_limited_too(make_context: Make) -> None:
    with pytest.raises(HttpError) as caught:
        await make_context(b"x" * 11, limit=10).request.body()
    assert caught.value.status_code == 413


async def test_a_form_becomes_a_model(make_context: Make) -> None:
    ctx = make_context(b"street=High+Street&number=5&tags=a&tags=b", headers=FORM)
    assert await ctx.bind(Address) == Address("High Street", 5, ["a", "b"])


async def test_a_form_that_does_not_fit_is_422(make_context: Make) -> None:
    status, detail, errors = await refusal(make_context(b"number=x", headers=FORM), Address)
    assert (status, detail) == (422, "The form is not valid: 2 faults.")
    assert [error["pointer"] for error in errors] == ["#/street", "#/number"]  # type: ignore[attr-defined]


async def test_a_form_over_the_limit_is_413(make_context: Make) -> None:
    ctx = make_context(b"street=" + b"x" * 10, headers=FORM, limit=10)
    assert await refusal(ctx, Address) == (413, "The body is larger than 10 bytes.", None)


class Upload(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    title: str
    file: UploadFile


def multipart(body: str) -> tuple[bytes, dict[str, str]]:
    return body.replace("\n", "\r\n").encode(), {"Content-Type": "multipart/form-data; boundary=XX"}


UPLOAD = """--XX
Content-Disposition: form-data; name="title"

Report
--XX
Content-Disposition: form-data; name="file"; filename="a.txt"

hello
--XX--
"""


async def test_a_multipart_form_becomes_a_model_with_its_file(make_context: Make) -> None:
    body, headers = multipart(UPLOAD)
    async with Scope() as scope:
        upload = await make_context(body, headers=headers, scope=scope).bind(Upload)
        assert (upload.title, upload.file.filename, await upload.file.read()) == ("Report", "a.txt", b"hello")
    assert upload.file.file.closed


async def test_a_malformed_multipart_form_is_400(make_context: Make) -> None:
    ctx = make_context(b"nonsense", headers={"Content-Type": "multipart/form-data"})
    assert await refusal(ctx, Upload) == (400, "The form is malformed: Missing boundary in multipart.", None)


class Search(BaseModel):
    q: str
    tags: list[str] = []
    ids: Annotated[Sequence[int], Field(alias="id")] = ()
    sizes: set[int] | None = Field(None, validation_alias=AliasChoices("size", "sizes"))
    page: int = 1


def test_a_query_becomes_a_model(make_context: Make) -> None:
    found = make_context(query="q=egg&tags=a&id=1&id=2&size=3&page=2").bind_query(Search)
    assert (found.q, found.tags, list(found.ids), found.sizes, found.page) == ("egg", ["a"], [1, 2], {3}, 2)


def test_a_query_becomes_a_dataclass(make_context: Make) -> None:
    assert make_context(query="street=High&number=5&tags=a").bind_query(Address) == Address("High", 5, ["a"])


def test_a_query_becomes_a_plain_dict(make_context: Make) -> None:
    assert make_context(query="a=1&b=2").bind_query(dict[str, int]) == {"a": 1, "b": 2}


def test_a_query_that_does_not_fit_is_422(make_context: Make) -> None:
    with pytest.raises(HttpError) as caught:
        make_context(query="page=x&q=a&q=b").bind_query(Search)
    assert (caught.value.status_code, caught.value.detail) == (422, "The query is not valid: 2 faults.")
    assert caught.value.extra == {
        "errors": [
            {"pointer": "#/q", "detail": "Input should be a valid string", "code": "string_type"},
            {
                "pointer": "#/page",
                "detail": "Input should be a valid integer, unable to parse string as an integer",
                "code": "int_parsing",
            },
        ]
    }
