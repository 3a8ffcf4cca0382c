"""What the checker calls wrong, and what it does not: one small history for each rule, and one that just keeps to it."""

from __future__ import annotations

from typing import Any

import pytest

from checker import Batch, Dispatched, Ending, Fault, History, Kind, attempts_in_flight, check
from ledger import Entry, Outcome

LEASE = 10.0
A, B, C = "a", "b", "c"
DONE = Ending("completed", 1)
AGAIN = Ending("completed", 2)
FAILED = Ending("failed", 1)
CANCELLED = Ending("cancelled", 0)


def ran(
    job: str, begun: float, ended: float | None, outcome: Outcome = "returned", *, attempt: int = 1, pid: int = 1
) -> list[Entry]:
    """An attempt, from second to second."""
    start = Entry("start", job, attempt, pid, begun)
    return [start] if ended is None else [start, Entry("end", job, attempt, pid, ended, outcome=outcome)]


def read(job: str, at: float, status: str, pid: int = 9) -> list[Entry]:
    return [Entry("seen", job, 0, pid, at, status)]


def killed(at: float, pid: int = 1) -> Fault:
    return Fault(pid, at, over=at, killed=True)


def history(*entries: list[Entry], **facts: Any) -> History:
    """Jobs that the store knows are dispatched, unless ``dispatched`` says more of them."""
    endings = facts.pop("endings", {A: DONE})
    dispatched = dict.fromkeys(endings, Dispatched()) | facts.pop("dispatched", {})
    return History(dispatched, [entry for each in entries for entry in each], endings, LEASE, **facts)


once = ran(A, 1, 2)
cut_off = ran(A, 1, None)
second = ran(A, 12, 13, attempt=2, pid=2)
chain = {"chains": [[A, B, C]]}
three = {A: DONE, B: DONE, C: DONE}


def batch(role: Any, *callbacks: str) -> dict[str, Any]:
    return {"batches": [Batch((A, B), {role: callbacks})]}


WRONG: dict[str, tuple[Kind, History]] = {
    "acknowledged and gone": ("lost", history(dispatched={A: Dispatched()}, endings={})),
    "not over at the end": ("unfinished", history(once, endings={A: Ending("processing", 1)})),
    "dispatched by nobody": ("unknown", history(once, ran(B, 1, 2))),
    "completed, and never ran": ("no end", history()),
    "completed, and failed": ("no end", history(ran(A, 1, 2, "raised"))),
    "completed in an attempt that was cut off": ("no end", history(once, second[:1], endings={A: AGAIN})),
    "failed without a reason": ("no reason", history(once, endings={A: FAILED})),
    "cancelled without a reason": ("no reason", history(endings={A: CANCELLED})),
    "twice without a fault": ("double", history(once, second, endings={A: AGAIN})),
    "twice, another was killed": ("double", history(once, second, endings={A: AGAIN}, faults=[killed(3, pid=3)])),
    "again before the lease was over": (
        "double",
        history(cut_off, ran(A, 9, 10, attempt=2, pid=2), endings={A: AGAIN}, faults=[killed(3)]),
    ),
    "again long after it had returned": (
        "double",
        history(once, ran(A, 52, 53, attempt=2, pid=2), endings={A: AGAIN}, faults=[killed(40)]),
    ),
    "interrupted by nobody": ("double", history(ran(A, 1, 2, "interrupted"), second, endings={A: AGAIN})),
    "beside itself": ("overlap", history(ran(A, 1, 20), second, endings={A: AGAIN})),
    "beside one that was never heard of again": ("overlap", history(cut_off, second, endings={A: AGAIN})),
    "again after the store was away for a moment": (
        "double",
        history(once, second, endings={A: AGAIN}, faults=[Fault(1, 2, over=3)]),
    ),
    "beside a frozen one that has its lease": (
        "overlap",
        history(ran(A, 1, 20), ran(A, 9, 10, attempt=2, pid=2), endings={A: AGAIN}, faults=[Fault(1, 2)]),
    ),
    "a number twice": ("attempts", history(cut_off, ran(A, 12, 13, pid=2), faults=[killed(3)])),
    "a number below": (
        "attempts",
        history(ran(A, 1, 2, "raised", attempt=2), ran(A, 3, 4), endings={A: DONE}),
    ),
    "counted less than ran": ("attempts", history(cut_off, second, faults=[killed(3)])),
    "run after it was read as completed": (
        "after completed",
        history(once, read(A, 3, "completed"), second, endings={A: AGAIN}, faults=[killed(3)]),
    ),
    "read as something else after that": (
        "after completed",
        history(once, read(A, 3, "completed"), read(A, 4, "processing")),
    ),
    "ended as something else after that": (
        "after completed",
        history(ran(A, 1, 2, "raised"), read(A, 3, "completed"), endings={A: FAILED}),
    ),
    "before its time": ("early", history(once, dispatched={A: Dispatched(due_at=1.000001)})),
    "again before its delay": (
        "early retry",
        history(
            ran(A, 1, 2, "raised"),
            ran(A, 4, 5, attempt=2),
            endings={A: AGAIN},
            dispatched={A: Dispatched(retry_delay=2.1)},
        ),
    ),
    "a link before its time": (
        "chain order",
        history(ran(A, 1, 3), ran(B, 2, 4), ran(C, 5, 6), endings=three, **chain),
    ),
    "a link behind one that failed": (
        "chain order",
        history(ran(A, 1, 2, "raised"), ran(B, 3, 4), endings={A: FAILED, B: DONE, C: CANCELLED}, **chain),
    ),
    "a link again when the next had begun": (
        "chain order",
        history(
            once,
            ran(B, 3, 30, pid=2),
            second,
            ran(C, 31, 32),
            endings={**three, A: AGAIN},
            faults=[killed(2.5)],
            **chain,
        ),
    ),
    "two links at once": ("two successors", history(once, ran(B, 3, 5), ran(C, 4, 6), endings=three, **chain)),
    "a chain that stopped": ("lost", history(once, endings={A: DONE, B: CANCELLED, C: CANCELLED}, **chain)),
    "no callback": ("callback missing", history(once, ran(B, 1, 2), endings={A: DONE, B: DONE}, **batch("then"))),
    "a callback that was stored and did not run": (
        "callback missing",
        history(once, ran(B, 1, 2), endings={A: DONE, B: DONE}, **batch("finally", C)),
    ),
    "two callbacks": (
        "callback twice",
        history(once, ran(B, 1, 2), ran(C, 3, 4), endings=three, **batch("then", C, "d")),
    ),
    "a callback before the last member": (
        "callback early",
        history(once, ran(B, 1, 4), ran(C, 3, 5), endings=three, **batch("then", C)),
    ),
    "catch before anything had failed": (
        "callback early",
        history(once, ran(B, 1, 4, "raised"), ran(C, 3, 5), endings={**three, B: FAILED}, **batch("catch", C)),
    ),
    "then although one has failed": (
        "callback uncalled",
        history(once, ran(B, 1, 2, "raised"), ran(C, 3, 5), endings={**three, B: FAILED}, **batch("then", C)),
    ),
    "more than the limit": ("limit", history(once, ran(B, 1.5, 3), endings={A: DONE, B: DONE}, limits={"default": 1})),
    "the slot of a dead one": (
        "limit",
        history(cut_off, ran(B, 5, 6), second, endings={A: AGAIN, B: DONE}, faults=[killed(3)], limits={"default": 1}),
    ),
}

