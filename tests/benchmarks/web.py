"""How many requests a second a JSON route serves, under uvicorn in a process of its own, over keep-alive connections.

The load comes from this process: plain sockets, one thread, no parsing beyond the length of the answer, so that the
server is what is measured. ``server_ms`` is the processor time that the server spent on each request, which tells the
same story whatever else the machine does.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time

import psutil

from .contest import OURS, Benchmark, BenchmarkError, Figures, Floor, Metric, Trial, contend
from .measure import LIMIT

CONNECTIONS = 16
WARM_UP = 200
"""Requests before the clock starts."""
_REQUEST = b"GET /items/17 HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n"
_ANSWER = b'{"id":17,"name":"a thing","price":1250,"tags":["red","round"],"in_stock":true}'


def goose(trial: Trial) -> Figures:
    """A controller with an injected service."""
    return _serve_and_load("web_goose", trial.size)


def starlette(trial: Trial) -> Figures:
    """The same route on Starlette alone."""
    return _serve_and_load("web_bare", trial.size)


def _serve_and_load(module: str, requests: int) -> Figures:
    command = [sys.executable, "-m", f"{__package__}.web_server", f"{__package__}.{module}:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = _port(server)
            _load(port, WARM_UP)
            process = psutil.Process(server.pid)
            before = _processor_seconds(process)
            seconds = _load(port, requests)
            processor = _processor_seconds(process) - before
            memory = process.memory_info().rss / 2**20
        finally:
            server.terminate()
    return {"rate": requests / seconds, "server_ms": processor / requests * 1000, "memory": memory}


def _port(server: subprocess.Popen[str]) -> int:
    if server.stdout is None or not (line := server.stdout.readline()):
        raise BenchmarkError("the server ended before it served; its own words are above")
    return int(line)


def _load(port: int, requests: int) -> float:
    """Seconds until ``requests`` answers have come, each connection asking again when it is answered."""
    selector = selectors.DefaultSelector()
    connections = [socket.create_connection(("127.0.0.1", port), timeout=LIMIT) for _ in range(CONNECTIONS)]
    try:
        length = _first_answer(connections[0])
        pending = dict.fromkeys(connections, 0)
        started = time.perf_counter()
        answered, asked = 0, CONNECTIONS
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ, connection)
            connection.sendall(_REQUEST)
        while answered < requests:
            if not (ready := selector.select(LIMIT)):
                raise BenchmarkError(f"{answered:,} of {requests:,} requests were answered, then none for a minute")
            for key, _ in ready:
                connection = key.data
                received = connection.recv(65536)
                pending[connection] += len(received)
                if not received or pending[connection] > length or not _is_end(received, pending[connection], length):
                    raise BenchmarkError(f"an answer that was not the expected one: {received[:200]!r}")
                if pending[connection] == length:
                    pending[connection] = 0
                    answered += 1
                    if asked < requests:
                        connection.sendall(_REQUEST)
                        asked += 1
        return time.perf_counter() - started
    finally:
        selector.close()
        for connection in connections:
            connection.close()


def _first_answer(connection: socket.socket) -> int:
    """Ask once, check the answer whole, give its length."""
    connection.sendall(_REQUEST)
    answer = b""
    while _ANSWER not in answer:
        if not (received := connection.recv(65536)):
            break
        answer += received
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\n" + _ANSWER):
        raise BenchmarkError(f"the route answered {answer[:400]!r}")
    return len(answer)


def _is_end(received: bytes, total: int, length: int) -> bool:
    return total < length or received.endswith(_ANSWER[-20:])


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


BENCHMARK = Benchmark(
    name="web",
    question="a JSON route through a controller with injection, under uvicorn",
    metrics=(Metric("rate", "requests/s"), Metric("server_ms", "ms", more_is_better=False)),
    contestants={OURS: goose, "starlette": starlette},
    size=10_000,
    quick_size=1_500,
    floors=(Floor("rate", 0.80, against="starlette"),),
)

if __name__ == "__main__":
    contend(BENCHMARK)
