"""Every error of a job is reported in the words of its author's text."""

from __future__ import annotations

import types

import msgspec
import pytest

from protocol.report import ErrorReport
from sandbox_child.language.compiler import compile_job
from sandbox_child.language.diagnosis import diagnose

MEGABYTE = 1_000_000


def raising(expression: str, before: str = "") -> str:
    return f"{before}\ndef main(state):\n    {expression}\n"


@pytest.mark.parametrize(
    ("statement", "name", "subtype", "message"),
    [
        ("raise Exception('it failed')", "JobError", None, "it failed"),
        ("raise Own('mine', 1)", "JobError", "Own", "('mine', 1)"),
        ("raise Own()", "JobError", "Own", "Own"),
        ("raise OwnValue('mine')", "JobError", "OwnValue", "mine"),
        ("1 / 0", "RuntimeError", "ZeroDivisionError", "division by zero"),
        ("{}['a']", "RuntimeError", "KeyError", "no key 'a'"),
        ("[][1]", "RuntimeError", "IndexError", "list index out of range"),
        ("int('x')", "RuntimeError", "ValueError", "invalid literal for int() with base 10: 'x'"),
        ("(1).nope", "RuntimeError", "AttributeError", "'int' object has no attribute 'nope'"),
        ("'a' + 1", "RuntimeError", "TypeError", 'can only concatenate str (not "int") to str'),
        ("assert state, 'empty'", "RuntimeError", "AssertionError", "empty"),
        ("raise OSError('disk')", "RuntimeError", "OSError", "disk"),
        ("raise RuntimeError('x')", "RuntimeError", "RuntimeError", "x"),
        ("raise StopIteration", "RuntimeError", "StopIteration", "StopIteration"),
        ("raise RecursionError", "RuntimeError", "RecursionError", "too many nested calls"),
        ("next(iter(()))", "RuntimeError", "StopIteration", "StopIteration"),
        ("nope", "RuntimeCrash", "NameError", "name 'nope' is not defined"),
        ("raise SyntaxError('odd')", "RuntimeCrash", "SyntaxError", "odd"),
        ("x = x + 1", "RuntimeCrash", "UnboundLocalError", "cannot access local variable 'x'"),
        ("raise SystemExit(3)", "ExitError", "SystemExit", "ended the interpreter"),
        ("raise ImportError('no x')", "ImportError", "ImportError", "no x"),
    ],
)
def test_an_error_gets_its_name_from_its_class(report_of, statement, name, subtype, message):
    """The test follows the table of errors; the class is the subtype if the name is wider."""
    before = "class Own(Exception): ...\nclass OwnValue(ValueError): ..."
    report = report_of(raising(statement, before))
    assert (report.name, report.subtype) == (name, subtype)
    assert message in report.message
    assert not report.message.endswith(": ")
    assert report.position.line == 4


def test_an_error_of_a_standard_module_is_a_runtime_error(report_of):
    """A job does not define json.JSONDecodeError."""
    report = report_of("import json\ndef main(state):\n    json.loads('{')", language=False)
    assert (report.name, report.subtype) == ("RuntimeError", "JSONDecodeError")


def test_a_private_attribute_is_a_security_error(report_of):
    """The error is found at run time, when the object can be checked."""
    report = report_of(raising("state['f']._secret"), {"f": types.SimpleNamespace(_secret=1)})
    assert (report.name, report.severity) == ("SecurityError", "kill")
    assert report.position.line == 3


def test_a_refused_import_is_an_import_error(report_of):
    """The message lists the modules that a job may import."""
    report = report_of("import os\ndef main(state): ...")
    assert (report.name, report.severity) == ("ImportError", "crash")
    assert "json" in report.message
    assert report.position.line == 1


def test_out_of_memory_names_the_limit():
    """The author has no other way to know the number."""
    job = compile_job("def main(state): ...", step_id="a")
    report = diagnose(MemoryError(), job=job, adaptors={}, memory_bytes=500 * MEGABYTE)
    assert (report.name, report.severity) == ("OOMError", "kill")
    assert "500 MB" in report.message


def test_recursion_keeps_both_ends_of_the_stack(report_of):
    """A thousand equal frames are of no use to a reader."""
    report = report_of(raising("def f(n):\n        return f(n + 1)\n    f(0)"))
    assert (report.name, report.subtype) == ("RuntimeError", "RecursionError")
    assert 40 <= len(report.stack) <= 60
    assert report.stack[0].function == "main"
    assert "more frames" in report.stack[25].function
    assert report.fix


