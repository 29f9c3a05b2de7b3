"""The hash of the filter is the same with Python's private module and without it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
HASH = """
import sys
sys.path[:0] = [{root!r}, *{paths!r}]
for name in {hidden!r}:
    sys.modules[name] = None
from sandbox_child.confine import seccomp
print(seccomp.program(net=False).digest, seccomp.sha256(b"a filter").hexdigest())
"""


def hashes(hidden: tuple[str, ...]) -> list[str]:
    script = HASH.format(root=str(ROOT), paths=sys.path, hidden=hidden)
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(), ("_sha2", "_sha256")], ids=["private", "hashlib"])
def test_the_filter_has_its_hash_with_and_without_the_private_module(hidden):
    """A later Python may have another name for it."""
    digest, other = hashes(hidden)
    assert other == hashlib.sha256(b"a filter").hexdigest()
    assert digest == hashes(())[0]
