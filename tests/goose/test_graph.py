"""Every fault in modules and declarations, found before anything is built, told in one sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import pytest

from goose import Kernel, Module, Named, declare
from goose.errors import (
    AsyncTransient,
    DependencyCycle,
    DependencyNotVisible,
    DuplicateDeclaration,
    ExportNotDeclared,
    FieldsNotInjected,
    GraphError,
    GraphErrors,
    ImportCycle,
    InvalidDeclaration,
    LifetimeMismatch,
    MissingTypeHint,
    NameClash,
    NotASubclass,
    UnknownDependency,
    UnknownOverride,
    UnresolvedHint,
)
from goose.tree import Assembly

if TYPE_CHECKING:
    from decimal import Decimal


class Mailer(Protocol):
    def send(self) -> str: ...


class SmtpMailer:
    def send(self) -> str:
        return "sent"


@dataclass
class OrderController:
    mailer: Mailer


class MailModule(Module):
    declarations = (declare(Mailer, SmtpMailer),)
    exports = (Mailer,)


def module(*declarations: Any, imports: Any = (), exports: Any = (), name: str = "OrdersModule") -> type[Module]:
    body = {"declarations": declarations, "imports": imports, "exports": exports}
    return type(name, (Module,), body)


def fault_of(root: Any, *plugged: Any, overrides: Any = None) -> GraphError:
    with pytest.raises(GraphError) as caught:
        Kernel([Assembly(root, plugged)], overrides)
    return caught.value


def test_unknown_dependency() -> None:
    """A parameter that nobody declares names class, parameter, type and the module to change."""
    fault = fault_of(module(OrderController))
    assert isinstance(fault, UnknownDependency)
    assert str(fault) == (
        "OrderController.__init__(mailer: Mailer): nothing declares Mailer. "
        "Add Mailer to OrdersModule.declarations, or import a module that exports it."
    )


def test_not_imported_and_not_exported() -> None:
    """What another module keeps to itself takes an import and an export."""
    private = type("MailModule", (Module,), {"declarations": (declare(Mailer, SmtpMailer),)})
    orders = module(OrderController)
    fault = fault_of(module(imports=(private, orders), name="AppModule"))
    assert isinstance(fault, DependencyNotVisible)
    assert str(fault) == (
        "OrderController.__init__(mailer: Mailer): Mailer is declared in MailModule, which OrdersModule does not import. "
        "Add MailModule to OrdersModule.imports and Mailer to MailModule.exports."
    )


def test_exported_but_not_imported() -> None:
    """What is exported takes an import only."""
    fault = fault_of(module(imports=(MailModule, module(OrderController)), name="AppModule"))
    assert str(fault) == (
        "OrderController.__init__(mailer: Mailer): Mailer is declared in MailModule, which OrdersModule does not import. "
        "Add MailModule to OrdersModule.imports."
    )


def test_imported_but_not_exported() -> None:
    """What is imported but private takes an export only."""
    private = type("MailModule", (Module,), {"declarations": (declare(Mailer, SmtpMailer),)})
    fault = fault_of(module(OrderController, imports=(private,)))
    assert str(fault) == (
        "OrderController.__init__(mailer: Mailer): Mailer is declared in MailModule, which does not export it. "
        "Add Mailer to MailModule.exports."
    )


@dataclass
class Lenient:
    mailer: Mailer | None = None


def test_default_where_declared_nowhere() -> None:
    """A parameter with a default keeps it where its type is declared nowhere."""
    Kernel([Assembly(module(Lenient))])


def test_default_does_not_hide_what_is_not_visible() -> None:
    """Declared but not visible is a fault, default or not."""
    fault = fault_of(module(imports=(MailModule, module(Lenient)), name="AppModule"))
    assert isinstance(fault, DependencyNotVisible)


@dataclass
class Hen:
    egg: Egg


@dataclass
class Egg:
    hen: Hen


def test_cycle_of_declarations() -> None:
    """A cycle of declarations is told with its whole path."""
    fault = fault_of(module(Hen, Egg))
    assert isinstance(fault, DependencyCycle)
    assert str(fault) == (
        "these declarations need each other: Hen -> Egg -> Hen. "
        "Let one of them ask for less, or move what both need into a third."
    )


def test_cycle_of_imports() -> None:
    """A cycle of module imports has a message of its own."""
    first = module(name="FirstModule")
    second = module(imports=(first,), name="SecondModule")
    first.imports = (second,)
    fault = fault_of(first)
    assert isinstance(fault, ImportCycle)
    assert str(fault) == (
        "these modules import each other: FirstModule -> SecondModule -> FirstModule. "
        "Move what both need into a module that both import."
    )


def test_export_not_declared() -> None:
    """An export is something that the module declares."""
    fault = fault_of(module(exports=(SmtpMailer,)))
    assert isinstance(fault, ExportNotDeclared)
    assert str(fault) == (
        "OrdersModule exports SmtpMailer, which it does not declare. "
        "Add SmtpMailer to OrdersModule.declarations, or remove it from OrdersModule.exports."
    )


class AuditLog: ...


def test_name_clash() -> None:
    """A declared name must not be another class's snake_case name."""
    fault = fault_of(module(AuditLog, declare(SmtpMailer, name="audit_log")))
    assert isinstance(fault, NameClash)
    assert str(fault) == (
        "OrdersModule sees SmtpMailer under the name 'audit_log', which also is AuditLog in snake_case. "
        "Give SmtpMailer another name."
    )


