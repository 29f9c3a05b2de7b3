"""CONTRACT section 4, from outside: every row, with severity, subtype, place and hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runs import QUICK, finish, make_engine, wait_for

import engine as api
from engine import Engine, Policy, RunOptions

SAME = "def main(state):\n    return state"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """All tests of this file share this engine with a small repo."""
    repo = tmp_path_factory.mktemp("repo")
    package = repo / "tool_1.0.0"
    package.mkdir()
    (package / "tool.py").write_text(TOOL)
    (repo / "broken_1.0.0").mkdir()
    (repo / "broken_1.0.0" / "broken.py").write_text("raise RuntimeError('my import is broken')\n")
    entries = [
        f'{{"name": "{n}", "version": "1.0.0", "path": "{n}_1.0.0", "module": "{n}"}}'
        for n in ("tool", "broken")
    ]
    (repo / "repo.json").write_text('{"adaptors": [' + ", ".join(entries) + "]}")
    with make_engine("zygote", repo_dir=repo, options=QUICK) as made:
        yield made


TOOL = """
class HttpError(Exception):
    def __init__(self, message, **details):
        super().__init__(message)
        self.status = details.get("status")
        self.details = details


def fn(function):
    return function


def get(path, fail=None):
    def operation(state):
        return _request(path, fail, state)

    return operation


def _request(path, fail, state):
    if fail == "http":
        raise HttpError("404 for " + path, status=404, body={"why": "gone"})
    if fail == "value":
        raise ValueError("bad " + path)
    if fail == "key":
        return {}["missing"]
    return {**state, "got": path}


def eager(path):
    raise ValueError("eager " + path)
