"""Confines a process that does not run jobs, and reports the result.

``python -I -S`` starts it as a script, with the packages as ``name=directory``. It reads the
request as JSON from standard input, and writes the answer as JSON to standard output.
"""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> None:
    """Answer a request."""
    directories = dict(pair.split("=", 1) for pair in arguments)
    sys.path.insert(0, directories["sandbox_child"])
    import finder  # type: ignore[import-not-found,unused-ignore]  # as in sandbox_child.__main__

    del sys.path[0]
    finder.install(arguments)
    import msgspec.json

    from protocol.confinement import ConfinementRequest, LayerFacts, MachineReport
    from sandbox_child.confine.wall import LAYERS, confine

    request = msgspec.json.decode(sys.stdin.buffer.read(), type=ConfinementRequest)
    report = confine(request, parent_pid=os.getppid(), keep_fds=(0, 1, 2))
    facts = tuple(LayerFacts(layer.NAME, layer.STOPS, layer.REMEDY) for layer in LAYERS)
    os.write(1, msgspec.json.encode(MachineReport(report, facts)))


if __name__ == "__main__":
    main(sys.argv[1:])
