"""The entry point of the relay: confines itself, and serves until the engine is gone.

``python -I -S`` starts it as a script, with the packages that it may import as ``name=directory``.
Of the package `engine` only this room is loaded: the engine itself would take time and memory.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType


def prepare(arguments: list[str]) -> None:
    """Make our packages importable."""
    directories = dict(pair.split("=", 1) for pair in arguments)
    sys.path.insert(0, directories["sandbox_child"])
    import finder  # type: ignore[import-not-found,unused-ignore]  # as in sandbox_child.__main__

    del sys.path[0]
    finder.install(arguments)
    for name, place in (("engine", ""), ("engine.network", "/network")):
        bare = ModuleType(name)
        bare.__path__ = [directories["engine"] + place]
        sys.modules[name] = bare


def main(arguments: list[str]) -> None:
    """Serve until the engine is gone."""
    prepare(arguments)
    from engine.network.relay.serving import serve

    # Not sys.exit, which would wait for the threads that look up names.
    os._exit(serve())


if __name__ == "__main__":
    main(sys.argv[1:])
