"""``goose queue``: work the queues of an application, see how they stand, steer them.

Found by ``goose`` through ``QueuesModule.commands``; each command has a file named after what it is about.
"""

import typer

from goose_queues.commands.bench import bench
from goose_queues.commands.listing import list_jobs
from goose_queues.commands.pausing import pause, resume
from goose_queues.commands.purging import purge
from goose_queues.commands.showing import show_job
from goose_queues.commands.stats import stats
from goose_queues.commands.steering import cancel, retry
from goose_queues.commands.work import work

queue = typer.Typer(
    name="queue", help="Work the application's queues, see how they stand, steer them.", no_args_is_help=True
)

queue.command(epilog="Example: goose queue work --queues emails,exports --concurrency 8")(work)
queue.command(epilog="Example: goose queue stats --watch")(stats)
queue.command("list", epilog="Example: goose queue list --queue emails --status failed")(list_jobs)
queue.command("show", epilog="Example: goose queue show 0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a")(show_job)
queue.command(epilog="Example: goose queue retry --queue emails --status failed")(retry)
queue.command(epilog="Example: goose queue cancel --queue emails --name SendEmail --dry-run")(cancel)
queue.command(epilog="Example: goose queue pause emails")(pause)
queue.command(epilog="Example: goose queue resume emails")(resume)
queue.command(epilog="Example: goose queue purge emails --dry-run")(purge)
queue.command(epilog="Example: goose queue bench --jobs 50000 --concurrency 20")(bench)
