"""Run by `benchmarks.floors` as a script: an interpreter like the zygote, without engine or walls.

Arguments: the directory of ``sandbox_child``, a file with an encoded state, and the packages.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time


def main(sandbox: str, state_path: str, packages: list[str]) -> None:
    sys.path.insert(0, sandbox)
    import finder  # type: ignore[import-not-found]

    del sys.path[0]
    finder.install(packages)
    from sandbox_child import bootstrap, zygote

    bootstrap.load()
    for name in zygote.PRELOADED:
        __import__(name)

    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        question = json.loads(line)
        floor = question["floor"]
        if floor == "fork":
            answer: object = statistics.median(fork_once() for _ in range(question["times"]))
        elif floor == "codec":
            answer = codec(state_path)
        else:
            answer = plain_exec(question["source"])
        print(json.dumps(answer), flush=True)


def fork_once() -> float:
    """Return how long a fork that ends at once takes, in milliseconds."""
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return (time.perf_counter() - begin) * 1000


def codec(state_path: str) -> object:
    """Return how long a state takes to be encoded and decoded, in milliseconds."""
    from protocol.state import decode_state, encode_state

    # This runs in a fork, as in a child, so that its memory is given back.
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with open(state_path, "rb") as file:  # noqa: PTH123 - a zygote has no pathlib
            encoded = file.read()
        begin = time.perf_counter()
        state = decode_state(encoded)
        decoded = time.perf_counter()
        again = encode_state(state)
        done = time.perf_counter()
        right = again == encoded
        taken = [(done - decoded) * 1000, (decoded - begin) * 1000]
        os.write(write, json.dumps(taken if right else {"error": "states differ"}).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answers:
        answer = json.loads(answers.read())
    os.waitpid(pid, 0)
    return answer


def plain_exec(source: str) -> float:
    """Return how long a job takes without an engine, in milliseconds."""
    begin = time.perf_counter()
    scope: dict[str, object] = {}
    exec(source, scope)
    scope["main"]({"data": {"x": 1}})  # type: ignore[operator]
    return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
