"""A job in the debugger of `jobcell run --debug`, and a repo with an adaptor for it."""

from __future__ import annotations

from terminal import Person
from warm import run_warm

LOOP = """\
def grow(n):
    more = 2
    return n + more


def main(state):
    total = 0
    for n in state.data:
        breakpoint()
        total = total + grow(n)
        print("total", total)
    return {"data": total}
"""


def begin(debug, write, job: str, data: object = None, *more: object) -> Person:
    """Debug a job in a file up to its first prompt."""
    write("state.json", {"data": data})
    write("job.py", job)
    person = debug("job.py", "--state", "state.json", *more)
    person.wait_for("(Pdb) ")
    return person


def add_adaptor(write, name: str, source: str) -> None:
    """Make an adaptor of one module, and a repo with it."""
    write(f"{name}/{name}.py", source)
    write(
        f"{name}/pyproject.toml",
        f'[project]\nname = "{name}"\nversion = "1.0.0"\n'
        f'[tool.setuptools]\npy-modules = ["{name}"]\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
    )
    run_warm(None, "repo", "init", "repo").check_returncode()
    done = run_warm(None, "repo", "add", f"./{name}", "--repo", "repo")
    assert done.returncode == 0, done.stderr
