"""Goose: an application kit for Python. Everything that an application imports from the kernel stands here."""

from goose.container import Scope, current_scope
from goose.declaration import Declaration, Lifetime, Named, declare
from goose.errors import ConfigError, GooseError
from goose.instance import Instance, Platform, api, worker
from goose.kernel import Kernel
from goose.module import Module
from goose.serving import running, start

__all__ = [
    "ConfigError",
    "Declaration",
    "GooseError",
    "Instance",
    "Kernel",
    "Lifetime",
    "Module",
    "Named",
    "Platform",
    "Scope",
    "api",
    "current_scope",
    "declare",
    "running",
    "start",
    "worker",
]
