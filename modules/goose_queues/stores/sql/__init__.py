"""The store on SQL databases: `store` is its face, each other file one thing that it does or knows."""
