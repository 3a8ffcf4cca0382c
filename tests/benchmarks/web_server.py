"""Serves one of ``web``'s applications with uvicorn on a free port, and says on which; a process of its own."""

from __future__ import annotations

import socket
import sys

import uvicorn


def main() -> None:
    """Serve ``package.module:app`` until SIGTERM."""
    # Named TCP, or asyncio would not switch Nagle's algorithm off and each answer would wait for a delayed ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(sys.argv[1], log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
