"""``python -m benchmarks.soak``: thousands of runs that end in all possible ways.

Afterwards the manager must be as before: memory, descriptors, threads, children, control groups.
The jobs are plain Python (no language wall), so that they can die in any way.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

import engine
from engine import Engine, Event, Policy, Resolvers, Run, RunOptions

RUNS = 2_000
EXEC_SHARE = 10
"""From this number of runs, a single run is repeated with an interpreter of its own."""

MAX_RUNS = 2
IN_FLIGHT = 8
WARM_UP_SHARE = 2
"""After 400 runs allocators still grow by a last megabyte. Memory was 28.1 to 28.8 MB by
the 800th run, and 29.2 MB after 4,000. Therefore only the second half must be flat.
"""
MAX_GROWTH = 1.05
"""Allowed growth of memory.  A few hundred runs are too few: malloc has not settled by then."""
BLOCKS_SHARE = 5
"""Blocks of Python may grow less than memory, by this divisor: no allocator keeps blocks in
reserve.
"""


_CALM = "def main(state): return {**state, 'calm': True}"
_SLEEPS = "import time\ndef main(state): time.sleep(60)"


DEFAULT = RunOptions(timeout_s=60)


@dataclass(frozen=True)
class Kind:
    """A way in which a run can end."""

    source: str
    ends: tuple[str, ...]
    """The names of the errors that are allowed at the end; ``success`` means no error."""
    options: RunOptions = DEFAULT
    configuration: str | None = None
    cancel_within_s: float | None = None
    polled: bool = True


def _quick_to_vanish(value_id: str) -> dict[str, str]:
    if value_id == "late":
        time.sleep(0.2)
    elif value_id == "broken":
        raise LookupError("the vault is locked")
    return {"password": "hunter2-hunter2"}


RESOLVERS = Resolvers(credential=_quick_to_vanish)

KINDS = {
    "calm": Kind(_CALM, ("success",)),
    "never polled": Kind(_CALM, ("success",), polled=False),
    "large state": Kind("def main(state): return {'data': 'x' * 1_000_000}", ("success",)),
    "talks": Kind("def main(state):\n    for n in range(500): print(n)", ("success",)),
    "secret": Kind(
        "def main(state):\n    print(state['configuration'])\n    return state",
        ("success",),
        configuration="cred",
    ),
    "asynchronous": Kind(
        "import asyncio\nasync def main(state):\n    await asyncio.sleep(0.01)\n    return state",
        ("success",),
    ),
    "fails": Kind("def main(state): raise ValueError('no')", ("RuntimeError",)),
    "crashes": Kind("def main(state): return nonsense", ("RuntimeCrash",)),
    "does not compile": Kind("def main(state) return state", ("RuntimeCrash", "CompileError")),
    "exits": Kind("import os\ndef main(state): os._exit(7)", ("ExitError",)),
    "segfault": Kind("import ctypes\ndef main(state): ctypes.string_at(0)", ("ExitError",)),
    "kills itself": Kind("import os\ndef main(state): os.kill(os.getpid(), 9)", ("ExitError",)),
    "closes everything": Kind(
        "import os\ndef main(state):\n    os.closerange(0, 100)\n    os._exit(0)", ("ExitError",)
    ),
    "forbidden call": Kind(
        "import ctypes\ndef main(state): ctypes.CDLL(None).ptrace(0, 0, 0, 0)", ("SecurityError",)
    ),
    "busy": Kind(
        "def main(state):\n    while True: pass",
        ("TimeoutError",),
        RunOptions(timeout_s=60, step_timeout_s=0.05),
    ),
    "lasts": Kind("import time\ndef main(state): time.sleep(0.3)", ("success",)),
    "late": Kind(_SLEEPS, ("TimeoutError",), RunOptions(timeout_s=0.1)),
    "memory": Kind(
        "def main(state):\n    x = []\n    while True: x.append('y' * 10**6)",
        ("OOMError",),
        RunOptions(timeout_s=60, memory_mb=80),
    ),
    "flood of lines": Kind(
        "def main(state):\n    while True: print('x' * 50)",
        ("OutputLimitError",),
        RunOptions(timeout_s=60, max_log_bytes=20_000),
    ),
    "flood of bytes": Kind(
        "import os\ndef main(state):\n    while True: os.write(1, b'x' * 4096)",
        ("OutputLimitError",),
        RunOptions(timeout_s=60, max_log_bytes=20_000),
    ),
    "cancelled": Kind(_SLEEPS, ("Cancelled",), cancel_within_s=0.05),
    "perhaps cancelled": Kind(_CALM, ("Cancelled", "success"), cancel_within_s=0.02),
    "no credential": Kind(_CALM, ("CredentialLoadError",), configuration="broken"),
    "late credential": Kind(
        _CALM,
        ("CredentialLoadError",),
        RunOptions(timeout_s=60, resolve_timeout_s=0.02),
        configuration="late",
    ),
}


_MOST_GROUPS = MAX_RUNS * len({kind.options.memory_mb for kind in KINDS.values()})
"""Groups are used again, so there is at most one per concurrent run and limit of memory."""


class SoakError(Exception):
    """A run ended in a wrong way, or a resource has grown."""


@dataclass(frozen=True)
class Footprint:
    """The resources that this process uses."""

    memory_bytes: int
    blocks: int
    descriptors: int
    threads: int
    children: int
    control_groups: int

    @classmethod
    def measure(cls) -> Footprint:
        """Measure this process now: the memory that it uses, not the reserve of malloc."""
        gc.collect()
        with contextlib.suppress(AttributeError):  # another libc than GNU's
            ctypes.CDLL(None).malloc_trim(0)
        process = psutil.Process()
        return cls(
            memory_bytes=process.memory_info().rss,
            blocks=sys.getallocatedblocks(),
            descriptors=process.num_fds(),
            threads=threading.active_count(),
            children=len(process.children(recursive=True)),
            control_groups=count_control_groups(),
        )

    def grown_since(self, before: Footprint, *, growth: float) -> list[str]:
        """Return the resources that have grown; memory may grow more than blocks."""
        grown = [
            f"{name}: {getattr(before, name)} -> {getattr(self, name)}"
            for name in ("descriptors", "threads", "children")
            if getattr(self, name) > getattr(before, name)
        ]
        if self.control_groups > _MOST_GROUPS:
            grown.append(f"control groups: {self.control_groups}, at the most {_MOST_GROUPS}")
        if self.memory_bytes > growth * before.memory_bytes:
            grown.append(f"memory: {before.memory_bytes} -> {self.memory_bytes} bytes")
        if self.blocks > (1 + (growth - 1) / BLOCKS_SHARE) * before.blocks:
            grown.append(f"blocks: {before.blocks} -> {self.blocks}")
        return grown

    def __str__(self) -> str:
        return (
            f"{self.memory_bytes / 1e6:6.1f} MB, {self.blocks} blocks, {self.descriptors} descriptors,"
            f" {self.threads} threads, {self.children} children,"
            f" {self.control_groups} control groups"
        )


def count_control_groups() -> int:
    """Return the number of control groups that this process has made and not removed."""
    root = Path("/sys/fs/cgroup")
    own = {line.split(":", 2)[2].strip("/\n") for line in open("/proc/self/cgroup")}  # noqa: PTH123, SIM115
    parents = {mount / path for mount in (root, *root.glob("*/")) for path in own}
    parents |= {parent.parent for parent in parents if parent != root}
    return sum(
        1 for parent in parents if parent.is_dir() for _ in parent.glob(f"jobcell-{os.getpid()}-*/")
    )


@dataclass
class Soak:
    """The figures of one mode."""

    mode: str
    ends: Counter[str]
    seconds: float
    warm: Footprint
    end: Footprint
    closed: Footprint


def soak(
    mode: engine.StartMode, runs: int, seed: int, *, growth: float = MAX_GROWTH, children: int = 0
) -> Soak:
    """Do a number of runs in random order.

    Args:
        mode: How children are started.
        runs: The number of runs.
        seed: The seed of the order.
        growth: Allowed growth of memory.
        children: The number of children that this process has before.

    Raises:
        SoakError: A run ended in a wrong way, or a resource has grown.

    """
    chance = random.Random(seed)
    names = [name for name, _ in zip(_cycle(KINDS), range(runs), strict=False)]
    chance.shuffle(names)
    warm_up = runs // WARM_UP_SHARE
    ends: Counter[str] = Counter()
    begun = time.monotonic()
    with Engine(start_mode=mode, max_runs=MAX_RUNS, policy=Policy(language=False)) as eng:
        # Every kind runs once first, because of modules and caches that the first run fills.
        _several(eng, [*KINDS, *names[:warm_up]], chance, ends)
        warm = _when_calm(Footprint.measure)
        _several(eng, names[warm_up:], chance, ends)
        end = _when_calm(Footprint.measure)
    seconds = time.monotonic() - begun
    closed = _when_calm(Footprint.measure)
    result = Soak(mode, ends, seconds, warm, end, closed)
    if grown := end.grown_since(warm, growth=growth):
        raise SoakError(f"{mode}: {'; '.join(grown)}")
    if closed.children > children or closed.control_groups:
        raise SoakError(f"{mode}: left after closing: {closed}")
    return result


def _cycle(names: dict[str, Kind]) -> Iterator[str]:
    while True:
        yield from names


def _several(eng: Engine, names: list[str], chance: random.Random, ends: Counter[str]) -> None:
    waiting: deque[tuple[str, Run]] = deque()
    for name in names:
        waiting.append((name, _start(eng, KINDS[name], chance)))
        if len(waiting) >= IN_FLIGHT:
            ends[_check(*waiting.popleft())] += 1
    while waiting:
        ends[_check(*waiting.popleft())] += 1


def _start(eng: Engine, kind: Kind, chance: random.Random) -> Run:
    step = {"id": "a", "expression": kind.source}
    if kind.configuration is not None:
        step["configuration"] = kind.configuration
    plan = {"workflow": {"steps": [step]}}
    run = eng.execute(plan, {"data": {"n": 1}}, options=kind.options, resolvers=RESOLVERS)
    if kind.cancel_within_s is not None:
        delay = chance.uniform(0, kind.cancel_within_s)
        timer = threading.Timer(delay, run.cancel, ("the soak",))
        timer.daemon = True
        timer.start()
    return run


def _check(name: str, run: Run) -> str:
    """Wait for a run, check its end, and return it."""
    kind = KINDS[name]
    result = run.result(timeout_s=120)
    end = result.error.name if result.error is not None else "success"
    if end not in kind.ends:
        raise SoakError(f"a run of the kind {name!r} ended with {result.error or result.reason}")
    if kind.polled:
        check_events(run.poll(after=0))
    return end


def check_events(events: list[Event]) -> None:
    """Check the facts that hold for the events of every run.

    Raises:
        SoakError: A fact does not hold.

    """
    types = [event.type for event in events]
    last = ("workflow-complete", "workflow-error")
    started = types.count("job-start")
    ended = types.count("job-complete") + types.count("job-error")
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        raise SoakError(f"the numbers have a gap: {events}")
    if [kind in last for kind in types] != [False] * (len(types) - 1) + [True]:
        raise SoakError(f"not exactly one terminal event, or not at the end: {types}")
    if started != ended:
        raise SoakError(f"{started} jobs were started, {ended} ended: {types}")


def _when_calm(measure: Callable[[], Footprint]) -> Footprint:
    """Measure after late resolvers and timers have ended."""
    deadline = time.monotonic() + 5
    while any(
        thread.name.startswith("jobcell-resolve") or isinstance(thread, threading.Timer)
        for thread in threading.enumerate()
    ):
        if time.monotonic() > deadline:
            raise SoakError(f"threads do not end: {threading.enumerate()}")
        time.sleep(0.01)
    time.sleep(0.2)  # Timers of runs that are over keep these runs alive for a moment.
    return measure()


def _keep_malloc_from_hoarding() -> None:
    """Make malloc map large blocks one by one, so that it returns them when they are freed.

    By default malloc raises the threshold with every such block, to 32 MB.  Then it keeps freed
    megabytes between small blocks that live.  The resident set would then vary by half from run to
    run, and a leak could hide in that.  Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    with contextlib.suppress(AttributeError):  # another libc than GNU's
        ctypes.CDLL(None).mallopt(-3, 1 << 16)


def main() -> None:
    _keep_malloc_from_hoarding()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--growth", type=float, default=MAX_GROWTH, help="of memory, as a factor")
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, seed {arguments.seed}, max_runs={MAX_RUNS}")
    before = Footprint.measure()
    print(f"before            {before}")
    modes: tuple[tuple[engine.StartMode, int], ...] = (
        ("zygote", arguments.runs),
        ("exec", max(1, arguments.runs // EXEC_SHARE)),
    )
    for mode, runs in modes:
        done = soak(mode, runs, arguments.seed, growth=arguments.growth, children=before.children)
        total = sum(done.ends.values())
        print(
            f"\n{mode}: {total} runs in {done.seconds:.1f} s, {total / done.seconds:.0f} per second"
        )
        print("  " + ", ".join(f"{name} {count}" for name, count in done.ends.most_common()))
        print(f"  after warm-up   {done.warm}")
        print(f"  at the end      {done.end}")
        print(f"  closed          {done.closed}")
        print(f"  memory          x {done.end.memory_bytes / done.warm.memory_bytes:.3f}")
        print(f"  blocks          x {done.end.blocks / done.warm.blocks:.4f}")


if __name__ == "__main__":
    main()
