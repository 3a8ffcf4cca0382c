"""What is stored of an order, and what a client sends to place one."""

from datetime import datetime
from uuid import uuid4

from pydantic import BaseModel, Field
from sqlalchemy import func
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column


class Base(MappedAsDataclass, DeclarativeBase):
    """The tables of this module."""


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(primary_key=True, init=False, default_factory=lambda: str(uuid4()))
    item: Mapped[str]
    quantity: Mapped[int]
    email: Mapped[str]
    status: Mapped[str] = mapped_column(default="received")
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=func.now())


class FailedMail(Base):
    """Mail that could not be sent, kept for someone to look at."""

    __tablename__ = "failed_mail"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    to: Mapped[str]
    reason: Mapped[str]


class CreateOrder(BaseModel):
    item: str = Field(min_length=1, max_length=100)
    quantity: int = Field(default=1, ge=1, le=1000)
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
