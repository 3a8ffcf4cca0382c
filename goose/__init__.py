"""Goose: an application kit for Python. Everything that an application imports from the kernel stands here."""

from goose.declaration import Declaration, Lifetime, Named, declare
from goose.errors import ConfigError, GooseError
from goose.http.context import Context
from goose.http.controller import Controller
from goose.http.errors import HttpError
from goose.http.platform import ApiPlatform
from goose.http.route import Guard, delete, get, patch, post, put, route
from goose.instance import Instance, Platform, api, worker
from goose.kernel import Kernel
from goose.module import Module
from goose.scope import Scope, current_scope
from goose.serving import running, start

__all__ = [
    "ApiPlatform",
    "ConfigError",
    "Context",
    "Controller",
    "Declaration",
    "GooseError",
    "Guard",
    "HttpError",
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
    "delete",
    "get",
    "patch",
    "post",
    "put",
    "route",
    "running",
    "start",
    "worker",
]
