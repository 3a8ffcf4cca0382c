"""How soon a word from one process is heeded by a worker in another: cancel, pause, resume."""

from __future__ import annotations

import asyncio

from .contest import OURS, Benchmark, Figures, Floor, Metric, Trial, contend

SECOND = 1000.0
WORDS = ("cancel", "pause", "resume")


def goose(trial: Trial) -> Figures:
    """A client without workers on the one side, a worker on the other, the file between them."""
    from .steering_goose import spread, steer

    heeded = zip(WORDS, asyncio.run(steer(trial)), strict=True)
    return {name: value for word, seconds in heeded for name, value in spread(word, seconds).items()}


BENCHMARK = Benchmark(
    name="steering",
    question="from the call in one process to its effect in another: how often each is tried",
    metrics=tuple(Metric(f"{word}_{what}", "ms", more_is_better=False) for word in WORDS for what in ("p50", "max")),
    contestants={OURS: goose},
    size=20,
    quick_size=4,
    floors=tuple(Floor(f"{word}_max", SECOND) for word in WORDS),
)

if __name__ == "__main__":
    contend(BENCHMARK)
