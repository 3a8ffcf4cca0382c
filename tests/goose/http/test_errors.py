from __future__ import annotations

import pytest

from goose.http.errors import (
    DuplicateRoute,
    HandlerExit,
    HandlerTimeout,
    HttpError,
    InvalidRoute,
    UnknownParameter,
    UnknownReply,
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (HttpError(404), "404"),
        (HttpError(404, "no such order"), "404: no such order"),
        (
            HandlerTimeout("Orders.list", 1.5),
            (
                "Orders.list took longer than 1.5 s. "
                "Make it faster, give the work to a job, or raise ApiPlatform(timeout=...)."
            ),
        ),
        (HandlerExit("Orders.list"), "Orders.list called sys.exit(). Raise HttpError to refuse a request."),
        (InvalidRoute("Orders.list", "it is wrong."), "Orders.list: it is wrong."),
        (
            DuplicateRoute("GET", "A.one", "/a/{id}", "B.two", "/a/{key}"),
            (
                "GET /a/{id} of A.one and GET /a/{key} of B.two are the same route. "
                "Change the method or the path of one of them."
            ),
        ),
        (
            UnknownParameter("idd", ["id", "page"]),
            "the route has no path parameter 'idd' (it has: id, page). Name it in the path: {idd}.",
        ),
        (
            UnknownParameter("id", []),
            "the route has no path parameter 'id' (it has: none). Name it in the path: {id}.",
        ),
        (
            UnknownReply("a value of type object", "which cannot be."),
            "a handler returned a value of type object, which cannot be.",
        ),
    ],
)
def test_each_error_is_one_sentence(error: Exception, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize("status", [200, 399, 600])
def test_an_http_error_has_the_status_of_an_error(status: int) -> None:
    with pytest.raises(ValueError) as caught:
        HttpError(status)
    assert str(caught.value) == f"HttpError({status}): the status of an error is from 400 to 599"
