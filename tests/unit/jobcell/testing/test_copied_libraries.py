"""The copy of a library that a test links has the compiled files of the environment, if they fit."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from jobcell.repo.libraries import Libraries, copy_libraries
from jobcell.testing.runner import _copy_compiled


@pytest.mark.parametrize("fits", [True, False])
def test_a_compiled_file_is_used_if_it_fits_its_source(tmp_path: Path, fits: bool) -> None:
    """If it does not, `compileall` compiles the source."""
    site, target = tmp_path / "site", tmp_path / "target"
    site.mkdir()
    source = site / "library.py"
    source.write_text("value = 'compiled'\n")
    compileall.compile_dir(site, quiet=1)
    as_it_was = source.stat()
    source.write_text("value = 'modified'\n")  # as long as the other text
    if fits:
        os.utime(source, ns=(as_it_was.st_atime_ns, as_it_was.st_mtime_ns))
    else:
        os.utime(source, (1, 1))
    libraries = Libraries({"library.py": source}, [])

    copy_libraries(libraries, target)
    _copy_compiled(libraries, target)
    compileall.compile_dir(target, quiet=1)

    assert Path(cache_from_source(str(target / "library.py"))).is_file()
    found = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys; sys.path[:0] = sys.argv[1:]; import library; print(library.value)",
            target,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == ("compiled" if fits else "modified")
