from __future__ import annotations

import threading
import time
import uuid

import pytest

from goose_queues import ids


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(ids.new_id())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before - 1000 <= made.int >> 80 <= before + 60_000


def test_ids_grow_within_a_process() -> None:
    made = [ids.new_id() for _ in range(5000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_of_several_threads_differ_and_grow_in_each() -> None:
    made: list[list[str]] = []

    def make() -> None:
        made.append([ids.new_id() for _ in range(2000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({job_id for one in made for job_id in one}) == 8000
    assert all(one == sorted(one) for one in made)


def test_ids_grow_over_a_clock_that_goes_back_and_a_counter_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.new_id()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
    second = ids.new_id()
    monkeypatch.setattr(ids, "_counter", (1 << ids.COUNTER_BITS) - 1)
    full = ids.new_id()

    assert first < second < full
    assert uuid.UUID(full).version == 7
