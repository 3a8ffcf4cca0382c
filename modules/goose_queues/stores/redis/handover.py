"""From one queue to another: what a script has to bring about elsewhere is handed over here.

A message stays with its sender until the other queue has acted on it. If this process dies in between, or a server does not
answer, whoever looks for expired leases next hands it over; the other queue acts on each message once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from goose_queues import pausing
from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.slots import Slots

log = logging.getLogger("goose_queues.store")

MANY: Final = 100
"""Messages that go together."""
BYTES: Final = 256 * 1024
"""Of them, unless one has more: what comes of them is one script."""


async def hand_over(slots: Slots, source: str, sent: Sequence[str]) -> frozenset[str]:
    """Bring to their queues what a script of ``source`` has sent; the queues that have something to claim thereby."""
    by_target: dict[str, list[str]] = {}
    for target, number, text in zip(sent[::3], sent[1::3], sent[2::3], strict=True):
        by_target.setdefault(target, []).extend((number, text))
    if by_target:
        pausing.reached("handover.sent")
    reached: set[str] = set()
    for target, messages in by_target.items():
        reached |= await deliver(slots, source, target, messages)
    return frozenset(reached)


async def deliver(slots: Slots, source: str, target: str, messages: Sequence[str] = ()) -> frozenset[str]:
    """The same as ``sweep``; what cannot be brought now comes later."""
    try:
        return await sweep(slots, source, target, messages)
    except StoreUnavailable as error:
        log.warning("what %s has to tell %s is brought there later: %s", source, target, error)
        return frozenset()


async def sweep(slots: Slots, source: str, target: str, messages: Sequence[str] = ()) -> frozenset[str]:
    """Bring these to a queue, and everything else that waits for it; raises where it cannot be brought."""
    reached: set[str] = set()
    heard, waiting, is_first = "0", list(messages), False
    while True:
        if waiting:
            heard, has_news, sent = await slots.run(target, "deliver", source, int(is_first), *waiting)
            pausing.reached("handover.delivered")
            reached |= {target} if has_news else set()
            reached |= await hand_over(slots, target, sent)
        # Nothing was heard where others come before; else what was heard is forgotten, and what is left is next.
        waiting = await slots.run(source, "outbox", target, heard, MANY, BYTES)
        if not waiting:
            return frozenset(reached)
        is_first = True
