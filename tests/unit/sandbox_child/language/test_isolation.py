"""A step sees nothing of another step except its state."""

import contextvars
import csv
import decimal
import enum
import random
import warnings
from abc import ABC
from collections.abc import Mapping
from functools import singledispatch

import pytest


class Host(ABC):  # noqa: B024 - the test registers with it
    """An abstract class of an adaptor."""


@singledispatch
def render(value):
    """A dispatching function of an adaptor."""
    return "object"


def main(body):
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def test_random_numbers_of_a_step_depend_on_no_other(run_job, result_of):
    """A seed in one step affects neither another step nor the generator of the process."""
    before = random.getstate()
    run_job(main("import random\nrandom.seed(1)"))
    again = main("import random\nreturn random.getstate()")
    assert result_of(again) != result_of(again)
    assert random.getstate() == before
    assert result_of(main("import random\nrandom.seed(1)\nreturn random.random()")) == (
        random.Random(1).random()
    )


def test_the_precision_of_decimals_is_the_step_s_own(run_job, result_of):
    """The test uses getcontext, setcontext, and the template that new contexts are made from."""
    run_job(
        main(
            "import decimal\ndecimal.getcontext().prec = 3\ndecimal.DefaultContext.prec = 4\n"
            "decimal.setcontext(decimal.Context(prec=5))"
        )
    )
    assert result_of(main("import decimal\nreturn decimal.getcontext().prec")) == 28
    assert decimal.getcontext().prec == 28
    assert contextvars.Context().run(lambda: decimal.getcontext().prec) == 28


def test_the_precision_set_by_one_operation_holds_for_the_next(result_of):
    """All operations of a step share its context."""
    source = (
        "import decimal\ndef a(state):\n    decimal.getcontext().prec = 3\n    return state\n"
        "def b(state):\n    return decimal.getcontext().prec\noperations = [a, b]"
    )
    assert result_of(source) == 3


@pytest.mark.parametrize(
    "body",
    [
        "Host.register(int)",
        "getattr(Host, 'register')(int)",
        "class A(Host): pass\nA.register(int)",
        "from collections.abc import Mapping\nMapping.register(int)",
        "from collections.abc import Mapping\nclass A(Mapping): pass\nA.register(int)",
        "import typing\ntyping.Mapping.register(int)",
        "from numbers import Number\nNumber.register(str)",
        "render.register(int, lambda value: 'pwned')",
        "@render.register\ndef _(value: int): return 'pwned'",
        "from operator import methodcaller\nmethodcaller('register', int)(Host)",
    ],
)
def test_shared_registries_cannot_be_registered_with(report_of, body):
    """The answers of isinstance and dispatch are the same for every step."""
    report_of(main(body), Host=Host, render=render)
    assert not issubclass(int, Host | Mapping)
    assert render(1) == "object"


def test_a_job_registers_with_classes_of_its_own(result_of):
    """With classes of the job, ABC.register and singledispatch work as in Python."""
    source = main(
        "from abc import ABC\nfrom functools import singledispatch, singledispatchmethod\n"
        "class A(ABC): pass\nA.register(int)\n"
        "@singledispatch\ndef f(x): return 'object'\n"
        "@f.register\ndef _(x: int): return 'int'\n"
        "@f.register(str)\ndef _(x): return 'str'\n"
        "@f.register\ndef _(x: 'float'): return 'float'\n"
        "class M:\n"
        "  @singledispatchmethod\n  def g(self, x): return 'object'\n"
        "  @g.register\n  def _(self, x: int): return 'int'\n"
        "return [isinstance(1, A), f(1), f('a'), f(1.5), f([]), M().g(1), M().g('a')]"
    )
    assert result_of(source) == [True, "int", "str", "float", "object", "int", "object"]
    assert not issubclass(int, ABC)


def test_annotation_text_is_not_evaluated(run_job):
    """``register`` looks up a plain name, and refuses a longer text."""
    body = (
        "from functools import singledispatch\n@singledispatch\ndef f(x): pass\n"
        "@f.register\ndef _(x: 'print(1) or int'): pass"
    )
    with pytest.raises(TypeError, match="must be a class"):
        run_job(main(body))


