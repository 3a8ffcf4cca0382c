from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response

from goose.errors import GooseError
from goose.http.errors import HandlerTimeout, HttpError
from goose.http.problems import Problems


class OrderNotFound(LookupError):
    pass


class OldOrderNotFound(OrderNotFound):
    pass


class Unreachable(GooseError):
    status_code = 503


class StillUnreachable(Unreachable):
    pass


class Foreign(Exception):
    status_code = 418


class Speechless(LookupError):
    def __str__(self) -> str:
        raise RuntimeError


def body(response: Response) -> Any:
    return json.loads(bytes(response.body))


def test_a_problem_is_what_rfc_9457_says() -> None:
    response = Problems().response(HttpError(404, "no such order"))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert body(response) == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such order"}


def test_an_http_error_brings_headers_and_members_along() -> None:
    error = HttpError(409, "taken", headers={"Retry-After": "5"}, extra={"type": "/taken", "by": "Ann", "status": 1})
    response = Problems().response(error)
    assert response.headers["retry-after"] == "5"
    expected = {"type": "/taken", "title": "Conflict", "status": 409, "detail": "taken", "by": "Ann"}
    assert body(response) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HttpError(413), {"title": "Content Too Large", "status": 413}),
        (HttpError(422), {"title": "Unprocessable Content", "status": 422}),
        (HttpError(499), {"title": "Error", "status": 499}),
        (HTTPException(404), {"title": "Not Found", "status": 404}),
        (HTTPException(400, "bad boundary"), {"title": "Bad Request", "status": 400, "detail": "bad boundary"}),
        (
            HandlerTimeout("Orders.list", 1),
            {"title": "Service Unavailable", "status": 503, "detail": "The request took too long."},
        ),
        (Unreachable("at 10.0.0.1"), {"title": "Service Unavailable", "status": 503}),
        (StillUnreachable("at 10.0.0.1"), {"title": "Service Unavailable", "status": 503}),
        (
            Foreign("secret"),
            {"title": "Internal Server Error", "status": 500, "detail": "The server met an unexpected error."},
        ),
        (
            ValueError("secret"),
            {"title": "Internal Server Error", "status": 500, "detail": "The server met an unexpected error."},
        ),
    ],
)
def test_each_error_has_its_problem(error: Exception, expected: dict[str, object]) -> None:
    assert body(Problems().response(error)) == {"type": "about:blank", **expected}


def test_an_applications_errors_are_answered_by_the_nearest_class() -> None:
    problems = Problems({LookupError: 410, OrderNotFound: 404, Exception: 502})
    statuses = [problems.response(e).status_code for e in (OldOrderNotFound("7"), KeyError("x"), ValueError())]
    assert statuses == [404, 410, 502]


def test_an_application_may_map_our_errors_and_a_wider_class_does_not_hide_their_own_status() -> None:
    assert Problems({Exception: 500}).problem(StillUnreachable()).status == 503
    assert Problems({Unreachable: 500}).problem(StillUnreachable()).status == 500


def test_a_clients_fault_shows_its_text_and_ours_does_not() -> None:
    problems = Problems({OrderNotFound: 404, ValueError: 503})
    assert problems.problem(OrderNotFound("no order 7")).detail == "no order 7"
    assert problems.problem(OrderNotFound()).detail is None
    assert problems.problem(ValueError("db at 10.0.0.1")).detail is None


def test_an_error_whose_text_fails_is_answered_all_the_same() -> None:
    assert Problems({LookupError: 404}).problem(Speechless()).detail is None


def test_text_that_utf_8_cannot_carry_is_escaped() -> None:
    assert body(Problems().response(HttpError(400, "a\ud800b")))["detail"] == "a\\ud800b"


def test_what_is_our_fault_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("secret")
    Problems().response(error, "Orders.show")
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("goose.http", logging.ERROR, "request failed")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert (record.__dict__["handler"], record.__dict__["status"]) == ("Orders.show", 500)


def test_a_clients_fault_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    Problems().response(HttpError(404))
    assert caplog.records == []


def test_debug_shows_the_error_and_its_traceback() -> None:
    with pytest.raises(ValueError) as caught:
        int("secret")
    shown = body(Problems(debug=True).response(caught.value))
    assert shown["exception"] == "ValueError: invalid literal for int() with base 10: 'secret'"
    assert shown["traceback"][0] == "Traceback (most recent call last):"
    assert shown["traceback"][-1] == "ValueError: invalid literal for int() with base 10: 'secret'"


def test_starlettes_not_modified_stays_one() -> None:
    response = Problems().response(HTTPException(304, headers={"etag": "a"}))
    assert (response.status_code, response.body, response.headers["etag"]) == (304, b"", "a")
