"""Every fault that the kernel can report: one class each, facts in attributes, the sentence in ``str()``."""

from __future__ import annotations

from collections.abc import Sequence


class GooseError(Exception):
    """Root of all errors raised by Goose and its modules; its text is fit for one line on a terminal."""


class ConfigError(GooseError):
    """A setting is wrong. Raised when the thing that it configures is made, before anything starts."""


# --- What is wrong with the modules and declarations: found before anything is built.


class GraphError(GooseError):
    """The modules and their declarations do not fit together; nothing has been built."""


class GraphErrors(GraphError):
    """Several faults, all found in one check."""

    def __init__(self, faults: Sequence[GraphError]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"{len(self.faults)} faults:\n" + "\n".join(f"- {fault}" for fault in self.faults)


class InvalidDeclaration(GraphError):
    """Something in ``declarations``, ``imports`` or ``declare()`` is not of a kind that can stand there."""


class MissingTypeHint(GraphError):
    """A parameter says nothing of what is to be injected."""

    def __init__(self, module: str, place: str, parameter: str) -> None:
        super().__init__(module, place, parameter)
        self.module, self.place, self.parameter = module, place, parameter

    def __str__(self) -> str:
        return (
            f"{self.place}({self.parameter}), declared in {self.module}: "
            f"{self.parameter!r} has no type hint. Annotate it, or give it a default."
        )


class UnresolvedHint(GraphError):
    """A type hint names something that cannot be found where it is written."""

    def __init__(self, module: str, place: str, reason: str) -> None:
        super().__init__(module, place, reason)
        self.module, self.place, self.reason = module, place, reason

    def __str__(self) -> str:
        return (
            f"{self.place}, declared in {self.module}: its type hints cannot be read ({self.reason}). "
            f"Import the type at module level, outside `if TYPE_CHECKING`."
        )


class FieldsNotInjected(GraphError):
    """Annotated fields, but no constructor that would take them."""

    def __init__(self, module: str, name: str, fields: Sequence[str]) -> None:
        super().__init__(module, name, fields)
        self.module, self.name, self.fields = module, name, tuple(fields)

    def __str__(self) -> str:
        return (
            f"{self.name}, declared in {self.module}: nothing is injected into its fields {', '.join(self.fields)}. "
            f"Put @dataclass on {self.name}, or write an __init__."
        )


class NotASubclass(GraphError):
    """An implementation or a value that is not what its key promises."""

    def __init__(self, module: str, key: str, found: str, missing: Sequence[str] = ()) -> None:
        super().__init__(module, key, found, missing)
        self.module, self.key, self.found, self.missing = module, key, found, tuple(missing)

    def __str__(self) -> str:
        lacks = f" (it lacks {', '.join(self.missing)})" if self.missing else ""
        return (
            f"{self.module} declares {self.found} as {self.key}, but {self.found} is not a {self.key}{lacks}. "
            f"Let {self.found} fulfil {self.key}, or declare it under another key."
        )


class UnknownDependency(GraphError):
    """Nothing anywhere declares what a parameter asks for."""

    def __init__(self, module: str, place: str, parameter: str, key: str) -> None:
        super().__init__(module, place, parameter, key)
        self.module, self.place, self.parameter, self.key = module, place, parameter, key

    def __str__(self) -> str:
        return (
            f"{self.place}({self.parameter}: {self.key}): nothing declares {self.key}. "
            f"Add {self.key} to {self.module}.declarations, or import a module that exports it."
        )


class DependencyNotVisible(GraphError):
    """It is declared, but not to be seen from the module that asks for it."""

    def __init__(
        self, module: str, place: str, parameter: str, key: str, owner: str, *, imported: bool, exported: bool
    ) -> None:
        super().__init__(module, place, parameter, key, owner)
        self.module, self.place, self.parameter, self.key, self.owner = module, place, parameter, key, owner
        self.imported, self.exported = imported, exported

    def __str__(self) -> str:
        steps = []
        if not self.imported:
            steps.append(f"{self.owner} to {self.module}.imports")
        if not self.exported:
            steps.append(f"{self.key} to {self.owner}.exports")
        why = f"{self.module} does not import" if not self.imported else "does not export it"
        return (
            f"{self.place}({self.parameter}: {self.key}): {self.key} is declared in {self.owner}, which {why}. "
            f"Add {' and '.join(steps)}."
        )


class DependencyCycle(GraphError):
    """Declarations that need one another to be built."""

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(path)
        self.path = tuple(path)

    def __str__(self) -> str:
        return (
            f"these declarations need each other: {' -> '.join(self.path)}. "
            f"Let one of them ask for less, or move what both need into a third."
        )


class ImportCycle(GraphError):
    """Modules that import one another."""

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(path)
        self.path = tuple(path)

    def __str__(self) -> str:
        return (
            f"these modules import each other: {' -> '.join(self.path)}. "
            f"Move what both need into a module that both import."
        )


class ExportNotDeclared(GraphError):
    """A module exports what it does not declare."""

    def __init__(self, module: str, key: str) -> None:
        super().__init__(module, key)
        self.module, self.key = module, key

    def __str__(self) -> str:
        return (
            f"{self.module} exports {self.key}, which it does not declare. "
            f"Add {self.key} to {self.module}.declarations, or remove it from {self.module}.exports."
        )


class DuplicateDeclaration(GraphError):
    """Two declarations answer to the same key as one module sees it."""

    def __init__(self, key: str, module: str, first: str, second: str) -> None:
        super().__init__(key, module, first, second)
        self.key, self.module, self.first, self.second = key, module, first, second

    def __str__(self) -> str:
        where = f"twice in {self.first}" if self.first == self.second else f"in {self.first} and in {self.second}"
        return (
            f"{self.key} is declared {where}, and {self.module} sees both. "
            f"Remove one, or tell them apart: declare({self.key}, ..., name=...)."
        )


class NameClash(GraphError):
    """A declared name that also is another class's name in snake_case."""

    def __init__(self, name: str, named: str, other: str, module: str) -> None:
        super().__init__(name, named, other, module)
        self.name, self.named, self.other, self.module = name, named, other, module

    def __str__(self) -> str:
        return (
            f"{self.module} sees {self.named} under the name {self.name!r}, which also is {self.other} in snake_case. "
            f"Give {self.named} another name."
        )


class LifetimeMismatch(GraphError):
    """Something that lives as long as the application asks for something that lives as long as one request."""

    def __init__(self, module: str, place: str, parameter: str, path: Sequence[str]) -> None:
        super().__init__(module, place, parameter, path)
        self.module, self.place, self.parameter, self.path = module, place, parameter, tuple(path)

    def __str__(self) -> str:
        owner = self.path[0]
        return (
            f"{self.place}({self.parameter}): {owner} is a singleton, but {' -> '.join(self.path[1:])} is scoped. "
            f'Declare {owner} with lifetime="scoped" in {self.module}, or {self.path[-1]} with lifetime="singleton".'
        )


class AsyncTransient(GraphError):
    """A transient that would have to be awaited each time it is injected."""

    def __init__(self, module: str, key: str) -> None:
        super().__init__(module, key)
        self.module, self.key = module, key

    def __str__(self) -> str:
        return (
            f"{self.key}, declared in {self.module}, is transient but built by async code. "
            f'Declare it with lifetime="scoped" or "singleton".'
        )


class UnknownOverride(GraphError):
    """``overrides`` names what nothing declares."""

    def __init__(self, key: str, near: str | None) -> None:
        super().__init__(key, near)
        self.key, self.near = key, near

    def __str__(self) -> str:
        hint = f" Did you mean {self.near}?" if self.near else ""
        return f"overrides name {self.key}, which no module declares.{hint}"


# --- What can go wrong while an application runs.


class NotFound(GooseError, LookupError):
    """Nothing of this key or name is to be had from here."""

    def __init__(self, key: str, module: str, near: str | None = None) -> None:
        super().__init__(key, module, near)
        self.key, self.module, self.near = key, module, near

    def __str__(self) -> str:
        hint = f" Did you mean {self.near!r}?" if self.near else ""
        return f"{self.module} sees no declaration of {self.key}.{hint}"


class AmbiguousName(GooseError, LookupError):
    """Several declarations answer to one key or name."""

    def __init__(self, key: str, found: Sequence[str]) -> None:
        super().__init__(key, found)
        self.key, self.found = key, tuple(found)

    def __str__(self) -> str:
        return f"{self.key} is ambiguous: {', '.join(self.found)}. Ask by type, or from the module that you mean."


class OutsideScope(GooseError, RuntimeError):
    """Something scoped was asked for where no request and no job runs."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"{self.key} is scoped, and no scope is open here. Open one: async with kernel.scope()."


class NeedsAwait(GooseError, RuntimeError):
    """Something built by async code was asked for by a call that cannot await."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return (
            f"{self.key} is built by async code, which a plain get() cannot await. "
            f"Name it as a parameter of the constructor or of handle()."
        )


