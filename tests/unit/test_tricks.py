"""The measurement of tricks switches off what is there: it follows the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import tricks

EDITS = [(name, edit) for name, trick in tricks.TRICKS.items() for edit in trick.edits]


@pytest.mark.parametrize(("name", "edit"), EDITS, ids=[name for name, _ in EDITS])
def test_an_optimisation_can_still_be_switched_off(name, edit):
    """A change of that place of the code changes the measurement as well."""
    path = Path(tricks.ROOT, edit.file)
    assert compile(tricks.changed(path.read_text("utf-8"), edit), path, "exec")


def test_a_place_that_is_not_there_is_an_error():
    """An edit without an effect would measure nothing."""
    with pytest.raises(ValueError, match="0 times"):
        tricks.changed("x = 1", tricks.Edit("a.py", "y = 1", "y = 2"))
