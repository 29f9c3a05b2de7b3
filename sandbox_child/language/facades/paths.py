"""The facade of pathlib: paths as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_pathlib(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the pure classes.

    Since Python 3.13 their attribute ``parser`` is posixpath, which leads to os, so a guard refuses
    it.
    """
    import pathlib

    return {
        "PurePath": pathlib.PurePath,
        "PurePosixPath": pathlib.PurePosixPath,
        "PureWindowsPath": pathlib.PureWindowsPath,
    }