"""


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def one(expression: str, **rest: Any) -> dict[str, Any]:
    """Return a plan of one step."""
    return {"workflow": {"steps": [{"id": "a", "expression": expression, **rest}]}}


def error_of(
    shared: Engine,
    expression: str,
    state: Any = None,
    options: RunOptions | None = None,
    **rest: Any,
) -> api.ErrorReport:
    """Run one job that must fail; check the facts that hold for every error; return its report."""
    run = shared.execute(one(expression, **rest), state, options=options)
    result = run.result(20)
    events = finish(run)
    error = result.error
    assert error is not None, result
    text = repr(error)
    for path in (
        "/site-packages",
        "/usr/lib",
        "sandbox_child",
        "/tmp",
        "RestrictedPython",
        ".venv",
    ):
        assert path not in text, text
    msgspec.json.encode(error)
    assert error.step_id == "a"
    if error.severity == "fail":
        assert result.reason == "fail"
        [ended] = [e for e in events if e.type == "job-error"]
        assert ended.error == error
        assert result.state["errors"]["a"]["name"] == error.name
        assert result.state["errors"]["a"]["message"] == error.message
    else:
        assert (
            result.reason
            == {"crash": "crash", "kill": "kill", "exception": "exception"}[error.severity]
        )
        assert events[-1].type == "workflow-error"
        assert events[-1].error == error
        assert result.state is None
    return error


def body(*lines: str) -> str:
    """Return a job whose main has these lines, the first of which is line 2."""
    return "\n".join(["def main(state):", *(f"    {line}" for line in lines)])


FAILS = [
    ("raise Exception('boom')", "JobError", "Exception", "boom"),
    ("raise ValueError('boom')", "RuntimeError", "ValueError", "boom"),
    ("raise TypeError('boom')", "RuntimeError", "TypeError", "boom"),
    ("raise RuntimeError('boom')", "RuntimeError", "RuntimeError", "boom"),
    ("raise OSError('boom')", "RuntimeError", "OSError", "boom"),
    ("raise StopIteration('boom')", "RuntimeError", "StopIteration", "boom"),
    ("raise AssertionError", "RuntimeError", "AssertionError", ""),
    ("raise ValueError()", "RuntimeError", "ValueError", ""),
    ("raise TimeoutError('mine')", "RuntimeError", "TimeoutError", "mine"),
    ("raise NotImplementedError('boom')", "RuntimeError", "NotImplementedError", "boom"),
    ("raise MemoryError('boom')", None, "MemoryError", None),
    ("1 / 0", "RuntimeError", "ZeroDivisionError", "division by zero"),
    ("1 + 'x'", "RuntimeError", "TypeError", "unsupported operand"),
    ("None.x", "RuntimeError", "AttributeError", "NoneType"),
    ("{}['k']", "RuntimeError", "KeyError", "k"),
    ("[][1]", "RuntimeError", "IndexError", "list index out of range"),
    ("int('x')", "RuntimeError", "ValueError", "invalid literal"),
    ("1.0 ** 10 ** 10 ** 2 if False else 2.0 ** 100000", "RuntimeError", "OverflowError", None),
    ("'\\ud800'.encode()", "RuntimeError", "UnicodeEncodeError", None),
    ("b'\\xff'.decode()", "RuntimeError", "UnicodeDecodeError", None),
    ("assert 1 == 2, 'different'", "RuntimeError", "AssertionError", "different"),
    ("next(iter([]))", "RuntimeError", "StopIteration", ""),
    ("import json; json.loads('{')", "RuntimeError", "JSONDecodeError", "Expecting"),
    ("import decimal; decimal.Decimal('x')", "RuntimeError", "InvalidOperation", None),
    ("a, b = [1]", "RuntimeError", "ValueError", "not enough values"),
    ("main()", "RuntimeError", "TypeError", "main"),
    ("'x'()", "RuntimeError", "TypeError", "not callable"),
    ("len(5)", "RuntimeError", "TypeError", "len"),
    ("for x in 5: pass", "RuntimeError", "TypeError", "iterable"),
]


@pytest.mark.parametrize(
    ("line", "name", "subtype", "message"), FAILS, ids=[f[0][:30] for f in FAILS]
)
def test_what_a_job_raises(
    shared: Engine, line: str, name: str | None, subtype: str, message: str | None
):
    """The report has name, subtype and message, and the line and column in the author's text."""
    error = error_of(shared, body("x = 1", line, "return state"), {"data": {"k": 1}})
    if name is None:
        assert error.name in ("RuntimeError", "OOMError"), error
        return
    assert (error.name, error.severity) == (name, "fail"), error
    if name == "RuntimeError" or error.subtype is not None:
        assert error.subtype == subtype
    if message is not None:
        assert message in error.message
    assert error.position is not None
    assert error.position.line == 3
    assert error.position.column is not None
    assert error.position.column >= 5
    assert error.position.source.strip() == line
    assert (error.operation.number, error.operation.name) == (1, "main")
    assert [frame.function for frame in error.stack][-1] == "main" or error.stack[
        0
    ].function == "main"
    assert all(frame.module == "a" for frame in error.stack)


def test_exception_classes_of_the_job_are_job_errors(shared: Engine):
    """The base of the class does not matter; the subtype is the name of the class."""
    for base in ("Exception", "ValueError", "KeyError", "OSError"):
        source = f"class Mine({base}):\n    pass\ndef main(state):\n    raise Mine('boom')"
        error = error_of(shared, source)
        assert (error.name, error.severity) == ("JobError", "fail")
        assert error.subtype == "Mine"
        assert "boom" in error.message
        assert error.position.line == 4


def test_position_is_exact(shared: Engine):
    """The position has line, column, end and source line of the failing expression."""
    error = error_of(
        shared,
        "# comment\n\ndef main(state):\n    rows = []\n    total = 1 + rows[4] + 2\n    return state",
    )
    position = error.position
    assert (position.line, position.column, position.end_line, position.end_column) == (
        5,
        17,
        5,
        24,
    )
    assert position.source == "    total = 1 + rows[4] + 2"


def test_columns_count_characters(shared: Engine):
    """The line has letters of several bytes before the error."""
    error = error_of(shared, "def main(state):\n    x = 'éé患🙂' + 1\n    return state")
    assert (error.position.line, error.position.column) == (2, 9)
    assert error.position.end_column == 9 + len("'éé患🙂' + 1")


