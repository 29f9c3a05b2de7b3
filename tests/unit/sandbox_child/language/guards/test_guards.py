"""The objects to which a job may write, and the names that it may read of each object."""

import collections
import string
import sys
from types import SimpleNamespace

import pytest

from sandbox_child.language.guards import check_name
from sandbox_child.language.guards.names import DENIED_ATTRIBUTES
from sandbox_child.language.guards.refusals import JobSecurityError


class Client:
    """Plays a class of an adaptor."""

    def __init__(self):
        self.url = "u"
        self._token = "secret"

    def format(self, text):
        return f"<{text}>"


CLIENT = Client()


def main(body):
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.splitlines())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("class A: pass\na = A()\na.x = 1\nreturn a.x", id="instance"),
        pytest.param("class A: pass\nA.x = 1\nreturn A().x", id="class"),
        pytest.param("def f(): pass\nf.x = 1\nreturn f.x", id="function"),
        pytest.param("class A: x = 0\na = A()\na.x += 1\nreturn a.x", id="augmented"),
        pytest.param("class A: pass\na = A()\nsetattr(a, 'x', 1)\nreturn a.x", id="setattr"),
        pytest.param("e = ValueError()\ne.x = 1\nreturn e.x", id="exception"),
        pytest.param("class E(Exception): pass\ne = E()\ne.x = 1\nreturn e.x", id="own-exception"),
        pytest.param(
            "from types import SimpleNamespace as N\nn = N()\nn.x = 1\nreturn n.x", id="namespace"
        ),
        pytest.param("class A:\n  __slots__ = ('x',)\na = A()\na.x = 1\nreturn a.x", id="slots"),
        pytest.param(
            "class B(Client): pass\nb = B()\nb.x = 1\nreturn b.x", id="subclass-of-an-adaptor-class"
        ),
    ],
)
def test_a_job_sets_attributes_of_what_it_made(result_of, body):
    """The objects are instances, classes and functions of the job, and plain holders of values."""
    assert result_of(main(body), Client=Client) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("client.url = 1", id="instance"),
        pytest.param("Client.url = 1", id="class"),
        pytest.param("del client.url", id="delete"),
        pytest.param("client.url += 'x'", id="augmented"),
        pytest.param("setattr(client, 'url', 1)", id="setattr"),
        pytest.param("delattr(client, 'url')", id="delattr"),
        pytest.param("helper.x = 1", id="function"),
        pytest.param("import json\njson.dumps = 1", id="module"),
        pytest.param("import json\nsetattr(json, 'dumps', 1)", id="module-by-setattr"),
        pytest.param("import json\njson.JSONEncoder.default = 1", id="class-of-a-module"),
        pytest.param("int.x = 1", id="builtin-class"),
        pytest.param("for client.url in [1]: pass", id="loop-target"),
        pytest.param("client.url, x = 1, 2", id="unpacking"),
        pytest.param("[0 for client.url in [1]]", id="comprehension"),
        pytest.param("import io\nwith io.StringIO() as client.url: pass", id="with"),
        pytest.param("class A(Client): pass\nsetattr(super(A, A()), 'url', 1)", id="super"),
        pytest.param("print.x = 1", id="our-own-function"),
        pytest.param("type.x = 1", id="type"),
    ],
)
def test_a_job_sets_no_attribute_of_what_others_made(run_job, body):
    """In any spelling, an object of an adaptor or of a module stays as it is."""
    with pytest.raises((TypeError, AttributeError)):
        run_job(main(body), client=CLIENT, Client=Client, helper=main)
    assert CLIENT.url == "u"
    assert not hasattr(Client, "url")


def test_a_store_into_a_dict_by_attribute_says_what_to_write(report_of):
    """Authors who know JavaScript often make this mistake."""
    report = report_of(main("d = {}\nd.x = 1"))
    assert 'd["key"] = value' in report.message


