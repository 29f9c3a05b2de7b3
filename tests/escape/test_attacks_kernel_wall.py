"""Every attack of the collection against the kernel wall alone.

The jobs are compiled with plain ``compile``, so each may do anything in its own interpreter.  It
still cannot read, write, reach or kill anything outside, and it leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from modes import let_everybody_in
from warm_children import children_of_engines

import engine

# Only a new interpreter could have the secret in the environment of the engine.
pytestmark = pytest.mark.real_starts

ATTACKS = Path(__file__).parent.parent / "jobs" / "attacks"
SECRET = "canary-in-the-environment-of-the-engine"
GOES_OUTSIDE = re.compile(
    r"popen|check_output|os\.system|subprocess|urlopen|fileinput|FileIO|"
    r"/etc/passwd|/proc/|execv|spawn|getnode|symlink"
)
"""Sources of attacks that prove their success with data from outside of the interpreter."""
OUTCOMES = {"success", "fail", "crash", "kill"}
TIMEOUT_S = 1.0
CPU_S = 0.4
"""Twice the time of any attack that ends by itself."""
ENDLESS = {
    "async_block_loop",
    "async_self_spawn",
    "asyncgen_leak",
    "cpu_busy_del",
    "cpu_c_loop_all_cycle",
    "cpu_finally_loop",
    "cpu_hash_collision_ints",
    "cpu_sort_key_forever",
    "cpu_swallow_everything",
    "datetime_strptime_redos",
    "difflib_quadratic",
    "hashlib_pbkdf2_block",
    "int_factorial",
    "int_pow_tower",
    "recursion_swallow",
    "regex_catastrophic",
    "regex_email_redos",
    "state_awaitable_forever",
    "template_pattern_redos",
    "unicode_normalize_blowup",
}
"""Attacks that do the same for as long as they may. More time would only take processors away from other tests."""
ENDLESS_CPU_S = 0.05
GROWING = {
    "gzip_nested_bomb",
    "mem_dict_comprehension",
    "mem_join_product",
    "regex_sub_growth",
    "xml_billion_laughs",
}
"""Attacks that take more memory until they are stopped. With a lower limit this is sooner."""
GROWING_MB = 75
FLOODING = "flood_stderr"
FLOODING_BYTES = 1 << 20
"""A lower limit for the lines of a run that writes without an end."""
OPTIONS = engine.RunOptions(timeout_s=TIMEOUT_S, cpu_s=CPU_S, memory_mb=150)


class Attack:
    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        self.source = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(
            "utf-8", "surrogatepass"
        )
        self.name = path.name.split(".")[0]
        head = re.findall(r"^# (\w+): ?(.*)$", self.source[:4000], re.MULTILINE)
        self.header = dict(reversed(head))
        self.manifest = self.header.get("manifest", "")
        victim = ATTACKS / "victims" / f"{self.name}.victim.py"
        self.victim = victim.read_text() if victim.exists() else None

    @property
    def job(self) -> str:
        """The attack as a job: the code of ``module`` runs when the job is loaded."""
        if self.header.get("entry") == "main":
            return self.source
        return f"{self.source}\n\ndef main(state):\n    return state\n"


def attacks():
    files = sorted([*ATTACKS.glob("*.py"), *ATTACKS.glob("*.py.gz")])
    return [pytest.param(Attack(path), id=path.name.split(".")[0]) for path in files]


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with the adaptors that the attacks aim at."""
    directory = tmp_path_factory.mktemp("repo")
    installed = []
    for file in (ATTACKS / "adaptors").glob("*.py"):
        place = directory / f"{file.stem}_1.0.0"
        place.mkdir()
        shutil.copy(file, place)
        installed.append(
            {"name": file.stem, "version": "1.0.0", "path": place.name, "module": file.stem}
        )
    (directory / "repo.json").write_text(json.dumps({"adaptors": installed}))
    let_everybody_in(directory)
    return directory


