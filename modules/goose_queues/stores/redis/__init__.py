"""The store on Redis: `store` is its face, `servers` the way there, each other file one thing that it does or knows."""
