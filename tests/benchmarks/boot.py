"""How long an application with many declarations takes to boot: graph, checks, container, every singleton built."""

from __future__ import annotations

import asyncio
import time

from .contest import OURS, Benchmark, BenchmarkError, Figures, Metric, Trial, contend

PER_MODULE = 20
INJECTED = 3
"""Earlier classes that each class asks for."""


def goose(trial: Trial) -> Figures:
    """Modules of twenty classes, each module importing the one before, each class injecting earlier ones."""
    from dataclasses import make_dataclass

    from goose import Module, running, worker

    classes: list[type] = []
    root: type[Module] = Module
    for first in range(0, trial.size, PER_MODULE):
        visible = classes[-INJECTED:]
        own: list[type] = []
        for number in range(first, min(first + PER_MODULE, trial.size)):
            needs = [*visible, *own][-INJECTED:]
            own.append(
                make_dataclass(f"Service{number}", [(f"needs_{position}", need) for position, need in enumerate(needs)])
            )
        imports = () if root is Module else (root,)
        body = {"imports": imports, "declarations": tuple(own), "exports": tuple(own[-INJECTED:])}
        root = type(f"Module{first}", (Module,), body)
        classes += own

    async def boot_once() -> float:
        started = time.perf_counter()
        async with running(worker(root)) as kernel:
            seconds = time.perf_counter() - started
            if not isinstance(kernel.get(classes[-1]), classes[-1]):
                raise BenchmarkError("the last class was not built")
        return seconds

    return {"boot": asyncio.run(boot_once()) * 1000}


BENCHMARK = Benchmark(
    name="boot",
    question="boot of an application with many declarations",
    metrics=(Metric("boot", "ms", more_is_better=False),),
    contestants={OURS: goose},
    size=200,
    quick_size=200,
)

if __name__ == "__main__":
    contend(BENCHMARK)
