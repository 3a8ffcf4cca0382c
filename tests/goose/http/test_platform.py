from __future__ import annotations

from typing import Any

import pytest
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response, StreamingResponse

from goose.errors import ConfigError
from goose.http.context import Context
from goose.http.controller import Controller
from goose.http.errors import HttpError
from goose.http.platform import ApiPlatform
from goose.http.route import get


class OrderNotFound(Exception):
    pass


class Orders(Controller, prefix="/orders"):
    @get("/{id}")
    async def show(self, ctx: Context) -> None:
        raise OrderNotFound(f"no order {ctx.param('id')}")

    @get("/")
    async def fails(self, ctx: Context) -> None:
        raise ValueError("secret")


def test_the_defaults() -> None:
    platform = ApiPlatform()
    assert (platform.host, platform.port, platform.timeout, platform.max_body_size) == (
        "127.0.0.1",
        8080,
        30.0,
        1_048_576,
    )


class NoGuard:
    pass


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"host": ""}, "host='' is not an address; give one like '127.0.0.1' or '0.0.0.0'"),
        ({"port": 70_000}, "port=70000 is not a port; give a number from 0 to 65535"),
        ({"port": "80"}, "port='80' is not a port; give a number from 0 to 65535"),
        ({"name": ""}, "name='' is not a text; give one that is not empty"),
        ({"version": 1}, "version=1 is not a text; give one that is not empty"),
        ({"timeout": 0}, "timeout=0 is not a time; give a number of seconds above 0, or None for no limit"),
        ({"timeout": True}, "timeout=True is not a time; give a number of seconds above 0, or None for no limit"),
        (
            {"timeout": float("nan")},
            "timeout=nan is not a time; give a number of seconds above 0, or None for no limit",
        ),
        ({"max_body_size": 0}, "max_body_size=0 is not a size; give a number of bytes above 0"),
        (
            {"middleware": [CORSMiddleware]},
            "middleware is not a list of starlette.middleware.Middleware; write [Middleware(Class, option=...)]",
        ),
        (
            {"guards": (NoGuard,)},
            "guards: the guard NoGuard is no class with `async def check(self, ctx: Context) -> None`.",
        ),
        ({"errors": [404]}, "errors=[404] is not a mapping; write errors={OrderNotFound: 404}"),
        (
            {"errors": {404: 404}},
            "errors has the key 404, which is no exception class; write errors={OrderNotFound: 404}",
        ),
        ({"errors": {OrderNotFound: 200}}, "errors has OrderNotFound: 200; give a status from 400 to 599"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiPlatform(**options)
    assert str(caught.value) == f"ApiPlatform: {sentence}"


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ApiPlatform(port=-1, max_body_size=-1)
    assert str(caught.value) == (
        "ApiPlatform: port=-1 is not a port; give a number from 0 to 65535; "
        "ApiPlatform: max_body_size=-1 is not a size; give a number of bytes above 0"
    )


async def test_an_applications_own_errors_are_mapped(serve: Any) -> None:
    async with serve(Orders, errors={OrderNotFound: 404}) as client:
        response = await client.get("/orders/7")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.json() == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no order 7"}


async def test_an_unexpected_error_is_500_without_internals(serve: Any) -> None:
    async with serve(Orders) as client:
        response = await client.get("/orders")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "The server met an unexpected error.",
    }


async def test_debug_shows_the_error(serve: Any) -> None:
    async with serve(Orders, debug=True) as client:
        assert (await client.get("/orders")).json()["exception"] == "ValueError: secret"


async def test_starlettes_middleware_is_taken_as_it_is(serve: Any) -> None:
    cors = Middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    async with serve(Orders, middleware=[cors]) as client:
        response = await client.get("/orders", headers={"Origin": "https://shop.example"})
        preflight = await client.options(
            "/orders", headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
        )
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (500, "https://shop.example")
    assert preflight.status_code == 200


class Refusing:
    def __init__(self, app: Any, error: Exception) -> None:
        self.app, self.error = app, error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise self.error


@pytest.mark.parametrize(("error", "status"), [(HttpError(401, "who?"), 401), (ValueError("secret"), 500)])
async def test_an_error_of_the_middleware_is_answered_too(serve: Any, error: Exception, status: int) -> None:
    async with serve(middleware=[Middleware(Refusing, error)]) as client:
        response = await client.get("/healthz")
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("middleware", [[], [Middleware(CORSMiddleware)]])
async def test_an_error_after_the_response_has_started_goes_to_the_server(serve: Any, middleware: Any) -> None:
    class Breaks(Controller):
        @get("/breaks")
        async def breaks(self, ctx: Context) -> Response:
            async def lines() -> Any:
                yield b"a"
                raise ValueError("broken")

            return StreamingResponse(lines())

    async with serve(Breaks, middleware=middleware) as client:
        with pytest.raises(ValueError, match="broken"):
            await client.get("/breaks")
