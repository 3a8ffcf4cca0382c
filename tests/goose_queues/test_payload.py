from __future__ import annotations

import asyncio
import dataclasses
import enum
import io
import json
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_serializer, field_validator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import TypeAliasType, TypedDict

from goose_queues import payload
from goose_queues.errors import CorruptRow, PayloadError, PayloadMismatch, PayloadTooLarge
from goose_queues.job import Job

LIMIT = 256 * 1024
NOW = datetime(2026, 5, 17, 12, 30, 0, 123456, tzinfo=UTC)
ID = UUID("01a20acc-dafb-765c-a4ca-61c28b7f79af")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    made: datetime


class Box(BaseModel):
    when: datetime
    sizes: tuple[int, ...] = ()


class SpecialBox(Box):
    secret: int = 1


class Pair(NamedTuple):
    left: int
    right: Decimal


class Price(TypedDict):
    amount: Decimal


Tags = TypeAliasType("Tags", list[tuple[str, int]])


NumberId = NewType("NumberId", int)


class Thing:
    """Of no kind that pydantic could write."""


class Text(str):
    __slots__ = ()


class Base(DeclarativeBase): ...


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


class Everything(Job):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    any: Any = None
    text: str = ""
    number: int | None = None
    ratio: float | None = None
    flag: bool = False
    decimal: Annotated[Decimal, Field(allow_inf_nan=True)] | None = None
    uuid: UUID | None = None
    when: datetime | None = None
    day: date | None = None
    span: timedelta | None = None
    colour: Colour | None = None
    point: Point | None = None
    box: Box | None = None
    pair: Pair | None = None
    price: Price | None = None
    declared: tuple[int, str] | None = None
    tags: Tags = []
    link: HttpUrl | None = None
    word: Literal["a", 1] | None = None
    aliased: int = Field(default=0, alias="aliasedField")
    boxes: dict[str, list[Box]] = {}
    raw: bytes | None = None
    numbers: set[int] | None = None
    path: Path | None = None
    secret: SecretStr | None = None
    mapping: dict[Any, Any] | None = None
    times: list[datetime] = []
    user: User | None = None
    thing: Thing | None = None
    number_id: NumberId | None = None
    spelled: Annotated[str, Field(max_length=9)] = ""


class Small(Job):
    to: str
    count: int = 0


def round_trip(job: Job) -> Job:
    return payload.decode(type(job), payload.encode(job, LIMIT))


@pytest.mark.parametrize(
    "fields",
    [
        {"any": [1, {"a": None, "b": [True, 1.5, "x"]}]},
        {"any": "\\u0000 as six characters"},
        {"text": "é€\N{PILE OF POO}\x01\r\n"},
        {"number": 2**53 + 1},
        {"number": 2**63},
        {"number": -(2**63)},
        {"ratio": 1e308},
        {"decimal": Decimal("1.10")},
        {"uuid": ID},
        {"when": NOW},
        {"day": NOW.date()},
        {"span": timedelta(days=1, microseconds=3)},
        {"colour": Colour.RED},
        {"point": Point(1, NOW)},
        {"box": Box(when=NOW, sizes=(1, 2))},
        {"pair": Pair(1, Decimal(2))},
        {"price": {"amount": Decimal("9.99")}},
        {"declared": (1, "a")},
        {"tags": [("a", 1)]},
        {"link": "https://example.com/a?b=c"},
        {"word": 1},
        {"aliasedField": 5},
        {"boxes": {"a b": [Box(when=NOW)]}},
        {"times": [NOW]},
        {"mapping": {"a": 1}},
        {"number_id": 5},
        {"spelled": "a"},
    ],
)
def test_what_an_annotation_restores_comes_back_the_same(fields: dict[str, Any]) -> None:
    job = Everything(**fields)
    back = round_trip(job)

    assert back == job
    assert all(type(getattr(back, name)) is type(getattr(job, name)) for name in Everything.model_fields)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_json_data_comes_back_the_same_or_is_refused(value: Any) -> None:
    try:
        text = payload.encode(Everything(any=value), LIMIT)
    except PayloadError:
        assert "\\u0000" in json.dumps(value)
        return
    assert payload.decode(Everything, text) == Everything(any=value)


