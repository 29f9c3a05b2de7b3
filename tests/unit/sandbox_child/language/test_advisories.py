"""The published escapes from RestrictedPython, each tried as it was published.

Each of these is evidence for the second wall: the next escape will not be in this list.
"""

import string

import pytest


def main(body):
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def test_cve_2021_32811_modules_of_modules_are_not_reachable(report_of):
    """Zope's advisory: a harmless module imports ``os``, and the job walks there."""
    for source in ("import random\nreturn random._os", "import string\nreturn string._re"):
        assert report_of(main(source)).name == "SecurityError"
    assert report_of(main("import json\nreturn json.codecs")).subtype == "AttributeError"


@pytest.mark.parametrize(
    "body",
    [
        "g = (g.gi_frame.f_back for _ in [1])\nreturn list(g)",
        "g = (i for i in [1])\nreturn getattr(g, 'gi_frame')",
        "g = (i for i in [1])\nreturn '{0.gi_frame}'.format(g)",
        "g = (i for i in [1])\nmatch g:\n  case object(gi_frame=f): return f",
        "async def f(): pass\nreturn f().cr_frame",
        "async def f(): yield 1\nreturn f().ag_frame",
    ],
)
def test_cve_2023_37271_frames_of_generators_are_closed(report_of, body):
    """A generator's frame leads through ``f_back`` to the engine, as newer attributes do."""
    assert report_of(main(body)).name == "SecurityError"


@pytest.mark.parametrize(
    "body",
    [
        "return '{0.__class__}'.format(state)",
        "return '{a.__class__}'.format_map({'a': state})",
        "return str.format('{0.__class__.__mro__}', state)",
        "return str.format_map('{a.__class__}', {'a': state})",
        "return getattr('{0.__class__}', 'format')(state)",
        "class S(str): pass\nreturn S('{0.__class__}').format(state)",
        "class S(str):\n  def go(self): return super().format(1)\nreturn S('{0.__class__}').go()",
        "return '{0:{1.__class__}}'.format(1, 2)",
        "return (lambda f: f(state))('{0.__class__}'.format)",
    ],
)
def test_cve_2023_41039_format_reads_no_attribute_unseen(report_of, body):
    """``str.format`` and ``format_map`` read attributes by themselves, bound or not."""
    assert report_of(main(body)).name == "SecurityError"


def test_cve_2024_47532_the_string_module_and_the_object_of_an_error_are_closed(report_of):
    """``string`` led to its own imports; ``AttributeError.obj`` gives out any object."""
    body = "import string\ntry: string.x\nexcept AttributeError as e: return e.obj"
    assert report_of(main(body)).name == "SecurityError"
    body = "import string\ntry: string.x\nexcept AttributeError as e: return getattr(e, 'obj')"
    assert report_of(main(body)).name == "SecurityError"
    body = "try: client.x\nexcept AttributeError as e:\n  match e:\n    case AttributeError(obj=o): return o"
    assert report_of(main(body), client=object()).name in ("SecurityError", "CompileError")


def test_cve_2025_22153_groups_of_exceptions_cannot_be_subclassed(report_of, result_of):
    """Type confusion in ``except*``: a subclass of the group decides how it is split."""
    body = (
        "class G(ExceptionGroup):\n  def split(self, c): return 1, 2\n"
        "try: raise G('g', [ValueError()])\nexcept* ValueError: pass"
    )
    assert report_of(main(body)).name in ("SecurityError", "CompileError", "RuntimeError")
    body = "try: raise ExceptionGroup('g', [ValueError(1)])\nexcept* ValueError as g: n = len(g.exceptions)\nreturn n"
    assert result_of(main(body)) == 1


@pytest.mark.parametrize("hook", ["_write_", "_attr_", "_class_", "_getattr_", "__import__"])
@pytest.mark.parametrize(
    "body",
    [
        "def f({}, /): pass",
        "def f(*, {}): pass",
        "async def f({}, /): pass",
        "lambda {}, /: 1",
        "def f(*{}): pass",
        "for {} in []: pass",
        "match state:\n  case {{**{}}}: pass",
    ],
)
def test_cve_2026_55830_no_parameter_shadows_a_guard(report_of, body, hook):
    """Positional-only parameters were not checked; now every binding is checked."""
    assert report_of(main(body.format(hook))).name == "SecurityError"


@pytest.mark.parametrize(
    "body",
    [
        "import string\nreturn string.Formatter",
        "from string import Formatter",
        "from collections import UserString",
        "return formatter.get_field('0.__class__', (state,), {})",
        "return formatter.vformat('{0.__class__}', (state,), {})",
        "return formatter.format('{0.__class__}', state)",
        "class F(Formatter): pass\nreturn F().format('{0.__class__}', state)",
        "class F(Formatter):\n  def go(self): return super().get_field('0.__class__', ({},), {})\nreturn F().go()",
        "return Formatter.format(formatter, '{0.__class__}', state)",
        "from operator import methodcaller\nreturn methodcaller('format', '{0.__class__}', state)(formatter)",
    ],
)
def test_cve_2026_76825_formatters_resolve_no_fields(report_of, body):
    """The test tries the class, an instance, a subclass, and the methods in between."""
    report = report_of(main(body), formatter=string.Formatter(), Formatter=string.Formatter)
    assert report.name in ("SecurityError", "ImportError", "RuntimeError")
    assert "__class__" not in report.message or report.name == "SecurityError"


def test_a_value_that_is_unpacked_is_computed_once(result_of):
    """RestrictedPython 9 evaluates the right side of ``a = b, c = f()`` twice."""
    body = (
        "n = []\ndef f():\n  n.append(1)\n  return 1, 2\na = b, c = f()\nreturn [len(n), a, b, c]"
    )
    assert result_of(main(body)) == [1, (1, 2), 1, 2]
