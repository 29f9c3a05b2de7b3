"""A short way through the protocol of pytest, for a test that needs none of its plugins for captures, logs and marks.

Pytest takes 1.5 ms of a processor for a test that does nothing: 30 functions of plugins run around its setup, call and
teardown, and three reports are made. Here they are left out, except those that find lost exceptions. Output and log records
are caught once for the whole test. A test that fails, or that is skipped while it runs, gets the usual report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from _pytest.logging import catching_logs
from _pytest.tmpdir import tmppath_result_key

PLUGINS = ("capturemanager", "logging-plugin", "skipping", "_hypothesis_pytestplugin")
"""Plugins that have nothing to do for a plain test."""

NEEDED = ("runner", "unraisableexception", "threadexception")
"""Plugins that a plain test needs. If there is another one, each test takes the long way."""

MARKS = {"skip", "skipif", "xfail"}
FIXTURES = {"capfd", "capfdbinary", "caplog", "capsys", "capsysbinary", "capteesys", "subtests"}
"""Marks and fixtures of which these plugins take note."""

PHASES = ("setup", "call", "teardown")


class ShortProtocol:
    """The plugin, which gives the time of a passed test to a function."""

    def __init__(self, config: pytest.Config, passed: Callable[[float], None]) -> None:
        self._passed = passed
        self._config = config
        plugins = config.pluginmanager
        found = [plugins.get_plugin(name) for name in PLUGINS]
        self._capture, self._logging = found[:2]
        hooks = {when: getattr(config.hook, f"pytest_runtest_{when}") for when in PHASES}
        known = [*PLUGINS, *NEEDED]
        callers = [caller.plugin_name for hook in hooks.values() for caller in hook.get_hookimpls()]
        self._usable = (
            bool(self._capture and self._logging)
            and not (config.option.setupshow or config.option.usepdb)
            and all(caller in known for caller in callers)
        )
        self._hooks = {
            when: plugins.subset_hook_caller(hook.name, [one for one in found if one])
            for when, hook in hooks.items()
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a plain test; leave any other to pytest."""
        if not self._usable or not _is_plain(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=("", None, ""))
        item.stash[tmppath_result_key] = {}
        if not item._request:
            item._initrequest()
        self._logging.report_handler.reset()
        self._capture.resume_global_capture()
        try:
            with catching_logs(self._logging.report_handler, level=self._logging.log_level):
                self._run(item, nextitem)
        finally:
            self._capture.suspend_global_capture()
            if self._capture.is_globally_capturing():
                self._capture.read_global_capture()
            item._request = False
            item.funcargs = None
        return True

    def _run(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Run all phases. Report the test as passed if all of them went well."""
        setup = self._phase(item, "setup")
        call = None if setup.excinfo else self._phase(item, "call")
        if item.session.shouldfail or item.session.shouldstop:
            nextitem = None
        self._phase(item, "teardown", nextitem=nextitem)
        if call and not call.excinfo:
            self._passed(call.duration)

    def _phase(self, item: pytest.Item, when: Any, **arguments: Any) -> pytest.CallInfo[None]:
        hook = self._hooks[when]
        call = pytest.CallInfo.from_call(
            lambda: hook(item=item, **arguments),
            when=when,
            reraise=(pytest.exit.Exception, KeyboardInterrupt),
        )
        if call.excinfo:
            self._report(item, call)
        return call

    def _report(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Report a phase that has raised an exception, with what the test has said until then."""
        self._capture.suspend_global_capture()
        if self._capture.is_globally_capturing():
            out, err = self._capture.read_global_capture()
            item.add_report_section(call.when, "stdout", out)
            item.add_report_section(call.when, "stderr", err)
        item.add_report_section(
            call.when, "log", self._logging.report_handler.stream.getvalue().strip()
        )
        self._logging.report_handler.reset()
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        item.ihook.pytest_runtest_logreport(report=report)
        self._capture.resume_global_capture()


def _is_plain(item: pytest.Item) -> bool:
    return (
        type(item) is pytest.Function
        and FIXTURES.isdisjoint(item.fixturenames)
        and not any(mark.name in MARKS for mark in item.iter_markers())
        # Hypothesis looks at its own tests, and at others that have its decorators.
        and not any("hypothesis" in name for name in getattr(item.function, "__dict__", ()))
    )