def cycle() -> dict[str, Any]:
    first: dict[str, Any] = {}
    first["b"] = first
    return first


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": "a\x00b"}, "$.text contains NUL at index 1"),
        ({"any": {"k\x00": 1}}, "$.any has a key that contains NUL at index 1"),
        ({"any": ["ok", "\ud800"]}, "$.any[1] is not valid Unicode"),
        ({"text": "\ud800"}, "$.text is not valid Unicode"),
        ({"ratio": float("nan")}, "$.ratio is not finite"),
        ({"any": float("inf")}, "$.any is not finite"),
        ({"any": b""}, "$.any: bytes is not JSON; encode it yourself"),
        ({"raw": b"\xff"}, "$.raw: bytes is not JSON; encode it yourself"),
        ({"numbers": {1}}, "$.numbers: set is not JSON; encode it yourself"),
        ({"any": complex(1)}, "$.any: complex is not JSON; encode it yourself"),
        ({"any": object()}, "$.any: object is not JSON; encode it yourself"),
        ({"any": {1: 2}}, "$.any: key 1 is not a string"),
        ({"mapping": {1: 2, "1": 3}}, "$.mapping: key 1 is not a string"),
        ({"any": {"a": (1,)}}, "$.any.a: tuple would come back as list; declare it as tuple"),
        ({"number": 2**64}, "$.number: an integer of 65 bits is not exact in JSON; the limit is 64"),
        ({"number": 10**400}, "$.number: an integer of 1329 bits is not exact in JSON; the limit is 64"),
        ({"any": 10**5000}, "$.any: an integer of 16610 bits is not exact in JSON; the limit is 64"),
        ({"any": Decimal(1)}, "$.any: Decimal would not come back as Decimal; declare the field as Decimal"),
        ({"any": ID}, "$.any: UUID would not come back as UUID; declare the field as UUID"),
        ({"any": NOW}, "$.any: datetime would not come back as datetime; declare the field as datetime"),
        ({"any": Colour.RED}, "$.any: Colour would not come back as Colour; declare the field as Colour"),
        ({"any": Point(1, NOW)}, "$.any: Point would not come back as Point; declare the field as Point"),
        (
            {"box": SpecialBox(when=NOW)},
            "$.box: SpecialBox would not come back as SpecialBox; declare the field as SpecialBox",
        ),
        ({"when": datetime(2026, 1, 1)}, "$.when: naive datetime; use datetime.now(timezone.utc)"),  # noqa: DTZ001
        ({"times": [datetime(2026, 1, 1)]}, "$.times[0]: naive datetime; use datetime.now(timezone.utc)"),  # noqa: DTZ001
        ({"box": Box(when=datetime(2026, 1, 1))}, "$.box.when: naive datetime; use datetime.now(timezone.utc)"),  # noqa: DTZ001
        ({"point": Point(2**70, NOW)}, "$.point.x: an integer of 71 bits is not exact in JSON; the limit is 64"),
        ({"any": cycle()}, "$.any.b refers to its parent"),
        ({"any": deep(65)}, "$.any is nested deeper than 64"),
        ({"any": deep(100_000)}, "$.any is nested deeper than 64"),
        ({"decimal": Decimal("NaN")}, "$.decimal is not finite"),
        ({"thing": Thing()}, "$.thing: Thing is not JSON; encode it yourself"),
        ({"number_id": NumberId(2**64)}, "$.number_id: an integer of 65 bits is not exact in JSON; the limit is 64"),
        ({"user": User(id=1)}, "$.user: User is no data; pass its id"),
        ({"any": io.StringIO()}, "$.any: StringIO is no data; pass its id"),
        ({"any": threading.Lock()}, "$.any: lock is no data; pass its id"),
        ({"any": len}, "$.any: builtin_function_or_method is no data; pass its id"),
        ({"any": {"a\nb": {1, 2}}}, '$.any["a\\nb"]: set is not JSON; encode it yourself'),
    ],
)
def test_what_would_not_come_back_is_refused_with_its_path(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PayloadError) as caught:
        payload.encode(Everything(**fields), LIMIT)

    assert str(caught.value) == f"Everything: {sentence}"
    assert isinstance(caught.value, ValueError)


