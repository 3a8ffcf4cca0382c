"""Giving jobs of dead workers back, queue by queue, and handing over what a crash has left on the way."""

from __future__ import annotations

from goose_queues.errors import StoreUnavailable
from goose_queues.record import ErrorRecord, Rescued
from goose_queues.stores.redis.handover import hand_over, sweep
from goose_queues.stores.redis.slots import Slots
from goose_queues.stores.text import error_text


async def rescue(slots: Slots, limit: int, max_deaths: int) -> Rescued:
    """Give back at most ``limit`` jobs whose lease has ended; a node that does not answer keeps none of another waiting.

    Raises:
        StoreUnavailable: One of them did not, and nothing was found elsewhere.
    """
    rescued, fault = Rescued(0, 0, frozenset()), None
    for queue in await slots.look():
        left = limit - rescued.returned - rescued.failed - rescued.cancelled
        if left <= 0:
            break
        try:
            found = await _rescue(slots, queue, left, max_deaths)
        except StoreUnavailable as error:
            fault = fault or error
            continue
        rescued = Rescued(
            rescued.returned + found.returned,
            rescued.failed + found.failed,
            rescued.queues | found.queues,
            rescued.cancelled + found.cancelled,
        )
    if fault is not None and rescued == Rescued(0, 0, frozenset()):
        raise fault
    return rescued


async def _rescue(slots: Slots, queue: str, limit: int, max_deaths: int) -> Rescued:
    # The script puts the number of deaths between the two.
    before, after = error_text(ErrorRecord("WorkerDied", "worker died \0 times", "")).split("\\u0000")
    returned, failed, cancelled, has_news, waiting, sent = await slots.run(
        queue, "rescue", limit, max_deaths, before, after
    )
    news = await hand_over(slots, queue, sent)
    for target in waiting:
        news |= await sweep(slots, queue, target)
    return Rescued(returned, failed, news | {queue} if has_news else news, cancelled)
