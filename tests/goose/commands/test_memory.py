"""Sizes as they are typed, and the memory that this process takes."""

from __future__ import annotations

import psutil
import pytest
import typer

from goose.commands import memory_size, resident_memory

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 * MIB),
        ("512", 512 * MIB),
        ("1.5G", 1536 * MIB),
        ("1 g", 1024 * MIB),
        ("300MB", 300 * MIB),
        ("300MiB", 300 * MIB),
        ("2048k", 2 * MIB),
    ],
)
def test_a_size(text: str, size: int) -> None:
    assert memory_size(text, "--max-memory") == size


@pytest.mark.parametrize("text", ["", "0", "0.0M", "-5M", "lots", "5T", "1e3", "nan", "5 M B", "9" * 40])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(typer.BadParameter) as error:
        memory_size(text, "--max-memory")
    assert error.value.message == f"{text!r} is no size: write 512M or 1.5G; a number alone is MiB"


def test_the_memory_of_this_process() -> None:
    """What the system says, but for what has come between the two questions."""
    assert abs(resident_memory() - psutil.Process().memory_info().rss) < 20 * MIB
