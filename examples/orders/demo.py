"""The example, run for real: start the server, place orders, follow their jobs, stop the server, say what happened."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2

HERE = Path(__file__).parent
DEADLINE = 30.0
"""Seconds that any one step may take."""

T = TypeVar("T")


def main() -> int:
    """Run the demo; 0 when every step happened, else 1 with the server's log."""
    with tempfile.TemporaryDirectory(prefix="goose-demo-") as folder:
        log = Path(folder) / "server.log"
        port = free_port()
        with log.open("wb") as output:
            server = start(port, Path(folder), output)
            try:
                tour(server, port)
                stop(server)
            except Exception as error:  # noqa: BLE001 - whatever it is, the log helps more than a traceback
                return fail(error, log)
            finally:
                server.kill()
                server.wait()
    say("done. The code is in examples/orders; start with main.py.")
    return 0


def tour(server: subprocess.Popen[bytes], port: int) -> None:
    """What a visitor of the application would do."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as http:
        wait_for(lambda: is_ready(http, server), "the server to be ready")
        say(f"the server is ready on http://127.0.0.1:{port}, its workers run beside it, the store is one SQLite file")
        for item, quantity in (("egg", 12), ("feather pillow", 2), ("pond", 1)):
            place_order(http, item, quantity)
        refused = http.post("/orders", json={"item": "egg", "quantity": 0, "email": "ada@example.com"})
        expect(refused.status_code == 422, f"an order of nothing was answered with {refused.status_code}")
        say(f"POST /orders with quantity 0 -> 422: {refused.json()['errors'][0]['detail']}")
        wait_for(lambda: http.get("/queues").json()["emails"]["completed"] == 3, "the mails to be sent")
        for queue, counts in http.get("/queues").json().items():
            say(f"GET  /queues -> {queue}: {', '.join(f'{n} {state}' for state, n in counts.items())}")


def place_order(http: httpx2.Client, item: str, quantity: int) -> None:
    """Order something, and follow the job that works on it."""
    answer = http.post("/orders", json={"item": item, "quantity": quantity, "email": "ada@example.com"})
    expect(answer.status_code == 201, f"POST /orders was answered with {answer.status_code}: {answer.text}")
    order, job_id = answer.json()["order"], answer.json()["job_id"]
    say(f"POST /orders {quantity} x {item} -> 201; its job was stored with the order, in one transaction")
    job = wait_for(lambda: finished(http, job_id), f"job {job_id} to finish")
    expect(job["status"] == "completed", f"job {job_id} is {job['status']}")
    confirmed = http.get(f"/orders/{order['id']}").json()["status"]
    expect(confirmed == "confirmed", f"order {order['id']} is {confirmed}")
    say(f"GET  /jobs/{job_id} -> completed at attempt {job['attempts']}; the order is {confirmed}")


def finished(http: httpx2.Client, job_id: str) -> dict[str, Any] | None:
    """The job's status once it is final."""
    job: dict[str, Any] = http.get(f"/jobs/{job_id}").json()
    return job if job["status"] in {"completed", "failed", "cancelled"} else None


def is_ready(http: httpx2.Client, server: subprocess.Popen[bytes]) -> bool:
    """Whether the server takes requests; raises where it has ended."""
    expect(server.poll() is None, f"the server ended with exit code {server.returncode}")
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def start(port: int, folder: Path, output: Any) -> subprocess.Popen[bytes]:
    """The example's own main.py, in a process of its own."""
    environment = {**os.environ, "PORT": str(port), "DATABASE_URL": f"sqlite:///{folder / 'orders.db'}"}
    say("starting examples/orders/main.py")
    return subprocess.Popen(
        [sys.executable, "main.py"], cwd=HERE, env=environment, stdout=output, stderr=subprocess.STDOUT
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, and see that it does so gracefully."""
    server.send_signal(signal.SIGTERM)
    code = server.wait(DEADLINE)
    expect(code == 0, f"the server ended with exit code {code} after SIGTERM")
    say("SIGTERM -> the server finished what was running and ended with exit code 0")


def wait_for(condition: Callable[[], T | None], what: str) -> T:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        expect(time.monotonic() < deadline, f"waited {DEADLINE:g} s in vain for {what}")
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def expect(condition: bool, otherwise: str) -> None:
    """Go on, or stop the demo with what went wrong."""
    if not condition:
        raise RuntimeError(otherwise)


def say(text: str) -> None:
    """One line of the account."""
    print(f"[demo] {text}", flush=True)


def fail(error: Exception, log: Path) -> int:
    """Say what went wrong, with the server's log."""
    print(f"[demo] failed: {error}\n--- the server's log:\n{log.read_text(errors='replace')}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
