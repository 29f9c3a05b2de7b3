"""The interpreter that lends children to commands ends with its parent."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"

PARENT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lent_children import Lender
Lender()
os._exit(0)
"""


def test_it_ends_although_its_parent_has_ended_before_it_was_ready() -> None:
    """It inherits standard error of its parent, which nobody could read to its end if it stayed."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as errors:
        with os.fdopen(writer, "wb") as end:
            parent = [sys.executable, "-c", PARENT, str(SUPPORT)]
            subprocess.run(parent, check=True, stderr=end)

        assert select.select([errors], [], [], 60)[0], "the interpreter is still there"
        assert errors.read() == b""