def test_the_stack_has_the_frames_of_the_job(shared: Engine):
    """Each frame has a function and a line, and frames of the runtime are left out."""
    source = (
        "class Tool:\n"
        "    def run(self, x):\n"
        "        return inner(x)\n"
        "def inner(x):\n"
        "    return [1 / y for y in x]\n"
        "def main(state):\n"
        "    return Tool().run([0])\n"
    )
    error = error_of(shared, source)
    lines = [frame.line for frame in error.stack]
    assert {7, 3, 5} <= set(lines)
    assert error.position.line == 5
    functions = {frame.function.split(".")[-1] for frame in error.stack}
    assert {"main", "run", "inner"} <= functions


def test_operations_are_numbered_and_named(shared: Engine):
    """Numbers begin at 1; an operation of a script has the name of its call."""
    source = "fn(lambda state: state)\nfn(\n    lambda state:\n        state.data.rows[3]\n)\nfn(lambda state: state)"
    error = error_of(shared, source, {"data": {"rows": []}}, adaptor="tool")
    assert (error.operation.number, error.operation.name) == (2, "fn")
    assert error.position.line == 4
    source = "def first(state): return state\ndef second(state): return 1 / 0\noperations = [first, second]"
    error = error_of(shared, source)
    assert (error.operation.number, error.operation.name) == (2, "second")


def test_the_state_is_as_the_failing_operation_left_it(shared: Engine):
    """Changes of the state before the error are kept."""
    source = "fn(lambda state: {**state, 'one': 1})\ndef two(state):\n    state.two = 2\n    raise ValueError('x')\nfn(two)\nfn(lambda state: {**state, 'three': 3})"
    run = shared.execute(one(source, adaptor="tool"))
    state = run.result(20).state
    assert (state["one"], state["two"], "three" in state) == (1, 2, False)


@pytest.mark.parametrize(
    ("fail", "subtype", "message"),
    [
        ("http", "HttpError", "404 for p"),
        ("value", "ValueError", "bad p"),
        ("key", "KeyError", "missing"),
    ],
)
def test_adaptor_errors(shared: Engine, fail: str, subtype: str, message: str):
    """The position is the call of the operation, and the details are those of the exception."""
    error = error_of(
        shared, f"fn(lambda state: state)\n\nget('p', fail='{fail}')\n", adaptor="tool"
    )
    assert (error.name, error.severity, error.subtype) == ("AdaptorError", "fail", subtype)
    assert message in error.message
    assert (error.operation.number, error.operation.name) == (2, "get")
    assert (error.position.line, error.position.column) == (3, 1)
    assert error.position.source == f"get('p', fail='{fail}')"
    assert any(frame.module.startswith("tool") for frame in error.stack)
    if fail == "http":
        assert error.details["status"] == 404
        assert "gone" in repr(error.details)


def test_an_adaptor_that_raises_when_called(shared: Engine):
    """The adaptor raises at the top level, before an operation runs."""
    error = error_of(shared, "get('q')\neager('p')", adaptor="tool")
    assert (error.name, error.subtype) == ("AdaptorError", "ValueError")
    assert error.position.line == 2


