"""A server that is reached by TLS: on the event loop, from a thread, and not by whoever does not know its certificate."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from goose_queues.errors import StoreUnavailable
from goose_queues.stores.redis.servers import Run, Servers
from servers.private import binary, free_port
from servers.private_redis import PrivateRedis

from .test_servers import ECHO


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    made, key = tmp_path / "server.pem", tmp_path / "server.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [binary("redis", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-out", str(made), "-keyout", str(key)], check=True, capture_output=True)
    return made, key


@pytest.fixture
def port(certificate: tuple[Path, Path]) -> Iterator[int]:
    made, key = certificate
    port = free_port()
    with PrivateRedis(
        tls_port=port, tls_cert_file=made, tls_key_file=key, tls_ca_cert_file=made, tls_auth_clients="no"
    ):
        yield port


async def test_a_server_that_is_known_is_spoken_to(port: int, certificate: tuple[Path, Path]) -> None:
    servers = Servers(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate[0]}")
    await servers.open()
    run = Run(ECHO, ("key",), ("word",))
    assert await servers.run(run) == ["key", "word", 7, None]
    assert await asyncio.to_thread(servers.run_blocking, run, timeout=5) == ["key", "word", 7, None]
    await servers.close()


async def test_one_that_is_not_is_refused_in_a_line(port: int) -> None:
    with pytest.raises(StoreUnavailable, match="certificate") as error:
        await Servers(f"rediss://127.0.0.1:{port}").open()
    assert "\n" not in str(error.value)
