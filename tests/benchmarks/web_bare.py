"""The rival of ``web``: the same JSON route on Starlette alone. Served by ``web_server``."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .web_service import ItemService

_service = ItemService()


async def show(request: Request) -> JSONResponse:
    """Find the item and send it."""
    return JSONResponse(_service.find(int(request.path_params["id"])))


app = Starlette(routes=[Route("/items/{id}", show)])
