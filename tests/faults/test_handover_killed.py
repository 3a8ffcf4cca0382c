"""A process that is killed between two nodes of a cluster: what one queue has to tell another comes there, once."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import goose
from faults.paused import Abroad, Step, application
from fleet import Fleet
from goose_queues import BatchHandle, ChainHandle, Client
from goose_queues.stores.redis.cluster import SLOTS, slot_of
from quick_fleet import QuickFleet
from servers.several import Several, several
from several_hand import SeveralHand
from waiting import wait_until

POINTS = ("handover.sent", "handover.delivered")
CHAINS, LINKS, MEMBERS = 4, 4, 8
WAITING = """
local found = 0
for _, index in ipairs(redis.call('KEYS', '*:index')) do
  found = found + redis.call('ZLEXCOUNT', index, '[o\\n', '(o\\n\\255')
end
return found
"""


@pytest.fixture
def cluster() -> Several:
    nodes = [slot_of(f"{{{queue}}}") * 3 // SLOTS for queue in ("default", "abroad")]
    assert nodes == [1, 0], "the two queues are to be on different nodes"
    return several("cluster")


@pytest.fixture
def fleet(tmp_path: Path, cluster: Several) -> Iterator[Fleet]:
    fleet = QuickFleet(tmp_path, "faults.paused", url=cluster.url, hand=SeveralHand(cluster))
    yield fleet
    fleet.end()


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_is_killed_on_the_way(fleet: Fleet, cluster: Several, point: str, number: int) -> None:
    """Each link has one successor, each callback is called once, and only what was in flight runs twice."""
    app = application(fleet.url, fleet.ledger.path)
    async with goose.running(app) as kernel:
        chains, batch = await dispatched(kernel.get(Client))
        victim = fleet.start(point, str(number), "SIGKILL")
        await wait_until(lambda: victim.poll() is not None)
        assert victim.returncode == -signal.SIGKILL, fleet.log.read_text()
        assert waiting(cluster) > 0, "nothing was on its way"
        in_flight = fleet.hand.lapse()
    async with goose.running(app, background=True) as kernel:
        await wait_until(fleet.is_over)
        progress = await kernel.get(Client).get_batch(batch.id)
        assert (progress.completed, progress.failed, progress.cancelled) == (MEMBERS, 0, 0)
    check_runs(fleet, chains, twice=in_flight)
    assert waiting(cluster) == 0


@pytest.mark.parametrize("point", POINTS)
async def test_a_dispatcher_is_killed_on_the_way(fleet: Fleet, cluster: Several, point: str) -> None:
    """What it had dispatched to several queues is there, all of it."""
    app = application(fleet.url, fleet.ledger.path)
    victim = fleet.start(point, "1", "SIGKILL", "dispatch")
    await wait_until(lambda: victim.poll() is not None)
    assert victim.returncode == -signal.SIGKILL, fleet.log.read_text()
    assert waiting(cluster) > 0, "nothing was on its way"
    async with goose.running(app, background=True):
        await wait_until(fleet.is_over)
    labels = Counter(str(entry.note) for entry in fleet.ledger.read() if entry.event == "end")
    assert labels == dict.fromkeys(map(str, range(LINKS)), 1)
    assert waiting(cluster) == 0


async def dispatched(queue: Client) -> tuple[list[ChainHandle], BatchHandle]:
    """Chains and a batch, each on both nodes."""
    kinds = (Step, Abroad)
    chains = [
        await queue.chain(*(kinds[(chain + link) % 2](label=f"{chain}.{link}") for link in range(LINKS))).dispatch()
        for chain in range(CHAINS)
    ]
    batch = queue.batch(kinds[number % 2](label="member") for number in range(MEMBERS))
    return chains, await batch.then(Abroad(label="then")).finally_(Step(label="finally")).dispatch()


def check_runs(fleet: Fleet, chains: list[ChainHandle], *, twice: set[str]) -> None:
    jobs = fleet.hand.jobs()
    assert {job.status for job in jobs} == {"completed"}
    assert len(jobs) == CHAINS * LINKS + MEMBERS + 2
    starts, ends = fleet.ledger.by_job("start"), fleet.ledger.by_job("end")
    assert starts.keys() == {job.id for job in jobs}
    assert {job for job, entries in starts.items() if len(entries) > 1} <= twice
    for chain in chains:
        for before, after in zip(chain.ids, chain.ids[1:], strict=False):
            assert ends[before][-1].at <= starts[after][0].at
    called = Counter(job.role for job in jobs if job.role != "member")
    assert (called["then"], called["finally"]) == (1, 1)


def waiting(cluster: Several) -> int:
    """Messages that are on their way from one queue to another."""
    return sum(int(primary.ask("EVAL", WAITING, 0)) for primary in cluster.primaries())
