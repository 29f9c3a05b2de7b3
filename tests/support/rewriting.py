"""A second process that rewrites the assertions of test modules, while the first process collects them.

In a fresh clone this takes two thirds of the time of a collection. The second process begins with the modules that the
first one reaches last, and writes the files in which pytest looks for rewritten modules. Both ends of the list meet
somewhere in the middle.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest
from _pytest.assertion import rewrite


class Rewriting:
    """The plugin that starts the second process and ends it."""

    def __init__(self) -> None:
        self._pid = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Start it."""
        if sys.dont_write_bytecode or session.config.option.assertmode != "rewrite":
            return
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            # It is of use only while all goes well; the first process rewrites by itself what is missing.
            with contextlib.suppress(BaseException):
                _rewrite(session, parent)
            os._exit(0)

    def pytest_collection_finish(self) -> None:
        """End it."""
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)
            os.waitpid(self._pid, 0)
            self._pid = 0


def _rewrite(session: pytest.Session, parent: int) -> None:
    """Rewrite modules, the last one first, until the first process has collected all of them."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    state = session.config.stash[rewrite.assertstate_key]
    for file in reversed(_modules(session.config)):
        if ended or os.getppid() != parent:
            return
        directory = rewrite.get_cache_dir(file)
        made = directory / (file.name.removesuffix(".py") + rewrite.PYC_TAIL)
        # A hasty look: pytest itself compares the content.
        if made.exists() and made.stat().st_mtime > file.stat().st_mtime:
            continue
        directory.mkdir(parents=True, exist_ok=True)
        known, code = rewrite._rewrite_test(file, session.config)
        rewrite._write_pyc(state, code, known, made)


def _modules(config: pytest.Config) -> list[Path]:
    """Return the test modules in the order in which pytest collects them."""
    found: list[Path] = []
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        found += sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return found