@pytest.fixture(scope="module")
def eng(repo):
    os.environ["JOBCELL_CANARY"] = SECRET
    with engine.Engine(
        repo_dir=repo,
        max_runs=2,
        start_mode=os.environ.get("JOBCELL_TEST_START_MODE", "zygote"),
        policy=engine.Policy(language=False),
        options=OPTIONS,
    ) as made:
        made.execute("def main(state):\n    return state").result(timeout_s=30)
        yield made
    del os.environ["JOBCELL_CANARY"]


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_behind():
    """After all attacks, files, processes and this process itself are as before."""
    stray = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.cwd()]
    for file in Path("/tmp").glob("PWNED_*"):
        file.unlink()
    before = {directory: set(directory.iterdir()) for directory in stray}
    descriptors = set(Path("/proc/self/fd").iterdir())
    yield
    for directory, names in before.items():
        left = [file for file in set(directory.iterdir()) - names if "PWNED" in file.name]
        assert not left
    assert children_of_engines(recursive=True) == []
    assert set(Path("/proc/self/fd").iterdir()) <= descriptors


@pytest.fixture(autouse=True)
def no_descriptor_is_left():
    """The engine may keep an interpreter with the adaptors of an attack; `nothing_is_left_behind` looks at the end."""


def plan(attack: Attack) -> dict:
    adaptors = [
        name for name in ("demo_adaptor", "star_adaptor") if re.search(rf"\b{name}\b", attack.job)
    ]
    step = {"id": "attack", "expression": attack.job}
    if adaptors:
        step["adaptors"] = adaptors
    return {"workflow": {"steps": [step]}}


def options_of(attack: Attack) -> engine.RunOptions:
    if attack.name in ENDLESS:
        return msgspec.structs.replace(OPTIONS, cpu_s=ENDLESS_CPU_S)
    if attack.name in GROWING:
        return msgspec.structs.replace(OPTIONS, memory_mb=GROWING_MB)
    if attack.name == FLOODING:
        return msgspec.structs.replace(OPTIONS, max_log_bytes=FLOODING_BYTES)
    return OPTIONS


@pytest.mark.parametrize("attack", attacks())
def test_nothing_outside_is_read_written_reached_killed_or_left(eng, attack):
    """The run ends with a report, shows nothing from outside, and does not affect the next run."""
    started = time.monotonic()
    try:
        run = eng.execute(plan(attack), options=options_of(attack))
    except (engine.PlanError, ValueError):
        return  # a plan cannot carry this text
    result = run.result(timeout_s=30)
    events = run.poll(after=0)

    assert time.monotonic() - started < 10
    assert result.reason in OUTCOMES, result.error
    if attack.name in ENDLESS:
        assert result.error.name in ("CPULimitError", "TimeoutError"), result.error
    assert isinstance(events[-1], engine.WorkflowComplete | engine.WorkflowError)
    assert sum(isinstance(e, engine.WorkflowComplete | engine.WorkflowError) for e in events) == 1
    said = f"{result!r:.2000000} {events!r:.2000000}"
    assert SECRET not in said
    assert "root:x:" not in said
    assert "root:*:" not in said
    code = "\n".join(line for line in attack.source.splitlines() if line[:1] != "#")
    if GOES_OUTSIDE.search(code):
        assert not re.search(r"'PWNED: \S", str(result.error and result.error.message))
        assert not re.search(r"message='PWNED: (?!node)", said)
    assert not list(Path("/tmp").glob("PWNED_*"))

    after = eng.execute(attack.victim or "def main(state):\n    return {**state, 'ok': True}")
    calm = after.result(timeout_s=30)
    message = str(calm.error and calm.error.message)
    assert "PWNED" not in message
    if attack.victim is None:
        assert calm.reason == "success", calm.error
        assert calm.state["ok"] is True


def test_the_engine_says_that_the_language_wall_was_off(eng):
    """A run without the language wall never looks like a run with it."""
    result = eng.execute("def main(state):\n    return state").result(timeout_s=30)

    assert result.confinement.language is False
    assert result.confinement.level == "default"
    assert all(layer.state == "on" for layer in result.confinement.layers if layer.required)
    assert all(probe.blocked for probe in result.confinement.probes)


def test_no_run_leaves_a_process(eng):
    """Below this process there are at most the zygote, and two interpreters for each set of adaptors that is warm."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error):
            children = children_of_engines(recursive=True)
            names = [c for c in children if c.status() != "zombie"]
            # A warm zygote has forked before the next run needs a child.
            if len(names) <= 1 + 2 * sum(found.warm for found in eng.warm()):
                return
    pytest.fail(f"left behind: {names}")
