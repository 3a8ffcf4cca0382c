from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio.from_thread
import pytest
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import NoMatchFound

from goose.declaration import declare
from goose.http.context import Context
from goose.http.controller import Controller
from goose.http.errors import DuplicateRoute, HttpError
from goose.http.route import delete, get, post, put, route
from goose.http.router import _Fate, _GivenUp
from goose.kernel import Kernel
from goose.scope import Scope, current_scope
from waiting import wait_until

UNEXPECTED = {
    "type": "about:blank",
    "title": "Internal Server Error",
    "status": 500,
    "detail": "The server met an unexpected error.",
}
TOO_LONG = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The request took too long.",
}


class Ledger:
    """Notes what happened, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.changed = asyncio.Event()

    def note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()


class Unit:
    """A unit of work: commits or rolls back at the end of its scope."""

    def __init__(self, scope: Scope, ledger: Ledger) -> None:
        self.ledger = ledger
        self.fails = False
        scope.on_exit(self.end)

    async def end(self, error: BaseException | None) -> None:
        if error is None and self.fails:
            raise ConnectionError("commit failed")
        self.ledger.note("commit" if error is None else f"rollback {type(error).__name__}")


class CreateOrder(BaseModel):
    item: str


SERVICES = (Ledger, declare(Unit, lifetime="scoped"))


# --- finding the handler


class Named(Controller, prefix="/orders"):
    @get("/{key}")
    async def by_key(self, ctx: Context) -> str:
        return f"by_key {ctx.param('key')}"

    @get("/{id:int}")
    async def by_id(self, ctx: Context) -> dict[str, int]:
        return {"id": ctx.param("id")}

    @get("/latest")
    async def latest(self, ctx: Context) -> str:
        return "latest"

    @get("/{rest:path}")
    async def rest(self, ctx: Context) -> str:
        return f"rest {ctx.param('rest')}"

    @get("/{key}.json")
    async def as_json(self, ctx: Context) -> str:
        return f"as_json {ctx.param('key')}"

    @post("/{key}")
    async def change(self, ctx: Context) -> str:
        return f"change {ctx.param('key')}"

    @get("/")
    async def index(self, ctx: Context) -> str:
        return "index"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/orders", "index"),
        ("/orders/latest", "latest"),
        ("/orders/7", '{"id":7}'),
        ("/orders/egg", "by_key egg"),
        ("/orders/egg.json", "as_json egg"),
        ("/orders/a/b", "rest a/b"),
        ("/orders/" + "9" * 5000, "by_key " + "9" * 5000),
    ],
)
async def test_of_two_routes_that_fit_the_more_exact_wins(serve: Any, path: str, text: str) -> None:
    async with serve(Named) as client:
        response = await client.get(path)
    assert (response.status_code, response.text) == (200, text)


async def test_a_wider_route_with_the_method_answers_for_a_narrower_without(serve: Any) -> None:
    async with serve(Named) as client:
        assert (await client.post("/orders/latest")).text == "change latest"


async def test_a_slash_too_many_is_redirected(serve: Any) -> None:
    class Plain(Controller, prefix="/plain"):
        @post()
        async def create(self, ctx: Context) -> None: ...

    async with serve(Plain) as client:
        response = await client.post("/plain/")
    assert (response.status_code, response.headers["location"]) == (307, "http://test/plain")


async def test_an_unknown_route_is_404(serve: Any) -> None:
    async with serve() as client:
        response = await client.get("/nowhere")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.json() == {"type": "about:blank", "title": "Not Found", "status": 404}


async def test_a_wrong_method_is_405_with_all_that_would_do(serve: Any) -> None:
    class Reader(Controller, prefix="/things"):
        @get("/{id}")
        async def show(self, ctx: Context) -> None: ...

    class Writer(Controller, prefix="/things"):
        @put("/{key}")
        async def change(self, ctx: Context) -> None: ...

        @delete("/{key:int}")
        async def drop(self, ctx: Context) -> None: ...

    async with serve(Reader, Writer) as client:
        response = await client.post("/things/1")
        narrower = await client.post("/things/egg")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")
    assert response.json() == {
        "type": "about:blank",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "This path answers DELETE, GET, HEAD, PUT.",
    }
    assert narrower.headers["allow"] == "GET, HEAD, PUT"


async def test_options_of_a_fixed_path_is_405(serve: Any) -> None:
    async with serve(Named) as client:
        response = await client.options("/healthz")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


async def test_head_is_answered_by_get(serve: Any) -> None:
    async with serve(Named) as client:
        assert (await client.head("/orders")).status_code == 200


async def test_one_handler_may_answer_several_methods(serve: Any) -> None:
    class Many(Controller):
        @route("/many", methods=("PUT", "PATCH"))
        async def many(self, ctx: Context) -> str:
            return ctx.request.method

    async with serve(Many) as client:
        assert [(await client.put("/many")).text, (await client.patch("/many")).text] == ["PUT", "PATCH"]


async def test_two_handlers_of_one_route_are_refused_at_boot(serve: Any) -> None:
    class First(Controller, prefix="/a"):
        @get("/{id}")
        async def one(self, ctx: Context) -> None: ...

    class Second(Controller):
        @get("/a/{key}")
        async def two(self, ctx: Context) -> None: ...

    with pytest.raises(DuplicateRoute) as caught:
        async with serve(First, Second):
            pass
    assert str(caught.value) == (
        "GET /a/{id} of First.one and GET /a/{key} of Second.two are the same route. "
        "Change the method or the path of one of them."
    )


async def test_a_route_cannot_take_the_place_of_health(serve: Any) -> None:
    class Mine(Controller):
        @get("/healthz")
        async def mine(self, ctx: Context) -> None: ...

    with pytest.raises(DuplicateRoute) as caught:
        async with serve(Mine):
            pass
    assert (caught.value.first, caught.value.second) == ("goose.healthz", "Mine.mine")


async def test_a_routes_url_is_found_by_its_name(serve: Any) -> None:
    class Linked(Controller, prefix="/linked"):
        @get("/{id:int}")
        async def show(self, ctx: Context) -> str:
            with pytest.raises(NoMatchFound):
                ctx.request.url_for("Linked.other")
            return str(ctx.request.url_for("Linked.drop", id=7))

        @delete("/{id:int}")
        async def drop(self, ctx: Context) -> None: ...

    async with serve(Linked) as client:
        assert (await client.get("/linked/1")).text == "http://test/linked/7"


# --- scope and response


@dataclass
class Works(Controller, prefix="/works"):
    unit: Unit
    ledger: Ledger

    @post("/")
    async def create(self, ctx: Context) -> Response:
        dto = await ctx.bind(CreateOrder)
        self.ledger.note("handler")
        return ctx.status(201).json(dto)

    @post("/plain")
    def plain(self, ctx: Context) -> dict[str, object]:
        dto = anyio.from_thread.run(ctx.bind, CreateOrder)
        self.ledger.note("handler")
        ctx.status(201)
        return {"item": dto.item, "thread": threading.current_thread() is not threading.main_thread()}

    @get("/fails")
    async def fails(self, ctx: Context) -> None:
        raise ValueError("secret")

    @get("/plain/fails")
    def plain_fails(self, ctx: Context) -> None:
        raise HttpError(409, "taken")

    @get("/exits")
    async def exits(self, ctx: Context) -> None:
        raise SystemExit(3)

    @get("/plain/exits")
    def plain_exits(self, ctx: Context) -> None:
        raise SystemExit(3)

    @get("/commit")
    async def commit(self, ctx: Context) -> str:
        self.unit.fails = True
        return "never seen"

    @get("/odd")
    async def odd(self, ctx: Context) -> object:
        return object()

    @get("/stream")
    async def stream(self, ctx: Context) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            self.ledger.note("streaming")
            yield b"a"
            yield b"b"

        return StreamingResponse(lines(), 202)

    @get("/same")
    async def same(self, ctx: Context) -> dict[str, bool]:
        return {"unit": ctx.get(Unit) is self.unit, "scope": current_scope() is ctx.get(Scope)}

    @get("/plain/same")
    def plain_same(self, ctx: Context) -> dict[str, bool]:
        return {"unit": ctx.get(Unit) is self.unit, "scope": current_scope() is ctx.get(Scope)}

    @get("/late")
    def late(self, ctx: Context) -> object:
        async def answer() -> str:
            return "awaited"

        return answer()


@dataclass
class Probe:
    """Starlette middleware: notes when the response starts, and hands out the ledger."""

    app: Any
    ledger: list[Any]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Any) -> None:
            self.ledger[0].note(message["type"])
            await send(message)

        await self.app(scope, receive, noting)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def works(serve: Any, ledger: Ledger) -> Any:
    def start(**options: Any) -> Any:
        probe = Middleware(Probe, [ledger])
        return serve(Works, declare(Ledger, value=ledger), SERVICES[1], middleware=[probe], **options)

    return start


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/works", {"item": "egg"}), ("/works/plain", {"item": "egg", "thread": True})],
)
async def test_the_scope_ends_before_the_response_starts(works: Any, ledger: Ledger, path: str, answer: object) -> None:
    async with works() as client:
        response = await client.post(path, json={"item": "egg"})
    assert (response.status_code, response.json()) == (201, answer)
    assert ledger.events == ["handler", "commit", "http.response.start", "http.response.body"]


@pytest.mark.parametrize(
    ("path", "status", "ending"),
    [
        ("/works/fails", 500, "rollback ValueError"),
        ("/works/exits", 500, "rollback SystemExit"),
        ("/works/plain/exits", 500, "rollback SystemExit"),
        ("/works/plain/fails", 409, "rollback HttpError"),
        ("/works/odd", 500, "rollback UnknownReply"),
    ],
)
async def test_an_error_rolls_the_scope_back(works: Any, ledger: Ledger, path: str, status: int, ending: str) -> None:
    async with works() as client:
        response = await client.get(path)
    assert response.status_code == status
    assert ledger.events[0] == ending
    if status == 500:
        assert response.json() == UNEXPECTED


async def test_an_error_at_the_scopes_end_becomes_a_problem(
    works: Any, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    async with works() as client:
        response = await client.get("/works/commit")
    assert (response.status_code, response.json()) == (500, UNEXPECTED)
    assert caplog.records[-1].exc_info[1].args == ("commit failed",)  # type: ignore[index,union-attr]


async def test_a_value_that_cannot_be_sent_is_logged_with_its_handler(
    works: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with works() as client:
        await client.get("/works/odd")
    record = caplog.records[-1]
    assert record.__dict__["handler"] == "Works.odd"
    assert str(record.exc_info[1]).startswith("a handler returned a value of type object, which")  # type: ignore[index]


async def test_a_streaming_response_passes_as_it_is(works: Any, ledger: Ledger) -> None:
    async with works() as client:
        response = await client.get("/works/stream")
    assert (response.status_code, response.text) == (202, "ab")
    assert ledger.events[:3] == ["commit", "http.response.start", "streaming"]


@pytest.mark.parametrize("path", ["/works/same", "/works/plain/same"])
async def test_get_hands_out_what_lives_in_this_scope(works: Any, path: str) -> None:
    async with works() as client:
        assert (await client.get(path)).json() == {"unit": True, "scope": True}


async def test_what_a_plain_handler_returns_may_be_awaitable(works: Any) -> None:
    async with works() as client:
        assert (await client.get("/works/late")).text == "awaited"


async def test_every_request_has_a_scope_of_its_own(serve: Any) -> None:
    @dataclass
    class Own(Controller):
        unit: Unit

        @get("/own")
        async def own(self, ctx: Context) -> str:
            self.unit.ledger.note(str(id(self.unit)))
            seen.append(self.unit)
            return "ok"

    seen: list[Unit] = []
    async with serve(Own, *SERVICES) as client:
        await asyncio.gather(*(client.get("/own") for _ in range(10)))
    assert len({id(unit) for unit in seen}) == 10


class Session:
    pass


async def test_a_controller_that_async_code_feeds(serve: Any) -> None:
    async def open_session() -> AsyncIterator[Session]:
        yield Session()

    class Fed(Controller):
        def __init__(self, session: Session) -> None:
            self.session = session

        @get("/fed")
        async def fed(self, ctx: Context) -> dict[str, bool]:
            return {"same": ctx.get(Session) is self.session}

    async with serve(Fed, declare(Session, factory=open_session, lifetime="scoped")) as client:
        assert (await client.get("/fed")).json() == {"same": True}


# --- body limit


class Taker(Controller):
    @post("/take")
    async def take(self, ctx: Context) -> int:
        raise AssertionError(await ctx.bind(CreateOrder))

    @post("/ignore")
    async def ignore(self, ctx: Context) -> str:
        return "ignored"


TOO_LARGE = {
    "type": "about:blank",
    "title": "Content Too Large",
    "status": 413,
    "detail": "The body is larger than 8 bytes.",
}


@pytest.mark.parametrize("path", ["/take", "/ignore"])
async def test_a_body_that_says_it_is_too_large_is_413(serve: Any, path: str) -> None:
    async with serve(Taker, max_body_size=8) as client:
        response = await client.post(path, json={"item": "egg"})
    assert (response.status_code, response.json()) == (413, TOO_LARGE)


async def test_a_body_in_chunks_is_413_once_it_is_too_large(serve: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"item"'
        yield b':"egg"}'

    async with serve(Taker, max_body_size=8) as client:
        response = await client.post("/take", content=chunks(), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (413, TOO_LARGE)


# --- time


@dataclass
class Slow(Controller, prefix="/slow"):
    unit: Unit
    ledger: Ledger

    @get("/async")
    async def waits(self, ctx: Context) -> None:
        await asyncio.Event().wait()

    @get("/thread")
    def blocks(self, ctx: Context) -> str:
        self.ledger.note("handler")
        RELEASE.wait(10)
        return "too late"

    @get("/own")
    async def own(self, ctx: Context) -> None:
        raise TimeoutError("mine")


RELEASE = threading.Event()


async def test_a_handler_over_the_time_limit_is_503_and_rolled_back(serve: Any, ledger: Ledger) -> None:
    async with serve(Slow, declare(Ledger, value=ledger), SERVICES[1], timeout=0.01) as client:
        response = await client.get("/slow/async")
    assert (response.status_code, response.json()) == (503, TOO_LONG)
    assert ledger.events == ["rollback HandlerTimeout"]


async def test_a_thread_over_the_time_limit_keeps_its_scope_until_it_comes_back(serve: Any, ledger: Ledger) -> None:
    RELEASE.clear()
    try:
        async with serve(Slow, declare(Ledger, value=ledger), SERVICES[1], timeout=0.05) as client:
            response = await client.get("/slow/thread")
            assert (response.status_code, response.json()) == (503, TOO_LONG)
            assert ledger.events == ["handler"]
            ledger.changed.clear()
            RELEASE.set()
            await asyncio.wait_for(ledger.changed.wait(), 10)
            assert ledger.events == ["handler", "rollback _GivenUp"]
    finally:
        RELEASE.set()


class Waits:
    async def check(self, ctx: Context) -> None:
        await asyncio.Event().wait()


class Late(Controller, prefix="/late"):
    @get("/guard", guards=(Waits,))
    def guarded(self, ctx: Context) -> None:
        raise AssertionError

    @get("/error")
    def error(self, ctx: Context) -> None:
        RELEASE.wait(10)
        raise ValueError("late")


async def test_a_guard_over_the_time_limit_keeps_a_plain_handler_from_running(serve: Any) -> None:
    async with serve(Late, timeout=0.01) as client:
        response = await client.get("/late/guard")
    assert (response.status_code, response.json()) == (503, TOO_LONG)


async def test_an_error_after_the_answer_is_logged(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    RELEASE.clear()
    try:
        async with serve(Late, timeout=0.5) as client:  # by then the handler has begun
            assert (await client.get("/late/error")).status_code == 503
            RELEASE.set()
            await wait_until(lambda: len(caplog.records) == 2)
    finally:
        RELEASE.set()
    assert caplog.records[1].getMessage() == "a handler failed after its request had been given up"
    assert caplog.records[1].exc_info[1].args == ("late",)  # type: ignore[index,union-attr]


async def test_a_thread_that_nobody_waits_for_any_more_is_not_started() -> None:
    fate = _Fate()
    task = asyncio.create_task(asyncio.Event().wait())
    fate.give_up(task)  # type: ignore[arg-type]
    with pytest.raises(_GivenUp):
        fate.call(lambda *_: None, object(), None)  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_websocket_is_refused(serve: Any) -> None:
    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    async with serve(Named) as client:
        await client._transport.app({"type": "websocket", "path": "/orders"}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


async def test_an_application_below_a_root_path(serve: Any) -> None:
    async with serve(Named) as client:
        client._transport.root_path = "/api"
        assert [(await client.get(p)).text for p in ("/api/orders/latest", "/api/orders/a")] == ["latest", "by_key a"]


async def test_a_timeout_of_the_handlers_own_is_its_own_error(serve: Any) -> None:
    async with serve(Slow, *SERVICES, timeout=10) as client:
        response = await client.get("/slow/own")
    assert (response.status_code, response.json()) == (500, UNEXPECTED)


async def test_a_request_that_is_cancelled_is_rolled_back(serve: Any, ledger: Ledger) -> None:
    class Entered(Controller):
        def __init__(self, unit: Unit) -> None:
            self.unit = unit

        @get("/entered")
        async def entered(self, ctx: Context) -> None:
            self.unit.ledger.note("handler")
            await asyncio.Event().wait()

    async with serve(Entered, declare(Ledger, value=ledger), SERVICES[1]) as client:
        request = asyncio.create_task(client.get("/entered"))
        await asyncio.wait_for(ledger.changed.wait(), 10)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert ledger.events == ["handler", "rollback CancelledError"]


async def test_a_client_that_goes_away_gets_nothing(serve: Any, ledger: Ledger) -> None:
    class Gone(Controller):
        def __init__(self, unit: Unit) -> None:
            self.unit = unit

        @post("/gone")
        async def gone(self, ctx: Context) -> None:
            raise ClientDisconnect

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    http = {"type": "http", "method": "POST", "path": "/gone", "query_string": b"", "headers": []}
    async with serve(Gone, declare(Ledger, value=ledger), SERVICES[1]) as client:
        await client._transport.app(http, None, send)
    assert (sent, ledger.events) == ([], ["rollback ClientDisconnect"])


# --- guards


@dataclass
class Gate:
    unit: Unit

    async def check(self, ctx: Context) -> None:
        self.unit.ledger.note(type(self).__name__)
        if ctx.header("x-stop") == type(self).__name__:
            raise HttpError(401, "not signed in", headers={"WWW-Authenticate": "Bearer"})


class PlatformGate(Gate):
    pass


class ControllerGate(Gate):
    pass


class MethodGate(Gate):
    pass


@dataclass
class Guarded(Controller, guards=(ControllerGate,)):
    unit: Unit

    @get("/guarded", guards=(MethodGate, ControllerGate, PlatformGate))
    async def guarded(self, ctx: Context) -> dict[str, bool]:
        self.unit.ledger.note("handler")
        return {"same": ctx.get(MethodGate).unit is self.unit}


async def test_guards_are_checked_from_the_outside_in_within_the_scope(serve: Any, ledger: Ledger) -> None:
    declared = (Guarded, declare(Ledger, value=ledger), SERVICES[1])
    async with serve(*declared, guards=(PlatformGate,)) as client:
        response = await client.get("/guarded")
    assert (response.status_code, response.json()) == (200, {"same": True})
    assert ledger.events == ["PlatformGate", "ControllerGate", "MethodGate", "handler", "commit"]


async def test_a_guard_that_refuses_keeps_the_handler_from_running(serve: Any, ledger: Ledger) -> None:
    declared = (Guarded, declare(Ledger, value=ledger), SERVICES[1])
    async with serve(*declared, guards=(PlatformGate,)) as client:
        response = await client.get("/guarded", headers={"X-Stop": "ControllerGate"})
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert response.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "not signed in",
    }
    assert ledger.events == ["PlatformGate", "ControllerGate", "rollback HttpError"]


async def test_a_guard_may_be_declared_by_the_module_itself(serve: Any) -> None:
    class Strict(Gate):
        async def check(self, ctx: Context) -> None:
            raise HttpError(403)

    class Mine(Controller):
        @get("/mine", guards=(Gate,))
        async def mine(self, ctx: Context) -> None: ...

    async with serve(Mine, declare(Gate, Strict, lifetime="scoped"), *SERVICES) as client:
        assert (await client.get("/mine")).status_code == 403


async def test_nothing_is_looked_up_for_a_request(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(Named) as client:
        monkeypatch.setattr(Kernel, "view", None)
        monkeypatch.setattr(Kernel, "declared", None)
        monkeypatch.delattr(Named, "latest")
        assert (await client.get("/orders/latest")).text == "latest"
