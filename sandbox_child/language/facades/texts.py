"""Facades of modules that split text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_shlex(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return ``split`` for strings only: the real function reads standard input for None."""
    import shlex

    def split(s: str, comments: bool = False, posix: bool = True) -> list[str]:
        if not isinstance(s, str):
            raise TypeError(f"shlex.split() takes a string, not {type(s).__name__!r}")
        return shlex.split(str.__str__(s), comments, posix)

    return {"split": split}


def make_textwrap(facades: Facades) -> dict[str, Any]:
    """Return a TextWrapper with its own table of white space, in place of the shared one."""
    import textwrap

    class TextWrapper(textwrap.TextWrapper):
        pass

    shared: Any = textwrap.TextWrapper
    own: Any = TextWrapper
    own.unicode_whitespace_trans = dict(shared.unicode_whitespace_trans)
    TextWrapper.__module__ = "textwrap"
    TextWrapper.__qualname__ = "TextWrapper"
    facades.guards.writable.add(TextWrapper)
    return {"TextWrapper": TextWrapper}
