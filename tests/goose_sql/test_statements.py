"""Tests of goose_sql.statements: reads are told from writes by their text."""

from __future__ import annotations

import pytest

from goose_sql.statements import Kind, kind_of


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  -- why\n/* and\n how */ select 1",
        "VALUES (1)",
        "PRAGMA user_version",
        "EXPLAIN QUERY PLAN DELETE FROM t",
        "WITH a AS (SELECT 1), b(x) AS (VALUES (2)) SELECT * FROM a",
        "with recursive insert_ as (select ')' union all select 1) select * from insert_",
        "COMMIT",
        "",
    ],
)
def test_reads(sql: str) -> None:
    """What only reads begins nothing."""
    assert kind_of(sql) is Kind.READS


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT 1",
        "update t set x = 'SELECT'",
        "/* SELECT */ DELETE FROM t",
        "REPLACE INTO t VALUES (1)",
        "CREATE TABLE t (x)",
        "SAVEPOINT a",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "WITH [SELECT] AS (SELECT 1) DELETE FROM t",
        "WITH nobody knows",
        "something new",
    ],
)
def test_writes(sql: str) -> None:
    """What writes, and what cannot be told, begins a transaction first."""
    assert kind_of(sql) is Kind.WRITES


@pytest.mark.parametrize("sql", ["VACUUM", "BEGIN IMMEDIATE", "ATTACH 'x' AS y"])
def test_alone(sql: str) -> None:
    """What must not run in a transaction takes the turn only."""
    assert kind_of(sql) is Kind.ALONE
