"""Dispatches inside transactions, half of them rolled back, over HTTP against a server that works on them meanwhile."""

from __future__ import annotations

import asyncio

from fleet import Fleet
from servers.shared import driver_of
from soak import size
from waiting import wait_until

EACH = size(300, 1000)


async def test_exactly_the_committed_ones_run(fleet: Fleet) -> None:
    """Of dispatches joined by themselves or with .using, the committed ones run, and none before its commit.

    On Redis they are sent after it, and .using is refused.
    """
    committed: set[str] = set()
    ways = ("joined",) if driver_of(fleet.url) == "redis" else ("joined", "using")
    turns = asyncio.Semaphore(50)
    async with fleet.serve(workers=8) as http:

        async def one(way: str, number: int) -> None:
            fails = number % 2 == 1
            async with turns:
                answer = await http.post(f"/{way}/{way}-{number}", params={"fail": "1"} if fails else {})
            assert answer.status_code == (409 if fails else 204), answer.text
            if not fails:
                committed.add(f"{way}-{number}")

        await asyncio.gather(*(one(way, number) for way in ways for number in range(EACH)))
        await wait_until(lambda: len(fleet.ledger.by_job("end")) >= len(committed), deadline=60)
        stats = (await http.get("/stats")).json()["payments"]
    ran = fleet.ledger.by_job("end")
    assert set(ran) == committed
    assert len(committed) == len(ways) * (EACH // 2)
    assert all([entry.note for entry in entries] == [True] for entries in ran.values())
    assert stats[0] == 0
