from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response, StreamingResponse

from goose.http.errors import UnknownReply
from goose.http.reply import html_response, json_response, respond, text_response

TYPES = "dict, list, str, bytes, a dataclass, a pydantic model, None or a Starlette Response"


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Line:
    item: str
    price: Decimal


class Order(BaseModel):
    id: UUID = Field(serialization_alias="orderId")
    lines: list[Line]


ORDER = Order(id=UUID(int=7), lines=[Line("egg", Decimal("1.50"))])
ORDER_JSON = b'{"orderId":"00000000-0000-0000-0000-000000000007","lines":[{"item":"egg","price":"1.50"}]}'


@pytest.mark.parametrize(
    ("value", "body", "media_type"),
    [
        ({"a": 1}, b'{"a":1}', "application/json"),
        ([1, "two"], b'[1,"two"]', "application/json"),
        ("héllo", "héllo".encode(), "text/plain; charset=utf-8"),
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        (Line("egg", Decimal("1.50")), b'{"item":"egg","price":"1.50"}', "application/json"),
        (ORDER, ORDER_JSON, "application/json"),
        ({"orders": [ORDER]}, b'{"orders":[' + ORDER_JSON + b"]}", "application/json"),
        ({"at": datetime(2027, 1, 1, tzinfo=UTC)}, b'{"at":"2027-01-01T00:00:00Z"}', "application/json"),
        ({"c": Colour.RED, "d": timedelta(minutes=1)}, b'{"c":"red","d":"PT1M"}', "application/json"),
        ({"nan": float("nan")}, b'{"nan":null}', "application/json"),
    ],
)
def test_values_become_bodies(value: object, body: bytes, media_type: str) -> None:
    response = respond(value, None)
    assert (response.status_code, response.body, response.headers["content-type"]) == (200, body, media_type)


class Special(dict[str, int]):
    pass


def test_a_subclass_counts_as_what_it_is() -> None:
    assert respond(Special(a=1), None).body == b'{"a":1}'


def test_none_is_no_content() -> None:
    response = respond(None, None)
    assert (response.status_code, response.body, "content-type" in response.headers) == (204, b"", False)


def test_none_keeps_a_chosen_status() -> None:
    assert respond(None, 202).status_code == 202


def test_a_chosen_status_goes_with_a_plain_value() -> None:
    assert respond({"a": 1}, 201).status_code == 201
    assert respond(ORDER, 201).status_code == 201
    assert respond(Special(), 201).status_code == 201


@pytest.mark.parametrize("response", [Response("x", 418), StreamingResponse(iter([b"x"])), FileResponse(__file__)])
def test_a_response_passes_as_it_is(response: Response) -> None:
    assert respond(response, 201) is response


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (object(), f"a handler returned a value of type object, which cannot be sent. Return {TYPES}."),
        (42, f"a handler returned a value of type int, which cannot be sent. Return {TYPES}."),
        (Line, f"a handler returned the class Line, which cannot be sent. Return {TYPES}."),
        (
            {"a": object()},
            (
                "a handler returned a value of type dict, which cannot be written as JSON "
                "(Unable to serialize unknown type: <class 'object'>)."
            ),
        ),
    ],
)
def test_anything_else_is_refused(value: Any, sentence: str) -> None:
    with pytest.raises(UnknownReply) as caught:
        respond(value, None)
    assert str(caught.value) == sentence


def test_a_status_without_a_body_takes_none() -> None:
    with pytest.raises(UnknownReply) as caught:
        json_response({}, 204)
    assert str(caught.value) == (
        "a handler returned a body, but a response with status 204 has none. Return None, or another status."
    )


def test_text_and_html_say_what_they_are() -> None:
    assert text_response("a", 200).headers["content-type"] == "text/plain; charset=utf-8"
    assert html_response("<p>", 200).headers["content-type"] == "text/html; charset=utf-8"
