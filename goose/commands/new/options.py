"""The options that several ``goose new`` commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Parent: TypeAlias = Annotated[
    str,
    typer.Option(
        "--module", metavar="M", help="The module that it is added to: app.orders.module, or with :OrdersModule."
    ),
]

ROOT_MODULE = "app.module"
"""What ``--module`` names unless told otherwise."""
