"""Ctrl-C while a command is starting: it ends at once, and prints no traceback."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from workers import wait_for

SCRIPT = Path(sys.executable).with_name("jobcell")


def file_of(name: str) -> Path:
    """Return the file of a C module; skip the test if the module is a part of the interpreter."""
    spec = find_spec(name)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        pytest.skip(f"{name} has no file of its own")
    return Path(spec.origin).resolve()


def has_loaded(pid: int, name: str) -> bool:
    """Return whether a process has loaded a C module."""
    with contextlib.suppress(OSError):
        return str(file_of(name)) in Path(f"/proc/{pid}/maps").read_text()
    return False


def wait_loaded(process: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a process has loaded a C module, or has ended."""
    wait_for(lambda: has_loaded(process.pid, name) or process.poll() is not None)


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "jobcell"], [SCRIPT]], ids=["-m", "script"]
)
@pytest.mark.parametrize("module", ["msgspec._core", "_json"])
def test_ctrl_c_during_the_imports_ends_the_command_silently(
    command: list[str], module: str
) -> None:
    """The shell sees a process that Ctrl-C has ended, which it shows as 130."""
    file_of(module)
    code = 0
    while code == 0:  # it was quicker than the signal
        process = subprocess.Popen(
            [*command, "schedule", "list", "--help"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_loaded(process, module)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        code = process.returncode

    # The second one: all modules were imported when the signal came.
    assert (code, said) in [(-signal.SIGINT, b""), (130, b"interrupted\n")]


def test_a_program_that_imports_jobcell_keeps_its_own_ctrl_c() -> None:
    """Only the command itself has nothing to put in order."""
    program = (
        "import signal\nbefore = signal.getsignal(signal.SIGINT)\nimport jobcell\n"
        "assert before is signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_command_that_ignores_ctrl_c_from_its_start_goes_on_ignoring_it() -> None:
    """A shell starts a command of a script in the background like this."""
    process = subprocess.Popen(
        ["sh", "-c", f"trap '' INT; exec {sys.executable} -m jobcell --version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_loaded(process, "msgspec._core")
    process.send_signal(signal.SIGINT)
    version, said = process.communicate()

    assert (process.returncode, said) == (0, b"")
    assert version.startswith(b"jobcell")
