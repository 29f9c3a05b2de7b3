"""Layer: a program that this process executes cannot give it more rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import prctl

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "no_new_privs"
STOPS = "becoming another user by a setuid program; Landlock and seccomp rest on it"
REMEDY = "run on Linux 3.5 or newer, outside of a filter that denies prctl"

PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    try:
        prctl(PR_GET_NO_NEW_PRIVS)
    except OSError:
        return "the kernel does not know PR_SET_NO_NEW_PRIVS"
    return None


def apply(task: Task) -> str | None:  # noqa: ARG001 - all layers look alike
    """Set the bit, which cannot be cleared.  Source: prctl(2)."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    return None
