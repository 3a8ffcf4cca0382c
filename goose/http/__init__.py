"""HTTP: the API platform on Starlette. Users import from ``goose``."""
