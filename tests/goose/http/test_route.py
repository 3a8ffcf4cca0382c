from __future__ import annotations

from typing import Any

import pytest

from goose.http.context import Context
from goose.http.errors import InvalidRoute
from goose.http.route import MARKS, Mark, check_path, delete, get, patch, post, put, route


class SignedIn:
    async def check(self, ctx: Context) -> None: ...


class Lazy:
    def check(self, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("decorator", "method"),
    [(get, "GET"), (post, "POST"), (put, "PUT"), (patch, "PATCH"), (delete, "DELETE")],
)
def test_each_decorator_leaves_its_mark(decorator: Any, method: str) -> None:
    @decorator("/a", guards=(SignedIn,))
    async def handler(self: object, ctx: Context) -> None: ...

    assert getattr(handler, MARKS) == (Mark(method, "/a", (SignedIn,)),)


def test_decorators_add_up() -> None:
    @get("/a")
    @route("/b", methods=["put", "PATCH"])
    def handler(self: object, ctx: Context) -> None: ...

    marks = getattr(handler, MARKS)
    assert [(mark.method, mark.path) for mark in marks] == [("PUT", "/b"), ("PATCH", "/b"), ("GET", "/a")]


def sound(self: object, ctx: Context) -> None: ...


def no_context(self: object) -> None: ...


def too_much(self: object, ctx: Context, more: int) -> None: ...


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: get("a")(sound), "sound: the path 'a' does not begin with '/'. Write '/a'."),
        (lambda: get("")(sound), "sound: the path '' does not begin with '/'. Write '/'."),
        (lambda: get()(no_context), "no_context: a handler takes (self, ctx: Context) and nothing else."),
        (lambda: get()(too_much), "too_much: a handler takes (self, ctx: Context) and nothing else."),
        (lambda: route(methods=["BREW IT"])(sound), "sound: 'BREW IT' is no HTTP method."),
        (
            lambda: route("/", methods="GET"),
            "route('/', methods='GET'): name the methods in a tuple, like (\"GET\", \"POST\").",
        ),
        (
            lambda: route("/", methods=()),
            'route(\'/\', methods=()): name the methods in a tuple, like ("GET", "POST").',
        ),
        (lambda: get(guards=SignedIn)(sound), f"sound: guards={SignedIn!r} is no tuple. Write guards=(SignedIn,)."),
        (
            lambda: get(guards=(Lazy,))(sound),
            "sound: the guard Lazy is no class with `async def check(self, ctx: Context) -> None`.",
        ),
        (
            lambda: get(guards=(SignedIn(),))(sound),
            "sound: the guard <SignedIn> is no class with `async def check(self, ctx: Context) -> None`.",
        ),
        (
            lambda: get()(staticmethod(sound)),
            "sound: only a method of a controller can answer requests. Put the decorator on a `def`.",
        ),
    ],
)
def test_what_cannot_be_a_route_is_refused_where_it_is_written(declare: Any, sentence: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(SignedIn, "__repr__", lambda self: "<SignedIn>")
    with pytest.raises(InvalidRoute) as caught:
        declare()
    assert str(caught.value) == sentence


@pytest.mark.parametrize("path", ["/", "/a/{id}", "/a/{id:int}/{rest:path}", "/a/{id}.json"])
def test_paths_that_can_be_routed(path: str) -> None:
    assert check_path(path, "here") == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/{id", "the path '/{id' has a brace that is no parameter. Write {name} or {name:int}."),
        ("/{}", "the path '/{}' has a brace that is no parameter. Write {name} or {name:int}."),
        (
            "/{id:number}",
            "the path '/{id:number}' has the unknown convertor 'number'. Known are float, int, path, str, uuid.",
        ),
        ("/{id}/{id}", "the path '/{id}/{id}' has a parameter twice. Rename one of them."),
    ],
)
def test_paths_that_cannot(path: str, reason: str) -> None:
    with pytest.raises(InvalidRoute) as caught:
        check_path(path, "Orders.show")
    assert str(caught.value) == f"Orders.show: {reason}"