@pytest.mark.parametrize(
    "body",
    [
        "class A:\n  def __init__(self): self._x = 1\nreturn A()._x",
        "class A: _x = 1\nreturn A._x",
        "class A:\n  def _m(self): return 1\nclass B(A):\n  def m(self): return super()._m()\nreturn B().m()",
        "class A(dict):\n  def __init__(self): self._x = 1\nreturn A()._x",
        "from enum import Enum\nclass A(Enum):\n  X = 1\n  def _m(self): return self.value\nreturn A.X._m()",
        "from collections import namedtuple\nclass A(namedtuple('A', 'x')):\n  def _m(self): return self.x\nreturn A(1)._m()",
        "from collections import namedtuple\nreturn namedtuple('A', 'x')(1)._asdict()['x']",
        "from urllib.parse import urlparse\nreturn 1 if urlparse('a://b/c')._replace(path='/d').path == '/d' else 0",
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A:\n  _x: int = 1\nreturn A()._x",
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass A(Generic[T]):\n  _x = 1\nreturn A()._x",
        "from abc import ABC\nclass A(ABC):\n  _x = 1\nreturn A()._x",
        pytest.param(
            "from collections.abc import Mapping\nclass A(Mapping):\n  def __init__(self): self._d = {1: 1}\n"
            "  def __getitem__(self, k): return self._d[k]\n  def __iter__(self): return iter(self._d)\n"
            "  def __len__(self): return len(self._d)\nreturn A()[1]",
            id="mapping",
        ),
        "def f(): pass\nf._x = 1\nreturn f._x",
        "class A: _x = 1\nreturn getattr(A(), '_x')",
        "import json\nclass A(json.JSONEncoder):\n  def __init__(self): self._x = 1\nreturn A()._x",
        "class A(Client):\n  def __init__(self):\n    super().__init__()\n    self._x = 1\nreturn A()._x",
        "class A(Client):\n  def _m(self): return 1\nreturn A()._m()",
    ],
)
def test_private_names_of_the_job_s_own_objects_are_read(result_of, body):
    """A name with a single underscore belongs to the job if the object does."""
    assert result_of(main(body), Client=Client) == 1


@pytest.mark.parametrize(
    "body",
    [
        "return client._token",
        "return getattr(client, '_token')",
        "class A(Client): pass\nreturn A()._token",
        "class A(Client):\n  def m(self): return super()._token\nreturn A().m()",
        "from operator import attrgetter\nreturn attrgetter('_token')(client)",
        "from operator import methodcaller\nreturn methodcaller('_token')(client)",
        "return '{0._token}'.format(client)",
        "return '{c._token}'.format_map({'c': client})",
        "return str.format('{0._token}', client)",
        "return ''.join(map('{0._token}'.format, [client]))",
        "return '{0:{1._token}}'.format(1, client)",
        "import json\nreturn json._default_encoder",
        "return getattr(client, '__dict__')",
        "return getattr((i for i in ()), 'gi_frame')",
        "f = getattr\nreturn f(f, '__globals__')",
        "import functools\nreturn functools.reduce(getattr, ['__class__', '__base__'], ())",
    ],
)
def test_private_names_of_others_are_security_errors(report_of, body):
    """The name may come as source text, as a string, or in another way."""
    report = report_of(main(body), client=CLIENT, Client=Client)
    assert (report.name, report.severity) == ("SecurityError", "kill")


@pytest.mark.parametrize(
    "body",
    [
        "class A:\n  def m(self): self.url = 1\nA.m(client)",
        "class A:\n  def m(self): return self._token\nreturn A.m(client)",
        "class A:\n  def m(self):\n    self.url = 1\n    return self._token\nreturn A.m(client)",
        "class A:\n  def m(self):\n    self = client\n    self.url = 1\nA().m()",
        "class A:\n  def m(self):\n    self = client\n    return self._token\nreturn A().m()",
        "class A:\n  def m(cls): cls.url = 1\nA.m(Client)",
        "class A(Client):\n  def m(self): return self._token\nreturn A().m()",
        "class A:\n  def __get__(self, o, c=None): self._token = o\nA.m = 1\nA.__get__(client, 1)",
    ],
)
def test_a_method_given_an_object_of_others_is_refused(report_of, body):
    """``self`` is whatever the caller passed, so the check looks at the object."""
    report = report_of(main(body), client=CLIENT, Client=Client)
    assert report.name in ("SecurityError", "RuntimeError")
    assert CLIENT.url == "u"
    assert CLIENT._token == "secret"
    assert not hasattr(Client, "url")


