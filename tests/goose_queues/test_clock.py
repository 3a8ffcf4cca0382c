from __future__ import annotations

from datetime import UTC, datetime, timedelta

from goose_queues.clock import Clock


def test_the_clock_is_the_systems_until_a_test_moves_it() -> None:
    clock = Clock()
    before = datetime.now(UTC)

    assert before <= clock.now() <= datetime.now(UTC)

    clock.offset += 3600

    assert before + timedelta(hours=1) <= clock.now() <= datetime.now(UTC) + timedelta(hours=1)
    assert clock.now().tzinfo is UTC