def test_duplicate_in_one_module() -> None:
    """One module declares a key once."""
    fault = fault_of(module(AuditLog, AuditLog))
    assert isinstance(fault, DuplicateDeclaration)
    assert str(fault) == (
        "AuditLog is declared twice in OrdersModule, and OrdersModule sees both. "
        "Remove one, or tell them apart: declare(AuditLog, ..., name=...)."
    )


def test_duplicate_across_modules() -> None:
    """A module sees one declaration of a key, wherever it comes from."""
    fault = fault_of(module(declare(Mailer, SmtpMailer), imports=(MailModule,)))
    assert str(fault) == (
        "Mailer is declared in OrdersModule and in MailModule, and OrdersModule sees both. "
        "Remove one, or tell them apart: declare(Mailer, ..., name=...)."
    )


def test_same_type_by_name() -> None:
    """Declarations of one type are told apart by name."""
    Kernel([Assembly(module(SmtpMailer, declare(SmtpMailer, name="second")))])


@dataclass
class UnitOfWork: ...


@dataclass
class Ledger:
    unit: UnitOfWork


@dataclass
class Books:
    ledger: Ledger


def test_singleton_needs_scoped() -> None:
    """A singleton cannot hold what lives as long as one request, also where a transient stands between."""
    fault = fault_of(module(declare(UnitOfWork, lifetime="scoped"), declare(Ledger, lifetime="transient"), Books))
    assert isinstance(fault, LifetimeMismatch)
    assert str(fault) == (
        "Books.__init__(ledger: Ledger): Books is a singleton, but Ledger -> UnitOfWork is scoped. "
        'Declare Books with lifetime="scoped" in OrdersModule, or UnitOfWork with lifetime="singleton".'
    )


class Untyped:
    def __init__(self, mailer) -> None:  # type: ignore[no-untyped-def]
        self.mailer = mailer


def test_missing_type_hint() -> None:
    """A parameter without a hint is named."""
    fault = fault_of(module(Untyped))
    assert isinstance(fault, MissingTypeHint)
    assert str(fault) == (
        "Untyped.__init__(mailer), declared in OrdersModule: 'mailer' has no type hint. Annotate it, or give it a default."
    )


class Bare:
    shared: ClassVar[int] = 1
    mailer: Mailer
    audit: AuditLog


def test_fields_without_dataclass() -> None:
    """Annotated fields that nothing would fill are told, not ignored."""
    fault = fault_of(module(Bare))
    assert isinstance(fault, FieldsNotInjected)
    assert str(fault) == (
        "Bare, declared in OrdersModule: nothing is injected into its fields mailer, audit. "
        "Put @dataclass on Bare, or write an __init__."
    )


class Base: ...


def test_implementation_is_no_subclass() -> None:
    """An implementation is a subclass of its key."""
    fault = fault_of(module(declare(Base, AuditLog)))  # type: ignore[arg-type]
    assert isinstance(fault, NotASubclass)
    assert str(fault) == (
        "OrdersModule declares AuditLog as Base, but AuditLog is not a Base. "
        "Let AuditLog fulfil Base, or declare it under another key."
    )


def test_implementation_lacks_a_protocols_method() -> None:
    """What a protocol asks for and the implementation lacks is named."""
    fault = fault_of(module(declare(Mailer, AuditLog)))  # type: ignore[arg-type]
    assert str(fault) == (
        "OrdersModule declares AuditLog as Mailer, but AuditLog is not a Mailer (it lacks send). "
        "Let AuditLog fulfil Mailer, or declare it under another key."
    )


def test_value_is_no_instance() -> None:
    """A value is an instance of its key."""
    assert isinstance(fault_of(module(declare(Base, value=AuditLog()))), NotASubclass)  # type: ignore[arg-type]


@dataclass
class Hidden:
    amount: Decimal


