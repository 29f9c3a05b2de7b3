"""The same plans with and without warm adaptors, and their events in a form that can be compared."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from modes import let_everybody_in
from runs import make_engine

from engine import AnyEvent, Engine, RunOptions, RunResult, WarmSet

PATIENCE_S = 60.0
VARYING = ("time", "duration_ms", "mem", "run_id", "confinement", "seq")
"""Fields of events that differ between any two runs, or that are compared apart."""


class WarmRepo:
    """A repo of one-file adaptors in a directory that every user may read."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self._entries: list[dict[str, str]] = []
        directory.mkdir(exist_ok=True)
        let_everybody_in(directory)
        self._write()

    def add(self, name: str, source: str, version: str = "1.0.0") -> None:
        """Install an adaptor, or give an installed one another source."""
        place = self.path / f"{name}_{version}"
        place.mkdir(exist_ok=True)
        (place / f"{name}.py").write_text(source)
        entry = {"name": name, "version": version, "path": place.name, "module": name}
        if entry not in self._entries:
            self._entries.append(entry)
        self._write()

    def clear(self) -> None:
        """Uninstall all adaptors; their files stay, because engines may have imported them."""
        self._entries.clear()

    def _write(self) -> None:
        (self.path / "repo.json").write_text(json.dumps({"adaptors": self._entries}))


@contextmanager
def pair(repo: WarmRepo, **settings: Any) -> Iterator[tuple[Engine, Engine]]:
    """Yield an engine without and one with warm adaptors."""
    with (
        make_engine("zygote", repo_dir=repo.path, warm_mb=0, **settings) as cold,
        make_engine("zygote", repo_dir=repo.path, **settings) as warm,
    ):
        yield cold, warm


def set_of(engine: Engine, *names: str) -> WarmSet | None:
    """Return what the engine says about the set of these adaptors, in any order."""
    wanted = set(names)
    for one in engine.warm():
        if {spec.partition("@")[0] for spec in one.adaptors} == wanted:
            return one
    return None


def wait_until_decided(engine: Engine, *names: str) -> WarmSet:
    """Wait until the set is warm, or the engine says why it cannot be."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        one = set_of(engine, *names)
        if one is not None and (one.warm or one.reason not in UNDECIDED):
            return one
        assert time.monotonic() < deadline, one
        time.sleep(0.01)


UNDECIDED = ("it is being imported", "it was not used twice within ten minutes")


def run(
    engine: Engine, plan: Any, state: Any = None, **options: Any
) -> tuple[RunResult, list[AnyEvent]]:
    """Run a plan to its end; return the result and all events."""
    handle = engine.execute(plan, state, options=RunOptions(**options) if options else None)
    result = handle.result(PATIENCE_S)
    return result, list(handle.poll(after=0))


def comparable(result: RunResult, events: list[AnyEvent]) -> dict[str, Any]:
    """Return all of a run that must not depend on warm adaptors.

    Bytes on the standard streams come through pipes of their own, so that their place among the
    events and their step are not defined.
    """
    plain = [msgspec.to_builtins(event) for event in events]
    raw: dict[str, str] = {}
    ordered = []
    for event, kind in zip(plain, (event.type for event in events), strict=True):
        kept = {name: value for name, value in event.items() if name not in VARYING}
        if kind == "log" and event["source"] in ("stdout", "stderr"):
            raw[event["source"]] = raw.get(event["source"], "") + event["message"] + "\n"
        else:
            ordered.append({"type": kind, **kept})
    return {
        "events": ordered,
        "raw": raw,
        "reason": result.reason,
        "state": result.state,
        "error": msgspec.to_builtins(result.error),
        "versions": msgspec.to_builtins(result.versions),
        "walls": walls(result),
    }


def walls(result: RunResult) -> Any:
    """Return the report of the walls without the user id of the run."""
    report = msgspec.to_builtins(result.confinement)
    for layer in report["layers"]:
        if layer["name"] == "identity":
            layer["detail"] = None
    return report


def plan_of(*steps: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan whose steps follow each other."""
    ids = [str(step["id"]) for step in steps]
    return {
        "workflow": {
            "steps": [
                {**step, **({"next": following} if following else {})}
                for step, following in zip(steps, [*ids[1:], None], strict=True)
            ]
        }
    }
