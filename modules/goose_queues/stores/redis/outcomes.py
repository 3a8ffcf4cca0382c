"""Outcomes as the fields that ``settle.lua`` takes."""

from __future__ import annotations

from goose_queues.record import (
    Cancelled,
    Completed,
    Doomed,
    Failed,
    Outcome,
    Released,
    Retry,
    Snoozed,
)
from goose_queues.stores.moment import span, stored
from goose_queues.stores.text import error_text, plain


def outcome_fields(outcome: Outcome) -> tuple[str, str, str, str, str, str]:
    """State, when, flags, error, result, note; empty where there is none."""
    match outcome:
        case Completed(result, note):
            return "c", "", "", "", plain(result) or "", plain(note) or ""
        case Failed(error, note):
            return "f", "", "f", error_text(error), "", plain(note) or ""
        case Doomed(error):
            return "a", "", "fd", error_text(error), "", ""
        case Cancelled(reason):
            return "x", "", "", "", "", plain(reason) or ""
        case Retry(delay, error, note):
            return "a", f"+{span(delay)}", "f", error_text(error), "", plain(note) or ""
        case Snoozed(delay, until):
            when = f"+{span(delay or 0)}" if until is None else f"@{max(stored(until), 0)}"
            return "a", when, "r", "", "", ""
        case Released():
            return "a", "", "r", "", "", ""
