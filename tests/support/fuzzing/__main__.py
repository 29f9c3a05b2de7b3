"""Fuzz one border, or all, for a time: ``python -m fuzzing [TARGET ...] --seconds 1200``.

The working corpus, the crashes and the log are in ``.fuzz/TARGET``.  The status is 1 if a fault was
found.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fuzzing import plain
from fuzzing.crashes import Crashes
from fuzzing.keep import keep
from fuzzing.registry import PACKAGES
from fuzzing.target import CORPUS, Target, name_of

WORK = Path(".fuzz")
INPUT_TIMEOUT_S = 60
"""An input that takes this time is a hang.  A slow input is found by its processor time."""


def main() -> int:
    """Fuzz, or keep the findings of an earlier run."""
    parser = argparse.ArgumentParser(prog="fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(PACKAGES))
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="add new small inputs to the corpus")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in PACKAGES]
    if unknown:
        parser.error(f"no target is called {unknown[0]!r}; targets: {', '.join(PACKAGES)}")
    targets = [
        importlib.import_module(f"fuzzing.{name}").TARGET for name in arguments.targets or PACKAGES
    ]
    if arguments.keep:
        for target in targets:
            added = keep(target, WORK / target.name / "corpus")
            print(f"{target.name}: {len(added)} inputs added to {CORPUS / target.name}")
        return 0
    return max(_fuzz(target, arguments.seconds) for target in targets)


def _fuzz(target: Target, seconds: float) -> int:
    work = WORK / target.name
    crashes = work / "crashes"
    shutil.rmtree(crashes, ignore_errors=True)
    crashes.mkdir(parents=True)
    started = time.monotonic()
    if importlib.util.find_spec("atheris"):
        status, figures = _guided(target, seconds, work)
    else:
        print("atheris is not installed (pip install -e '.[fuzz]'): inputs are mutated blindly")
        count = plain.run(target, seconds, Crashes(crashes))
        status, figures = 0, f"{count} executions"
    found = sorted(crashes.glob("*.txt")) + sorted(crashes.glob("timeout-*"))
    taken = time.monotonic() - started
    print(f"{target.name}: {figures} in {taken:.0f} s; {len(found)} found")
    for path in found:
        print(f"  {path}")
    if status:
        print(f"  the fuzzer ended early, with status {status}; see {work / 'log.txt'}")
    return 1 if found or status else 0


def _guided(target: Target, seconds: float, work: Path) -> tuple[int, str]:
    corpus, seeds = work / "corpus", work / "seeds"
    for directory in (corpus, seeds):
        directory.mkdir(parents=True, exist_ok=True)
    for data in target.corpus():
        (seeds / name_of(data)).write_bytes(data)
    options = [
        f"-max_total_time={seconds:.0f}",
        f"-max_len={target.max_bytes}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-artifact_prefix={work / 'crashes'}/",
        "-print_final_stats=1",
        "-rss_limit_mb=4096",
    ]
    status = _libfuzzer(target, work, [*options, str(corpus), str(seeds)])
    log = (work / "log.txt").read_text(errors="replace")
    executed = re.findall(r"number_of_executed_units: (\d+)", log) or re.findall(r"#(\d+)", log)
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log)
    first, last = (progress[0], progress[-1]) if progress else (("?",) * 3,) * 2
    figures = (
        f"{executed[-1] if executed else 0} executions, branches {first[0]} -> {last[0]},"
        f" features {first[1]} -> {last[1]}, corpus {first[2]} -> {last[2]}"
    )
    return status, figures


def _libfuzzer(target: Target, work: Path, arguments: list[str]) -> int:
    command = [sys.executable, "-m", "fuzzing.guided", target.name, str(work / "crashes")]
    with (work / "log.txt").open("wb") as log:
        return subprocess.run(
            [*command, *arguments], stdout=log, stderr=log, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
