"""The prose check finds sentences that have to be read twice, and ignores code."""

from pathlib import Path

import pytest
from prose.__main__ import kind_of, marks_of
from prose.rules import LONG_WORDS
from prose.sentences import of_markdown, of_python

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("sentence", "mark"),
    [
        ("Who needs more memory sets the option.", "bare opening"),
        ("What a job prints is a log event.", "bare opening"),
        ("One that is found dead is replaced.", "bare opening"),
        ("That is checked by a test.", "bare opening"),
        ("A copy is kept; what it holds is lost.", "clause"),
        ("It has the same words: who knows them finds them.", "clause"),
        ("The death of a child is no message.", "is no"),
        ("The value is none of these.", "is no"),
        ("The engine tells how it ended.", "tell"),
        ("All events save the last are kept.", "save"),
        ("It waits for so many seconds.", "so many"),
        ("The reason stands beside the line.", "stands"),
        ("Each child is read in turn.", "in turn"),
        ("A run does not start without its layers.", "double negation"),
        ("Nothing is never lost.", "double negation"),
        ("Whether it fits is known to whoever made it.", "rare word"),
        (" ".join(["word"] * (LONG_WORDS + 1)) + ".", "long"),
    ],
)
def test_a_mark_is_found(sentence, mark):
    """Each pattern of the table finds the sentence that it was made for."""
    (found,) = of_markdown(sentence)

    assert mark in marks_of(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "What does a run cost?",
        "The engine does not start a run that lacks a required layer.",
        "Understanding the standard library is not required.",
        "It is no longer than that.",
        "Nothing is sent, and nobody waits.",
        "The call `tell(so_many)` is code.",
        "See [the page](docs/who-stands-in-turn.md) for details.",
    ],
)
def test_a_plain_sentence_has_no_mark(sentence):
    """Common English, and code in a sentence, are let through."""
    (found,) = of_markdown(sentence)

    assert marks_of(found) == []


def test_code_in_markdown_is_not_prose():
    """Headings, tables, code blocks, comments and labels are skipped; line numbers stay right."""
    text = (
        "# What is no heading\n\n<!-- who tells -->\n```python\n# who tells so many\n```\n"
        "| who | tells so many |\n|---|---|\n\nFirst one.\n\n- An item\n  in two lines\n- Another item, here\n"
    )

    assert [(found.line, found.text) for found in of_markdown(text)] == [
        (12, "An item in two lines"),
        (14, "Another item, here"),
    ]


def test_a_paragraph_is_divided_into_sentences():
    """A dot in an abbreviation, a number or a name does not end a sentence."""
    text = "It takes 4.5 ms, e.g. on Linux. See `a.b`. **note.** The file\nREADME.md is short (it is!). Done?"

    assert [found.text for found in of_markdown(text)] == [
        "It takes 4.5 ms, e.g. on Linux.",
        "The file README.md is short (it is!).",
    ]
    assert [found.line for found in of_markdown(text)] == [1, 1]


def test_docstrings_comments_and_errors_are_read():
    """The check finds all text for a reader or a user, and skips code."""
    source = '''
"""The module is here."""
import re  # noqa: F401 - the reason is here


class Lost(Exception):
    """A class was lost.

    Args:
        name: Its name as text.

    >>> who tells
    """

    size = 3
    """How large it is."""


# A comment goes
# over two lines.
def f(name):
    if name:
        raise ValueError(f"the name {name!r} is not " "known here")
    return "who tells so many"
'''

    assert [(found.part, found.line, found.text) for found in of_python(source)] == [
        ("docstring", 2, "The module is here."),
        ("comment", 3, "the reason is here"),
        ("docstring", 7, "A class was lost."),
        ("docstring", 10, "Its name as text."),
        ("docstring", 16, "How large it is."),
        ("comment", 19, "A comment goes over two lines."),
        ("message", 23, "the name `value` is not known here"),
    ]


def test_an_error_is_read_where_it_is_put_together():
    """The check finds the texts of errors in variables, choices, lists and returned values."""
    source = """
def find_problem(name):
    fix = "write the name again" if name else "write a name first"
    problems.note(name, [f"{name} is not known", "the name is too long"])
    label = "not a text for users"
    return "the name has no letter"
"""

    assert sorted(found.text for found in of_python(source)) == [
        "`value` is not known",
        "the name has no letter",
        "the name is too long",
        "write a name first",
        "write the name again",
    ]


def test_the_kind_follows_from_path_and_part():
    """Decisions and tests have budgets of their own."""
    (text,) = of_markdown("A sentence of words.")
    (docstring,) = of_python('"""A sentence of words."""')

    assert kind_of(Path("docs/adr/0001-a.md"), text) == "decisions"
    assert kind_of(Path("docs/plan.md"), text) == "documents"
    assert kind_of(Path("engine/run.py"), docstring) == "docstrings"
    assert kind_of(Path("tests/unit/test_a.py"), docstring) == "test docstrings"