def test_a_name_given_as_a_changing_string_is_refused(report_of):
    """A subclass of str could be one name for the check and another name for the look-up."""
    report = report_of(main("class S(str): pass\nreturn getattr(state, S('x'))"))
    assert report.subtype == "TypeError"


@pytest.mark.parametrize("name", [*sorted(DENIED_ATTRIBUTES), "__class__", "__dict__", "_a_"])
def test_internal_names_are_refused_at_run_time_as_at_compile_time(name):
    """A single list serves both."""
    with pytest.raises(JobSecurityError):
        check_name(name)


def test_a_default_is_given_for_what_cannot_be_read(result_of):
    """``getattr`` with a default and ``hasattr`` keep their meaning."""
    source = main(
        "return [getattr(client, '_token', 0), hasattr(client, '_token'), hasattr([], '__iter__')]"
    )
    assert result_of(source, client=CLIENT) == [0, False, True]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("'{} {}'.format(1, 2)", "1 2"),
        ("'{0} {0!r:>4} {x:{w}}'.format('a', x=1, w=3)", "a  'a'   1"),
        ("'{p.real} {p.imag:.1f} {}'.format(7, p=1+2j)", "1.0 2.0 7"),
        ("'{d[a]} {p.real}'.format(d={'a': 1}, p=2)", "1 2"),
        ("'{} {} {p.real}'.format(1, 2, p=3)", "1 2 3"),
        ("'{p.real:{w}}'.format(p=1, w=3)", "  1"),
        ("'{x.real}'.format_map({'x': 1})", "1"),
        ("'{{}} {0.real}'.format(1)", "{} 1"),
        ("'{:,.2f}'.format(1234.5)", "1,234.50"),
        ("str.format('{}-{}', 1, 2)", "1-2"),
        ("' '.join(map('<{}>'.format, [1, 2]))", "<1> <2>"),
        ("'{0.real} {1}'.format(1, 'é')", "1 é"),
    ],
)
def test_format_gives_what_python_gives(result_of, template, expected):
    """The fields are with and without attributes, and the methods are bound and unbound."""
    assert result_of(main(f"return {template}")) == expected == eval(template)


@pytest.mark.parametrize(
    "template", ["{0.a.}", "{} {0.x}", "{0.real", "{9.x}", "{!x.y}", "{0.real!z}"]
)
def test_a_broken_template_raises_what_an_author_can_catch(run_job, template):
    """The error is ValueError, IndexError or KeyError, as in Python, and never an internal one."""
    with pytest.raises((ValueError, IndexError, KeyError, AttributeError)):
        run_job(main(f"return {template!r}.format(1)"))


def test_methods_called_format_of_other_classes_work(result_of):
    """Only the formatters of the standard library read attributes by text."""
    assert result_of(main("return client.format('x')"), client=CLIENT) == "<x>"


@pytest.mark.parametrize(
    "gadget",
    [string.Formatter(), collections.UserString("{0._token}")],
    ids=["Formatter", "UserString"],
)
@pytest.mark.parametrize("method", ["format", "vformat", "format_map", "get_field"])
def test_formatters_that_an_adaptor_hands_out_are_not_usable(report_of, gadget, method):
    """``string.Formatter`` and ``UserString`` walk attributes without our guard."""
    if not hasattr(gadget, method):
        pytest.skip("not a method of this class")
    assert report_of(main(f"return gadget.{method}"), gadget=gadget).name == "SecurityError"


