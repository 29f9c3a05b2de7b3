"""Ids of parametrized tests: the same in each process and on each machine."""

from __future__ import annotations

import re

LENGTH = 40
"""Characters of a value that an id shows."""
CHANGES = re.compile(r" at 0x[0-9a-f]+| from '[^']*'")
"""Parts of a `repr` that depend on the process or on the machine."""


def short(value: object) -> str:
    """Return an id that shows a value; pytest-xdist needs the same ids in all workers."""
    return CHANGES.sub("", repr(value))[:LENGTH]