class NotRunning(GooseError, RuntimeError):
    """The application is not booted, or has stopped."""


class HookFailed(GooseError):
    """A lifecycle hook raised; the cause is the exception's ``__cause__``."""

    def __init__(self, owner: str, hook: str, reason: str) -> None:
        super().__init__(owner, hook, reason)
        self.owner, self.hook, self.reason = owner, hook, reason

    def __str__(self) -> str:
        return f"{self.owner}.{self.hook} failed: {self.reason}"


class HookTimeout(GooseError):
    """A lifecycle hook did not return in its time."""

    def __init__(self, owner: str, hook: str, limit: float) -> None:
        super().__init__(owner, hook, limit)
        self.owner, self.hook, self.limit = owner, hook, limit

    def __str__(self) -> str:
        return (
            f"{self.owner}.{self.hook} did not return within {self.limit:g} s. "
            f"Move long work to on_run, or set hook_timeout on {self.owner}."
        )


class ShutdownErrors(ExceptionGroup[Exception], GooseError):
    """What failed while the application stopped; everything else has been stopped all the same."""

    def __str__(self) -> str:
        return "the shutdown met errors: " + "; ".join(str(error) for error in self.exceptions)

    def derive(self, excs: Sequence[Exception]) -> ShutdownErrors:  # type: ignore[override]
        return ShutdownErrors(self.message, excs)
