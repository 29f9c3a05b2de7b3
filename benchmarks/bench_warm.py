"""``python -m benchmarks.bench_warm``: a run with a real library, cold and warm, beside W1 and a plain import.

Every round measures each of them once, one after another, so that they share the noise of the machine.
The libraries come from the index with pip, each with its dependencies in a directory of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.measure import (
    Table,
    machine_line,
    median,
    milliseconds,
    number,
    private_mb,
    quartile,
)
from engine import Engine, Resolvers

LIBRARIES: Final = {
    "httpx": "httpx",
    "requests": "requests",
    "psycopg": "psycopg[binary]",
    "boto3": "boto3",
    "openpyxl": "openpyxl",
    "pandas": "pandas",
}
"""The import name of each library, and what pip installs for it."""

MORE_THAN_W1_MS: Final = 3.0
OF_COLD: Final = 0.05
IDLE_MB: Final = 6.0
ZYGOTE_MB: Final = 90.0
WAIT_S: Final = 300.0

JOB: Final = "def main(state): return state"
Samples = dict[tuple[str, str], list[float]]


def install(names: list[str], directory: Path) -> None:
    """Install the libraries that are not there yet, as a repo of adaptors."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = directory / name
        if not place.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place)]
            subprocess.run([*command, LIBRARIES[name]], check=True)
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(place)], check=False)
    entries = [{"name": n, "version": "1", "path": n, "module": n} for n in names]
    (directory / "repo.json").write_text(json.dumps({"adaptors": entries}))
    for path in (directory, *directory.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def plan(name: str | None = None, **more: Any) -> dict[str, Any]:
    step = {"id": "s", "expression": JOB, **more}
    return {"workflow": {"steps": [step if name is None else {**step, "adaptor": name}]}}


def duration(engine: Engine, wanted: dict[str, Any]) -> float:
    def run() -> None:
        result = engine.execute(wanted, {}).result()
        assert result.reason == "success", result.error

    return milliseconds(run)


def plain_import(name: str, directory: Path) -> float:
    """Return the time of ``python -c import`` with one thread for numpy, as a child has it."""
    environment = {"PYTHONPATH": str(directory / name), "OPENBLAS_NUM_THREADS": "1"}
    return milliseconds(
        lambda: subprocess.run(
            [sys.executable, "-c", f"import {name}"], env=environment, check=True
        )
    )


def wait_until_warm(engine: Engine, count: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while sum(one.warm for one in engine.warm()) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"not warm: {[one for one in engine.warm() if not one.warm]}")
        time.sleep(0.05)


def measure(names: list[str], directory: Path, rounds: int, colds: int) -> Samples:
    """Return the milliseconds of each way for each library; W1 has the name ``w1``."""
    samples: Samples = defaultdict(list)
    with (
        Engine(repo_dir=directory, max_runs=1, preload=names, warm_mb=2_000) as warm,
        Engine(repo_dir=directory, max_runs=1, warm_mb=0) as cold,
    ):
        wait_until_warm(warm, len(names))
        for engine in (warm, cold):
            duration(engine, plan())
        for number_ in range(rounds):
            samples["w1", "cold"].append(duration(cold, plan()))
            samples["w1", "warm"].append(duration(warm, plan()))
            for name in names:
                samples[name, "warm"].append(duration(warm, plan(name)))
                if number_ % max(1, rounds // colds) == 0:
                    samples[name, "cold"].append(duration(cold, plan(name)))
                    samples[name, "import"].append(plain_import(name, directory))
    return samples


def memory(names: list[str], directory: Path) -> dict[str, tuple[float, float]]:
    """Return for each library the private MB of its warm zygote, and those of an idle fork of it.

    A fork is idle until a run needs it, and while its run waits for a credential.
    """
    found = {}
    for name in names:
        with Engine(repo_dir=directory, max_runs=1, preload=[name], warm_mb=2_000) as engine:
            wait_until_warm(engine, 1)
            zygote_mb = engine.warm()[0].memory_bytes / 1e6
            (clean,) = psutil.Process().children()
            while len(children := clean.children()) < 2:
                time.sleep(0.01)
            fork = max(children, key=psutil.Process.create_time)
            asked, go_on = threading.Event(), threading.Event()

            def credential(_id: str, asked: Any = asked, go_on: Any = go_on) -> dict[str, Any]:
                asked.set()
                go_on.wait()
                return {}

            waiting_mb = private_mb(fork.pid) or 0.0
            run = engine.execute(
                plan(name, configuration="c"), {}, resolvers=Resolvers(credential=credential)
            )
            asked.wait()
            assert fork.is_running()
            found[name] = (zygote_mb, max(waiting_mb, private_mb(fork.pid) or 0.0))
            go_on.set()
            run.result()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--colds", type=int, default=8, help="measurements of cold runs and imports"
    )
    parser.add_argument("--directory", type=Path, default=Path("build/warm-libraries"))
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    names, directory = arguments.libraries, arguments.directory.resolve()
    install(names, directory)
    before = machine_line()
    sizes = memory(names, directory)
    samples = measure(names, directory, arguments.rounds, arguments.colds)
    return report(names, samples, sizes, before, markdown=arguments.markdown)


def report(
    names: list[str],
    samples: Samples,
    sizes: dict[str, tuple[float, float]],
    before: str,
    *,
    markdown: bool,
) -> int:
    """Print the table and each goal; return 1 if a goal is missed."""
    table = Table(
        f"Milliseconds, medians in turns ({before})",
        [
            "library",
            "import",
            "cold",
            "warm",
            "warm - W1",
            "lower quartiles",
            "warm / cold",
            "zygote MB",
            "idle MB",
        ],
    )
    base, low = median(samples["w1", "warm"]), quartile(samples["w1", "warm"])
    missed = []
    table.add(
        "W1", "-", number(median(samples["w1", "cold"])), number(base), "-", "-", "-", "-", "-"
    )
    for name in names:
        warm, cold = median(samples[name, "warm"]), median(samples[name, "cold"])
        more, more_low = warm - base, quartile(samples[name, "warm"]) - low
        zygote_mb, idle_mb = sizes[name]
        table.add(
            name, number(median(samples[name, "import"])), number(cold), number(warm), f"{more:.1f}",
            f"{more_low:.1f}", f"{warm / cold:.3f}", number(zygote_mb), number(idle_mb),
        )  # fmt: skip
        missed += [f"{name}: {more_low:.1f} ms more than W1"] * (more_low > MORE_THAN_W1_MS)
        missed += [f"{name}: an idle fork takes {idle_mb:.1f} MB"] * (idle_mb > IDLE_MB)
        if name == "pandas":
            missed += [f"{name}: {warm / cold:.3f} of cold"] * (warm / cold > OF_COLD)
            missed += [f"{name}: its zygote takes {zygote_mb:.0f} MB"] * (zygote_mb > ZYGOTE_MB)
    print(table.markdown() if markdown else table.text())
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