RIGHT: dict[str, History] = {
    "once": history(once, read(A, 3, "completed"), dispatched={A: Dispatched(due_at=1.0)}),
    "not acknowledged and not there": history(dispatched={A: Dispatched(acknowledged=False)}, endings={}),
    "again after a kill": history(cut_off, second, endings={A: AGAIN}, faults=[killed(3)]),
    "again because the end was not written": history(once, second, endings={A: AGAIN}, faults=[killed(2.5)]),
    "again beside a frozen one": history(ran(A, 1, 20), second, endings={A: AGAIN}, faults=[Fault(1, 2, over=20)]),
    "again after the store was away for long": history(once, second, endings={A: AGAIN}, faults=[Fault(1, 2, over=4)]),
    "again when a hand had ended the lease": history(
        cut_off, ran(A, 4, 5, attempt=2), endings={A: AGAIN}, faults=[Fault(1, 2, 2, killed=True, leases_end=3)]
    ),
    "a retry": history(
        ran(A, 1, 2, "raised"), ran(A, 4, 5, attempt=2), endings={A: AGAIN}, dispatched={A: Dispatched(retry_delay=2)}
    ),
    "given back, attempt refunded": history(ran(A, 1, 2, "interrupted"), ran(A, 3, 4, pid=2)),
    "failed by its handler": history(ran(A, 1, 2, "raised"), endings={A: FAILED}),
    "failed by three deaths": history(
        cut_off,
        ran(A, 12, None, attempt=2, pid=2),
        ran(A, 23, None, attempt=3, pid=3),
        endings={A: Ending("failed", 3)},
        faults=[killed(3), killed(14, pid=2), killed(25, pid=3)],
    ),
    "a chain": history(once, ran(B, 2, 3), ran(C, 3, 4), endings=three, **chain),
    "a chain that was broken": history(
        once, ran(B, 2, 3, "raised"), endings={A: DONE, B: FAILED, C: CANCELLED}, **chain
    ),
    "a chain with a kill": history(
        cut_off, second, ran(B, 13, 14), ran(C, 14, 15), endings={**three, A: AGAIN}, faults=[killed(3)], **chain
    ),
    "then": history(once, ran(B, 1, 2), ran(C, 2, 3), endings=three, **batch("then", C)),
    "catch before the others have ended": history(
        ran(A, 1, 9), ran(B, 1, 2, "raised"), ran(C, 3, 5), endings={**three, B: FAILED}, **batch("catch", C)
    ),
    "no catch": history(once, ran(B, 1, 2), endings={A: DONE, B: DONE}, **batch("catch")),
    "within the limit": history(once, ran(B, 2, 3), endings={A: DONE, B: DONE}, limits={"default": 1}),
    "the slot of a dead one, when its lease is over": history(
        cut_off, ran(B, 11, 11.5), second, endings={A: AGAIN, B: DONE}, faults=[killed(3)], limits={"default": 1}
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str) -> None:
    kind, told = WRONG[case]
    assert kind in {violation.kind for violation in check(told)}


@pytest.mark.parametrize("case", RIGHT)
def test_right(case: str) -> None:
    assert check(RIGHT[case]) == []


def test_every_kind_is_shown() -> None:
    assert {kind for kind, _ in WRONG.values()} == set(Kind.__args__)


def test_attempts_in_flight() -> None:
    """Those that a kill cut off count, and neither those that had ended nor those of other processes."""
    told = history(cut_off, ran(B, 1, 2), ran(C, 1, None, pid=2), faults=[killed(3), killed(5, pid=2), Fault(4, 1)])
    assert attempts_in_flight(told) == [1, 1]