def test_positional_patterns_read_only_names_that_a_job_may_read(run_job):
    """The names in ``__match_args__`` are read without a guard, and dataclasses add their own."""
    ran = run_job(
        """
from dataclasses import dataclass
from collections import namedtuple
@dataclass
class A:
    x: int
    gi_frame: int
    y: int
class B:
    x: int
    gi_frame: int
B = dataclass(B)
C = namedtuple("C", "x obj y")
operations = []
"""
    )
    scope = ran.scope.globals
    assert [scope[name].__match_args__ for name in "ABC"] == [("x",), ("x",), ("x",)]


def test_state_chains_read_keys_and_methods(result_of):
    """A key of a dict is an attribute of it, also in deeper values; a method of dict wins."""
    source = main(
        "state.n += 1\nstate.data.rows[0].age = 5\ndel state.gone\n"
        "return [state.n, state.data.rows[0].age, sorted(state.keys()), state.format, state._p]"
    )
    state = {"n": 1, "data": {"rows": [{}]}, "gone": 0, "keys": 1, "format": "f", "_p": 2}
    assert result_of(source, state) == [2, 5, ["_p", "data", "format", "keys", "n"], "f", 2]


def test_state_chains_set_a_key_even_if_a_method_has_its_name(result_of):
    """A store makes a key: the methods of a dict cannot be replaced."""
    assert result_of(main("state.items = 1\nreturn state['items']"), {}) == 1


def test_state_chains_keep_private_objects_private(report_of):
    """An object inside the state has attributes, and its private ones stay private."""
    assert report_of(main("return state.c._token"), {"c": CLIENT}).name == "SecurityError"
    assert report_of(main("state.c.url = 1"), {"c": CLIENT}).subtype == "TypeError"


def test_a_missing_key_of_state_is_named_with_the_keys_there_are(report_of):
    """The message helps to see the mistake."""
    report = report_of(main("return state.data.agee"), {"data": {"age": 1}})
    assert "agee" in report.message
    assert "'age'" in report.message


def test_exception_groups_are_raised_but_not_subclassed(run_job, result_of):
    """except* on a subclass crashes the interpreter."""
    body = "try:\n  raise ExceptionGroup('g', [ValueError()])\nexcept* ValueError: return_ = 1\nreturn return_"
    assert result_of(main(body)) == 1
    with pytest.raises(TypeError, match="ExceptionGroup"):
        run_job(main("class G(ExceptionGroup): pass"))


def test_simple_namespaces_of_an_adaptor_are_plain_values(result_of):
    """A namespace holds values, as a dict does; a write to it is not a write to a class."""
    assert result_of(main("n.x = 2\nreturn n.x"), n=SimpleNamespace(x=1)) == 2


PARSERS = {
    "attribute": "return PurePath('a').parser",
    "of a class": "return PurePath.parser",
    "getattr": "return getattr(PurePath('a'), 'parser')",
    "attrgetter": "import operator\nreturn operator.attrgetter('parser')(PurePath('a'))",
    "in a subclass": "class Mine(PurePath): pass\nreturn Mine('a').parser",
    "super": "class Mine(PurePath):\n  def get(self): return super().parser\nreturn Mine('a').get()",
    "format": "return '{0.parser.os}'.format(PurePath('a'))",
    "f-string": "return f'{PurePath().parser.os}'",
}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="paths have no such attribute there")
@pytest.mark.parametrize("body", PARSERS.values(), ids=PARSERS)
def test_the_module_behind_a_path_is_not_handed_out(report_of, body):
    """A job gets the paths themselves; an attribute called parser is refused only on these."""
    indented = body.replace("\n", "\n    ")
    report = report_of(f"from pathlib import PurePath\ndef main(state):\n    {indented}\n")
    assert "parser" in report.message


def test_a_parser_of_the_job_s_own_is_an_attribute_like_others(result_of):
    """The name alone does not decide."""
    source = (
        "import email\nclass Box:\n    def __init__(self): self.parser = len\n"
        "def main(state):\n    return Box().parser('ab'), getattr(Box(), 'parser')('a'), state.data.parser\n"
    )
    assert result_of(source, {"data": {"parser": 3}}) == (2, 1, 3)
