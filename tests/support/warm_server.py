"""Becomes a Python program for each request: a fork that begins with the engine imported.

Run as ``python warm_server.py FD KIND``, with a kind of `MODULES`. Each message on the socket is a program, with its three standard streams
and a socket for its end; see `warm`, which sends them. With a second number, this descriptor is a listening socket, to which
programs without the first socket send the same.
"""

from __future__ import annotations

import json
import os

# Its parent must not have it among its children: tests look for those of an engine there.
if os.fork():
    os._exit(0)

import atexit
import ctypes
import fcntl
import gc
import importlib
import select
import signal
import socket
import sys
import termios
import threading
import types
import warnings

ENGINE = ("engine", "psutil", "runs")
"""Modules that programs with an engine need."""

COMMANDS = (
    "dbos",
    "dbos._sys_db_sqlite",
    "encodings.utf_8_sig",
    "engine",
    "hmac",
    "jobcell.desk.checking",
    "jobcell.cli",
    "jobcell.commands.app",
    "jobcell.commands.completing",
    "jobcell.desk.doctor",
    "jobcell.desk.importing",
    "jobcell.desk.new_project",
    "jobcell.desk.reporting",
    "jobcell.moving.project",
    "jobcell.moving.script.job",
    "jobcell.reuse.journals",
    "jobcell.output",
    "jobcell.output.json_text",
    "jobcell.output.views",
    "jobcell.reuse.caching",
    "jobcell.reuse.repeating",
    "jobcell.reuse.step_cache",
    "jobcell.repo.commands",
    "jobcell.repo.install",
    "jobcell.repo.lockfile",
    "jobcell.repo.removal",
    "jobcell.running.runner",
    "jobcell.stored.schedules",
    "jobcell.running.starting",
    "jobcell.store",
    "jobcell.stored.admin",
    "jobcell.stored.runs",
    "jobcell.desk.validating",
    "jobcell.stubs.command",
    "jobcell.worker.command",
    "psutil",
    "psycopg",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.plugin._loader",
    "pydantic.type_adapter",
    "pydantic.types",
    "rich.markup",
    "rich.table",
    "runs",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "tree_sitter_javascript",
    "typer._adapters",
    "typer._click._textwrap",
    "typer._click.decorators",
    "zoneinfo",
)
"""Modules that commands need; typer loads pydantic where it is installed."""

SERVERS = (*COMMANDS, "jobcell.desk.serving", "warm_app")
"""Modules that `jobcell serve` needs; the last one loads what a server loads when it starts."""

TELEMETRY = (
    *COMMANDS,
    "encodings.idna",
    "jobcell.telemetry.environment",
    "jobcell.telemetry.meters",
    "jobcell.telemetry.origins",
    "jobcell.telemetry.spans",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._logs.export",
    "opentelemetry.sdk.metrics.export",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.trace.propagation.tracecontext",
    "requests",
)
"""Modules that commands with `--otel` need."""

INSTALLERS = (
    "pip._internal.cli.main",
    "pip._internal.commands.install",
    "pip._internal.metadata.importlib",
    "pip._internal.metadata.pkg_resources",
    "pip._internal.network.session",
    "pip._internal.resolution.resolvelib.resolver",
    "pip._vendor.distro",
    "plistlib",
)
"""Modules that pip needs to install wheels."""

MODULES = {
    "programs": ENGINE,
    "commands": COMMANDS,
    "servers": SERVERS,
    "telemetry": TELEMETRY,
    "installers": INSTALLERS,
}

MOST_BYTES = 1 << 20


