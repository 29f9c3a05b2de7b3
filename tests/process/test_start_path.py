"""The list of modules that a new interpreter imports before its first job: each one costs time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.confinement.interpreter import CHILD_ENVIRONMENT, child_command

EXPECTED = Path(__file__).with_name("start_path.txt")

LIST_MODULES = """
import sys
sys.path.insert(0, {directory!r})
import finder
del sys.path[0]
finder.install(sys.argv[1:])
from sandbox_child import bootstrap
bootstrap.load()
print("\\n".join(sorted(sys.modules)))
"""

NEVER = {
    "argparse",
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "email",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "pathlib",
    "pickle",
    "sandbox_child.linker",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "typing_extensions",
    "unittest",
}
"""Modules that are slow to import, or of no use to a child before a job asks for them."""


def loaded_at_start() -> set[str]:
    """Return the modules of a child that is ready for its plan."""
    executable, *flags = child_command()
    main = next(flag for flag in flags if flag.endswith("__main__.py"))
    arguments = flags[flags.index(main) + 1 :]
    script = LIST_MODULES.format(directory=str(Path(main).parent))
    done = subprocess.run(
        [executable, "-I", "-S", "-c", script, *arguments],
        env=CHILD_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_new_interpreter_imports_what_it_needs_and_no_more():
    """A new module in this test is either needed at the start, and goes on the list, or is imported
    late.

    The list is for one version of Python: other versions have other modules of their own.
    """
    loaded = loaded_at_start()
    assert not loaded & NEVER
    ours = {name for name in loaded if name.split(".")[0] in ("protocol", "sandbox_child")}
    expected = set(EXPECTED.read_text().split())
    if sys.version_info[:2] == (3, 11):
        assert loaded - expected == set()
    assert ours - expected == set()
