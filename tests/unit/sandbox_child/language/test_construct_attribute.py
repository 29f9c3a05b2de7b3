"""Attributes: public names are allowed, private and dangerous ones not; state chains use keys."""

from __future__ import annotations

import dis

import pytest

from sandbox_child.language.compiler import compile_job

MAIN = "def main(state):\n    return state\n"


def names_used(source: str) -> set[str]:
    """Return every global name that the code of a job loads, in any function."""
    waiting, found = [compile_job(source, step_id="a").code], set()
    while waiting:
        code = waiting.pop()
        waiting += [constant for constant in code.co_consts if hasattr(constant, "co_code")]
        found |= {i.argval for i in dis.get_instructions(code) if i.opname.startswith("LOAD_")}
    return {name for name in found if isinstance(name, str)}


@pytest.mark.parametrize(
    "expression",
    ["x.name", "x.a.b.c", "x.upper()", "x.append(1)", "x._asdict()", "type(x).__name__",
     "f.__doc__", "'{} of {:>3}'.format(1, 2)", "'{0[a]}'.format(x)", "x.values().index",
     "x.formats", "state.get('a')", "state.items()"],
)  # fmt: skip
def test_reading_a_public_name_costs_nothing(expression):
    """The read calls no guard: the code runs as the author wrote it."""
    used = names_used(f"def main(state, x=1, f=2):\n    return {expression}")
    assert not {name for name in used if name.startswith("_") and name.endswith("_")} - {
        "__name__",
        "__doc__",
    }


@pytest.mark.parametrize(
    ("expression", "guard"),
    [
        ("x._private", "_own_"),
        ("x.format", "_attr_"),
        ("x.format(1)", "_attr_"),
        ("'{0.real}'.format(1)", "_attr_"),
        ("'{:{0.real}}'.format(1)", "_attr_"),
        ("str.format('{}', 1)", "_attr_"),
        ("x.format_map({})", "_attr_"),
        ("x.obj", "_attr_"),
        ("x.register(int)", "_attr_"),
        ("state.data", "_state_attr_"),
        ("state['a'].data", "_state_attr_"),
    ],
)
def test_what_depends_on_the_object_goes_through_a_guard(expression, guard):
    """The guard looks at the object, because the name alone may be harmless or not."""
    assert guard in names_used(f"def main(state, x=1):\n    return {expression}")


@pytest.mark.parametrize(
    "statement",
    ["x.a = 1", "x.a += 1", "del x.a", "x.a, y = 1, 2", "for x.a in (): pass", "x.a: int = 1",
     "with y as x.a: pass", "[0 for x.a in ()]", "(x.a, *x.b) = y"],
)  # fmt: skip
def test_every_way_to_change_an_attribute_is_guarded(statement):
    """An assignment can be written in many ways."""
    assert "_write_" in names_used(f"{MAIN}x = y = 1\n{statement}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["__class__", "__dict__", "__globals__", "__x", "_x_", "__getattribute__", "gi_frame",
     "cr_frame", "ag_frame", "f_back", "f_globals", "f_builtins", "tb_frame", "tb_next", "co_code",
     "co_consts", "cr_await", "gi_yieldfrom", "mro", "get_loop", "get_coro", "get_stack",
     "print_stack", "get_context", "\uff47i_frame", "__\uff43lass__", "_\ufe4dclass_\ufe4d"],
)  # fmt: skip
@pytest.mark.parametrize(
    "template",
    ["x.{}", "x.{} = 1", "del x.{}", "x.{} += 1", "x.{}.y", "state.{}", "f'{{x.{}}}'",
     "f'{{1:{{x.{}}}}}'", "lambda: x.{}", "[x.{} for y in ()]", "f({}=1)"],
)  # fmt: skip
def test_names_that_lead_into_the_interpreter_are_refused_everywhere(refusal_of, name, template):
    """The test reads, writes and deletes, in f-strings, format specs and keywords too."""
    report = refusal_of(f"{MAIN}x = 1\n{template.format(name)}")
    assert report.name == "SecurityError"
    assert report.position.line == 4
    assert report.fix


@pytest.mark.parametrize("name", ["__name__", "__doc__", "__qualname__"])
def test_harmless_special_names_can_be_read_and_not_changed(refusal_of, name):
    """A log may show the name of a class, but a job has no reason to change it."""
    compile_job(f"{MAIN}y = main.{name}", step_id="a")
    assert refusal_of(f"{MAIN}main.{name} = 1").name == "CompileError"


@pytest.mark.parametrize("method", ["__init__", "__enter__", "__eq__", "__setitem__"])
def test_special_methods_of_the_base_class_can_be_called(method):
    """These calls are the purpose of super()."""
    compile_job(
        f"{MAIN}class A(dict):\n    def {method}(self, *a):\n        super().{method}(*a)",
        step_id="a",
    )