@pytest.mark.parametrize(
    "body",
    [
        "import dataclasses\ndataclasses.dataclass(Host)",
        "import functools\nfunctools.total_ordering(Host)",
        "import typing\ntyping.runtime_checkable(Host)",
        "import functools\nfunctools.wraps(main)(render)",
        "import functools\nfunctools.update_wrapper(render, main)",
        "import functools\nfunctools.wraps(main)(Host)",
        "import typing\ntyping.final(Host)",
    ],
)
def test_decorators_leave_classes_and_functions_of_others_as_they_are(report_of, body):
    """A decorator that changes its argument accepts only objects of the job."""
    before = dict(vars(Host)), dict(vars(render)), render.__name__
    try:
        report_of(main(body), Host=Host, render=render)
    except AssertionError:
        pass  # if it does not fail, it must have left the object alone
    assert (dict(vars(Host)), dict(vars(render)), render.__name__) == before


def test_filters_of_warnings_are_the_step_s_own(run_job):
    """Errors from warnings in one step are warnings in the next."""
    run_job(main("pass"))  # the first compilation in a process adds a filter of ours
    before = list(warnings.filters)
    with pytest.raises(UserWarning):
        run_job(main("import warnings\nwarnings.simplefilter('error')\nwarnings.warn('x')"))
    ran = run_job(main("import warnings\nwarnings.warn('x')"))
    assert ran.logged == [("warning", "UserWarning: x")]
    assert warnings.filters == before


def test_csv_has_no_setting_that_lasts(report_of):
    """Dialects and the limit of a field belong to the process."""
    limit = csv.field_size_limit()
    for name in ("field_size_limit(1)", "register_dialect('x')", "unregister_dialect('excel')"):
        assert report_of(main(f"import csv\ncsv.{name}")).subtype == "AttributeError"
    assert csv.field_size_limit() == limit


def test_loggers_are_the_step_s_own(run_job):
    """A level set in one step does not drop lines in another."""
    source = "import logging\nlog = logging.getLogger('x')\nlog.info('a')\nlog.setLevel('ERROR')\nlog.info('b')"
    assert run_job(main(source)).logged == run_job(main(source)).logged == [("info", "a")]


def test_context_variables_of_a_step_start_empty(run_job):
    """Each scope runs in a context of its own, and not in a copy of the engine's context."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("engine")
    ran = run_job(
        "def main(state):\n    put(1)\n    return get()", put=variable.set, get=variable.get
    )
    assert ran.state == 1
    assert run_job("def main(state):\n    return get()", get=variable.get).state == "unset"
    assert variable.get() == "engine"


def test_email_policies_of_a_step_change_no_other(run_job):
    """Handlers and header classes are registered with policies of the step."""
    from email.contentmanager import raw_data_manager
    from email.policy import default

    handlers = dict(raw_data_manager.set_handlers)
    headers = dict(default.header_factory.registry)
    run_job(
        main(
            "from email.message import EmailMessage\nfrom email.policy import default\n"
            "for policy in (EmailMessage().policy, default):\n"
            "  policy.content_manager.add_set_handler(int, print)\n"
            "  policy.header_factory.map_to_type('x', str)"
        )
    )
    assert raw_data_manager.set_handlers == handlers
    assert default.header_factory.registry == headers


def test_enumerations_of_python_stay_as_they_are(report_of):
    """A job cannot add an attribute or a member to a shared enumeration."""
    assert report_of(main("import enum\nenum.Enum.x = 1")).subtype == "TypeError"
    assert (
        report_of(main("from http import HTTPStatus\nHTTPStatus.OK.x = 1")).subtype == "TypeError"
    )
    assert report_of(main("from enum import Enum\nEnum('E', {'__x__': 1})")).subtype == "ValueError"
    assert not hasattr(enum.Enum, "x")


def test_mutable_values_of_modules_are_copies(run_job):
    """Changes of a list or a set of a module affect only the job's copy."""
    ran = run_job(
        main(
            "import calendar, hashlib\nreturn [type(calendar.day_name).__name__, type(hashlib.algorithms_available).__name__]"
        )
    )
    assert ran.state == ["tuple", "frozenset"]


def test_modules_are_made_anew_for_each_scope(run_job):
    """Two steps have two objects for one module."""
    source = "import json\noperations = []"
    first, second = run_job(source), run_job(source)
    assert first.scope.globals["json"] is not second.scope.globals["json"]