@pytest.mark.parametrize(
    ("source", "name", "severity", "line", "message"),
    [
        (body("x = 1", "return nothing"), "RuntimeCrash", "crash", 3, "nothing"),
        ("nothing()\n", "RuntimeCrash", "crash", 1, "nothing"),
        ("def main(state):\n    return (1", "RuntimeCrash", "crash", 2, ""),
        ("def main(state)\n    return 1", "RuntimeCrash", "crash", 1, ""),
        ("def main(state):\n\treturn 1\n        x = 2", "RuntimeCrash", "crash", 3, ""),
        ("\n\nx = = 1", "RuntimeCrash", "crash", 3, ""),
        ("import os\ndef main(state): return state", "ImportError", "crash", 1, "os"),
        (
            "from subprocess import run\ndef main(state): return state",
            "ImportError",
            "crash",
            1,
            "subprocess",
        ),
        (body("import socket", "return state"), "ImportError", "crash", 2, "socket"),
        (
            "import nowhere_to_be_found\ndef main(state): return state",
            "ImportError",
            "crash",
            1,
            "nowhere_to_be_found",
        ),
        (
            "from json import nothing\ndef main(state): return state",
            "ImportError",
            "crash",
            1,
            "nothing",
        ),
        ("x = 1", "InputError", "crash", None, ""),
        ("# only a comment", "InputError", "crash", None, ""),
        ("operations = 5", "InputError", "crash", None, ""),
        ("operations = None", "InputError", "crash", None, ""),
        ("operations = {'a': 1}", "InputError", "crash", None, ""),
        ("operations = [lambda s: s, 5]", "ValidationError", "crash", None, "2"),
        ("main = 5", None, "crash", None, ""),
        ("print('x')\nlen([])", "ValidationError", "crash", None, ""),
        (body("x = 1", "return eval('1')"), "SecurityError", "kill", 3, "eval"),
        (body("exec('1')"), "SecurityError", "kill", 2, "exec"),
        (body("compile('1', '', 'eval')"), "SecurityError", "kill", 2, "compile"),
        (body("return state.__class__"), "SecurityError", "kill", 2, "__class__"),
        (body("return (lambda: 0).__globals__"), "SecurityError", "kill", 2, "__globals__"),
        (body("return getattr(state, '__class__')"), None, None, None, "__class__"),
        (body("return __import__('os')"), None, None, 2, "__import__"),
    ],
)
def test_what_ends_the_run(
    shared: Engine,
    source: str,
    name: str | None,
    severity: str | None,
    line: int | None,
    message: str,
):
    """Each error of severity crash or kill has its line."""
    error = error_of(shared, source)
    if name is not None:
        assert error.name == name, error
    if severity is not None:
        assert error.severity == severity
    assert error.severity in ("crash", "kill", "fail")
    assert message in error.message
    if line is not None:
        assert error.position is not None, error
        assert error.position.line == line, error


def test_an_import_error_lists_what_is_allowed(shared: Engine):
    """The list has the standard modules and the adaptors."""
    error = error_of(shared, "import os\ndef main(state): return state", adaptor="tool")
    assert "json" in error.message
    assert "tool" in error.message


def test_a_broken_adaptor(shared: Engine):
    """The ImportError names the adaptor, its version and the reason."""
    error = error_of(shared, SAME, adaptor="broken")
    assert (error.name, error.severity) == ("ImportError", "crash")
    for word in ("broken", "1.0.0", "my import is broken"):
        assert word in error.message
    error = error_of(shared, SAME, adaptor="nothere")
    assert (error.name, error.severity) == ("ImportError", "crash")
    assert "nothere" in error.message
    error = error_of(shared, SAME, adaptor="tool@9.9.9")
    assert error.name == "ImportError"
    assert "1.0.0" in error.message


def test_every_violation_is_listed(shared: Engine):
    """CompileError and SecurityError list each violation with line and column."""
    error = error_of(
        shared,
        "def main(state):\n    a = state.__class__\n    b = x.__dict__\n    return eval('1')\n",
    )
    text = error.message + repr(error.details)
    for word in ("__class__", "__dict__", "eval"):
        assert word in text
    assert error.fix


CONDITIONS = [
    ("state.data.rows[5] > 1", True),
    ("nothing > 1", True),
    ("1 / 0", True),
    ("state.data.", False),
    ("state.data ==", False),
    ("x = 1", False),
    ("import os", False),
    ("eval('1')", False),
]


@pytest.mark.parametrize(("condition", "compiles"), CONDITIONS)
def test_edge_condition_errors(shared: Engine, condition: str, compiles: bool):
    """Bad syntax fails before the first job; an exception comes after the end of the step."""
    plan = {
        "workflow": {
            "steps": [
                {"id": "first", "expression": SAME, "next": "a"},
                {"id": "a", "expression": SAME, "next": {"b": condition}},
                {"id": "b", "expression": SAME},
            ]
        }
    }
    run = shared.execute(plan, {"data": {"rows": []}})
    result = run.result(20)
    types = [e.type for e in finish(run)]
    assert (result.reason, result.error.name, result.error.severity) == (
        "crash",
        "EdgeConditionError",
        "crash",
    )
    assert result.error.step_id == "a"
    assert condition in result.error.message or condition in repr(result.error.position)
    assert types.count("job-complete") == (2 if compiles else 0)
    assert types.count("job-start") == types.count("job-complete")


