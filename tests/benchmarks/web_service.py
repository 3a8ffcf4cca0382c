"""What both web applications do behind their route."""

from __future__ import annotations


class ItemService:
    """Finds items."""

    def find(self, item_id: int) -> dict[str, object]:
        """The item of that number."""
        return {"id": item_id, "name": "a thing", "price": 1250, "tags": ["red", "round"], "in_stock": True}
