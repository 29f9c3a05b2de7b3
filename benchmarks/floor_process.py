"""Run by `benchmarks.floors` as a script: an interpreter like the zygote, without engine or walls.

Arguments: the directory of ``sandbox_child``, a file with an encoded state, and the packages.
"""

from __future__ import annotations

import sys


def main(sandbox: str, state_path: str, packages: list[str]) -> None:
    sys.path.insert(0, sandbox)
    import finder  # type: ignore[import-not-found]

    del sys.path[0]
    finder.install(packages)
    import gc
    import json
    import os
    import statistics
    import time

    from protocol.state import decode_state, encode_state
    from sandbox_child import bootstrap, zygote

    bootstrap.load()
    for name in zygote.PRELOADED:
        __import__(name)

    def fork_once() -> float:
        begin = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return (time.perf_counter() - begin) * 1000

    def codec() -> object:
        # In a fork, as a child does it: and what it takes is gone with it.
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
        begin = time.perf_counter()
        scope: dict[str, object] = {}
        exec(source, scope)
        scope["main"]({"data": {"x": 1}})  # type: ignore[operator]
        return (time.perf_counter() - begin) * 1000

    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        question = json.loads(line)
        floor = question["floor"]
        if floor == "fork":
            answer: object = statistics.median(fork_once() for _ in range(question["times"]))
        elif floor == "codec":
            answer = codec()
        else:
            answer = plain_exec(question["source"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