def test_a_condition_that_raises_after_a_failed_step(shared: Engine):
    """The event for the end of the step comes first."""
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": body("raise ValueError('no')"), "next": {"b": "1 / 0"}},
                {"id": "b"},
            ]
        }
    }
    run = shared.execute(plan)
    types = [e.type for e in finish(run)]
    assert types[-2:] == ["job-error", "workflow-error"]


def test_limits_name_themselves_and_their_value(shared: Engine):
    """The errors are OOMError, CPULimitError, StateTooLargeError and TimeoutError."""
    error = error_of(
        shared,
        body("x = []", "while True: x.append('x' * 10_000_000)"),
        options=RunOptions(memory_mb=150, timeout_s=20),
    )
    assert (error.name, error.severity) == ("OOMError", "kill")
    assert "150" in error.message
    error = error_of(shared, body("while True: pass"), options=RunOptions(cpu_s=0.3, timeout_s=20))
    assert (error.name, error.severity) == ("CPULimitError", "kill")
    assert "0.3" in error.message
    error = error_of(shared, body("return {'x': 'x' * 3_000_000}"), options=RunOptions(state_mb=1))
    assert (error.name, error.severity) == ("StateTooLargeError", "kill")
    assert "1 MB" in error.message
    error = error_of(shared, body("while True: pass"), options=RunOptions(step_timeout_s=0.2))
    assert (error.name, error.severity) == ("TimeoutError", "kill")
    assert "200 ms" in error.message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("os._exit(7)", "7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SEGV"),
        ("os.abort()", "ABRT"),
        ("os._exit(0)", "0"),
    ],
)
def test_a_child_that_ends_on_its_own(line: str, told: str):
    """ExitError has the exit code or the signal, and the engine closes the open job."""
    with make_engine("zygote", policy=Policy(level="none", language=False), options=QUICK) as bare:
        source = f"import os, signal\n{body(line)}"
        run = bare.execute(one(source))
        result = run.result(20)
        events = finish(run)
        assert (result.reason, result.error.name, result.error.severity) == (
            "crash",
            "ExitError",
            "crash",
        )
        assert told in result.error.message
        assert [e.type for e in events if e.type != "log"][-2:] == ["job-error", "workflow-error"]
        assert bare.execute(SAME, {"n": 1}).result(20).state["n"] == 1


def test_cancelled_has_the_reason(shared: Engine):
    """The reason is in the error of the run and in the error of the open step."""
    run = shared.execute(one(body("while True: pass")))
    wait_for(run, "job-start")
    run.cancel("the user went home")
    result = run.result(20)
    assert (result.reason, result.error.name, result.error.severity) == (
        "cancelled",
        "Cancelled",
        "kill",
    )
    assert "the user went home" in result.error.message
    assert [e.error.name for e in finish(run) if e.type == "job-error"] == ["Cancelled"]


