"""A PostgreSQL server of the tests' own, on a free port of the loopback device.

It is a real server: `initdb`, then `pg_ctl start`. Tests may kill it with SIGKILL and start it again. A keeper
process stops the server and removes its files when the process of the tests is gone, even after SIGKILL.

The server needs the programs of the Debian package `postgresql`. They refuse to run as root, so root starts them
as the user `postgres` (or `nobody`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from modes import let_everybody_in

if TYPE_CHECKING:
    import psycopg

KEEPER = Path(__file__).with_name("postgres_keeper.py")
PROGRAMS = ("initdb", "pg_ctl", "postgres", "psql")
DEBIAN = Path("/usr/lib/postgresql")
USER = "jobcell"
PORTS = range(20_000, 32_000)
"""Below the ports that Linux gives to sockets without one (ip(7), ip_local_port_range), so that a server that
starts again finds its port free."""

FAST: Mapping[str, str] = {"fsync": "off", "shared_buffers": "16MB", "autovacuum": "off"}
"""Settings for tests. Without fsync a commit still survives SIGKILL, because the kernel holds the pages."""

STOCK: Mapping[str, str] = {}
"""The settings of a new server, for measurements."""

kept: set[int] = set()
"""Descriptors of connections that servers keep; tests that look for open descriptors leave them out."""


class PostgresMissingError(Exception):
    """The machine has no PostgreSQL server; the text says where it was searched."""


def find_programs(path: str | None = None, debian: Path = DEBIAN) -> Path:
    """Return the directory with the programs of the newest server.

    Args:
        path: Directories as in `PATH`; None takes this variable.
        debian: Where Debian has one directory for each major version.

    Raises:
        PostgresMissingError: Neither place has all the programs.

    """
    path = os.environ.get("PATH", "") if path is None else path
    versions = [d for d in debian.glob("*/bin") if d.parent.name.isdigit()]
    versions.sort(key=lambda found: int(found.parent.name), reverse=True)
    for directory in [*versions, *map(Path, filter(None, path.split(os.pathsep)))]:
        if all(os.access(directory / name, os.X_OK) for name in PROGRAMS):
            return directory
    raise PostgresMissingError(
        f"no PostgreSQL server: {', '.join(PROGRAMS)} are neither on PATH nor in {debian}/*/bin;"
        " on Debian: apt-get install -y postgresql"
    )


def _free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _account() -> dict[str, object]:
    """Return the arguments of `subprocess` that make a program another user's, if this one is root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise PostgresMissingError("PostgreSQL does not run as root, and there is no user postgres")