class TestPosition:
    """Line and column are counted from 1, in characters of the author's text."""

    def test_it_is_the_innermost_frame_in_the_job(self, report_of):
        """The stack lists the other frames, the outermost first."""
        report = report_of(
            "def half(row):\n    return row['n'] / row['d']\n\n"
            "def main(state):\n    return [half(row) for row in state['rows']]",
            {"rows": [{"n": 1, "d": 0}]},
        )
        position = report.position
        assert (position.line, position.column) == (2, 12)
        assert (position.end_line, position.end_column) == (2, 31)
        assert position.source == "    return row['n'] / row['d']"
        assert [(frame.module, frame.function, frame.line) for frame in report.stack][-1] == (
            "a", "half", 2,
        )  # fmt: skip
        assert report.stack[0].function == "main"
        assert report.stack[0].source == "return [half(row) for row in state['rows']]"

    def test_columns_count_characters(self, report_of):
        """Python counts bytes, but an editor counts characters."""
        report = report_of(raising("x = '日本語 é'; y = 1 / 0"))
        assert (report.position.column, report.position.end_column) == (22, 27)

    def test_it_is_the_call_of_the_operation_if_nothing_of_the_job_was_running(self, report_of):
        """An adaptor's verb can fail without code of the job."""

        def broken(state):
            raise ValueError("no")

        report = report_of("fn(lambda s: s)\n\nverb(1)", verb=lambda n: broken)
        assert (report.position.line, report.position.column) == (3, 1)
        assert (report.operation.number, report.operation.name) == (2, "verb")

    def test_it_may_span_lines(self, report_of):
        """The source is that of the first line."""
        report = report_of("def main(state):\n    return (1 +\n        2 +\n        'x')")
        assert (report.position.line, report.position.end_line) == (2, 4)

    def test_rewritten_code_has_the_author_s_positions(self, report_of):
        """Guards and lazy arguments do not change the positions."""
        report = report_of("class A: pass\ndef main(state):\n    a = A()\n    return a._x.y")
        assert (report.position.line, report.position.column) == (4, 12)
        assert report.position.end_column == 16


class TestAdaptor:
    """An error that was raised inside an adaptor belongs to the adaptor."""

    @pytest.fixture
    def adaptor(self, tmp_path):
        """Make a module below a directory of its own, as the linker loads it."""
        directory = tmp_path / "rest_2.1.0"
        directory.mkdir()
        file = directory / "rest.py"
        file.write_text(
            "class ApiError(Exception):\n"
            "    def __init__(self, message, status, **more):\n"
            "        super().__init__(message)\n"
            "        self.status = status\n"
            "        self.__dict__.update(more)\n"
            "\n"
            "def fail(*args, **more):\n"
            "    raise ApiError(*args, **more)\n"
            "\n"
            "def call(function):\n"
            "    return function()\n"
            "\n"
            "def missing():\n"
            "    return open(__file__ + '.missing')\n"
        )
        module = types.ModuleType("rest")
        module.__file__ = str(file)
        exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
        return module, {str(directory): "rest@2.1.0"}

    def failing(self, adaptor, source, **names) -> ErrorReport:
        module, prefixes = adaptor
        job = compile_job(source, step_id="a", language=False)
        scope = {"rest": module, **names}
        exec(job.code, scope)
        with pytest.raises(BaseException) as caught:
            scope["main"]({})
        return diagnose(caught.value, job=job, adaptors=prefixes)

    def test_it_carries_what_the_exception_carries(self, adaptor):
        """The report has arguments and attributes of the exception, as plain data."""
        source = "def main(state):\n    rest.fail('gone', 410, body={'a': [1, (2,)]}, _key='k')"
        report = self.failing(adaptor, source)
        assert (report.name, report.subtype, report.severity) == (
            "AdaptorError", "ApiError", "fail",
        )  # fmt: skip
        assert report.message == "gone"
        assert report.details == {
            "type": "ApiError",
            "args": ["gone"],
            "status": 410,
            "body": {"a": [1, [2]]},
        }

    def test_position_and_stack_show_the_way_into_the_adaptor(self, adaptor):
        """The job's line comes first, then the adaptor's, without a path of this host."""
        report = self.failing(adaptor, "def main(state):\n    rest.fail('gone', 410)")
        assert report.position.line == 2
        assert [(frame.module, frame.function) for frame in report.stack] == [
            ("a", "main"),
            ("rest@2.1.0", "fail"),
        ]
        assert report.stack[1].source == "raise ApiError(*args, **more)"
        assert "/" not in repr(report.stack)

    def test_what_a_function_of_the_job_raises_is_the_job_s(self, adaptor):
        """The error belongs to the job even if an adaptor called the function."""
        source = "def main(state):\n    rest.call(lambda: 1 / 0)"
        report = self.failing(adaptor, source)
        assert (report.name, report.subtype) == ("RuntimeError", "ZeroDivisionError")
        assert [frame.module for frame in report.stack] == ["a", "rest@2.1.0", "a"]

    def test_an_adaptor_s_exception_raised_by_the_job_is_a_job_error(self, adaptor):
        """The job raised the exception, although its class comes from the adaptor."""
        source = "def main(state):\n    raise rest.ApiError('x', 1)"
        assert self.failing(adaptor, source).name == "JobError"

    def test_no_path_of_the_host_is_in_the_message(self, adaptor, tmp_path):
        """Files of an adaptor are named relative to it."""
        report = self.failing(adaptor, "def main(state):\n    rest.missing()")
        assert (report.name, report.subtype) == ("AdaptorError", "FileNotFoundError")
        assert str(tmp_path) not in repr(report)
        assert "rest@2.1.0" in report.message

    def test_huge_and_strange_details_are_cut(self, adaptor):
        """A report fits into a frame, for any data of the exception."""
        source = (
            "def main(state):\n"
            "    deep = []\n    deep.append(deep)\n"
            "    rest.fail('x', 1, deep=deep, text='y' * 10**6, rows=list(range(10**5)),\n"
            "        number=10**400, keys={(1, 2): 3, 4: 5}, thing=object(), odd='\\udc00', b=b'1')"
        )
        report = self.failing(adaptor, source)
        encoded = msgspec.msgpack.encode(report)
        assert len(encoded) < 100_000
        assert report.details["thing"] == "(object)"
        assert report.details["odd"] == "\\udc00"


