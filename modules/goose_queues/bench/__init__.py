"""Measuring a store with no-op jobs, beside what it can do by itself; what ``goose queue bench`` shows."""
