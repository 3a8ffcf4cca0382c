from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goose.http.context import Context
from goose.http.errors import UnknownParameter
from goose.scope import Scope

Make = Callable[..., Context]


def test_a_path_parameter_is_found_by_name(make_context: Make) -> None:
    assert make_context(params={"id": 7}).param("id") == 7


def test_a_path_parameter_that_is_not_there_is_an_error(make_context: Make) -> None:
    with pytest.raises(UnknownParameter) as caught:
        make_context(params={"id": 7}).param("key")
    assert (caught.value.name, caught.value.names) == ("key", ("id",))


def test_query_gives_the_last_value_or_the_default(make_context: Make) -> None:
    ctx = make_context(query="page=1&page=2&empty=")
    assert (ctx.query("page"), ctx.query("empty"), ctx.query("size"), ctx.query("size", "10")) == ("2", "", None, "10")


def test_headers_are_found_whatever_their_case(make_context: Make) -> None:
    ctx = make_context(headers={"X-Trace": "abc"})
    assert (ctx.header("x-TRACE"), ctx.header("x-other"), ctx.header("x-other", "-")) == ("abc", None, "-")


def test_status_goes_on_to_the_answer(make_context: Make) -> None:
    response = make_context().status(201).json({"id": 1})
    assert (response.status_code, response.body) == (201, b'{"id":1}')


def test_status_goes_with_a_value_returned_afterwards(make_context: Make) -> None:
    ctx = make_context()
    ctx.status(202)
    assert ctx.response({"id": 1}).status_code == 202


@pytest.mark.parametrize("code", [0, 100, 600])
def test_a_status_is_a_final_one(make_context: Make, code: int) -> None:
    with pytest.raises(ValueError) as caught:
        make_context().status(code)
    assert str(caught.value) == f"ctx.status({code}): a status is from 200 to 599"


@pytest.mark.parametrize(
    ("make", "body", "media_type"),
    [
        (lambda ctx: ctx.json([1]), b"[1]", "application/json"),
        (lambda ctx: ctx.text("a"), b"a", "text/plain; charset=utf-8"),
        (lambda ctx: ctx.html("<p>"), b"<p>", "text/html; charset=utf-8"),
    ],
)
def test_words_for_answers(make_context: Make, make: Any, body: bytes, media_type: str) -> None:
    response: Response = make(make_context())
    assert (response.status_code, response.body, response.headers["content-type"]) == (200, body, media_type)


def test_a_redirect_is_fetched_with_get_unless_told_otherwise(make_context: Make) -> None:
    plain, moved = make_context().redirect("/a b"), make_context().status(308).redirect("/c")
    assert isinstance(plain, RedirectResponse)
    assert (plain.status_code, plain.headers["location"]) == (303, "/a%20b")
    assert (moved.status_code, moved.headers["location"]) == (308, "/c")


def test_a_redirect_has_the_status_of_one(make_context: Make) -> None:
    with pytest.raises(ValueError) as caught:
        make_context().status(201).redirect("/")
    assert str(caught.value) == "ctx.status(201).redirect(...): the status of a redirect is from 300 to 399"


def test_request_is_starlettes_own_and_made_once(make_context: Make) -> None:
    ctx = make_context()
    assert isinstance(ctx.request, Request)
    assert ctx.request is ctx.request


def test_get_asks_the_modules_view_for_this_scope(make_context: Make) -> None:
    class View:
        def get(self, key: object, scope: Scope) -> object:
            return key, scope

    scope = Scope()
    assert make_context(view=View(), scope=scope).get(int) == (int, scope)
