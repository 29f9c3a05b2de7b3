"""A single SHA-256 for all files of an installed adaptor.

docs/repo.md defines it. For each file, sorted by the bytes of its path: the path, a zero byte, its
SHA-256 in hexadecimal and a line feed. The hash is the SHA-256 of all these lines, in hexadecimal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BYTECODE: Final = "__pycache__"


class TreeError(ValueError):
    """The files cannot be hashed; the message names the first one, relative to the adaptor."""


def tree_hash(directory: str, *, bytecode: bool = False) -> str:
    """Return the hash of all files below *directory*.

    Args:
        directory: The directory to walk through; empty directories and file modes do not count.
        bytecode: Hash the files in ``__pycache__`` directories, instead of all other files.

    Raises:
        TreeError: A file is a symbolic link, is not a regular file, or cannot be read.

    """
    import hashlib  # it loads OpenSSL, and many engines have no adaptors

    total = hashlib.sha256()
    for name in sorted(_files(directory, bytecode), key=os.fsencode):
        try:
            with Path(directory, name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TreeError(f"cannot read {name!r} ({error.strerror})") from None
        total.update(os.fsencode(name) + b"\0" + digest.encode() + b"\n")
    return total.hexdigest()


def _files(directory: str, bytecode: bool) -> Iterator[str]:
    root = Path(directory)
    pending = [root]
    while pending:
        try:
            found = list(os.scandir(pending.pop()))
        except OSError as error:
            raise TreeError(f"cannot list its files ({error.strerror})") from None
        for item in found:
            name = str(Path(item.path).relative_to(root))
            if item.is_symlink():
                raise TreeError(f"{name!r} is a symbolic link")
            if item.is_dir(follow_symlinks=False):
                pending.append(Path(item.path))
            elif not item.is_file(follow_symlinks=False):
                raise TreeError(f"{name!r} is not a regular file")
            elif (_BYTECODE in Path(name).parts) is bytecode:
                yield name
