"""The attacks of the corpus against the language wall alone: no attack shows that it escaped.

Every attack runs in a forked child of one helper process, with small resource limits and no kernel
wall.  The lists here name the attacks that only a limit or the kernel stops, with that layer.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ATTACKS = Path(__file__).parents[3] / "jobs" / "attacks"

BY_LAYER = {
    "deadline and memory limit of the run (parent)": "consume",
    "exit status, seen by the parent": "signal:11",
}
"""Attacks that only exhaust or crash the interpreter are not a task of the language wall."""

HOPELESS = {
    "adaptor_getattr_gadget": "kernel wall: an adaptor that looks attributes up for its caller",
    "patch_adaptor_cache": "one child per run: state of an adaptor lives as long as the run",
}
"""Attacks through a door that an adaptor opens."""

NEVER_RUN = re.compile("bomb|disk_fill|shared_memory|process_pool")

HELPER = r"""
import importlib.util, json, os, resource, signal, sys, types
from pathlib import Path
from sandbox_child.language import LanguageError, compile_job
from sandbox_child.language.scope import JobScope

folder = Path(sys.argv[1])

def make_resolver():
    made = {}
    def resolve(name):
        path = folder / "adaptors" / f"{name}.py"
        if name.isidentifier() and path.exists() and name not in made:
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            view = made[name] = types.ModuleType(f"view:{name}")
            view.__dict__.update({n: getattr(module, n) for n in module.__all__ if n[0] != "_"})
        return made.get(name)
    return resolve

def run(path, step_id, resolve):
    source = path.read_text()
    if "# entry: main" not in source:
        source += "\ndef main(state):\n    return state\n"
    try:
        job = compile_job(source, step_id=step_id)
        scope = JobScope(step_id=step_id, language=True, resolve_import=resolve,
                         importable=lambda: ["demo_adaptor"], in_scope={}, log=lambda *_: None)
        scope.execute(job.code)
        if "# entry: main" in source:
            scope.call(scope.globals["main"], {})
        return "ran"
    except LanguageError as error:
        return f"{error.report.name}: {error.report.message[:300]}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]}"

for name in sys.stdin.read().split():
    read_end, write_end = os.pipe()
    if not (pid := os.fork()):
        for limit, value in ((resource.RLIMIT_CPU, 5), (resource.RLIMIT_DATA, 300 << 20),
                             (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(limit, (value, value))
        signal.alarm(10)
        sys.stdout = sys.stderr
        resolve = make_resolver()
        told = [run(folder / f"{name}.py", "a", resolve)]
        victim = folder / "victims" / f"{name}.victim.py"
        if victim.exists():
            told.append(run(victim, "b", resolve))
        os.write(write_end, json.dumps(told).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as stream:
        told = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([name, status, json.loads(told or "[]")]), flush=True)
"""


def _manifest(name):
    source = (ATTACKS / f"{name}.py").read_bytes().decode("utf-8", "replace")
    return re.search(r"^# manifest: (\S+)", source, re.MULTILINE)[1]


NAMES = sorted(path.stem for path in ATTACKS.glob("*.py"))
TRIED = [
    name
    for name in NAMES
    if not NEVER_RUN.search(name)
    and name not in HOPELESS
    and _manifest(name) not in {*BY_LAYER.values(), "tolerated", "bytes"}
]


@pytest.fixture(scope="module")
def outcomes():
    """Return for each attack the exit status, and the exceptions of the attack and its victim."""
    done = subprocess.run(
        [sys.executable, "-c", HELPER, str(ATTACKS)],
        input=" ".join(TRIED),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        name: (status, told) for name, status, told in map(json.loads, done.stdout.splitlines())
    }


def test_there_are_attacks():
    """An empty directory would pass every test below."""
    assert len(TRIED) > 120


@pytest.mark.parametrize("name", TRIED)
def test_no_attack_shows_that_it_got_out(outcomes, name):
    """The attack failed, was refused or had no effect, and the next job runs as usual."""
    status, told = outcomes[name]

    assert status == 0
    assert told
    assert not [message for message in told if "PWNED:" in message]
    assert not Path(f"/tmp/PWNED_{name}").exists()


def test_what_is_hopeless_for_a_language_wall_is_still_in_the_corpus():
    """The list above names only attacks that still exist."""
    assert set(HOPELESS) <= set(NAMES)
