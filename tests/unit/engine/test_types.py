"""Type checkers of managers see the annotations, and see events as the real union."""

import tomllib
import typing
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import engine
from engine import AnyEvent, Run

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("package", ["engine", "protocol", "jobcell"])
def test_a_package_is_marked_as_typed_and_the_mark_is_in_the_wheel(package: str):
    """Without ``py.typed`` a type checker takes everything of a package for Any (PEP 561)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in project["tool"]["setuptools"]["package-data"][package]


def test_events_are_annotated_as_the_union_of_all_events():
    """A type checker can then check that ``match`` over the classes of events is complete."""
    on_event = typing.get_type_hints(engine.run)["on_event"]

    assert typing.get_type_hints(Run.poll)["return"] == list[AnyEvent]
    assert typing.get_type_hints(Run.__aiter__)["return"] == AsyncIterator[AnyEvent]
    assert on_event == Callable[[AnyEvent], object] | None


def test_a_handle_shows_only_what_a_manager_may_use():
    """The methods that only the engine needs are not among the public names."""
    public = [name for name in dir(Run) if not name.startswith("_")]

    assert public == ["cancel", "done", "id", "poll", "result"]
