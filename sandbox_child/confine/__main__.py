"""Confines a process that has nothing to do, and tells how that went.

Started as a script by ``python -I -S`` with the packages as ``name=directory``; the request comes
as JSON on standard input, the answer goes as JSON to standard output.
"""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> None:
    """Answer one request."""
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