# --- hostile and careless ---


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (body("raise SystemExit"), {"JobError", "RuntimeError", "ExitError", "RuntimeCrash"}),
        (body("raise SystemExit(3)"), {"JobError", "RuntimeError", "ExitError", "RuntimeCrash"}),
        (body("raise KeyboardInterrupt"), {"JobError", "RuntimeError", "RuntimeCrash"}),
        (body("raise GeneratorExit"), {"JobError", "RuntimeError", "RuntimeCrash"}),
        (
            "class B(BaseException): pass\n" + body("raise B('x')"),
            {"JobError", "RuntimeError", "RuntimeCrash"},
        ),
        (body("return main(state)"), {"RuntimeError"}),
        (body("def f(): return f()", "return f()"), {"RuntimeError"}),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError('in str')\n"
            + body("raise E()"),
            {"JobError"},
        ),
        (
            "class E(Exception):\n    def __str__(self): return 5\n" + body("raise E()"),
            {"JobError"},
        ),
        (
            "class E(Exception):\n    def __str__(self): return 'x' * 10_000_000\n"
            + body("raise E()"),
            {"JobError"},
        ),
        (
            "class E(Exception):\n    def __repr__(self): raise SystemExit\n    def __str__(self): raise KeyboardInterrupt\n"
            + body("raise E()"),
            {"JobError"},
        ),
        (
            body("raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])"),
            {"RuntimeError", "JobError"},
        ),
        (
            body("raise BaseExceptionGroup('several', [KeyboardInterrupt()])"),
            {"RuntimeError", "JobError", "RuntimeCrash"},
        ),
        (
            body("try: 1 / 0", "except ZeroDivisionError as e: raise ValueError('outer') from e"),
            {"RuntimeError"},
        ),
        (body("raise ValueError('\\ud800')"), {"RuntimeError"}),
        (body("raise ValueError(b'x', {'a': object()}, lambda: 0)"), {"RuntimeError"}),
        (body("raise 5"), {"RuntimeError"}),
        (body("raise ValueError('x' * 5_000_000)"), {"RuntimeError"}),
        (body("raise ValueError('a\\x00b\\nc')"), {"RuntimeError"}),
        (
            "import asyncio\nasync def main(state):\n    raise asyncio.CancelledError",
            {"RuntimeError", "JobError"},
        ),
        (
            "import asyncio\nasync def main(state):\n    await asyncio.wait_for(asyncio.sleep(9), 0.01)",
            {"RuntimeError"},
        ),
        (
            "import asyncio\nasync def bad(): raise ValueError('x')\nasync def main(state):\n    async with asyncio.TaskGroup() as g:\n        g.create_task(bad())\n    return state",
            {"RuntimeError", "JobError"},
        ),
    ],
)
def test_whatever_a_job_raises_is_a_report(shared: Engine, source: str, names: set[str]):
    """The report is short, and the child continues to its end."""
    error = error_of(shared, source)
    assert error.name in names, error
    assert len(error.message) <= 20_000
    assert error.position is not None


def test_a_cause_is_told(shared: Engine):
    """With `raise ... from ...` the reader wants the first error as well."""
    error = error_of(
        shared, body("try: {}['first']", "except KeyError as e: raise ValueError('outer') from e")
    )
    assert error.message.startswith("outer")
    assert (error.name, error.subtype, error.position.line) == ("RuntimeError", "ValueError", 3)


HINTS = [
    (body("d = {'key': 1}", "return d.key"), '["key"]'),
    (body("return {'a': true}"), "True"),
    (body("return {'a': null}"), "None"),
    (body("return {'a': false}"), "False"),
]


@pytest.mark.parametrize(("source", "told"), HINTS)
def test_common_slips_have_a_hint(shared: Engine, source: str, told: str):
    """The hint is in `fix` or in the message."""
    error = error_of(shared, source)
    assert told in f"{error.message} {error.fix}".replace("'key'", '"key"')


def test_errors_of_globals(shared: Engine):
    """A syntax error or a NameError in the globals ends the run with a report."""
    for text, name in (
        ("def f(:", "RuntimeCrash"),
        ("import os", "ImportError"),
        ("eval('1')", "SecurityError"),
        ("1 / 0", None),
    ):
        plan = one(SAME)
        plan["workflow"]["globals"] = text
        result = shared.execute(plan).result(20)
        assert result.reason in ("crash", "kill"), result
        assert name is None or result.error.name == name


def test_spawn_error_or_confinement_error_is_an_exception(shared: Engine, tmp_path: Path):
    """A missing repo is not the fault of the job, and the error names the repo."""
    with make_engine("zygote", repo_dir=tmp_path / "nowhere", options=QUICK) as made:
        try:
            result = made.execute(one(SAME, adaptor="tool")).result(20)
        except api.EngineError as error:
            assert "nowhere" in str(error) or "repo" in str(error)  # noqa: PT017 - either is right
        else:
            assert result.error.name == "ImportError"
