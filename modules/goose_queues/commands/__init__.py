"""``goose queue``: work the queues of an application, see how they stand, steer them.

Found by ``goose`` through ``QueuesModule.commands``; each command has a file named after what it is about.
"""

import typer

from goose_queues.commands.stats import stats
from goose_queues.commands.work import work

queue = typer.Typer(
    name="queue", help="Work the application's queues, see how they stand, steer them.", no_args_is_help=True
)

queue.command(epilog="Example: goose queue work --queues emails,exports --concurrency 8")(work)
queue.command(epilog="Example: goose queue stats --json")(stats)
