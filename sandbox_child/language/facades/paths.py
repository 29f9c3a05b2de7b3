"""Paths as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_pathlib(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the pure classes; where they name the module behind them, nothing."""
    import pathlib

    # Since Python 3.13 `PurePath.parser` is posixpath itself, which leads to os.
    if hasattr(pathlib.PurePath, "parser"):
        return {}
    return {
        "PurePath": pathlib.PurePath,
        "PurePosixPath": pathlib.PurePosixPath,
        "PureWindowsPath": pathlib.PureWindowsPath,
    }
