"""``goose graph``: the modules of an application, what they declare with lifetimes, what is injected, what is exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from goose.commands.hook import application
from goose.declaration import is_listed
from goose.graph import Dependency, Graph
from goose.module import Module


def graph(
    ctx: typer.Context,
    dot: Annotated[bool, typer.Option("--dot", help="For Graphviz.")] = False,
) -> None:
    """Show the modules and what they inject."""
    found = application(ctx).new_kernel().graph
    typer.echo("\n".join(as_dot(found) if dot else as_text(found)))


@dataclass(frozen=True, slots=True)
class Entry:
    """One declaration as it is shown."""

    name: str
    kind: str
    injected: tuple[str, ...]
    owners: tuple[Module, ...]
    """The modules whose declarations are injected."""


def as_text(graph: Graph) -> Iterator[str]:
    """A tree for each module, the root first."""
    for number, module in enumerate(reversed(graph.tree.modules)):
        if number:
            yield ""
        yield f"{module}{_remark(graph, module)}"
        lines = list(_lines(graph, module))
        for line in lines[:-1]:
            yield f"├── {line}"
        yield f"└── {lines[-1]}"


def as_dot(graph: Graph) -> Iterator[str]:
    """One box for each module; an arrow to each module that it imports or injects from."""
    yield "digraph goose {"
    yield "  node [shape=record];"
    for module in graph.tree.modules:
        label = "\\l".join(
            [f"{module}{_remark(graph, module)}", *(f"{e.name} ({e.kind})" for e in entries(graph, module))]
        )
        yield f'  "{_node(graph, module)}" [label="{_escaped(label)}\\l"];'
    for module in graph.tree.modules:
        for other in graph.tree.imports[module]:
            yield f'  "{_node(graph, module)}" -> "{_node(graph, other)}";'
        injected = {owner: None for e in entries(graph, module) for owner in e.owners if owner is not module}
        for other in injected:
            yield f'  "{_node(graph, module)}" -> "{_node(graph, other)}" [style=dashed];'
    yield "}"


def entries(graph: Graph, module: Module) -> Iterator[Entry]:
    """What a module declares, classes of a kind last."""
    for key, node in graph.own(module).items():
        yield _entry(graph, str(key), node.declaration.lifetime, node.dependencies)
    for listed in graph.listed(module):
        needed = [
            d
            for name in getattr(listed.cls, "__goose_injected__", ())
            for d in _arguments(graph, module, listed.cls, name)
        ]
        yield _entry(graph, listed.cls.__name__, _kind(listed.cls), tuple(needed))


def _lines(graph: Graph, module: Module) -> Iterator[str]:
    if graph.tree.imports[module]:
        yield f"imports {', '.join(map(str, graph.tree.imports[module]))}"
    shown = list(entries(graph, module))
    for entry in shown:
        needs = f" <- {', '.join(entry.injected)}" if entry.injected else ""
        yield f"{entry.name} ({entry.kind}){needs}"
    if graph.exported(module):
        yield f"exports {', '.join(map(str, graph.exported(module)))}"
    if not shown and not graph.tree.imports[module]:
        yield "declares nothing"


def _remark(graph: Graph, module: Module) -> str:
    if module in graph.tree.roots:
        return " (root)"
    if module.is_global:
        return " (global)"
    return " (plugged in)" if module in graph.tree.everywhere else ""


def _entry(graph: Graph, name: str, kind: str, dependencies: tuple[Dependency, ...]) -> Entry:
    nodes = [dependency.node for dependency in dependencies if dependency.node is not None]
    own = {id(node) for module in graph.tree.modules for node in graph.own(module).values()}
    return Entry(name, kind, tuple(map(str, nodes)), tuple(node.module for node in nodes if id(node) in own))


def _arguments(graph: Graph, module: Module, cls: type, name: str) -> tuple[Dependency, ...]:
    """What a method's parameters after ``self`` and its first one get."""
    return graph.arguments(module, getattr(cls, name), 2, f"{cls.__name__}.{name}")


def _kind(cls: Any) -> str:
    """The word for a listed class: the name of the class that made it one."""
    maker = next(base for base in reversed(cls.__mro__) if is_listed(base))
    return str(maker.__name__).lower()


def _node(graph: Graph, module: Module) -> str:
    """Its name, with a number where several modules are of one class."""
    alike = [other for other in graph.tree.modules if str(other) == str(module)]
    return str(module) if len(alike) == 1 else f"{module} {alike.index(module) + 1}"


def _escaped(label: str) -> str:
    return "".join(f"\\{letter}" if letter in '{}|<>"' else letter for letter in label)
