"""The built-in names of a job."""

import builtins

import pytest

from sandbox_child.language.guards import Guards
from sandbox_child.language.guards.builtins import (
    CHANGED_BUILTINS,
    MAX_MESSAGE_CHARS,
    PLAIN_BUILTINS,
    make_builtins,
    make_print,
)
from sandbox_child.language.guards.names import REFUSED_BUILTINS
from sandbox_child.language.guards.templates import format_method


def main(body):
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def test_every_builtin_of_this_python_was_judged():
    """Each is given, replaced, refused, an exception, or absent for the reason given here."""
    absent = {
        "copyright": "for the terminal",
        "credits": "for the terminal",
        "dir": "lists what guards hide; name the attributes you need",
        "license": "for the terminal",
        "_": "of an interactive session",
        "__build_class__": "behind the class statement",
        "__debug__": "a constant of the compiler",
        "__doc__": "of the module builtins",
        "__loader__": "of the module builtins",
        "__name__": "of the module builtins",
        "__package__": "of the module builtins",
        "__spec__": "of the module builtins",
        "aiter": "handed out",
    }
    judged = {*PLAIN_BUILTINS, *CHANGED_BUILTINS, *REFUSED_BUILTINS, *absent}
    exceptions = {
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert set(vars(builtins)) - judged - exceptions == set()
    assert not set(PLAIN_BUILTINS) & set(REFUSED_BUILTINS)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("type(1) is int", True),
        ("type(1).__name__", "int"),
        ("type(int) is type", True),
        ("isinstance(int, type)", True),
        ("isinstance(1, type)", False),
        ("issubclass(int, type)", False),
        ("type(lambda: 0) is type(main)", True),
        ("isinstance(main, type(lambda: 0))", True),
        ("isinstance(len, type(main))", False),
        ("type(None)() is None", True),
        ("type(state)(a=1)", {"a": 1}),
        ("list(map(type, [1, 'a'])) == [int, str]", True),
        ("{type(1): 2}[int]", 2),
        ("str(type)", "<class 'type'>"),
        ("str(type[int])", "type[int]"),
    ],
)
def test_type_tells_the_class_of_an_object(result_of, expression, expected):
    """With one argument, `type` works as Python's."""
    assert result_of(main(f"return {expression}")) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "type('X', (), {})",
        "type(int)('X', (), {})",
        "type[int]('X', (), {})",
        "type(type)('X', (), {})",
        "type(main)(1, {})",
        "type(name='X')",
    ],
)
def test_type_makes_no_class_and_no_function(run_job, expression):
    """A class that no statement made would avoid the hooks."""
    with pytest.raises(TypeError):
        run_job(main(f"return {expression}"))


def test_a_metaclass_cannot_be_defined(run_job):
    """A job cannot use ``type`` or its replacement as a base."""
    with pytest.raises(TypeError):
        run_job(main("class M(type): pass"))


def test_print_logs_at_level_info(run_job):
    """print takes Python's arguments, and makes one message for each line."""
    body = "print('a', 1, [2])\nprint('x', 'y', sep='-')\nprint('n', end='')\nprint('m')\nprint()"
    assert run_job(main(body)).logged == [
        ("info", "a 1 [2]"),
        ("info", "x-y"),
        ("info", "nm"),
        ("info", ""),
    ]


def test_print_without_line_break_is_logged_when_the_operation_ends(run_job):
    """The text of a print without a line break is not lost."""
    assert run_job(main("print('half', end='')")).logged == [("info", "half")]


def test_print_cuts_what_nobody_can_read(run_job):
    """A huge message is cut, and gives its full length."""
    ((_, message),) = run_job(main(f"print('x' * {MAX_MESSAGE_CHARS + 10})")).logged
    assert message.endswith(f"({MAX_MESSAGE_CHARS + 10} characters, cut)")


def test_print_writes_into_a_string(result_of):
    """``file=`` takes an io.StringIO, which is the only file of a job."""
    body = "import io\nf = io.StringIO()\nprint('a', file=f)\nreturn f.getvalue()"
    assert result_of(main(body)) == "a\n"


@pytest.mark.parametrize(
    "call",
    [
        "class W:\n  def write(self, s): pass\nprint('x', file=W())",
        "import io\nclass W(io.StringIO): pass\nprint('x', file=W())",
        "class S(str): pass\nprint('x', sep=S('-'))",
        "print('x', end=1)",
    ],
)
def test_print_takes_no_object_of_the_job_for_its_own_work(run_job, call):
    """``file``, ``sep`` and ``end`` are plain values."""
    with pytest.raises(TypeError):
        run_job(main(call))


@pytest.mark.parametrize("name", [*sorted(REFUSED_BUILTINS), "dir", "copyright"])
def test_refused_names_are_absent(run_job, name):
    """The names do not exist, even for code that the compiler lets through."""
    scope = run_job("operations = []").scope
    if name != "__import__":
        assert name not in scope.globals["__builtins__"]


def test_an_error_of_a_wrong_call_does_not_show_how_a_built_in_is_made():
    """The name in the error is the one that the author has written."""
    printer, _ = make_print(lambda *_: None)
    names = {**make_builtins(Guards({})), "print": printer}
    texts = [
        said_by(lambda function=function: function(*[None] * 40, no_such_argument=1))
        for name, function in names.items()
        if name[0] != "_" and callable(function)
    ]
    for template in ("{}".format, "{}".format_map, str.format, str.format_map):
        texts.append(said_by(format_method(template)))
    assert not [text for text in texts if "<l" in text]


def said_by(call):
    """Return the message of a wrong call."""
    try:
        call()
    except Exception as error:
        return str(error)
    return ""
