"""``goose queue bench``: how fast the application's store is, beside what that store can do by itself."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version
from typing import Annotated, Final

import typer

from goose.commands import Table, application, progress, say, say_json, show
from goose.serving import stop_signals
from goose_queues.bench.ground import ground_of, settings_of
from goose_queues.bench.measure import measure
from goose_queues.bench.report import Latency, Plan, Report, Step
from goose_queues.bench.work import SMALLEST
from goose_queues.config import MAX_PAYLOAD, MAX_SLOTS, Settings
from goose_queues.redact import one_line

STEPS: Final[dict[Step, str]] = {
    "dispatch": "dispatch, one by one",
    "dispatch_together": "dispatch, 100 tasks at once",
    "dispatch_many": "dispatch_many, 1,000 jobs each",
    "drain": "drain: claim, run, settle",
}


def bench(
    ctx: typer.Context,
    jobs: Annotated[int, typer.Option(min=50, max=10_000_000, help="No-op jobs that are dispatched and run.")] = 10_000,
    concurrency: Annotated[int, typer.Option(min=1, max=MAX_SLOTS, help="Concurrent jobs of the workers.")] = 100,
    payload: Annotated[int, typer.Option(min=SMALLEST, max=MAX_PAYLOAD, help="Bytes of JSON of each job.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Measure the store with no-op jobs, beside what it can do by itself; nothing is left behind.

    Whatever else keeps the store busy meanwhile is in the figures: workers of the application above all.
    """
    settings = settings_of(application(ctx).new_kernel().modules)
    report = asyncio.run(_measured(settings, Plan(jobs, concurrency, payload)))
    if as_json:
        say_json({**_versions(), **report.plain()})
    else:
        _say(report)


async def _measured(settings: Settings, plan: Plan) -> Report:
    """Measure until it is done, or until a signal comes: then everything is removed, and a second signal ends at once.

    Raises:
        typer.Abort: A signal came.
    """
    stopping = asyncio.Event()
    with stop_signals(stopping):
        working = asyncio.create_task(measure(settings, ground_of(settings), plan, progress))
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not working.done():
            working.cancel()
        try:
            return await working
        except asyncio.CancelledError:
            raise typer.Abort from None


def _say(report: Report) -> None:
    plan, facts = report.plan, dict(report.facts)
    server = facts.pop("server")
    durable = ", ".join(f"{name}={value}" for name, value in facts.items())
    say(one_line(f"{server} ({durable}) at {report.url}"))
    say(", ".join(f"{name} {number}" for name, number in _versions().items()))
    say(
        f"{plan.jobs:,} jobs of {plan.payload:,} bytes, {plan.concurrency:,} at once; "
        f"medians of {report.rounds} rounds in turn with the store's plainest statements"
    )
    say()
    rates = [
        (STEPS[step], f"{rate.goose:,.0f}/s", f"{rate.raw:,.0f}/s", f"{rate.ratio:.0%}")
        for step, rate in report.rates.items()
    ]
    show(Table(("rate", "goose", "raw", "ratio"), rates, ("goose", "raw", "ratio")))
    say()
    late = [
        ("dispatch to start, idle worker", *_milliseconds(report.latency)),
        ("raw: store and claim", *_milliseconds(report.raw_latency)),
    ]
    show(Table(("latency", "p50", "p95", "p99"), late, ("p50", "p95", "p99")))


def _milliseconds(latency: Latency) -> tuple[str, str, str]:
    return f"{latency.p50:.2f} ms", f"{latency.p95:.2f} ms", f"{latency.p99:.2f} ms"


def _versions() -> dict[str, str]:
    return {"goose": version("goose-framework"), "python": platform.python_version()}
