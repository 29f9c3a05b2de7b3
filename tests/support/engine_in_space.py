"""An engine in a network namespace of a test, where hosts have the names of the test's `/etc/hosts`.

The test's own process cannot move into the namespace, so the engine is another process: `Engine` starts this file
there.  Requests and answers are lines of JSON on its standard streams.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


class Answer:
    """How a run has ended."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.state: Any = found["state"]
        self.error: str = found["error"]
        self.events: list[dict[str, Any]] = found["events"]
        self.usage: dict[str, Any] = found["usage"]
        failed = [one for one in self.events if one["type"] == "job-error"]
        self.errors: dict[str, str] = {
            one["step_id"]: "{name}: {message}\n{fix}".format_map({"fix": "", **one["error"]})
            for one in failed
        }
        """The error of each step that has failed."""

    @property
    def data(self) -> Any:
        """What the job has returned; the error if it has failed."""
        assert self.state is not None, self.error
        assert "errors" not in self.state, self.error
        return self.state["data"]

    @property
    def connections(self) -> list[tuple[str, int, str]]:
        """Host, port and outcome of each connection."""
        return [
            (one["host"], one["port"], one["outcome"])
            for one in self.events
            if one["type"] == "net-connect"
        ]

    @property
    def said(self) -> str:
        """The error and the log lines."""
        lines = [one["message"] for one in self.events if one["type"] == "log"]
        return "\n".join([self.error, *map(str, lines)])

    def said_by(self, step: str) -> str:
        """The error and the log lines of a step."""
        lines = [
            one["message"] for one in self.events if one["type"] == "log" and one["step_id"] == step
        ]
        return "\n".join([self.errors.get(step, ""), *map(str, lines)])


class SpaceEngine:
    """The engine in a namespace.

    Args:
        space: The namespace.
        mode: Its start mode.
        modules: The directory of each adaptor, by its name.
        policy: Arguments of `engine.Policy`.

    """

    def __init__(self, space: Any, mode: str, modules: dict[str, str], **policy: object) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._space = space
        self._pid = space.spawn([sys.executable, __file__], {0: theirs_in, 1: theirs_out})
        for end in (theirs_in, theirs_out):
            os.close(end)
        self._out: IO[str] = os.fdopen(ours_out, "w")
        self._in: IO[str] = os.fdopen(ours_in)
        self._ask(mode=mode, modules=modules, policy=policy)

    def _ask(self, **request: object) -> Any:
        self._out.write(json.dumps(request) + "\n")
        self._out.flush()
        answer = self._in.readline()
        assert answer, "the engine in the namespace has ended"
        return json.loads(answer)

    def run(
        self, expression: str, *rules: str, adaptor: str = "tls", **permissions: object
    ) -> Answer:
        """Run a job with network rules and other permissions."""
        job = {"id": "a", "adaptor": adaptor, "expression": expression}
        plan = {"workflow": {"steps": [job]}}
        return Answer(self._ask(plan=plan, permissions={"net": rules, **permissions}))

    def run_each(self, calls: dict[str, str], *rules: str, **permissions: object) -> Answer:
        """Run the calls as steps of one run, none of which depends on another one; the state has that of each."""
        begin: dict[str, Any] = {"id": "begin", "expression": "def main(state): return {}"}
        steps = [{"id": name, "adaptor": "tls", "expression": call} for name, call in calls.items()]
        begin["next"] = dict.fromkeys(calls, True)
        plan = {"workflow": {"steps": [begin, *steps]}}
        return Answer(self._ask(plan=plan, permissions={"net": rules, **permissions}))

    def close(self) -> None:
        """End the engine."""
        self._out.close()
        assert self._space.wait(self._pid) == 0
        self._in.close()


def main() -> None:
    """Serve the test."""
    sys.path.insert(0, str(ROOT))
    import msgspec

    import engine

    def answer(found: object) -> None:
        print(msgspec.json.encode(found).decode(), flush=True)

    given = json.loads(sys.stdin.readline())
    modules = {name: engine.ModuleRef(path=path) for name, path in given["modules"].items()}
    with engine.Engine(start_mode=given["mode"], policy=engine.Policy(**given["policy"])) as made:
        answer(None)
        for line in sys.stdin:
            request = json.loads(line)
            allowed = engine.Permissions(**request["permissions"])
            options = engine.RunOptions(modules=modules, permissions=allowed, timeout_s=120)
            run = made.execute(request["plan"], {}, options=options)
            result = run.result(150)
            events = [
                {**msgspec.to_builtins(event), "type": event.type}
                for event in run.poll(after=0)
                if event.type in {"log", "net-connect", "job-error"}
            ]
            state = result.state
            error = "" if result.error is None else f"{result.error.name}: {result.error.message}"
            fix = "" if result.error is None else str(result.error.fix or "")
            answer(
                {
                    "state": state,
                    "error": f"{error}\n{fix}",
                    "events": events,
                    "usage": result.usage,
                }
            )


if __name__ == "__main__":
    main()
