"""The gain of each optimisation: ``python -m benchmarks.tricks [--rounds N] [NAME...]``.

An optimisation here depends on the insides of CPython, of the C library or of msgspec.  For each
one this script makes a copy of the packages in which it is switched off and all others stay on.
All copies are measured alternately, in the same process tree and with the same harness.  Each
figure is compared with that of the unchanged copy in the same round.  A second unchanged copy shows
the noise.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.compare import ENGINE, ROOT, start
from benchmarks.helper import Helper
from benchmarks.measure import (
    Table,
    machine_line,
    median,
    quartile,
    ratio_interval,
    write_json,
)

UNCHANGED: Final = "(nothing)"
CONTROL: Final = "(nothing, again)"

_FORKS: Final = ("burst zygote W1", "burst zygote+spare W1", "rate zygote W1", "idle zygote W1")
_LOADS: Final = ("burst exec W1", "burst zygote W1")
_SPARES: Final = ("burst exec+spare W1",)
_CHAINS: Final = ("burst zygote W3",)
_LARGE: Final = ("latency zygote W4",)

EVERY: Final = {
    "burst zygote W1": 1,
    "burst zygote+spare W1": 1,
    "burst exec W1": 1,
    "burst exec+spare W1": 1,
    "burst zygote W3": 5,
    "latency zygote W4": 5,
    "rate zygote W1": 20,
    "idle zygote W1": 30,
}
"""The figures; each is measured once in this number of rounds."""

COUNTED: Final = ("burst zygote W1", "burst exec W1", "burst zygote W3")
"""Figures whose processor time is useful; a child that waits also uses some."""

Samples = dict[str, dict[str, list[float]]]


class Edit(NamedTuple):
    """A place in the code, and its text when the optimisation is off."""

    file: str
    on: str
    off: str


class Trick(NamedTuple):
    """An optimisation, and how it is switched off."""

    what: str
    edits: tuple[Edit, ...]
    figures: tuple[str, ...]
    """The figures that the optimisation may change; other figures are measured only with it on."""


_FINDER: Final = "sandbox_child/finder.py"
_ZYGOTE: Final = "sandbox_child/zygote.py"

TRICKS: Final[dict[str, Trick]] = {
    "fork": Trick(
        "`fork` of the C library, not `os.fork`",
        (Edit("sandbox_child/forking.py", "    if is_tested():\n", "    if not is_tested():\n"),),
        _FORKS,
    ),
    "gaps": Trick(
        "gaps in the heap are closed before forks",
        (Edit("sandbox_child/compaction.py", "    if not is_tested():\n", "    if True:\n"),),
        _FORKS,
    ),
    "bare": Trick(
        "RestrictedPython without its `__init__`",
        (Edit(_FINDER, "if name in BARE:", "if False:"),),
        _LOADS,
    ),
    "sha256": Trick(
        "`_sha2` or `_sha256`, not hashlib",
        (Edit("sandbox_child/confine/seccomp.py", "import sys\n", "import sys, hashlib\n"),),
        _LOADS,
    ),
    "rehearsal": Trick(
        "a zygote rehearses a run ten times",
        (Edit(_ZYGOTE, "range(bootstrap.REHEARSALS)", "range(0)"),),
        _FORKS,
    ),
    "rehearsals": Trick(
        "ten rehearsals of a zygote, not one",
        (Edit(_ZYGOTE, "range(bootstrap.REHEARSALS)", "range(1)"),),
        _FORKS,
    ),
    "spare": Trick(
        "a spare of exec rehearses while it waits",
        (Edit("sandbox_child/bootstrap.py", "    _rehearse_until_needed(channel, loaded)\n", ""),),
        _SPARES,
    ),
    "compiler": Trick(
        "a waiting fork compiles a small job",
        (Edit(_ZYGOTE, "self._while_waiting = rehearse_compiler", "self._while_waiting = int"),),
        _FORKS,
    ),
    "walls": Trick(
        "the walls of a fork are ready calls",
        (
            Edit(
                "sandbox_child/confine/wall.py",
                "None if off.keys() & set(request.required) else ReadyWalls(forks, wanted)",
                "None",
            ),
        ),
        _FORKS,
    ),
    "ground": Trick(
        "the ground of a scope is made before a fork",
        (Edit(_ZYGOTE, "    make_ground()\n", ""),),
        _FORKS,
    ),
    "channel": Trick(
        "the channel and its greeting are made before a fork",
        (
            Edit(
                _ZYGOTE,
                "            code = bootstrap.serve_forked(\n",
                "            self._channel = bootstrap.make_channel()\n"
                "            self._channel.hold(bootstrap.HELLO)\n"
                "            code = bootstrap.serve_forked(\n",
            ),
        ),
        _FORKS,
    ),
    "freeze": Trick(
        "the collector does not look at what a zygote has loaded",
        (
            Edit(_ZYGOTE, "    gc.freeze()\n    gc.disable()\n", "    gc.disable()\n"),
            Edit(_ZYGOTE, "    gc.freeze()\n    close_gaps()\n", "    close_gaps()\n"),
        ),
        _FORKS,
    ),
    "collector": Trick(
        "no garbage is collected while a child imports",
        (Edit("sandbox_child/__main__.py", "    gc.disable()\n", ""),),
        _LOADS,
    ),
    "poll": Trick(
        "poll looks for a cancellation, not a read",
        (Edit("sandbox_child/pipes/channel.py", "    if select is None:\n", "    if True:\n"),),
        _CHAINS,
    ),
    "classes": Trick(
        "one look at all classes saves a look at each value",
        (Edit("protocol/state.py", "look(value, _FEW)", "look(value)"),),
        _LARGE,
    ),
}


def main() -> None:
    options = _options()
    print(machine_line())
    names = options.names or list(TRICKS)
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="jobcell-tricks-") as made:
        Path(made).chmod(0o755)  # a child without privileges must be able to read its own code
        harness = Path(made, "harness")
        shutil.copytree(ROOT / "benchmarks", harness / "benchmarks")
        helpers: dict[str, Helper] = {}
        trees = {
            name: copy_without(
                TRICKS[name].edits if name in TRICKS else (), Path(made, f"tree{number}")
            )
            for number, name in enumerate([UNCHANGED, CONTROL, *names])
        }
        try:
            for number in range(options.rounds):
                if number % options.rounds_of_one == 0:
                    close(helpers)
                    for name in random.sample(list(trees), len(trees)):
                        helpers[name] = start(trees[name], harness)
                measure(helpers, samples, number, options)
                print(f"round {number + 1} of {options.rounds}", end="\r", file=sys.stderr)
        finally:
            close(helpers)
    print(file=sys.stderr)
    for table in tables(samples, names):
        print(table.markdown() if options.markdown else table.text())


def copy_without(edits: tuple[Edit, ...], tree: Path) -> Path:
    """Return a copy of the packages after these edits.

    Raises:
        ValueError: The code has changed: an edit does not fit exactly once.

    """
    for package in ENGINE:
        shutil.copytree(ROOT / package, tree / package)
    for edit in edits:
        path = tree / edit.file
        path.write_text(changed(path.read_text("utf-8"), edit), "utf-8")
    return tree


def changed(text: str, edit: Edit) -> str:
    """Return the text of a file after an edit, which must fit exactly once."""
    if text.count(edit.on) != 1:
        raise ValueError(f"{edit.file} has {edit.on!r} {text.count(edit.on)} times, not once")
    return text.replace(edit.on, edit.off)


def close(helpers: dict[str, Helper]) -> None:
    """End the processes."""
    while helpers:
        helpers.popitem()[1].close()


def measure(helpers: dict[str, Helper], samples: Samples, number: int, options: Any) -> None:
    """Measure all copies once, in another order in each round."""
    order = list(helpers)
    random.shuffle(order)
    for figure, every in EVERY.items():
        if number % every or not figure.startswith(options.figures):
            continue
        if not any(figure in TRICKS[name].figures for name in order if name in TRICKS):
            continue
        what, mode, load = figure.split()
        for name in order:
            if name not in TRICKS or figure in TRICKS[name].figures:
                keep(samples, figure, name, helpers[name].ask(what=what, mode=mode, workload=load))
    if options.json:  # the measured part is useful even if the rest never comes
        write_json(options.json, samples)


def keep(samples: Samples, figure: str, name: str, answer: Any) -> None:
    """Add the answer of one process to the samples."""
    if isinstance(answer, float):
        samples[figure][name].append(answer)
        return
    for elapsed, used, faults in answer:
        samples[figure][name].append(elapsed)
        samples[f"cpu {figure}"][name].append(used)
        samples[f"faults {figure}"][name].append(faults)


def tables(samples: Samples, names: list[str]) -> list[Table]:
    """Return how much longer each figure is without each optimisation.

    Medians first; then lower quartiles and processor times, which move less on a busy machine.
    """
    times = [figure for figure in samples if figure in EVERY]
    used = [f"cpu {figure}" for figure in times if figure in COUNTED]
    faults = [f"faults {figure}" for figure in times if figure in COUNTED and "zygote" in figure]
    return [
        _table("Medians", samples, times, names, median),
        _table("Lower quartiles", samples, times, names, quartile),
        _table("Processor time of manager and child, medians", samples, used, names, median),
        _table("Page faults of a fork, medians", samples, faults, names, median),
    ]


def _table(
    title: str,
    samples: Samples,
    figures: list[str],
    names: list[str],
    typical: Callable[[Sequence[float]], float],
) -> Table:
    runs = [len(samples[figure][UNCHANGED]) for figure in figures]
    table = Table(
        f"{title} without it, in per cent of those with it (99 % interval)", ["", *figures]
    )
    table.add("samples", *map(str, runs))
    table.add("with all", *(typical(samples[one][UNCHANGED]) for one in figures))
    for name in (CONTROL, *names):
        label = TRICKS[name].what if name in TRICKS else "nothing left out"
        cells = [
            _ratio(_unchanged(samples[one], name), samples[one].get(name, []), typical)
            for one in figures
        ]
        table.add(label, *cells)
    return table


def _unchanged(samples: dict[str, list[float]], name: str) -> list[float]:
    """Return the samples that those of *name* are compared with: two copies lie in two places."""
    return samples[UNCHANGED] + (samples[CONTROL] if name in TRICKS else [])


def _ratio(on: list[float], off: list[float], typical: Callable[[Sequence[float]], float]) -> str:
    if not off:
        return "-"
    low, high = ratio_interval(on, off, typical=typical)
    return f"{100 * typical(off) / typical(on):.0f} ({100 * low:.0f}-{100 * high:.0f})"


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tricks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*TRICKS, []])
    parser.add_argument(
        "--rounds-of-one",
        type=int,
        default=10,
        help="rounds before all processes are started anew: each lies elsewhere in memory",
    )
    parser.add_argument("--rounds", type=int, default=70, help="of three runs in a row each")
    parser.add_argument(
        "--figures", default="", help="only those that begin so, such as 'burst exec'"
    )
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="write every sample")
    return parser.parse_args()


if __name__ == "__main__":
    main()