def test_a_subclass_of_a_plain_type_comes_back_as_that_type() -> None:
    back = round_trip(Everything(any=[Text("a")]))

    assert back == Everything(any=["a"])
    with pytest.raises(PayloadError, match=r"^Everything: \$\.any contains NUL at index 0$"):
        payload.encode(Everything(any=Text("\x00")), LIMIT)


def test_a_path_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"^Everything: \$\.path: \w*Path is not JSON; encode it yourself$"):
        payload.encode(Everything(path=Path("a")), LIMIT)


def test_a_coroutine_is_refused() -> None:
    work = asyncio.sleep(0)
    with pytest.raises(PayloadError, match=r"^Everything: \$\.any: coroutine is no data; pass its id$"):
        payload.encode(Everything(any=work), LIMIT)
    work.close()


def test_64_levels_are_not_too_deep() -> None:
    assert round_trip(Everything(any=deep(64))) == Everything(any=deep(64))


def test_a_secret_is_refused_and_never_shown() -> None:
    with pytest.raises(PayloadError) as caught:
        payload.encode(Everything(secret=SecretStr("hunter2")), LIMIT)

    assert str(caught.value) == "Everything: $.secret: secrets do not belong in a payload"


def test_a_payload_over_the_limit_is_refused() -> None:
    job = Small(to="a" * 1_048_577)
    with pytest.raises(PayloadTooLarge) as caught:
        payload.encode(job, LIMIT)

    assert str(caught.value) == "Small: $: 1 048 596 bytes > 262 144; store a reference"
    assert str(caught.value.within("jobs[2]")) == "Small: jobs[2].$: 1 048 596 bytes > 262 144; store a reference"
    size = len(payload.encode(Small(to="é"), LIMIT).encode())
    assert payload.encode(Small(to="é"), size)
    with pytest.raises(PayloadTooLarge):
        payload.encode(Small(to="é"), size - 1)


def test_the_fault_of_one_job_among_several_says_which() -> None:
    with pytest.raises(PayloadError) as caught:
        payload.encode(Small(to="\x00"), LIMIT)

    assert str(caught.value.within("jobs[57]")) == "Small: jobs[57].$.to contains NUL at index 0"


def test_a_class_may_say_itself_how_a_field_is_written() -> None:
    class Custom(Job):
        blob: bytes
        note: str = ""

        @field_serializer("blob")
        def _write(self, value: bytes) -> str:
            return value.hex()

        @field_validator("blob", mode="before")
        @classmethod
        def _read(cls, value: Any) -> Any:
            return bytes.fromhex(value) if isinstance(value, str) else value

    assert round_trip(Custom(blob=b"\xff\x00")) == Custom(blob=b"\xff\x00")

    class Careless(Job):
        blob: bytes

        @field_serializer("blob")
        def _write(self, value: bytes) -> str:
            return value.decode()

    with pytest.raises(PayloadError, match=r"^Careless: \$\.blob contains NUL at index 1$"):
        payload.encode(Careless(blob=b"a\x00"), LIMIT)


def test_fields_beyond_the_declared_ones_are_looked_at_too() -> None:
    class Open(Job):
        model_config = ConfigDict(extra="allow")

    assert payload.encode(Open(a=1), LIMIT) == '{"a":1}'  # type: ignore[call-arg]
    with pytest.raises(PayloadError, match=r"^Open: \$\.a: tuple would come back as list; declare it as tuple$"):
        payload.encode(Open(a=(1,)), LIMIT)  # type: ignore[call-arg]


