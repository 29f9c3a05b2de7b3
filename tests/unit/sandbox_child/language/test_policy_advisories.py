"""Each published way out of RestrictedPython, and its end here."""

from __future__ import annotations

import pytest

ADVISORIES = {
    "CVE-2023-37271 stack frames of generators": (
        "def main(state):\n    g = (g.gi_frame.f_back.f_back for _ in (1,))\n    raise Exception([*g][0])",
        "SecurityError",
    ),
    "CVE-2023-37271 through getattr": (
        "def main(state):\n    g = (x for x in ())\n    raise Exception(getattr(g, 'gi_' + 'frame'))",
        "SecurityError",
    ),
    "CVE-2023-41039 str.format": (
        "def main(state):\n    raise Exception('{0.__class__.__mro__}'.format(main))",
        "SecurityError",
    ),
    "CVE-2023-41039 str.format_map": (
        "def main(state):\n    raise Exception('{a.__globals__}'.format_map({'a': main}))",
        "SecurityError",
    ),
    "CVE-2023-41039 the method of the class": (
        "def main(state):\n    raise Exception(str.format('{0.__globals__}', main))",
        "SecurityError",
    ),
    "CVE-2024-47532 the object behind an AttributeError": (
        ("def main(state):\n    try:\n        state.nothing_here\n"
        "    except AttributeError as error:\n        raise Exception(error.obj)"),
        "SecurityError",
    ),
    "CVE-2025-22153 a group that splits itself, under except*": (
        ("class Group(ExceptionGroup):\n    def split(self, condition):\n        return 1, 2\n"
        "def main(state):\n    try:\n        raise Group('g', [ValueError()])\n"
        "    except* ValueError:\n        pass\n    raise Exception('survived')"),
        "RuntimeError",
    ),
    "CVE-2026-55830 guards as positional-only parameters": (
        ("def f(_attr_, _own_, /):\n    return (1)._x\n"
        "def main(state):\n    raise Exception(f(1, 2))"),
        "SecurityError",
    ),
    "CVE-2026-55830 in a lambda": (
        "main = lambda _state_attr_, /: _state_attr_",
        "SecurityError",
    ),
    "CVE-2026-76825 string.Formatter": (
        ("import string\ndef main(state):\n"
        "    raise Exception(string.Formatter().get_field('0.__globals__', (main,), {}))"),
        "RuntimeError",
    ),
    "CVE-2026-76825 UserString": (
        ("from collections import UserString\ndef main(state):\n"
        "    raise Exception(UserString('{0.__globals__}').format(main))"),
        "ImportError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVISORIES)
def test_it_leads_nowhere(report_of, name):
    """The code is refused, before the job runs or when it tries."""
    source, expected = ADVISORIES[name]
    report = report_of(source)
    assert report.name == expected
    for evidence in ("<frame", "__builtins__", "<class 'object'>", "survived"):
        assert evidence not in report.message
