"""Room `stubs`: the command `jobcell stubs`, which writes stub files for editors.

It imports `input`, and one file of the child, which knows everything that a job may use.
"""

from __future__ import annotations

from jobcell.stubs.command import run

__all__ = ["run"]
