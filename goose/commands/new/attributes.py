"""The fields of a resource: what each is in its table, in the table's first version, and over HTTP. Used by ``module``.

What is let in over HTTP is kept by every database as it is: nothing longer, larger or more exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from goose.commands.errors import CommandError
from goose.commands.layout import on_lines
from goose.commands.new.annotations import Annotation
from goose.commands.new.fields import Field
from goose.commands.new.literals import written


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of one type are kept."""

    column: str
    """What keeps them in an entity, and where that comes from."""
    version: str
    """The same in a version of the migrations."""
    narrowed: str
    """What they are in a body; the templates define what is no type of Python's."""
    other: Any
    """A value that is not the sample, as JSON has it."""
    variant: tuple[str, ...] = ()
    """What else keeps them, in a version, and the databases where it does."""


KINDS: Final[Mapping[str, Kind]] = {
    "str": Kind("sqlalchemy.String(255)", "sa.String(length=255)", "Text", "another"),
    "int": Kind("sqlalchemy.BigInteger()", "sa.BigInteger()", "Whole", 2),
    "float": Kind("sqlalchemy.Double()", "sa.Double()", "Real", 2.5),
    "bool": Kind("sqlalchemy.Boolean()", "sa.Boolean()", "bool", other=False),
    "datetime": Kind(
        "goose_sql.UtcDateTime()",
        "sa.DateTime(timezone=True)",
        "Moment",
        "2031-02-03T04:05:06Z",
        ("mysql.DATETIME(fsp=6)", '"mysql"', '"mariadb"'),
    ),
    "date": Kind("sqlalchemy.Date()", "sa.Date()", "date", "2031-02-03"),
    "UUID": Kind("sqlalchemy.Uuid()", "sa.Uuid()", "UUID", "00000000-0000-0000-0000-000000000002"),
    "Decimal": Kind("goose_sql.ExactDecimal()", "sa.Numeric(precision=15, scale=4)", "Amount", "2.5000"),
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a resource, as the templates need it."""

    field: Field

    @classmethod
    def of(cls, field: Field) -> Attribute:
        """The attribute that a field is.

        Raises:
            CommandError: Not every database can keep it, or its name would hide a type.
        """
        name, type_ = field.name, field.type
        if name[0].isupper():
            raise CommandError(f"{name!r} cannot name a field of a resource: begin it with a small letter")
        if type_.parts and not type_.is_plain:
            raise CommandError(f"the field {name!r}: a column cannot keep {type_}, only what JSON has")
        if not type_.parts and type_.word not in KINDS:
            raise CommandError(
                f"the field {name!r}: databases keep a {type_.word} in ways of their own: keep its seconds, as an int"
            )
        return cls(field)

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def annotation(self) -> str:
        """Its type, as Python writes it."""
        return self.field.annotation

    @property
    def imports(self) -> tuple[str, ...]:
        """What its type needs from Python's library."""
        return self.field.imports

    @property
    def default(self) -> str | None:
        """As Python writes it; None: there is none."""
        return self.field.default

    @property
    def factory(self) -> str | None:
        """What makes its default anew each time, where that is a list or a dict."""
        return self.field.factory

    @property
    def column(self) -> str:
        """SQLAlchemy's type of its column."""
        return self._column.rpartition(".")[2]

    @property
    def column_import(self) -> str:
        """Where that comes from, as ``sqlalchemy.String``."""
        return self._column.partition("(")[0]

    @property
    def version(self) -> str:
        """The type of its column in a version, laid out for a line that is indented by twelve."""
        if self.field.type.parts:
            return "sa.JSON()"
        kind = KINDS[self.field.type.word]
        return on_lines(f"{kind.version}.with_variant(", kind.variant, ")", 12) if kind.variant else kind.version

    @property
    def nullable(self) -> bool:
        """Whether it may be None."""
        return self.field.type.optional

    @property
    def narrowed(self) -> str:
        """Its type in a body: as ``annotation``, of what every database keeps."""
        return _narrowed(self.field.type)

    @property
    def narrowings(self) -> tuple[str, ...]:
        """The types that ``narrowed`` is made of."""
        return tuple(_leaves(self.field.type))

    @property
    def sample(self) -> str:
        """A value of it in JSON, written in Python."""
        return written(self.field.sample_json)

    @property
    def other(self) -> str:
        """Another one."""
        return written(_other(self.field.type))

    @property
    def _column(self) -> str:
        if self.field.type.parts:
            return f"sqlalchemy.JSON({'none_as_null=True' if self.nullable else ''})"
        return KINDS[self.field.type.word].column


def _narrowed(type_: Annotation, *, in_json: bool = False) -> str:
    if type_.parts:
        inner = f"{type_.word}[{', '.join(_narrowed(part, in_json=True) for part in type_.parts)}]"
    else:
        inner = _leaf(type_, in_json=in_json)
    return f"{inner} | None" if type_.optional else inner


def _leaves(type_: Annotation) -> Iterator[str]:
    for leaf in type_.leaves():
        yield _leaf(leaf, in_json=bool(type_.parts))


def _leaf(type_: Annotation, *, in_json: bool) -> str:
    """JSON has texts of any length."""
    return "str" if in_json and type_.word == "str" else KINDS[type_.word].narrowed


def _other(type_: Annotation) -> Any:
    match type_.word, type_.parts:
        case "list", (item,):
            return [_other(item)]
        case "dict", (_, value):
            return {"key": _other(value)}
    return KINDS[type_.word].other
