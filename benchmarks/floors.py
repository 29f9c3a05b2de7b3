"""The floors: the time that the machine itself takes for the parts of a run."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.helper import Helper
from benchmarks.measure import milliseconds
from benchmarks.workloads import SUM_OF_SQUARES, WORKLOADS
from engine.confinement.interpreter import CHILD_ENVIRONMENT, child_command
from protocol.state import encode_state

FLOORS = {
    "python": "`python -I -S -c pass`, posix_spawn and wait",
    "fork": "fork + exit + wait of a zygote",
    "encode": "encode the state of W4",
    "decode": "decode it",
    "exec W6": "plain `exec` of the job of W6",
}
_FORKS_A_ROUND = 20


class Floors:
    """Measures floors; those inside of a child in a process that has the child's modules."""

    def __init__(self) -> None:
        interpreter, *options, main = child_command()
        options = [o for o in (*options, main) if o in ("-I", "-S")]
        packages = [a for a in child_command() if "=" in a]
        self._python = interpreter
        with tempfile.NamedTemporaryFile(delete=False, suffix=".msgpack") as file:
            file.write(encode_state(WORKLOADS["W4"].make_state()))
        self._state_path = file.name
        script = str(Path(__file__).with_name("floor_process.py"))
        sandbox = next(p.partition("=")[2] for p in packages if p.startswith("sandbox_child="))
        self._process = Helper(
            [interpreter, *options, script, sandbox, self._state_path, *packages],
            env=CHILD_ENVIRONMENT,
        )

    def round(self) -> dict[str, float]:
        """Measure each floor once, in ms."""
        taken = {"python": milliseconds(self._spawn)}
        taken["fork"] = self._process.ask(floor="fork", times=_FORKS_A_ROUND)
        taken["encode"], taken["decode"] = self._process.ask(floor="codec")
        taken["exec W6"] = self._process.ask(floor="exec", source=SUM_OF_SQUARES)
        return taken

    def close(self) -> None:
        """End the process."""
        self._process.close()
        Path(self._state_path).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _spawn(self) -> None:
        pid = os.posix_spawn(self._python, [self._python, "-I", "-S", "-c", "pass"], {})
        status = os.waitpid(pid, 0)[1]
        if status:
            sys.exit(f"the bare interpreter ended with {status}")
