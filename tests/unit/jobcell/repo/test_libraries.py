"""Libraries of a bundled adaptor come from the environment of jobcell, if it has all of them unchanged."""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from base64 import urlsafe_b64encode
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from jobcell.repo import libraries
from jobcell.repo.bundled import bundled, of_others
from jobcell.repo.libraries import copy_libraries, find_libraries


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An environment with the distributions that a test puts into it, and no others."""
    place = tmp_path / "site-packages"
    place.mkdir()
    monkeypatch.setattr(
        libraries, "distributions", functools.partial(distributions, path=[str(place)])
    )
    return place


def put(site: Path, name: str, version: str = "1.0", *needs: str) -> Path:
    """Install a distribution as an installer does; return the directory of its metadata."""
    about = site / f"{name}-{version}.dist-info"
    texts = {
        f"{name}/__init__.py": f"NAME = {name!r}\n",
        f"{name}/data.bin": "data",
        f"{about.name}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Provides-Extra: more\n" + "".join(f"Requires-Dist: {text}\n" for text in needs),
        "../../bin/tool": "#!/bin/sh",
        f"{name}/__pycache__/x.pyc": "",
    }
    lines = []
    for path, text in texts.items():
        place = site / path
        if not path.startswith(".."):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}")
    (about / "RECORD").write_text("\n".join([*lines, f"{about.name}/RECORD,,"]) + "\n")
    return about


def test_all_that_is_needed_is_copied_and_no_script(site, tmp_path):
    """Requirements of requirements come along, with those of an extra and without those of another system."""
    put(site, "tall", "2.1", "wide>=1", "long; extra == 'more'", "gone; sys_platform == 'win32'")
    put(site, "wide", "1.0", "tall")
    put(site, "long")
    put(site, "idle")
    found = find_libraries(["tall[more]>=2,<3"])
    assert found is not None
    copy_libraries(found, tmp_path / "copy")
    packages = {path.name for path in (tmp_path / "copy").iterdir() if path.suffix == ""}
    assert packages == {"tall", "wide", "long"}
    assert {path.name for path in (tmp_path / "copy" / "tall").iterdir()} == {
        "__init__.py",
        "data.bin",
    }
    without = find_libraries(["tall"])
    assert without is not None
    assert "long/__init__.py" not in without.files


def test_an_adaptor_of_ours_among_them_is_the_bundled_one(site):
    """A distribution of that name in the environment may be anything."""
    put(site, "jobcell_common", "1.0.0")
    found = find_libraries(["jobcell-common>=1"])
    assert found is not None
    assert (found.files, [item.name for item in found.bundled]) == ({}, ["common"])
    assert find_libraries(["jobcell-common>=9"]) is None


def change(site: Path, about: Path) -> None:
    (site / "wide" / "data.bin").write_text("Data")


def lose(site: Path, about: Path) -> None:
    (site / "wide" / "data.bin").unlink()


def forget_record(site: Path, about: Path) -> None:
    (about / "RECORD").unlink()


def forget_hash(site: Path, about: Path) -> None:
    text = (about / "RECORD").read_text().splitlines()
    (about / "RECORD").write_text("\n".join(line.split(",")[0] + ",," for line in text) + "\n")


def edit_in_place(site: Path, about: Path) -> None:
    (about / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}}))


def write_nonsense(site: Path, about: Path) -> None:
    (about / "direct_url.json").write_text("{")


def leave(site: Path, about: Path) -> None:
    """The twin: with nothing of these the library is taken."""


@pytest.mark.parametrize(
    "harm", [change, lose, forget_record, forget_hash, edit_in_place, write_nonsense, leave]
)
def test_a_library_that_is_not_as_it_was_installed_is_not_taken(site, harm):
    """Then nothing is taken from the environment, and the installer is asked."""
    put(site, "tall", "2.1", "wide")
    harm(site, put(site, "wide"))
    assert (find_libraries(["tall"]) is not None) == (harm is leave)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["tall"], True),
        (["tall==2.1"], True),
        (["tall<2"], False),
        (["lost"], False),
        (["tall", "lost"], False),
        (["tall[more]"], False),
        (["tall @ https://example.org/tall.whl"], False),
    ],
)
def test_all_or_nothing(site, wanted, found):
    """Half of the libraries from here and half from an index might not fit."""
    put(site, "tall", "2.1", "long; extra == 'more'")
    assert (find_libraries(wanted) is not None) == found


def test_pins_of_a_lock_file_are_taken_to_the_letter(site):
    """A lock file lists all libraries, so their own requirements are not asked for."""
    put(site, "tall", "2.1", "lost")
    assert find_libraries(["tall==2.1"], dependencies=False) is not None
    assert find_libraries(["tall==2.0"], dependencies=False) is None


def test_the_extra_has_the_libraries_of_all_adaptors():
    """So `pip install 'jobcell[adaptors]'` is enough for each of them."""
    root = Path(__file__).parents[4]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extra = {str(Requirement(text)) for text in project["optional-dependencies"]["adaptors"]}
    needed = {text for ours in bundled().values() for text in of_others(ours.requirements)}
    assert extra == {str(Requirement(text)) for text in needed}


def test_a_missing_file_is_noticed_beside_the_backport_of_importlib_metadata(site):
    """The backport leaves missing files out of a distribution's list, as Python 3.12 does."""
    put(site, "wide")
    (site / "wide" / "data.bin").unlink()
    pytest.importorskip("importlib_metadata")  # it takes the place of the standard finder
    assert find_libraries(["wide"]) is None
