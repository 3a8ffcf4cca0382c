from __future__ import annotations

from dataclasses import dataclass

import pytest

from goose.declaration import default_lifetime
from goose.http.context import Context
from goose.http.controller import Controller, guards_of, routes_of
from goose.http.errors import InvalidRoute
from goose.http.route import get, post


class SignedIn:
    async def check(self, ctx: Context) -> None: ...


class Admin:
    async def check(self, ctx: Context) -> None: ...


class Audited:
    async def check(self, ctx: Context) -> None: ...


def listing(controller: type[Controller]) -> list[tuple[str, str, str]]:
    return [(route.method, route.path, route.name) for route in routes_of(controller)]


class Orders(Controller, prefix="/orders", guards=(SignedIn,)):
    @get("/")
    async def index(self, ctx: Context) -> None: ...

    @get("/{id:int}", guards=(Admin, SignedIn))
    async def show(self, ctx: Context) -> None: ...

    @post()
    async def create(self, ctx: Context) -> None: ...

    async def helper(self) -> None: ...


def test_a_controller_lives_as_long_as_its_request() -> None:
    assert default_lifetime(Orders) == "scoped"


def test_routes_stand_below_the_prefix_in_order() -> None:
    assert listing(Orders) == [
        ("GET", "/orders", "Orders.index"),
        ("GET", "/orders/{id:int}", "Orders.show"),
        ("POST", "/orders", "Orders.create"),
    ]


def test_guards_of_the_controller_come_first_and_once() -> None:
    assert [route.guards for route in routes_of(Orders)] == [(SignedIn,), (SignedIn, Admin), (SignedIn,)]


def test_the_kernel_is_told_of_every_guard() -> None:
    assert list(Orders.__goose_implied__()) == [SignedIn, Admin]


def test_the_prefix_stays_when_slots_make_the_class_a_second_time() -> None:
    @dataclass(slots=True)
    class Slotted(Controller, prefix="/slotted", guards=(Admin,)):
        name: str

        @get("/a")
        async def a(self, ctx: Context) -> None: ...

    assert listing(Slotted) == [("GET", "/slotted/a", "Slotted.a")]
    assert guards_of(Slotted) == (Admin,)


def test_without_a_prefix_paths_stand_as_they_are() -> None:
    class Bare(Controller):
        @get()
        async def home(self, ctx: Context) -> None: ...

    assert listing(Bare) == [("GET", "/", "Bare.home")]


@pytest.mark.parametrize("prefix", ["/orders/", "/orders"])
def test_a_slash_at_the_end_of_the_prefix_adds_nothing(prefix: str) -> None:
    class Bare(Controller, prefix=prefix):
        @get()
        async def home(self, ctx: Context) -> None: ...

        @get("/a")
        async def a(self, ctx: Context) -> None: ...

    assert [route.path for route in routes_of(Bare)] == ["/orders", "/orders/a"]


def test_routes_and_guards_are_inherited() -> None:
    class Special(Orders, prefix="/special", guards=(Audited,)):
        @get("/extra")
        async def extra(self, ctx: Context) -> None: ...

    assert listing(Special) == [
        ("GET", "/special", "Special.index"),
        ("GET", "/special/{id:int}", "Special.show"),
        ("POST", "/special", "Special.create"),
        ("GET", "/special/extra", "Special.extra"),
    ]
    assert guards_of(Special) == (SignedIn, Audited)


def test_an_override_keeps_its_route_unless_it_has_its_own() -> None:
    class Kept(Orders):
        async def show(self, ctx: Context) -> None: ...

        @get("/all")
        async def index(self, ctx: Context) -> None: ...

        create = None  # type: ignore[assignment]

    assert listing(Kept) == [("GET", "/orders/all", "Kept.index"), ("GET", "/orders/{id:int}", "Kept.show")]
    assert routes_of(Kept)[1].guards == (SignedIn, Admin)


def test_a_handler_hidden_by_something_else_is_refused() -> None:
    class Hidden(Orders):
        show = 5  # type: ignore[assignment]

    with pytest.raises(InvalidRoute) as caught:
        routes_of(Hidden)
    assert str(caught.value) == "Hidden.show: it hides a handler of a base class. Rename it."


def test_a_prefix_begins_with_a_slash() -> None:
    with pytest.raises(InvalidRoute) as caught:
        type("Wrong", (Controller,), {}, prefix="orders")
    assert str(caught.value) == "Wrong: the path 'orders' does not begin with '/'. Write '/orders'."


def test_the_whole_path_is_checked() -> None:
    class Twice(Controller, prefix="/{id}"):
        @get("/{id}")
        async def show(self, ctx: Context) -> None: ...

    with pytest.raises(InvalidRoute) as caught:
        routes_of(Twice)
    assert str(caught.value) == "Twice.show: the path '/{id}/{id}' has a parameter twice. Rename one of them."
