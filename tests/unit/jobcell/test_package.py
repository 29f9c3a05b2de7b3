"""The package that users import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine
import jobcell


def test_jobcell_gives_every_name_of_the_engine() -> None:
    """`import jobcell` is enough for everything that `engine` offers."""
    assert set(jobcell.__all__) == set(engine.__all__)
    for name in engine.__all__:
        assert getattr(jobcell, name) is getattr(engine, name)


def test_importing_jobcell_imports_nothing_of_an_extra():
    """A store takes half a second, and packages that a user of the engine need not have."""
    script = (
        "import sys; from jobcell import *; import jobcell; dir(jobcell);"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'sqlalchemy', 'dbos', 'fsspec'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_name_of_the_store_without_its_extra_says_what_to_install():
    """The error is one line, and has the command."""
    script = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "import jobcell\n"
        "try:\n    jobcell.Store\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (
        "jobcell.Store needs more packages ('sqlalchemy' is missing): pip install 'jobcell[store]'"
    )


def test_a_name_that_does_not_exist_is_an_attribute_error():
    """A wrong name is not looked up in the store."""
    with pytest.raises(AttributeError, match="Stor"):
        jobcell.Stor  # noqa: B018
