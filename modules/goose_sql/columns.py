"""Types of columns that give a value back as it was put in, on every database: ``UtcDateTime``, ``ExactDecimal``.

For models; SQLAlchemy's own ``DateTime`` loses the time zone outside PostgreSQL and, on MySQL, what is below a second, its
``Numeric`` is a float on SQLite. A version of ``migrations`` names the plain types beneath.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sqlalchemy import DateTime, Dialect, Numeric
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

EXACT: Final = 15
"""Decimal digits that a float, which is what SQLite has, always gives back."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment to the microsecond; comes back in UTC. A naive ``datetime`` is refused, as it says no moment."""

    impl = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} is naive: use datetime.now(UTC)")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else value.replace(tzinfo=UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A ``Decimal`` with ``scale`` digits behind the point, rounded half up; one that is too large is refused.

    Args:
        precision: Digits in all, at most 15.
        scale: Those behind the point.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int = EXACT, scale: int = 4) -> None:
        if not 0 <= scale <= precision <= EXACT:
            raise ValueError(f"ExactDecimal({precision}, {scale}): at most {EXACT} digits, the scale among them")
        super().__init__(precision, scale)
        self.precision, self.scale = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Numeric(self.precision, self.scale, asdecimal=False))
        return dialect.type_descriptor(self.impl_instance)

    def process_bind_param(self, value: Decimal | float | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        rounded = self._rounded(value)
        if abs(rounded) >= 10 ** (self.precision - self.scale):
            raise ValueError(f"{value} has more than {self.precision - self.scale} digits before the point")
        return float(rounded) if dialect.name == "sqlite" else rounded

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else self._rounded(value)

    def _rounded(self, value: Decimal | float) -> Decimal:
        return Decimal(repr(value) if isinstance(value, float) else value).quantize(
            Decimal(1).scaleb(-self.scale), ROUND_HALF_UP
        )