class TestGroups:
    """Several exceptions at once are all named."""

    SOURCE = (
        "class Own(Exception): ...\n"
        "def main(state):\n"
        "    raise ExceptionGroup('both', [ValueError('v'), ExceptionGroup('in', [Own('o')])])"
    )

    def test_the_leaves_are_listed(self, report_of):
        """The leaves may be at any depth."""
        report = report_of(self.SOURCE)
        assert report.message == "both: ValueError: v; Own: o"
        assert (report.name, report.subtype) == ("RuntimeError", "ExceptionGroup")
        assert [leaf["type"] for leaf in report.details] == ["ValueError", "Own"]

    def test_a_group_of_one_is_told_as_that_one(self, report_of):
        """asyncio.TaskGroup wraps a single failure as well."""
        source = (
            "def f():\n    return 1 / 0\n"
            "def main(state):\n    try:\n        f()\n    except Exception as e:\n"
            "        raise ExceptionGroup('g', [e])"
        )
        report = report_of(source)
        assert (report.name, report.subtype) == ("RuntimeError", "ZeroDivisionError")
        assert report.position.line == 2


class TestHostile:
    """An exception made to harm the code that looks at it."""

    @pytest.mark.parametrize(
        "body",
        [
            "def __str__(self): raise SystemExit",
            "def __str__(self): return 1",
            "def __str__(self): return str(self)",
            "def __repr__(self): raise self\n    __str__ = __repr__",
            "def __str__(self): return 'x' * 10**7",
            "def __str__(self): return '\\udc00'",
            "args = property(lambda self: 1 / 0)",
            "def __getattr__(self, name): raise SystemExit",
            "__init__ = lambda self, *a: None",
        ],
    )
    def test_its_text_cannot_break_the_report(self, report_of, body):
        """There is always a report, of bounded size, that can be sent."""
        report = report_of(f"class E(Exception):\n    {body}\ndef main(state):\n    raise E(E())")
        assert report.name == "JobError"
        assert len(msgspec.msgpack.encode(report)) < 50_000

    def test_a_subclass_of_str_does_not_get_out(self, report_of):
        """The message is a plain text."""
        source = (
            "class S(str):\n    def __len__(self): return 10**9\n"
            "class E(Exception):\n    def __str__(self): return S('x')\n"
            "def main(state):\n    raise E"
        )
        report = report_of(source)
        assert type(report.message) is str
        assert report.message == "x"

    def test_its_attributes_are_not_asked_for(self, report_of):
        """A name error that the job defines itself may lie about the name."""
        source = (
            "class E(NameError):\n    name = property(lambda self: 1 / 0)\n"
            "def main(state):\n    raise E('x')"
        )
        assert report_of(source).message == "x"

    def test_a_base_exception_of_the_job_is_a_job_error(self, report_of):
        """The exception is not caught by `except Exception`, but the runtime reports it."""
        report = report_of("class E(BaseException): ...\ndef main(state):\n    raise E('x')")
        assert (report.name, report.severity) == ("JobError", "fail")

    def test_notes_are_part_of_the_message(self, report_of):
        """The reader of a report also needs the texts of add_note()."""
        report = report_of(
            "def main(state):\n    e = ValueError('x')\n    e.add_note('row 7')\n    raise e"
        )
        assert report.message == "x\nrow 7"
