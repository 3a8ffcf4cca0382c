"""The nearest of what there is, for a word that is not among it."""

from __future__ import annotations

from collections.abc import Iterable

from goose.graph import near


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remark to set behind a sentence, such as `` (did you mean 'emails'?)``; empty where nothing is near."""
    meant = near(word, known)
    return "" if meant is None else f" (did you mean {meant!r}?)"
