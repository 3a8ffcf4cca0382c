"""``goose queue show``: everything that there is to know of one job, secrets masked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic_core import from_json

from goose.commands import CommandError, as_json, say, say_json
from goose_queues.client import Client
from goose_queues.commands.ages import age, when
from goose_queues.commands.counting import counted
from goose_queues.commands.opened import opened
from goose_queues.commands.plain import plain
from goose_queues.errors import BatchNotFound, JobNotFound
from goose_queues.record import BatchProgress, ErrorRecord, JobRecord
from goose_queues.redact import mask_fields, mask_secrets, one_line
from goose_queues.status import JobStatus

LINKS: Final = 1_000
"""Jobs at most of a chain that are looked at: as many as a chain has links, if none of them is a batch."""
LONG: Final = 4_000
"""Characters of one line, such as of a traceback."""


@dataclass(frozen=True, slots=True)
class Found:
    """A job, and those that it belongs to."""

    record: JobRecord
    status: JobStatus
    chain: Sequence[JobStatus]
    """The jobs of its chain in order; empty where it is in none."""
    is_whole: bool
    """Whether those are all."""
    batch: BatchProgress | None


def show_job(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    for_programs: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show all of a job: payload, attempts, error with traceback, its place in a chain or batch."""
    found = asyncio.run(_find(ctx, job_id))
    if for_programs:
        say_json(_fields(found))
        return
    for line in _lines(found, datetime.now(UTC)):
        say(line)


async def _find(ctx: typer.Context, job_id: str) -> Found:
    async with opened(ctx) as client:
        try:
            record, status = await client.get_record(job_id), await client.get_status(job_id)
        except JobNotFound:
            raise CommandError(f"no job has the id {one_line(job_id, 80)!r}") from None
        chain = None if record.chain_id is None else client.jobs(chain=record.chain_id, limit=LINKS)
        links = [] if chain is None else [link async for link in chain]
        is_whole = chain is None or chain.cursor is None
        return Found(record, status, links, is_whole, await _batch(client, record.batch_id))


async def _batch(client: Client, batch_id: str | None) -> BatchProgress | None:
    try:
        return None if batch_id is None else await client.get_batch(batch_id)
    except BatchNotFound:
        return None


def _fields(found: Found) -> dict[str, Any]:
    """The fields of the record, and beside them ``chain`` and ``batch``."""
    record = found.record
    known = {name: value for name, value in plain(found.status).items() if name != "error"}
    chain = [
        {"id": each.id, "name": each.name, "status": each.status, "position": each.position} for each in found.chain
    ]
    return {
        **plain(record),
        **known,
        "payload": _payload(record),
        "chain": mask_fields(chain) if chain else None,
        "batch": None if found.batch is None else plain(found.batch),
    }


def _payload(record: JobRecord) -> Any:
    """Its fields, or the text that a hand has written in their place."""
    try:
        return mask_fields(from_json(record.payload))
    except ValueError:
        return mask_secrets(str(record.payload))


def _lines(found: Found, now: datetime) -> Iterator[str]:
    record, status = found.record, found.status
    pairs = [(label, text) for label, text in _facts(found, now) if text]
    width = max(len(label) for label, _ in pairs)
    for label, text in pairs:
        yield f"{label.ljust(width)}  {one_line(mask_secrets(text), LONG)}"
    yield from _below("chain", _links(found))
    yield from _below("payload", _json(_payload(record)))
    yield from _below("meta", _json(mask_fields(status.meta)) if status.meta else ())
    yield from _below("result", () if status.result is None else _json(mask_fields(status.result)))
    yield from _below("error", _error(record.error))


def _facts(found: Found, now: datetime) -> Iterator[tuple[str, str]]:
    record, status = found.record, found.status
    yield "id", record.id
    yield "name", record.name
    yield "queue", record.queue
    yield "status", f"{record.status} {when(record, now)}{', told to end' if record.cancel_requested else ''}"
    yield "note", status.note or ""
    yield "progress", _progress(status)
    yield "attempts", _attempts(record)
    yield "max retries", str(record.max_retries)
    yield "priority", str(record.priority)
    yield "timeout", "none" if record.timeout is None else f"{record.timeout:g} s"
    for label, at in (
        ("dispatched", record.created_at),
        ("due", record.available_at),
        ("started", record.started_at),
        ("finished", record.finished_at),
    ):
        yield label, "" if at is None else _time(at, now)
    yield "chain", _place(found)
    yield "batch", _membership(found)


def _attempts(record: JobRecord) -> str:
    ends = ", ".join(
        counted(number, thing) for number, thing in ((record.failures, "failure"), (record.deaths, "death")) if number
    )
    return f"{record.attempts}{f' ({ends})' if ends else ''}"


def _progress(status: JobStatus) -> str:
    progress = status.progress
    if progress is None:
        return ""
    total = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.done:g}{total}{f': {progress.note}' if progress.note else ''}"


def _time(at: datetime, now: datetime) -> str:
    near = f"in {age(now, at)}" if at > now else f"{age(at, now)} ago"
    return f"{at.astimezone(UTC).isoformat(timespec='milliseconds')} ({near})"


def _place(found: Found) -> str:
    record = found.record
    if record.chain_id is None or record.position is None:
        return ""
    of_all = f" of {_length(found.chain)}" if found.is_whole else ""
    return f"link {record.position + 1}{of_all} of chain {record.chain_id}"


def _length(chain: Sequence[JobStatus]) -> int:
    return 1 + max((link.position or 0 for link in chain), default=0)


def _membership(found: Found) -> str:
    record, batch = found.record, found.batch
    if record.batch_id is None:
        return ""
    role = {"member": "member", "finally": "finally_"}.get(record.batch_role or "member", record.batch_role)
    if batch is None:
        return f"{role} of batch {record.batch_id}"
    failed = f", {batch.failed} failed" if batch.failed else ""
    return f"{role} of batch {record.batch_id}, {batch.completed} of {batch.total} completed{failed}"


def _links(found: Found) -> Iterator[str]:
    """One line for each link, the shown one marked; a batch among them with the states of its jobs."""
    for position in sorted({link.position or 0 for link in found.chain}):
        jobs = [link for link in found.chain if (link.position or 0) == position]
        mark = ">" if position == found.record.position else " "
        yield f"{mark} {position + 1}  {_link(jobs)}"
    if not found.is_whole:
        yield f"  and more: goose queue list --chain {found.record.chain_id} --all"


def _link(jobs: Sequence[JobStatus]) -> str:
    first = jobs[0]
    if len(jobs) == 1 and first.batch_id is None:
        return f"{first.name} {first.id} {first.status}"
    states = ", ".join(f"{number} {status}" for status, number in Counter(job.status for job in jobs).items())
    return f"{counted(len(jobs), 'job')} of batch {first.batch_id}: {states}"


def _json(value: Any) -> list[str]:
    return as_json(value).splitlines()


def _error(error: ErrorRecord | None) -> Iterator[str]:
    if error is not None:
        yield f"{error.type}: {error.message}" if error.message else error.type
        yield from error.traceback.splitlines()


def _below(label: str, lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """A part of its own, set in, that begins with what it is; nothing where there are no lines."""
    for number, line in enumerate(lines):
        if not number:
            yield ""
            yield f"{label}:"
        yield f"  {one_line(mask_secrets(line), LONG)}"
