"""How long ``import goose`` takes in a fresh interpreter, beside what it stands on."""

from __future__ import annotations

import importlib
import time

from .contest import OURS, Benchmark, Figures, Metric, Trial, contend


def goose(trial: Trial) -> Figures:
    """The front door of the kernel."""
    return _time_imports("goose")


def goose_queues(trial: Trial) -> Figures:
    """The kernel with the queue: what a worker imports."""
    return _time_imports("goose", "goose_queues")


def foundations(trial: Trial) -> Figures:
    """What an application on Starlette with pydantic imports anyway."""
    return _time_imports(
        "starlette.applications", "starlette.routing", "starlette.responses", "pydantic", "pydantic_settings"
    )


def _time_imports(*names: str) -> Figures:
    started = time.perf_counter()
    for name in names:
        importlib.import_module(name)
    return {"import": (time.perf_counter() - started) * 1000}


BENCHMARK = Benchmark(
    name="importing",
    question="import in a fresh interpreter",
    metrics=(Metric("import", "ms", more_is_better=False),),
    contestants={OURS: goose, "goose_queues": goose_queues, "starlette+pydantic": foundations},
    size=1,
    quick_size=1,
)

if __name__ == "__main__":
    contend(BENCHMARK)
