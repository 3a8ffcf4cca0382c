"""Types that a field may have: read from what was typed, by structure only, and what follows from each.

Used by ``fields``. A type says how it is written, what has to be imported for it, which literals fit it, and what a test
may fill in.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from goose.commands.near import did_you_mean
from goose.commands.new.literals import written


class Misfit(Exception):
    """A type or a default cannot be taken; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type without parts, and a value of it for tests."""

    imports: tuple[str, ...]
    sample: str
    """As Python writes it."""
    sample_imports: tuple[str, ...]
    sample_json: Any
    literal: tuple[type, ...] = ()
    """Which literals are values of it."""


SCALARS: Final[Mapping[str, Scalar]] = {
    "str": Scalar((), '"text"', (), "text", (str,)),
    "int": Scalar((), "1", (), 1, (int,)),
    "float": Scalar((), "1.5", (), 1.5, (int, float)),
    "bool": Scalar((), "True", (), True, (bool,)),
    "datetime": Scalar(
        ("datetime.datetime",),
        "datetime(2030, 1, 2, tzinfo=UTC)",
        ("datetime.UTC", "datetime.datetime"),
        "2030-01-02T00:00:00Z",
    ),
    "date": Scalar(("datetime.date",), "date(2030, 1, 2)", ("datetime.date",), "2030-01-02"),
    "timedelta": Scalar(("datetime.timedelta",), "timedelta(seconds=90)", ("datetime.timedelta",), "PT1M30S"),
    "UUID": Scalar(("uuid.UUID",), "UUID(int=1)", ("uuid.UUID",), "00000000-0000-0000-0000-000000000001"),
    "Decimal": Scalar(("decimal.Decimal",), 'Decimal("1.5000")', ("decimal.Decimal",), "1.5000"),
}
PARTS: Final = {"list": 1, "dict": 2}
"""Types that are made of others, and of how many."""
EXAMPLES: Final = {"list": "list[str]", "dict": "dict[str, int]"}
KNOWN: Final = (*SCALARS, *PARTS)
NO_JSON: Final = ("bytes", "bytearray", "memoryview", "set", "frozenset", "complex", "object", "Any")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One type, as deep as it goes: ``word`` is a scalar's name, ``list``, ``dict``; ``optional`` for ``| None``."""

    word: str
    parts: tuple[Annotation, ...] = ()
    optional: bool = False

    @classmethod
    def read(cls, text: str) -> Annotation:
        """Read a type as Python writes it.

        Raises:
            Misfit: It is none of the known.
        """
        return _read(_parsed(text, "a type"))

    def __str__(self) -> str:
        inner = f"[{', '.join(map(str, self.parts))}]" if self.parts else ""
        return f"{self.word}{inner}{' | None' if self.optional else ''}"

    @property
    def imports(self) -> tuple[str, ...]:
        """What has to be imported to write it, as ``datetime.date``."""
        return tuple(sorted({name for leaf in self.leaves() for name in SCALARS[leaf.word].imports}))

    @property
    def sample(self) -> str:
        """A value of it, as Python writes it."""
        match self.word, self.parts:
            case "list", (item,):
                return f"[{item.sample}]"
            case "dict", (_, value):
                return f'{{"key": {value.sample}}}'
        return SCALARS[self.word].sample

    @property
    def sample_imports(self) -> tuple[str, ...]:
        """What has to be imported to write the sample."""
        return tuple(sorted({name for leaf in self.leaves() for name in SCALARS[leaf.word].sample_imports}))

    @property
    def sample_json(self) -> Any:
        """The sample as JSON has it, in Python's plain data."""
        match self.word, self.parts:
            case "list", (item,):
                return [item.sample_json]
            case "dict", (_, value):
                return {"key": value.sample_json}
        return SCALARS[self.word].sample_json

    @property
    def is_plain(self) -> bool:
        """Whether JSON has values of this very type, so that a column of JSON gives them back as they were."""
        return all(SCALARS[leaf.word].literal for leaf in self.leaves())

    def default(self, text: str) -> str:
        """A literal that was typed, as the formatter writes it.

        Raises:
            Misfit: It is none, or no value of this type.
        """
        try:
            value = ast.literal_eval(_parsed(text, "a literal"))
        except (ValueError, TypeError, RecursionError, MemoryError) as error:
            raise Misfit(f"{text} is no literal") from error
        return written(self.fitting(value, text))

    def fitting(self, value: Any, text: str) -> Any:
        """The value, as one of this type.

        Raises:
            Misfit: It is none; ``text`` is what was typed.
        """
        if value is None and self.optional:
            return None
        match self.word, value:
            case "list", list():
                return [self.parts[0].fitting(item, text) for item in value]
            case "dict", dict():
                return {
                    self.parts[0].fitting(key, text): self.parts[1].fitting(item, text) for key, item in value.items()
                }
        scalar = SCALARS.get(self.word)
        if scalar is None or type(value) not in scalar.literal:
            hint = (
                "" if scalar is None or scalar.literal else f": a {self.word} has no literals, so leave its default out"
            )
            raise Misfit(f"{text} is no {self}{hint}")
        _refuse_unstorable(value, text)
        return float(value) if self.word == "float" and isinstance(value, int) else value

    def leaves(self) -> Iterator[Annotation]:
        """The scalars that it is made of."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


def _parsed(text: str, what: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, SyntaxWarning, DeprecationWarning, ValueError, MemoryError, RecursionError) as error:
        raise Misfit(f"{text!r} is not {what}") from error


def _read(node: ast.expr) -> Annotation:
    match node:
        case (
            ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None))
            | ast.BinOp(left=ast.Constant(value=None), op=ast.BitOr(), right=left)
        ):
            return replace(_read(left), optional=True)
        case ast.BinOp(op=ast.BitOr()):
            raise Misfit(f"{ast.unparse(node)} is a choice of types: only X | None is known")
        case ast.Subscript(value=ast.Name(id=word), slice=inner) if word in PARTS:
            return _made_of(word, list(inner.elts) if isinstance(inner, ast.Tuple) else [inner])
        case ast.Name(id=word) if word in SCALARS:
            return Annotation(word)
        case ast.Name(id=word) if word in PARTS:
            raise Misfit(f"{word} needs to say of what, as in {EXAMPLES[word]}")
        case ast.Name(id=word) if word in NO_JSON:
            raise Misfit(f"{word} is no JSON: encode it yourself, into a str")
    raise Misfit(_unknown(node))


def _made_of(word: str, inner: list[ast.expr]) -> Annotation:
    if len(inner) != PARTS[word]:
        raise Misfit(f"{word} needs to say of what, as in {EXAMPLES[word]}")
    parts = tuple(map(_read, inner))
    if word == "dict" and parts[0] != Annotation("str"):
        raise Misfit(f"a dict's keys are str in JSON, not {parts[0]}")
    return Annotation(word, parts)


def _unknown(node: ast.expr) -> str:
    text = ast.unparse(node)
    same = next((word for word in KNOWN if word.lower() == text.lower()), text)
    return f"the type {text} is unknown" + (
        did_you_mean(same, KNOWN) or f": there are {', '.join(KNOWN)}, and X | None"
    )


def _refuse_unstorable(value: Any, text: str) -> None:
    """Refuse what no queue keeps."""
    match value:
        case int() if not -(2**63) <= value < 2**63:
            raise Misfit(f"{text} has more than 64 bits")
        case float() if not math.isfinite(value):
            raise Misfit(f"{text} is not finite")
        case str() if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
            raise Misfit(f"{text} holds characters that cannot be stored")
