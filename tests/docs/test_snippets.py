"""Every Python snippet of README.md and docs/ runs: the snippets of a page one after the other, as one module.

A page's snippets share their names, so that a later one goes on where an earlier one ended. Top-level ``await`` and
``async with`` are allowed, as in a notebook. Each page runs in an empty folder, that of Redis on a Redis server.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from servers.shared import room

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


WITH_SNIPPETS = [page for page in PAGES if FENCE.search(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every snippet of the page runs."""
    monkeypatch.chdir(tmp_path)
    if page.stem == "redis":
        there = room("redis")
        there.empty()
        monkeypatch.setenv("GOOSE_QUEUES_URL", str(there.url))
    module = ModuleType("page_" + re.sub(r"\W", "_", page.stem))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with asyncio.Runner() as runner:
        for code in snippets(page):
            result = eval(code, module.__dict__)
            if inspect.iscoroutine(result):
                runner.run(result)


def snippets(page: Path) -> Iterator[CodeType]:
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        above = text.count("\n", 0, found.start(1))
        tree = ast.parse(found[1], filename=str(page))
        ast.increment_lineno(tree, above)
        yield compile(tree, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Every link to a file of the project, and to a heading in it, leads somewhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), f"{page.name}: {target}"
        assert not heading or heading in headings(there), f"{page.name}: {target}"


def headings(page: Path) -> set[str]:
    """As links name them: lower case, words joined by dashes, without what is neither letter nor digit."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}