class PostgresServer:
    """A running server. `kill` and `start_again` are for drills; `stop` ends it and removes its files."""

    def __init__(
        self,
        *,
        settings: Mapping[str, str] = FAST,
        directory: Path | None = None,
        made: Path | None = None,
    ) -> None:
        """Make a cluster and start it.

        Args:
            settings: Lines of `postgresql.conf`, beside those for the address.
            directory: An existing directory for the files, for example a small tmpfs. None makes one.
            made: A directory for the files of a new cluster. The first server with it makes them, and the others
                copy them, which takes a tenth of the time.

        Raises:
            PostgresMissingError: This machine lacks a server, or a user that may run it.
            RuntimeError: A program of the server failed; the text has its output.

        """
        self._programs = find_programs()
        self._account = _account()
        self.made = made
        self.directory = directory or Path(tempfile.mkdtemp(prefix="jobcell-postgres-"))
        let_everybody_in(self.directory)
        if self._account:
            os.chown(self.directory, self._account["user"], self._account["group"])
        self._data = self.directory / "data"
        self.log = self.directory / "log"
        self._open: psycopg.Connection[Any] | None = None
        self._keep()
        try:
            if made is None:
                self._initdb()
            else:
                self._copy(made)
            self._begin(settings)
        except BaseException:
            self.stop()
            raise

    def _keep(self) -> None:
        """Start the keeper; it goes into the background, so that tests do not find it among their children."""
        self._connection, theirs = socket.socketpair()
        with theirs:
            subprocess.run(
                [sys.executable, "-I", "-S", KEEPER, str(theirs.fileno()), self.directory],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=True,
            )

    def _initdb(self) -> None:
        options = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-U", USER]
        self._run("initdb", *options)

    def _copy(self, made: Path) -> None:
        """Copy the files of a new cluster, which the first caller makes while the others wait."""
        made.mkdir(exist_ok=True)
        with (made / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (made / "data").exists():
                self._initdb()
                subprocess.run(["cp", "-a", self._data, made / "new"], check=True)
                (made / "new").rename(made / "data")
                return
        subprocess.run(["cp", "-a", made / "data", self._data], check=True)

    def _begin(self, settings: Mapping[str, str]) -> None:
        """Write the settings and start, with another port if somebody was faster."""
        own = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        lines = [f"{name} = '{value}'\n" for name, value in own.items()]
        stock = (self._data / "postgresql.conf").read_text()
        for attempt in range(1, 6):
            self.port = _free_port()
            (self._data / "postgresql.conf").write_text(
                stock + "".join(lines) + f"port = {self.port}\n"
            )
            try:
                self._pg_ctl("start", "-l", str(self.log))
            except RuntimeError:
                if attempt == 5 or "in use" not in self.log.read_text():
                    raise
            else:
                return

    def _run(self, program: str, *arguments: str, timeout_s: float = 120) -> str:
        result = subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            stdin=subprocess.DEVNULL,
            # A server that inherits a pipe would hold it open.
            stdout=(out := tempfile.TemporaryFile("w+")),  # noqa: SIM115
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            # Settings of a user, such as PGPORT, are not for this server.
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            timeout=timeout_s,
            check=False,
            start_new_session=True,  # Ctrl-C is for the tests
            **self._account,
        )
        with out:
            out.seek(0)
            text = out.read()
        if result.returncode:
            log = self.log.read_text()[-2000:] if self.log.exists() else ""
            raise RuntimeError(f"{program} {' '.join(arguments)}: {text}{log}")
        return text

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-w", "-t", "60", *arguments)

    @property
    def pid(self) -> int:
        """The process id of the postmaster that runs, or ran last."""
        return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database in the form that users write."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Carry out statements, and return their rows as `psql -At` prints them: columns apart by `|`.

        Raises:
            RuntimeError: A statement failed, or the server is away; the text is that of the server.

        """
        import psycopg  # only tests with a server wait for it; the program psql takes longer still

        lines = []
        try:
            with psycopg.connect(
                self.url(database), autocommit=True, connect_timeout=10
            ) as connection:
                cursor = connection.execute(statements.encode())
                more = True
                while more:
                    rows = cursor.fetchall() if cursor.description else []
                    lines += ["|".join("" if v is None else str(v) for v in row) for row in rows]
                    more = bool(cursor.nextset())
        except psycopg.Error as error:
            raise RuntimeError(str(error)) from None
        return "\n".join(lines)

    def keep_open(self) -> psycopg.Connection[Any]:
        """Return a connection to the database `postgres` that stays open, because a new one takes 5 ms.

        The server is started again if it does not run.
        """
        import psycopg

        if self._open is not None:
            try:
                self._open.execute("select 1")
            except psycopg.Error:
                self._forget()
            else:
                return self._open
        self.start_again()
        self._open = psycopg.connect(self.url(), autocommit=True)
        self._number = self._open.fileno()
        kept.add(self._number)
        return self._open

    def _forget(self) -> None:
        if self._open is not None:
            kept.discard(self._number)
            self._open.close()
            self._open = None

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Give the address of a new database, and drop it at the end, with all connections to it.

        Args:
            template: The name of the database that it begins as a copy of. The usual one is empty.

        """
        name = f"t_{uuid.uuid4().hex}"
        self.sql(f"create database {name} template {template}")
        try:
            yield self.url(name)
        finally:
            self.start_again()
            self.sql(f"drop database {name} with (force)")

    @contextlib.contextmanager
    def speaking_tls(self, certificate: Path, *, clients_of: Path | None = None) -> Iterator[None]:
        """Have the server speak TLS as well, until the end of the block.

        Args:
            certificate: A file with its key and its certificate.
            clients_of: A file with the authorities whose clients it knows by their certificates.

        """
        own = self.directory / "tls"
        shutil.copy(certificate, own)
        own.chmod(0o600)
        if self._account:
            os.chown(own, self._account["user"], self._account["group"])
        settings = {"ssl_cert_file": own, "ssl_key_file": own, "ssl": "on"}
        if clients_of is not None:
            settings["ssl_ca_file"] = clients_of
        try:
            for name, value in settings.items():
                self.sql(f"alter system set {name} = '{value}'")
            self._reload("on")
            yield
        finally:
            self.start_again()
            for name in settings:
                self.sql(f"alter system reset {name}")
            self._reload("off")

    def _reload(self, ssl: str) -> None:
        """Have the server read its settings, and wait until new connections have them."""
        self.sql("select pg_reload_conf()")
        deadline = time.monotonic() + 60
        while self.sql("show ssl") != ssl:
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.002)

    def running(self) -> bool:
        """Whether the server accepts statements."""
        try:
            self.sql("select 1")
        except RuntimeError:
            return False
        return True

    def kill(self, *, backends: bool = True) -> None:
        """Kill the postmaster with SIGKILL, as the kernel does when memory is short.

        Args:
            backends: Kill its processes as well. Otherwise they end by themselves, each when it notices, and the
                server does not start again before all have ended.

        Returns when each killed process is gone.

        """
        pids = [
            self.pid,
            *([child.pid for child in psutil.Process(self.pid).children()] if backends else []),
        ]
        with contextlib.ExitStack() as stack:
            descriptors = []
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    descriptors.append(os.pidfd_open(pid))
                    stack.callback(os.close, descriptors[-1])
                    signal.pidfd_send_signal(descriptors[-1], signal.SIGKILL)
            for descriptor in descriptors:
                # Readable at the end of the process, whether or not anybody has waited for it: pidfd_open(2).
                if not select.select([descriptor], [], [], 30)[0]:
                    raise RuntimeError(f"alive 30 s after SIGKILL: one of {pids}")

    def take_away(self) -> None:
        """Stop the server in order, with all connections to it; `start_again` brings it back."""
        self._pg_ctl("stop", "-m", "fast")

    def start_again(self, *, timeout_s: float = 60) -> float:
        """Start the server if it does not run, again and again until it does; return the seconds that it took.

        The first attempts after `kill` may fail, because processes of the old server hold its shared memory.

        Raises:
            RuntimeError: The server was not back after *timeout_s*.

        """
        begin = time.monotonic()
        while not self.running():
            try:
                self._pg_ctl("start", "-l", str(self.log))
            except RuntimeError:
                if time.monotonic() - begin > timeout_s:
                    raise
        return time.monotonic() - begin

    def stop(self) -> None:
        """End the server and remove its files; a second call does nothing."""
        self._forget()
        if self._connection.fileno() != -1:
            with self._connection:
                self._connection.shutdown(socket.SHUT_WR)
                # The end of the keeper, which then has removed everything.
                self._connection.recv(1)
