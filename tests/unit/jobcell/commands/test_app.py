"""A command reads no options but its own, and this makes no difference to it."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from jobcell.commands.app import app, app_for

COMMANDS = [info.name or info.callback.__name__ for info in app.registered_commands]


@pytest.mark.slow
@pytest.mark.parametrize("function", COMMANDS)
def test_the_help_of_a_command_does_not_depend_on_the_others(function: str) -> None:
    """The app for a command has this command only, and says the same about it."""
    words = [function.replace("_", "-"), "--help"]
    narrow = app_for(words)

    assert list(get_command(narrow).commands) == words[:1]
    assert CliRunner().invoke(narrow, words).output == CliRunner().invoke(app, words).output


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["rnu"], ["cache", "list"]])
def test_all_commands_are_there_if_none_of_them_comes_first(words: list[str]) -> None:
    """A typing error, an option of the root and a group of commands need the whole app."""
    assert app_for(words) is app
