"""Run pytest in forks of one process that has collected the tests: `python tests/support/parallel.py [ARGUMENT...]`.

Workers of pytest-xdist each collect all tests, and send all their reports to one more process: for 11,000 tests this
takes 30 s of a processor. A fork inherits the collected tests. It takes the tests of one file after the other from a
pipe, the longest first, and sends a short message for some tests that have passed. A test without output, marks and
fixtures of plugins takes a short way through pytest (`short_protocol.py`).

`WORKERS` in the environment is the number of forks; the default is two for each processor, because tests with
children wait for half of their time. `MEASURED` names the files, or the beginnings of their names, whose coverage is
measured (`measuring.py`). All arguments go to pytest.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import mmap
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import pytest
from measuring import Measuring
from rewriting import Rewriting

ROOT = Path(__file__).parents[2]
SECONDS = "jobcell/seconds"
"""The key of pytest's cache for the time that each file took."""

GUESS_S = {
    "tests/browser": 2.0,
    "tests/escape": 0.12,
    "tests/fuzz": 0.2,
    "tests/process": 0.2,
    "tests/process/debugging": 1.2,
    "tests/process/moving/test_import_command.py": 0.8,
    "tests/process/network": 0.5,
    "tests/process/relay": 0.06,
    "tests/process/server/test_fuzz.py": 9.0,
    "tests/process/test_attackers.py": 0.8,
    "tests/process/telemetry": 0.5,
    "tests/process/test_chaos.py": 8.0,
    "tests/process/test_collections_of_stores.py": 0.6,
    "tests/process/test_contract": 0.05,
    "tests/process/test_death_matrix.py": 2.0,
    "tests/process/test_embedding.py": 0.4,
    "tests/process/test_encrypted_store.py": 2.0,
    "tests/process/test_soak.py": 2.0,
    "tests/process/test_worker": 0.8,
    "tests/process/testing": 0.8,
    "tests/property": 0.1,
    "tests/unit": 0.01,
    "tests/unit/adaptors/test_postgresql": 0.1,
    "tests/unit/jobcell/store": 0.1,
    "tests/unit/jobcell/stubs": 0.4,
    "tests/unit/test_": 0.1,
}
"""Seconds for a test of a file that has no time yet. The longest beginning of its path counts."""

TOGETHER = ("tests/browser",)
"""Directories whose tests share what is dear, here a browser: one fork runs all files of such a directory."""

NUMBER = struct.Struct("H")
"""The number of a file in the pipe; a read of two bytes cannot be divided between two forks."""

PATIENCE_S = 10
"""The time for the teardown of all forks after an interrupt."""

REPORT_AFTER_S = 0.2
"""The time after which a fork reports the tests that have passed since its last report."""

PASSED, REPORTED = 1, 2
"""The state of a test that has passed: the first process does not have the report yet, or has it."""

PR_SET_PDEATHSIG = 1