def test_unknown_fields_are_ignored_on_loading() -> None:
    assert payload.decode(Small, '{"to":"a","added_by_new_code":1,"__class__":"os.system"}') == Small(to="a")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("{}", "$.to: Field required"),
        (
            '{"to":1,"count":"x"}',
            "$.to: Input should be a valid string; "
            "$.count: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("[]", "$: Input should be an object"),
    ],
)
def test_a_payload_that_no_longer_fits_names_class_and_field(text: str, faults: str) -> None:
    with pytest.raises(PayloadMismatch) as caught:
        payload.decode(Small, text)

    assert str(caught.value) == f"the stored payload no longer fits Small: {faults}. Fix the class, then retry the job."


@pytest.mark.parametrize("text", ["nope", "", "[" * 100_000, '{"to": "\\ud800"}'])
def test_a_payload_that_is_no_json_is_a_corrupt_row(text: str) -> None:
    with pytest.raises(CorruptRow) as caught:
        payload.decode(Small, text)

    assert isinstance(caught.value, PayloadMismatch)
    assert str(caught.value).startswith("corrupt row: payload of Small: Invalid JSON: ")


def test_a_validator_that_breaks_is_a_mismatch_too() -> None:
    class Fragile(Job):
        to: str

        @field_validator("to")
        @classmethod
        def _look(cls, value: str) -> str:
            raise RuntimeError("no\nservice")

    with pytest.raises(PayloadMismatch) as caught:
        payload.decode(Fragile, '{"to":"a"}')

    assert caught.value.faults == (("$", "RuntimeError: no\\x0aservice"),)


def test_meta_is_plain_json() -> None:
    assert payload.encode_json({"tenant": "acme", "n": [1]}, "meta", 100) == '{"tenant":"acme","n":[1]}'
    with pytest.raises(PayloadError, match=r"^meta: \$\.tenant: UUID would not come back as UUID; declare"):
        payload.encode_json({"tenant": ID}, "meta", 100)
    with pytest.raises(PayloadTooLarge, match=r"^meta: \$: 202 bytes > 100; store a reference$"):
        payload.encode_json("x" * 200, "meta", 100)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (7, "7"),
        ("é", '"é"'),
        ((1, "a"), '[1,"a"]'),
        ({"d": Decimal("1.5"), "u": ID}, '{"d":"1.5","u":"01a20acc-dafb-765c-a4ca-61c28b7f79af"}'),
        (Box(when=NOW), '{"when":"2026-05-17T12:30:00.123456Z","sizes":[]}'),
        (Point(1, NOW), '{"x":1,"made":"2026-05-17T12:30:00.123456Z"}'),
        (Colour.RED, '"red"'),
    ],
)
def test_a_result_is_kept_if_json_can_hold_it(value: object, text: str | None) -> None:
    assert payload.encode_result(value, LIMIT) == (text, None)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ({1: 2}, "the result was dropped: $: key 1 is not a string"),
        ([b""], "the result was dropped: $[0]: bytes is not JSON; encode it yourself"),
        (float("nan"), "the result was dropped: $ is not finite"),
        ("\x00", "the result was dropped: $ contains NUL at index 0"),
        ("\ud800", "the result was dropped: $ is not valid Unicode"),
        ({1, 2}, "the result was dropped: $: set is not JSON; encode it yourself"),
        ("x" * 50_000_000, "the result was dropped: 50000002 bytes > 262144; store a reference"),
        (cycle(), "the result was dropped: $.b refers to its parent"),
    ],
)
def test_any_other_result_is_dropped_with_a_note(value: object, note: str) -> None:
    assert payload.encode_result(value, LIMIT) == (None, note)


class Hostile:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("do not look at me")


def test_a_result_that_fails_when_it_is_looked_at_is_dropped() -> None:
    note = "the result was dropped: RuntimeError: do not look at me"

    assert payload.encode_result(Hostile(), LIMIT) == (None, note)
