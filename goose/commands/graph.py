"""``goose graph``: the modules of an application, what they declare with lifetimes, what is injected, what is exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from goose.commands.hook import application
from goose.commands.output import Branch, say, say_json, show
from goose.declaration import is_listed
from goose.graph import Dependency, Graph
from goose.module import Module


def graph(
    ctx: typer.Context,
    dot: Annotated[bool, typer.Option("--dot", help="For Graphviz.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show the modules: what each imports, declares (with lifetimes), injects and exports."""
    if dot and as_json:
        raise typer.BadParameter("use one of --dot and --json")
    found = application(ctx).new_kernel().graph
    if as_json:
        say_json(as_data(found))
    elif dot:
        say("\n".join(as_dot(found)))
    else:
        for number, tree in enumerate(as_trees(found)):
            if number:
                say()
            show(tree)


@dataclass(frozen=True, slots=True)
class Entry:
    """One declaration as it is shown."""

    name: str
    kind: str
    """Its lifetime; of a class that is only listed, as jobs are, the kind."""
    injected: tuple[tuple[str, Module | None], ...]
    """Names, each with the module that declares it; None: the kernel itself."""


def as_trees(graph: Graph) -> Iterator[Branch]:
    """One for each module, the root first; what comes from another module bears that one's name."""
    for module in reversed(graph.tree.modules):
        yield Branch(f"{_node(graph, module)}{_remark(graph, module)}", tuple(map(Branch, _lines(graph, module))))


def as_data(graph: Graph) -> dict[str, Any]:
    """The modules in the order of ``as_trees``, as plain data; modules are named as there."""
    using: dict[tuple[Module | None, str], list[dict[str, str]]] = {}
    for module in graph.tree.modules:
        for entry in entries(graph, module):
            for name, owner in entry.injected:
                using.setdefault((owner, name), []).append({"module": _node(graph, module), "name": entry.name})
    return {"modules": [_module_data(graph, module, using) for module in reversed(graph.tree.modules)]}


def _module_data(
    graph: Graph, module: Module, using: dict[tuple[Module | None, str], list[dict[str, str]]]
) -> dict[str, Any]:
    return {
        "name": _node(graph, module),
        "root": module in graph.tree.roots,
        "global": module.is_global,
        "plugged_in": module in graph.tree.everywhere and module not in graph.tree.roots,
        "imports": [_node(graph, other) for other in graph.tree.imports[module]],
        "declarations": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "injects": [
                    {"module": None if owner is None else _node(graph, owner), "name": name}
                    for name, owner in entry.injected
                ],
                "injected_by": using.get((module, entry.name), []),
            }
            for entry in entries(graph, module)
        ],
        "exports": list(map(str, graph.exported(module))),
    }


def as_dot(graph: Graph) -> Iterator[str]:
    """One box for each module; an arrow to each module that it imports or injects from."""
    yield "digraph goose {"
    yield "  node [shape=record];"
    for module in graph.tree.modules:
        label = "\\l".join(
            [
                f"{_node(graph, module)}{_remark(graph, module)}",
                *(f"{e.name} ({e.kind})" for e in entries(graph, module)),
            ]
        )
        yield f'  "{_node(graph, module)}" [label="{_escaped(label)}\\l"];'
    for module in graph.tree.modules:
        for other in graph.tree.imports[module]:
            yield f'  "{_node(graph, module)}" -> "{_node(graph, other)}";'
        owners = (owner for entry in entries(graph, module) for _, owner in entry.injected)
        for other in dict.fromkeys(owner for owner in owners if owner is not None and owner is not module):
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
        yield f"imports {', '.join(_node(graph, other) for other in graph.tree.imports[module])}"
    shown = list(entries(graph, module))
    for entry in shown:
        needs = ", ".join(
            name if owner is None or owner is module else f"{name} of {_node(graph, owner)}"
            for name, owner in entry.injected
        )
        yield f"{entry.name} ({entry.kind})" + (f" <- {needs}" if needs else "")
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
    return Entry(name, kind, tuple((str(node), node.module if id(node) in own else None) for node in nodes))


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
