"""Rights of files for tests in which another user of the machine reads them."""

from __future__ import annotations

import stat
from pathlib import Path

EVERYBODY_ENTERS = stat.S_IROTH | stat.S_IXOTH


def let_everybody_in(directory: Path, mode: int = 0o755) -> None:
    """Give a directory a mode, and open each directory above it that only its owner may enter."""
    directory.chmod(mode)
    for above in directory.parents:
        if above.stat().st_mode & EVERYBODY_ENTERS == EVERYBODY_ENTERS:
            return
        above.chmod(0o755)
