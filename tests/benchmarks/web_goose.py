"""Our side of ``web``: the JSON route as a controller with an injected service. Served by ``web_server``."""

from __future__ import annotations

from dataclasses import dataclass

from goose import ApiPlatform, Context, Controller, Module, api, get

from .web_service import ItemService


@dataclass
class ItemController(Controller, prefix="/items"):
    """One route."""

    items: ItemService

    @get("/{id}")
    async def show(self, ctx: Context) -> dict[str, object]:
        """Find the item and return it."""
        return self.items.find(int(ctx.param("id")))


class ItemModule(Module):
    """Declares the controller and what it needs."""

    declarations = (ItemController, ItemService)


app = api(ApiPlatform(name="bench", version="1"), ItemModule)
