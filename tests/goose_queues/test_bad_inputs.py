"""The table of bad inputs: what is wrong, where it is put in, and the error that it gets. One case is one row's input.

The cases stand in ``bad_inputs``, by the place where the input comes in. Each shows besides that nothing was stored but what
it says, and that the workers go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
import pytest_asyncio

import goose
from bad_inputs import at_boot, at_dispatch, by_hand, by_hand_on_redis, while_running
from bad_inputs.case import Bench, Case
from bad_inputs.jobs import DECLARED, Good
from goose import Module
from goose_queues import QueuesModule
from hand import hand_in
from servers.shared import SERVERS, room

ROWS = range(1, 65)
CASES = sorted(
    (*at_dispatch.CASES, *at_boot.CASES, *while_running.CASES, *by_hand.CASES, *by_hand_on_redis.CASES),
    key=lambda case: (case.row, case.what),
)
ELSEWHERE = {
    47: "unique keys are not there yet",
    50: "the dashboard is not there yet",
    64: "names for `goose new`: tests/goose/commands",
}


class BadInputsModule(Module):
    declarations = DECLARED


@pytest.fixture(scope="module", params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('bad_inputs')}/queue.db"
        return
    ours = room(request.param)
    ours.clear()
    yield ours.url.render_as_string(hide_password=False)
    ours.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    app = goose.worker(BadInputsModule, [QueuesModule(url=url, stale_job_timeout=5, auto_migrate=True)])
    async with goose.running(app, background=True) as kernel:
        with closing(hand_in(url)) as hand:
            yield Bench(kernel, url, tmp_path_factory.mktemp("others"), hand)


@pytest.fixture
def bench(running: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Bench:
    running.log, running.patch = caplog, monkeypatch
    return running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_row(case: Case, bench: Bench) -> None:
    if bench.place not in case.places:
        pytest.skip("another kind of store has such an input")
    before = bench.hand.count()
    await case.show(bench)
    assert bench.hand.count() - before == case.stores
    assert await (await bench.queue.dispatch(Good())).result(timeout=30) == 42


def test_every_row_is_shown_once_here_or_is_named_with_its_reason() -> None:
    assert {case.row for case in CASES} | set(ELSEWHERE) == set(ROWS)
    assert {case.row for case in CASES} & set(ELSEWHERE) == set()
    assert len({case.id for case in CASES}) == len(CASES)
