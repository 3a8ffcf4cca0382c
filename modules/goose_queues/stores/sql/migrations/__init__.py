"""The queue's tables, step by step: Alembic's versions, run by ``goose db migrate`` and at boot on SQLite.

Every step only adds, so that workers of the version before go on while it runs; each writes into the ``layout`` table
which version it has made and the oldest one whose code can still work with it. It is written with ``steps``, so that it can
be gone through once more, and holds a table that others work with for a moment only: nothing in it may depend on the number
of rows.
"""