def serve(requests: socket.socket, door: socket.socket | None) -> dict[str, object]:
    """Fork for each request, and report its end; return the request in the fork."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    if door is not None:
        poll.register(door, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready, _ in poll.poll():
            if ready not in (requests.fileno(), -1 if door is None else door.fileno()):
                poll.unregister(ready)
                pid, end = running.pop(ready)
                os.close(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                try:
                    end.sendall(str(status).encode())
                except BrokenPipeError:
                    pass  # the test has given up
                end.close()
                continue
            if ready == requests.fileno():
                data, fds, _, _ = socket.recv_fds(requests, MOST_BYTES, 4)
                if not data:  # the tests are gone, perhaps by SIGKILL
                    for pid, _ in running.values():
                        os.kill(
                            pid, signal.SIGKILL
                        )  # it is not reaped, so the number is still its own
                    os._exit(0)
            else:
                client = door.accept()[0]
                data, fds, _, _ = socket.recv_fds(client, MOST_BYTES, 3)
                fds.append(client.detach())
                if not data:
                    os.close(fds[-1])
                    continue
            pid = os.fork()
            if not pid:
                for number, fd in enumerate(fds[:3]):
                    os.dup2(fd, number)
                # Nobody closes these objects, because their descriptors are closed with all others.
                kept = [requests.detach(), *(end.detach() for _, end in running.values())]
                if door is not None:
                    kept.append(door.detach())
                os.closerange(3, max([*kept, *fds, *running, 100]) + 1)
                return json.loads(data)
            for fd in fds[:3]:
                os.close(fd)
            end = socket.socket(fileno=fds[3])
            end.sendall(f"{pid} ".encode())
            watched = os.pidfd_open(pid)
            running[watched] = pid, end
            poll.register(watched, select.POLLIN)


def join(pid: int) -> None:
    """Enter the network and the view of the files of a process: setns(2)."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    for name in ("net", "mnt"):
        with open(f"/proc/{pid}/ns/{name}") as namespace:  # noqa: PTH123 - the name is not that of a file
            if setns(namespace.fileno(), 0):
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {os.strerror(number)}")


def become(request: dict[str, object]) -> None:
    """Take over what an interpreter of its own would have begun with."""
    if request.get("borrows"):  # pip does not send it, nor the others that may be missing
        lender.serve()
    if request.get("join") is not None:
        join(request["join"])
    if request.get("terminal"):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[:] = request["argv"]
    extra = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[0:1] = ["", *extra]
    sys.warnoptions[:] = request["warnings"]
    warnings._processoptions(sys.warnoptions)
    for name, number, how in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if number in request.get("closed", ()):
            os.close(number)
            stream = None
        else:
            errors = "backslashreplace" if number == 2 else "strict"
            buffering = 1 if number == 2 else -1
            stream = os.fdopen(number, how, buffering, errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main


def find_files() -> None:
    """Look up the files of an interpreter now, as the first run of each process does: this takes 10 ms."""
    from engine.confinement import interpreter

    interpreter.readable()
    interpreter.hidden()


def build_command() -> None:
    """Have typer read the signatures of all commands now, which takes 30 ms in each process."""
    import typer.main

    from jobcell.commands import app as module

    app = module.app
    module.app_for = lambda arguments: app
    build = typer.main.get_command
    command = build(app)
    build_parameters(command)
    typer.main.get_command = lambda given: command if given is app else build(given)


def build_parameters(command: object) -> None:
    """Build what converts the values of options: 12 ms for a command with many of them."""
    for parameter in command.params:
        if hasattr(parameter, "get_runtime_param"):
            parameter.get_runtime_param()
    for inner in getattr(command, "commands", {}).values():
        build_parameters(inner)


def find_agent() -> None:
    """Have pip ask now which system this is: it starts ten programs for the answer, which is for an index."""
    from pip._internal.network import session

    agent = session.user_agent()
    session.user_agent = lambda: agent


def carry_out(source: str) -> int:
    """Run a program in the main module; return its exit code."""
    try:
        exec(compile(source, "<string>", "exec"), vars(sys.modules["__main__"]))
    except SystemExit as ended:
        if ended.code is not None and type(ended.code) is not int:
            raise
        return ended.code or 0
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def leave(code: int) -> None:
    """End as an interpreter does, except that only the objects of the main module are deleted.

    To delete those of all modules takes 40 ms, because a fork must copy each page that it writes to.
    """
    threading._shutdown()
    atexit._run_exitfuncs()
    del sys.modules["__main__"]
    gc.collect()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        for name in MODULES[sys.argv[2]]:
            try:
                importlib.import_module(name)
            except ImportError as error:
                # An extra may be missing, and a module of ours may not.
                if (error.name or "").startswith("jobcell"):
                    raise
        if sys.argv[2] == "installers":
            find_agent()
        else:
            find_files()
        if sys.argv[2] in {"commands", "servers", "telemetry"}:
            build_command()
            from lent_children import Lender

            lender = Lender()
        gc.collect()
        gc.freeze()  # a collection in a fork would copy every page of these objects
        program = serve(
            connection, socket.socket(fileno=int(sys.argv[3])) if sys.argv[3:] else None
        )
    become(program)
    if program["real_end"]:
        exec(compile(program["source"], "<string>", "exec"), vars(sys.modules["__main__"]))
        sys.exit()
    if program["source"] is not None:
        leave(carry_out(program["source"]))
    try:
        sys.modules["jobcell.cli"].main()
    except SystemExit as ended:
        if type(ended.code) is not int:
            raise
        leave(ended.code)
