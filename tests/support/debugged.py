"""A job in the debugger of `jobcell run --debug`, and a repo with an adaptor for it."""

from __future__ import annotations

from terminal import Person

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


def begin(debug, write, job: str, data: object = None, *more: object, **options: object) -> Person:
    """Debug a job in a file up to its first prompt."""
    write("state.json", {"data": data})
    write("job.py", job)
    person = debug("job.py", "--state", "state.json", *more, **options)
    person.wait_for("(Pdb) ")
    return person


def add_adaptor(write, name: str, source: str) -> None:
    """Make a repo with an adaptor of one module."""
    write(f"repo/{name}_1/{name}.py", source)
    entry = {"name": name, "version": "1.0.0", "path": f"{name}_1", "module": name}
    write("repo/repo.json", {"adaptors": [entry]})
