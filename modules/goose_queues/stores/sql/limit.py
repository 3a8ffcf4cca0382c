"""The LIMIT of statements that walk an index in its order; called by ``claim``, ``prune`` and ``purge``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam, select

from goose_queues.stores.sql.statement import Layout


def most(layout: Layout) -> ColumnElement[Any]:
    """The parameter ``most``; on PostgreSQL out of the planner's sight.

    Where it believes that there are no more rows than are wanted, it would read all of them and sort: after a bulk insert
    that its statistics know nothing of, the whole backlog. Of a limit that it does not know it takes a tenth of the rows
    to be wanted, for which the ordered index is the cheaper way.
    """
    number = bindparam("most", type_=BigInteger)
    return select(number).scalar_subquery() if layout.family == "postgresql" else number
