"""Servers of a test's own, on free ports in temporary folders: they can be stopped, killed and started again."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL

from servers.shared import connect, skip_or_fail

_DEADLINE: Final = 60.0
_INITDB: Final = ("--locale=C", "--no-sync", "--no-instructions")
_INSTALL_DB: Final = ("--auth-root-authentication-method=normal", "--skip-name-resolve")


class PrivateServer:
    """``with PrivatePostgres() as server: ... server.restart()``. Its port stays the same for life.

    Everything blocks: in an async test whose event loop has to go on meanwhile, use ``asyncio.to_thread``.
    """

    url: URL

    def __init__(self) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="goose-server-"))
        self.port: Final = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop(immediate=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("it does not run")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it without waiting: it may refuse connections for a while."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **_as(self.account)
            )
        # Ends the server when this process goes without a word, as the pipe is closed then.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -s "$1" "$2"', "guard", self.quick_stop.name[3:], str(self.pid)],
            stdin=subprocess.PIPE,
        )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + _DEADLINE
        while True:
            try:
                self.touch()
                return
            except Exception as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"it did not start: {error}\n{self.log()[-2000:]}") from error
            time.sleep(0.02)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it and wait until it has gone; ``immediate`` as after a crash, else in order."""
        self._end(self.quick_stop if immediate else self.orderly_stop)

    def kill(self) -> None:
        """``kill -9``, and wait until it has gone."""
        self._end(signal.SIGKILL)

    def restart(self, *, immediate: bool = False) -> None:
        self.stop(immediate=immediate)
        self.start()

    def freeze(self) -> None:
        """Stop all of its processes; its machine goes on acknowledging packets."""
        for pid in (self.pid, *_children(self.pid)):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        for pid in (self.pid, *_children(self.pid)):
            os.kill(pid, signal.SIGCONT)

    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._guard is None:
            raise RuntimeError("it does not run")
        self._guard.kill()
        self._guard.communicate()
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, how)
            os.kill(self._process.pid, signal.SIGCONT)
        try:
            self._process.wait(_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._guard = None

    # What each kind of server answers.

    account: str
    """The user that it runs as where this process is root's."""
    quick_stop: signal.Signals
    orderly_stop: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        """Make its files."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def touch(self) -> None:
        """Return when it answers."""
        connect(self.url).close()


class PrivatePostgres(PrivateServer):
    """A PostgreSQL server; user root, no password, database test.

    Args:
        settings: Of its own, such as ``max_connections=5``.
    """

    account = "postgres"
    quick_stop = signal.SIGQUIT
    orderly_stop = signal.SIGINT

    def __init__(self, **settings: Any) -> None:
        binary("postgres", "postgres")
        super().__init__()
        # Here processes are killed, never machines: what the kernel was given is not lost.
        self._settings: Final = {"fsync": "off", "listen_addresses": "127.0.0.1", "port": self.port, **settings}
        self.url = URL.create("postgresql", "root", host="127.0.0.1", port=self.port, database="test")

    def prepare(self) -> None:
        _copy(_new_postgres(), self.folder / "data", self.account)

    def command(self) -> list[str]:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        return [
            binary("postgres", "postgres"),
            "-D",
            str(self.folder / "data"),
            "-k",
            str(self.folder / "data"),
            *options,
        ]

    def kill(self) -> None:
        """``kill -9``, and wait until its backends have gone as well, without which it would not start again."""
        backends = _children(self.pid)
        super().kill()
        for pid in backends:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _wait(lambda: not any(map(_is_alive, backends)))
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)


class PrivateMariaDB(PrivateServer):
    """A MariaDB server; user root, no password, database test.

    Args:
        settings: Of its own, such as ``max_connections=5``.
    """

    account = "mysql"
    quick_stop = signal.SIGKILL

    def __init__(self, **settings: Any) -> None:
        binary("mysql", "mariadbd")
        super().__init__()
        self._settings: Final = {"innodb_flush_log_at_trx_commit": 2, "innodb_buffer_pool_size": "32M", **settings}
        self.url = URL.create("mysql", "root", host="127.0.0.1", port=self.port, database="test")

    def prepare(self) -> None:
        _copy(_new_mariadb(), self.folder / "data", self.account)

    def command(self) -> list[str]:
        return [
            binary("mysql", "mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'data' / 'socket'}",
            f"--pid-file={self.folder / 'data' / 'pid'}",
            # In a folder of temporary files that it shares it would remove those of other servers.
            f"--tmpdir={self.folder}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            *(f"--{name}={value}" for name, value in self._settings.items()),
        ]


class Pgbouncer(PrivateServer):
    """A pgbouncer in front of a PostgreSQL server, in transaction mode; ``url`` leads through it.

    Args:
        target: The server, and the database in it.
        settings: Of its own, such as ``default_pool_size=2``.
    """

    account = "postgres"
    quick_stop = signal.SIGTERM
    orderly_stop = signal.SIGINT

    def __init__(self, target: URL, **settings: Any) -> None:
        binary("postgres", "pgbouncer")
        super().__init__()
        self._target: Final = target
        self._settings: Final = {"pool_mode": "transaction", "default_pool_size": 5, **settings}
        self.url = target.set(host="127.0.0.1", port=self.port)

    def prepare(self) -> None:
        target = self._target
        fields = {"host": target.host, "port": target.port or 5432, "dbname": target.database, "user": target.username}
        if target.password:
            fields["password"] = target.password
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "max_client_conn": 200,
            **self._settings,
        }
        lines = ["[databases]", f"{target.database} = {' '.join(f'{k}={v}' for k, v in fields.items())}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        self.folder.chmod(0o755)

    def command(self) -> list[str]:
        return [binary("postgres", "pgbouncer"), str(self.folder / "pgbouncer.ini")]


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary(server: str, name: str) -> str:
    """Where a program is; the test is skipped, or fails, where it is not installed."""
    folders = [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        "/usr/local/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))),
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return found or skip_or_fail(server, f"{name} is not installed")


@functools.cache
def _new_postgres() -> Path:
    """The files of a new server, made once by each process."""

    def make(folder: Path) -> None:
        _output(
            [
                binary("postgres", "initdb"),
                "-D",
                str(folder / "data"),
                "-U",
                "root",
                "-A",
                "trust",
                "-E",
                "UTF8",
                *_INITDB,
            ],
            "postgres",
        )
        _output(
            [binary("postgres", "postgres"), "--single", "-F", "-D", str(folder / "data"), "postgres"],
            "postgres",
            "CREATE DATABASE test;\n",
        )

    return _template(make, "postgres")


@functools.cache
def _new_mariadb() -> Path:
    def make(folder: Path) -> None:
        _output(
            [
                binary("mysql", "mariadb-install-db"),
                "--no-defaults",
                f"--datadir={folder / 'data'}",
                f"--tmpdir={folder}",
                *_INSTALL_DB,
            ],
            "mysql",
        )

    return _template(make, "mysql")


def _template(make: Callable[[Path], None], account: str) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="goose-template-", ignore_cleanup_errors=True)
    _templates.append(folder)
    if os.geteuid() == 0:
        shutil.chown(folder.name, account, account)
    make(Path(folder.name))
    return Path(folder.name) / "data"


_templates: Final[list[tempfile.TemporaryDirectory[str]]] = []


def _copy(template: Path, folder: Path, account: str) -> None:
    subprocess.run(["cp", "-a", str(template), str(folder)], check=True)
    if os.geteuid() == 0:
        folder.parent.chmod(0o755)
        shutil.chown(folder.parent, account, account)


def _as(account: str) -> Mapping[str, Any]:
    """PostgreSQL and pgbouncer refuse to run as root."""
    return {"user": account, "group": account, "extra_groups": []} if os.geteuid() == 0 else {}


def _output(command: list[str], account: str, typed: str = "") -> str:
    done = subprocess.run(
        command,
        input=typed,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        check=False,
        **_as(account),
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}")
    return done.stdout


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(part) for part in text.split()]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not end")
        time.sleep(0.01)
