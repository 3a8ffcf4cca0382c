"""Fields as they are typed behind a name: ``to:str subject:str "attachments:list[str]=[]"``. Used by ``job`` and ``module``."""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from goose.commands.errors import CommandError
from goose.commands.names import NAME
from goose.commands.new.annotations import KNOWN, Annotation, Misfit
from goose.commands.new.literals import written

LIMIT: Final = 60
"""Characters of a field; every line that it stands in is then one that a formatter leaves as it is."""

OF_MODELS: Final = frozenset(name for name in dir(BaseModel) if not name.startswith("_"))
"""What pydantic's models have already."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a generated class, as the templates need it."""

    name: str
    type: Annotation
    default: str | None = None
    """As Python writes it; None: there is none."""

    @classmethod
    def read(cls, text: str, taken: Collection[str]) -> Field:
        """Read ``name:type`` or ``name:type=default``.

        Args:
            text: What was typed.
            taken: Names that the class has already.

        Raises:
            CommandError: It cannot be a field.
        """
        if len(text) > LIMIT:
            raise CommandError(
                f"the field {text[:20]!r}... has more than {LIMIT} characters: add it to the class by hand"
            )
        name, colon, rest = text.partition(":")
        if not colon:
            raise CommandError(f"{text!r} is no field: write name:type or name:type=default, as in to:str")
        name, (annotation, given, default) = name.strip(), rest.partition("=")
        _refuse_name(name, taken)
        try:
            type_ = Annotation.read(annotation)
            return cls(name, type_, type_.default(default) if given else None)
        except Misfit as misfit:
            raise CommandError(f"the field {name!r}: {misfit}") from misfit

    @property
    def annotation(self) -> str:
        """Its type, as Python writes it."""
        return str(self.type)

    @property
    def factory(self) -> str | None:
        """What makes its default anew each time, where that is a list or a dict."""
        if self.default is None or self.default[0] not in "[{":
            return None
        return {"[]": "list", "{}": "dict"}.get(self.default, f"lambda: {self.default}")

    @property
    def declaration(self) -> str:
        """What declares it in a pydantic model; ``Field`` is pydantic's."""
        default = self.default if self.factory is None else f"Field(default_factory={self.factory})"
        return f"{self.name}: {self.annotation}" + ("" if default is None else f" = {default}")

    @property
    def argument(self) -> str:
        """The sample, as an argument of a call."""
        return f"{self.name}={self.sample}"

    @property
    def imports(self) -> tuple[str, ...]:
        """What its type needs from Python's library, as ``datetime.date``."""
        return self.type.imports

    @property
    def sample(self) -> str:
        """A value of it for tests, as Python writes it."""
        return written(self.name) if self.type.word == "str" else self.type.sample

    @property
    def sample_imports(self) -> tuple[str, ...]:
        """What the sample needs from Python's library."""
        return self.type.sample_imports

    @property
    def sample_json(self) -> Any:
        """The sample as JSON has it."""
        return self.name if self.type.word == "str" else self.type.sample_json


def read_fields(texts: Iterable[str], taken: Collection[str]) -> Sequence[Field]:
    """Fields in the order in which they were typed.

    Raises:
        CommandError: One of them is wrong, or they do not fit together.
    """
    fields: list[Field] = []
    for text in texts:
        field = Field.read(text, taken)
        if any(field.name == other.name for other in fields):
            raise CommandError(f"the field {field.name!r} is there twice")
        if field.default is None and fields and fields[-1].default is not None:
            raise CommandError(
                f"the field {field.name!r} has no default and follows {fields[-1].name!r}, which has one: name it before that"
            )
        fields.append(field)
    return tuple(fields)


def _refuse_name(name: str, taken: Collection[str]) -> None:
    if NAME.fullmatch(name) is None:
        raise CommandError(f"{name!r} cannot name a field: use letters, digits and _, beginning with a letter")
    if keyword.iskeyword(name):
        raise CommandError(f"{name!r} cannot name a field: it is a keyword of Python")
    if name in KNOWN:
        raise CommandError(
            f"{name!r} cannot name a field: it is the name of a type; say what it is of, as in sent_{name.lower()}"
        )
    if name in taken:
        raise CommandError(f"{name!r} cannot name a field: the class has its own {name}")
