"""``goose run``: serves a generated application until it is told to stop."""

from __future__ import annotations

import re
from pathlib import Path

from end_to_end.installed import Goose, ask
from waiting import wait_until


def test_a_new_application_serves_runs_jobs_and_stops(goose: Goose, shop: Path) -> None:
    with goose.running(shop, "run", "--port", "0") as server:
        base = server.says(r"http://127\.0\.0\.1:\d+")[0]
        assert ask(f"{base}/greetings/Ada") == (200, {"greeting": "Hello, Ada!"})
        assert ask(f"{base}/readyz")[0] == 200
        status, answer = ask(f"{base}/greetings", {"to": "Grace"})
        assert status == 202
        assert isinstance(answer, dict)
        server.says("greeted: Hello, Grace!")
        assert server.stop() == 0
    assert "Traceback" not in server.log
    assert not re.search("alembic|Context impl", server.log)


def test_the_server_says_in_one_line_that_its_port_is_taken(goose: Goose, shop: Path) -> None:
    with goose.running(shop, "run", "--port", "0") as server:
        port = server.says(r"http://127\.0\.0\.1:(\d+)")[1]
        second = goose(shop, "run", "--port", port, code=1)
    assert f"goose: cannot listen on 127.0.0.1:{port}: the address is in use or not allowed\n" in second.stderr
    assert "Traceback" not in second.stderr


async def test_a_changed_file_is_served_without_starting_anew(goose: Goose, shop: Path) -> None:
    with goose.running(shop, "run", "--reload", "--port", "0", "--host", "localhost") as server:
        base = server.says(r"http://localhost:\d+")[0]
        greeter = shop / "app/services/greeter.py"
        changed = greeter.read_text().replace("Hello", "Good day")

        def is_served() -> bool:
            try:
                answer = ask(f"{base}/greetings/Ada")
            except OSError:  # just starting, or starting anew
                return False
            if answer == (200, {"greeting": "Hello, Ada!"}):
                greeter.write_text(changed)  # again and again: whoever watches may not have looked at it before
            return answer == (200, {"greeting": "Good day, Ada!"})

        await wait_until(is_served)
        assert server.stop() == 0