@dataclasses.dataclass
class Fork:
    """A worker, as the first process sees it."""

    number: int
    pid: int
    pidfd: int
    reports: Connection

    def close(self) -> int:
        """Wait for the end of the process; return its exit code."""
        self.reports.close()
        os.close(self.pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Parallel:
    """The plugin in the first process, which runs no test itself."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._forks: dict[int, Fork] = {}
        self._seconds: dict[str, float] = {}

    def pytest_report_header(self) -> str:
        """Return the number of forks."""
        return f"forks: {self._number}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run all tests in forks, and report them."""
        if session.testsfailed or session.config.option.collectonly or not session.items:
            return None
        self._session = session
        self._files = _by_file(session)
        self._items = [item for file in self._files for item in file]
        self._numbers = {item: number for number, item in enumerate(self._items)}
        session.config._tmp_path_factory.getbasetemp()
        # The number of the test that each fork runs, plus one.
        self._running = memoryview(mmap.mmap(-1, 4 * self._number)).cast("I")
        # For each test PASSED or REPORTED, so that nothing is lost with a fork that dies.
        self._known = memoryview(mmap.mmap(-1, len(self._items)))
        self._queue, filled = os.pipe()
        os.write(filled, b"".join(map(NUMBER.pack, range(len(self._files)))))
        os.close(filled)
        try:
            for number in range(min(self._number, len(self._files))):
                self._fork(number, [])
            self._listen()
        finally:
            self._end_all()
            os.close(self._queue)
        if session.config.pluginmanager.has_plugin("cacheprovider"):
            session.config.cache.set(SECONDS, _known(session.config) | self._seconds)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    def _fork(self, number: int, first: list[pytest.Item]) -> None:
        """Start a worker; it begins with some tests, and goes on with the files of the queue."""
        ours, theirs = Pipe(duplex=False)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
                ours.close()
                for other in self._forks.values():
                    other.reports.close()
                    os.close(other.pidfd)
                code = Worker(self._session, number, theirs).run(self._taken(number, first))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        self._forks[number] = Fork(number, pid, os.pidfd_open(pid), ours)

    def _taken(self, number: int, first: list[pytest.Item]) -> Iterator[list[pytest.Item]]:
        """Give the tests of one file after the other, in a fork."""
        files = deque([first] if first else [])
        while True:
            if not files:
                data = os.read(self._queue, NUMBER.size)
                if not data:
                    self._running[number] = 0
                    return
                files.append(self._files[NUMBER.unpack(data)[0]])
            yield files.popleft()

    def _listen(self) -> None:
        while self._forks:
            ready = wait([f.reports for f in self._forks.values()])
            for fork in [f for f in self._forks.values() if f.reports in ready]:
                message = None
                with contextlib.suppress(EOFError):
                    message = fork.reports.recv()
                if message is None:
                    self._has_ended(fork)
                else:
                    self._take(message)
            if self._session.shouldfail or self._session.shouldstop:
                while os.read(self._queue, 1 << 16):
                    pass

    def _take(self, message: tuple[Any, ...]) -> None:
        """Report a message of a fork to pytest."""
        kind, *rest = message
        hook = self._session.config.hook
        if kind == "passed":
            for number, duration in rest[0]:
                self._pass(number, duration)
        elif kind == "report":
            report = hook.pytest_report_from_serializable(config=self._session.config, data=rest[0])
            hook.pytest_runtest_logreport(report=report)
        elif kind == "warning":
            text, category, when, nodeid, location = rest
            warning = warnings.WarningMessage(text, category, *(location or ("", 0, ""))[:2])
            hook.pytest_warning_recorded.call_historic(
                kwargs={
                    "warning_message": warning,
                    "when": when,
                    "nodeid": nodeid,
                    "location": location,
                }
            )
        elif kind == "file":
            self._seconds[rest[0]] = round(rest[1], 2)
        else:
            self._fail(rest[0], rest[1])

    def _pass(self, number: int, duration: float) -> None:
        self._known[number] = REPORTED
        hook = self._session.config.hook
        nodeid = self._items[number].nodeid
        file, _, name = nodeid.partition("::")
        location = (file, None, name)  # for the line, pytest would look into the function
        report = pytest.TestReport(nodeid, location, {}, "passed", None, "call", duration=duration)
        hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    def _fail(self, nodeid: str, text: str) -> None:
        location = (nodeid.partition("::")[0], None, nodeid)
        report = pytest.TestReport(nodeid, location, {}, "failed", text, "teardown")
        self._session.config.hook.pytest_runtest_logreport(report=report)

    def _has_ended(self, fork: Fork) -> None:
        """Reap a fork; if it died in a test, this has failed, and another fork runs the rest of the file."""
        del self._forks[fork.number]
        code = fork.close()
        running = self._running[fork.number]
        if code == 0 or not running:
            if code:
                self._fail("teardown of the session", f"a worker ended with {code}")
            return
        self._running[fork.number] = 0
        item = self._items[running - 1]
        for number in range(running):
            if self._known[number] == PASSED and _unit(self._items[number]) == _unit(item):
                self._pass(number, 0.0)
        self._fail(item.nodeid, f"the worker died in this test: exit code {code}")
        same = [one for one in self._items[running:] if _unit(one) == _unit(item)]
        if not self._session.shouldfail:
            self._fork(fork.number, same)

    def _end_all(self) -> None:
        """End the forks that still run, after an interrupt."""
        for fork in self._forks.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fork.pidfd, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE_S
        for fork in self._forks.values():
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([fork.pidfd], [], [], left_s)[0]:
                signal.pidfd_send_signal(fork.pidfd, signal.SIGKILL)
            fork.close()
        self._forks.clear()


class Worker:
    """A fork, which runs tests; also the plugin that sends their reports."""

    def __init__(self, session: pytest.Session, number: int, reports: Connection) -> None:
        """Make a process of its own of the fork."""
        self._session = session
        self._config = session.config
        self._number = number
        self._reports = reports
        plugins = self._config.pluginmanager
        parent = plugins.get_plugin("parallel")
        self._running, self._numbers = parent._running, parent._numbers
        self._known: memoryview = parent._known
        self._passed: list[tuple[int, float]] = []
        self._reported_s = time.monotonic()
        self._measuring: Measuring | None = plugins.get_plugin("measuring")
        plugins.unregister(name="terminalreporter")
        plugins.unregister(name="parallel")
        plugins.register(self, "worker")
        with contextlib.suppress(
            ImportError
        ):  # another pytest has these parts elsewhere: the usual way
            from short_protocol import ShortProtocol

            plugins.register(ShortProtocol(self._config, self._has_passed), "short_protocol")
        # Pytest and our fixtures know a worker by this attribute, as pytest-xdist sets it.
        self._config.workerinput = {"workerid": f"w{number}"}
        base = self._config._tmp_path_factory.getbasetemp() / f"w{number}-{os.getpid()}"
        base.mkdir(mode=0o700)
        self._config._tmp_path_factory._basetemp = base
        capture = plugins.get_plugin("capturemanager")
        if capture.is_globally_capturing():
            # Forks would write into one and the same file.
            capture.stop_global_capturing()
            capture.start_global_capturing()
        random.seed()

    def run(self, files: Iterator[list[pytest.Item]]) -> int:
        """Run all tests; return an exit code."""
        session = self._session
        try:
            for items in files:
                begun = time.monotonic()
                with self._measured(_unit(items[0])):
                    self._run_file(items)
                self._send("file", _unit(items[0]), time.monotonic() - begun)
        except KeyboardInterrupt:
            pass
        try:
            session._setupstate.teardown_exact(None)
        except BaseException:
            self._send("error", "teardown of the session", traceback.format_exc())
        if self._measuring:
            self._measuring.save_fork()
        return 0

    def _run_file(self, items: list[pytest.Item]) -> None:
        for item, following in zip(items, [*items[1:], self._session], strict=True):
            self._running[self._number] = self._numbers[item] + 1
            # After the last test of a file, only what belongs to the session stays.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._session.shouldfail or self._session.shouldstop:
                break

    def _measured(self, name: str) -> contextlib.AbstractContextManager[None]:
        return self._measuring.of_file(name) if self._measuring else contextlib.nullcontext()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a report; that of a setup or teardown without a problem is of no use."""
        if report.passed and not hasattr(report, "wasxfail") and type(report) is pytest.TestReport:
            if report.when == "call":
                self._has_passed(report.duration)
            return
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._send("report", data)

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        """Send a warning."""
        text = str(warning_message.message)
        self._send("warning", text, warning_message.category, when, nodeid, location)

    def _has_passed(self, duration: float) -> None:
        number = self._running[self._number] - 1
        self._known[number] = PASSED
        self._passed.append((number, duration))
        if time.monotonic() - self._reported_s > REPORT_AFTER_S:
            self._report_passed()

    def _report_passed(self) -> None:
        self._reported_s = time.monotonic()
        if self._passed:
            self._reports.send(("passed", self._passed))
            self._passed = []

    def _send(self, *message: Any) -> None:
        """Send a message, after those about the tests that have passed before it."""
        self._report_passed()
        self._reports.send(message)


def _unit(item: pytest.Item) -> str:
    """Return the name of the file of a test, or of its directory if a fork runs all of it."""
    file = item.nodeid.partition("::")[0]
    return next((name for name in TOGETHER if file.startswith(f"{name}/")), file)


def _known(config: pytest.Config) -> dict[str, float]:
    if not config.pluginmanager.has_plugin("cacheprovider"):
        return {}
    return dict(config.cache.get(SECONDS, {}))


def _by_file(session: pytest.Session) -> list[list[pytest.Item]]:
    """Return the tests of each file or directory, and that first which will take the longest."""
    files: dict[str, list[pytest.Item]] = {}
    for item in session.items:
        files.setdefault(_unit(item), []).append(item)
    known = _known(session.config)

    def seconds(name: str) -> float:
        guess = max((start for start in GUESS_S if name.startswith(start)), key=len, default="")
        return known.get(name, len(files[name]) * GUESS_S.get(guess, 0.01))

    return [files[name] for name in sorted(files, key=seconds, reverse=True)]


class Registrar:
    """Registers the plugins with a name, by which forks find them."""

    def __init__(self, number: int, measuring: Measuring | None) -> None:
        self._number = number
        self._measuring = measuring

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register them, if there is more than one fork."""
        if self._measuring:
            config.pluginmanager.register(self._measuring, "measuring")
        if self._number > 1 or self._measuring:
            config.pluginmanager.register(Parallel(self._number), "parallel")
            config.pluginmanager.register(Rewriting(), "rewriting")


def main() -> int:
    """Run pytest with the arguments of this program."""
    # Pytest would look for plugins in all packages, and rewrite all modules of those packages that have one.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.path[0] = str(ROOT)
    number = int(os.environ.get("WORKERS") or 2 * len(os.sched_getaffinity(0)))
    files = os.environ.pop("MEASURED", "").split()
    measuring = Measuring(files) if files else None
    arguments = ["-q", "-p", "_hypothesis_pytestplugin", *sys.argv[1:]]
    code = int(pytest.main(arguments, plugins=[Registrar(number, measuring)]))
    if measuring:
        measuring.save()
    return code


if __name__ == "__main__":
    sys.exit(main())