@pytest.mark.parametrize(
    "expression",
    ["super().__getattribute__('x')", "super().__setattr__('x', 1)", "super().__class__",
     "super(A, self).__reduce__()", "object.__init__", "super().__init__.__globals__"],
)  # fmt: skip
def test_super_is_no_way_around_the_names(refusal_of, expression):
    """Through super() a job can call only the methods that a class may define."""
    source = f"{MAIN}class A:\n    def f(self):\n        return {expression}"
    assert refusal_of(source).name == "SecurityError"


class TestStateChains:
    """In a chain that begins at `state`, an attribute of a dict is its key."""

    STATE = {  # noqa: RUF012
        "n": 1,
        "data": {"age": 3, "rows": [{"age": 7}], "items": "a key", "format": "csv"},
    }

    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ("state.data.age", 3),
            ("state.data['age']", 3),
            ("state['data'].age", 3),
            ("state.data.rows[0].age", 7),
            ("state.data.rows[-1]['age']", 7),
            ("state.data.rows[state.n - 1].age", 7),
            ("len(state.data.rows)", 1),
            ("sorted(state.data.items())[0]", ("age", 3)),
            ("state.data.get('age')", 3),
            ("state.data.format", "csv"),
            ("f'{state.data.age:>{state.data.age}}'", "  3"),
            ("[state.data.age for state in [state]][0]", 3),
            ("(lambda state: state.n)({'n': 9})", 9),
            ("state.data.age.real", 3),
            ("state.data.rows.index({'age': 7})", 0),
        ],
    )
    @pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
    def test_it_reads(self, result_of, expression, value, language):
        """The chain has attributes and subscripts; a method of dict wins over a key."""
        source = f"def main(state):\n    return {expression}"
        assert result_of(source, self.STATE, language=language) == value

    @pytest.mark.parametrize(
        ("statement", "state"),
        [
            ("state.n += 1", {"n": 2, "d": {"x": [0]}}),
            ("state.n = 5", {"n": 5, "d": {"x": [0]}}),
            ("state['n'] += 1", {"n": 2, "d": {"x": [0]}}),
            ("state.d.y = 1", {"n": 1, "d": {"x": [0], "y": 1}}),
            ("state.d.x[0] = 4", {"n": 1, "d": {"x": [4]}}),
            ("state.d.x += [1]", {"n": 1, "d": {"x": [0, 1]}}),
            ("del state.d.x", {"n": 1, "d": {}}),
            ("del state.n, state['d']", {}),
            ("state.n, state.d.x = 2, 3", {"n": 2, "d": {"x": 3}}),
            ("for state.n in (1, 2): pass", {"n": 2, "d": {"x": [0]}}),
            ("state.n: int = 3", {"n": 3, "d": {"x": [0]}}),
            ("state.d.items = 1", {"n": 1, "d": {"x": [0], "items": 1}}),
        ],
    )
    @pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
    def test_it_writes(self, result_of, statement, state, language):
        """Assignment, augmented assignment and deletion work at any depth."""
        source = f"def main(state):\n    {statement}\n    return state"
        start = {"n": 1, "d": {"x": [0]}}
        assert result_of(source, start, language=language) == state

    def test_the_chain_ends_at_a_call(self, report_of):
        """The result of a function is an ordinary object with ordinary attributes."""
        report = report_of("def main(state):\n    return state.get('d').x", {"d": {"x": 1}})
        assert (report.name, report.subtype) == ("RuntimeError", "AttributeError")
        assert 'd["x"]' in report.fix

    def test_an_object_in_a_variable_named_state_keeps_its_attributes(self, result_of):
        """The rule depends on the name `state`; a value that is not a dict behaves as in Python."""
        source = (
            "class S:\n    def __init__(self):\n        self.n = 1\n"
            "def main(x):\n    state = S()\n    state.n += 1\n    return state.n"
        )
        assert result_of(source) == 2

    def test_a_missing_key_names_the_keys_that_are_there(self, report_of):
        """The message gives the place of the attribute, and the source line."""
        report = report_of(
            "def main(state):\n    y = 1\n    return state.data.agee", {"data": {"age": 3}}
        )
        assert report.name == "RuntimeError"
        assert "agee" in report.message
        assert "age" in report.message
        assert (report.position.line, report.position.column) == (3, 12)

    def test_a_pattern_is_never_rewritten(self, result_of):
        """`case state.x` compares with an attribute, as in Python."""
        source = (
            "class state:\n    x = 1\n"
            "def main(s):\n    match 1:\n        case state.x:\n            return 'one'"
        )
        assert result_of(source) == "one"