def test_hint_that_cannot_be_resolved() -> None:
    """A type imported for type checkers only cannot be injected, and the message says so."""
    fault = fault_of(module(Hidden))
    assert isinstance(fault, UnresolvedHint)
    assert str(fault) == (
        "Hidden.__init__, declared in OrdersModule: its type hints cannot be read (name 'Decimal' is not defined). "
        "Import the type at module level, outside `if TYPE_CHECKING`."
    )


async def make_log() -> AuditLog:
    return AuditLog()


def test_async_transient() -> None:
    """What has to be awaited cannot be made anew at each injection."""
    fault = fault_of(module(declare(AuditLog, factory=make_log, lifetime="transient")))
    assert isinstance(fault, AsyncTransient)
    assert str(fault) == (
        "AuditLog, declared in OrdersModule, is transient but built by async code. "
        'Declare it with lifetime="scoped" or "singleton".'
    )


def test_all_faults_together() -> None:
    """Several faults are told in one go."""
    fault = fault_of(module(OrderController, Untyped))
    assert isinstance(fault, GraphErrors)
    assert [type(each) for each in fault.faults] == [UnknownDependency, MissingTypeHint]
    assert str(fault).startswith("2 faults:\n- OrderController.__init__(mailer: Mailer)")


def test_unknown_override() -> None:
    """An override of what nobody declares names the near one."""
    fault = fault_of(MailModule, overrides={SmtpMailer: SmtpMailer()})
    assert isinstance(fault, UnknownOverride)
    assert str(fault) == "overrides name SmtpMailer, which no module declares. Did you mean Mailer?"


class NeedsArguments(Module):
    def __init__(self, url: str) -> None:
        self.url = url


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        (
            type("OrdersModule", (Module,), {"declarations": AuditLog}),
            "OrdersModule.declarations is AuditLog, not a sequence. Write (AuditLog,).",
        ),
        (module("text"), "OrdersModule.declarations: 'text' is neither a class nor declare(...)."),
        (
            module(imports=(AuditLog,)),
            f"OrdersModule.imports: {AuditLog!r} is no module. Name a subclass of goose.Module, or an instance of one.",
        ),
        (
            module(imports=(NeedsArguments,)),
            (
                "OrdersModule.imports: NeedsArguments cannot be made without arguments "
                "(NeedsArguments.__init__() missing 1 required positional argument: 'url'). Name an instance of it."
            ),
        ),
    ],
)
def test_things_that_do_not_belong(root: type[Module], sentence: str) -> None:
    """What is no module or no declaration is refused where it stands."""
    fault = fault_of(root)
    assert isinstance(fault, InvalidDeclaration)
    assert str(fault) == sentence


class Abstract(ABC):
    @abstractmethod
    def act(self) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"implementation": SmtpMailer, "factory": SmtpMailer},
            "declare(Base): implementation and factory were given. Give one of them.",
        ),
        ({"lifetime": "forever"}, "declare(Base): lifetime='forever' is none of singleton, scoped, transient."),
        ({"name": "a b"}, "declare(Base): name='a b' is not a Python identifier."),
        ({"value": Base(), "lifetime": "scoped"}, "declare(Base): a value has no lifetime. Leave lifetime= out."),
        ({"factory": 5}, "declare(Base): 5 cannot be called. Give a class or a factory."),
    ],
)
def test_declare_refuses(arguments: dict[str, Any], sentence: str) -> None:
    """Contradicting arguments of declare() are refused in the caller's line."""
    with pytest.raises(InvalidDeclaration) as caught:
        declare(Base, **arguments)
    assert str(caught.value) == sentence


def test_abstract_class_needs_an_implementation() -> None:
    """A bare abstract class is refused with the form to use."""
    fault = fault_of(module(Abstract))
    assert str(fault) == (
        "declare(Abstract): Abstract is abstract and cannot be built. "
        "Name an implementation: declare(Abstract, Implementation)."
    )


@dataclass
class Wide:
    first: Annotated[SmtpMailer, Named("first")]
    extras: list[str] = field(default_factory=list)


def test_defaults_of_undeclared_types_stay() -> None:
    """Defaults and default factories are kept for what nobody declares."""
    Kernel([Assembly(module(Wide, declare(SmtpMailer, name="first")))])


def test_plugged_in_exports_are_seen_everywhere() -> None:
    """What is plugged in beside the root is visible to modules that do not import it."""
    Kernel([Assembly(module(imports=(module(OrderController),), name="AppModule"), [MailModule])])


def test_global_modules_are_seen_everywhere() -> None:
    """A global module's exports are visible without an import."""
    loud = type("Loud", (MailModule,), {"is_global": True})
    Kernel([Assembly(module(imports=(loud, module(OrderController)), name="AppModule"))])
