"""Control groups that another thread gives to long runs."""

from __future__ import annotations

import subprocess
import sys
import time
import weakref

from engine.running.cgroups import Cgroups


class Asker:
    """A run that asks for a group."""

    def entered(self, group: object) -> None:
        """Take a group."""


def test_a_run_that_has_asked_is_not_held_until_the_next_request():
    """Its process may be gone by then, so it never gives a group back."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    groups = Cgroups()
    try:
        asker = Asker()
        reference = weakref.ref(asker)
        groups.enter(gone.pid, 1 << 28, asker.entered)
        del asker
        end = time.monotonic() + 10
        while reference() is not None:
            assert time.monotonic() < end, "still held"
            time.sleep(0.001)
    finally:
        groups.close()
