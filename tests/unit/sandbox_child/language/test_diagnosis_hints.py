"""Common mistakes get a hint about the right text."""

from __future__ import annotations

import pytest

from protocol.state import StateNotCarriedError, encode_state
from sandbox_child.language.compiler import (
    LanguageError,
    compile_condition,
    compile_globals,
)
from sandbox_child.language.text.hints import nearest


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        pytest.param("d = {'k': 1}\n    return d.k", 'd["k"]', id="key of a dict"),
        pytest.param("return [{}].name", "rows[0]", id="key of a list"),
        pytest.param("return true", "True", id="true"),
        pytest.param("return null", "None", id="null"),
        pytest.param("return undefined", "None", id="undefined"),
        pytest.param("console.log(1)", "print", id="console"),
        pytest.param("return JSON.parse('')", "json.loads", id="JSON"),
        pytest.param("records = 1\n    return recods", "records", id="misspelt variable"),
        pytest.param("return helpr()", "helper", id="misspelt function"),
        pytest.param("return lenn([])", "len", id="misspelt built-in"),
        pytest.param("return helper()['a']", "return state", id="None indexed"),
        pytest.param("return helper().a", "return state", id="attribute of None"),
        pytest.param("return {'a': 1}()", "second pair of brackets", id="calling a result"),
        pytest.param("return main['a']", "call it", id="function indexed"),
        pytest.param("return '{}'['a']", "json.loads", id="JSON text"),
        pytest.param("return 'n' + 1", "f-string", id="text and number"),
        pytest.param("return state['a']", "d.get(key)", id="missing key"),
    ],
)
def test_a_slip_in_a_function_gets_a_hint(report_of, body, hint):
    """The hint is in the field `fix` of the report."""
    report = report_of(f"def helper(): pass\ndef main(state):\n    {body}\n")
    assert hint in report.fix


def test_state_outside_of_an_argument_gets_a_hint(report_of):
    """At top level the state does not exist yet."""
    report = report_of("rows = state['rows']\nput('a', rows)")
    assert report.name == "RuntimeCrash"
    assert "fn(lambda state" in report.fix


def test_a_misspelt_key_of_the_state_gets_the_nearest_one(report_of):
    """The guard of dotted state names the existing keys."""
    report = report_of("put('a', state.data.patiens)", {"data": {"patients": [], "visits": []}})
    assert report.fix == "did you mean patients?"
    assert "visits" in report.message


def test_a_forgotten_return_state_gets_a_hint_in_the_next_operation(report_of):
    """If an operation returned nothing, the next one gets an empty state."""
    source = "empty(1)\nput('a', state['rows'])"
    report = report_of(source, {"rows": []}, empty=lambda n: lambda state: {})
    assert "return state" in report.fix


def test_an_awaitable_that_is_not_awaited_gets_a_hint(report_of):
    """The value is a coroutine, so the hint says to await it."""
    source = "async def get():\n    return {}\ndef main(state):\n    c = get()\n    c.close()\n    return c['a']"
    assert "await" in report_of(source).fix


def test_the_nearest_name_is_a_name_the_author_could_mean():
    """A private name or a very different name is not suggested."""
    assert nearest("patiens", ["_patients", "patients", "x"]) == "patients"
    assert nearest("qqqq", ["patients"]) is None
    assert nearest("x" * 10**6, ["y" * 10**6, 5]) is None


SYNTAX = {
    "if !state.data:\n        pass": "write not instead of !",
    "return state.a && 1": "write and instead of &&",
    "return state.a || 1": "write or instead of ||",
    "return state.a === 1": "write == instead of ===",
    "return state.a !== 1": "write != instead of !==",
    "return state.data?.x": "write d.get(key) instead of d?.key",
    "return state.data?.rows?.[0]": "write d.get(key) instead of d?.key",
    "return state.a ?? 1": "instead of a ?? b",
    "return rows.sort(x => x)": "write lambda state: ... instead of",
    "return fn(state => { return state })": "def name(state):",
    "return get('x', $.data)": "write state.data instead of $.data",
    "const x = 1": "leave const, let and var out",
    "let x = 1;": "leave const, let and var out",
    "var x = 1": "leave const, let and var out",
    "for (let i = 0; i < 3; i++) {": "leave const, let and var out",
    "for (i = 0; i < 3; i++) {": "write for i in range(n):",
    "for (x of rows) print(x)": "write for x in rows:",
    "return {'d': new Date()}": "leave new out",
    "return `a ${state.x}`": "write an f-string",
    "return state // a comment": "a comment begins with #",
    "// a comment": "a comment begins with #",
    "/* a comment */": "a comment begins with #",
    "function f(x) { return x }": "write def name(state):",
    "return {...state, 'a': 1}": "**name in a dict",
    "return [...rows]": "*name in a list",
    "return {a: 1, b}": "a dict needs a key for each value",
    "if (x) {": "Python has no braces",
    "throw 'x'": "write raise",
    "return typeof x": "isinstance",
    "return x instanceof y": "isinstance",
    "return x ? 1 : 2": "write a if condition else b",
    "i++": "write name += 1",
    "import { get } from 'rest'": "write from common import",
    "export default x": "leave export out",
    "switch (x) {": "write if and elif",
    "x = 1\n    } else if (y) {": "write elif",
}


@pytest.mark.parametrize("body", SYNTAX)
def test_javascript_is_recognised_where_the_parser_stops(report_of, body):
    """The hint is for a job, and has the line of the mistake."""
    report = report_of(f"def main(state):\n    {body}\n")

    assert report.name == "RuntimeCrash"
    assert SYNTAX[body] in report.fix
    assert report.position.line == 2 + body.count("\n    }")


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("!state.errors", "write not"),
        ("state.data.a && state.data.b", "write and"),
        ("state.data.a === 1", "write =="),
        ("state.data?.a", "d.get(key)"),
        ("$.data.a", "state.data"),
        ("state => state", "lambda"),
    ],
)
def test_javascript_in_a_condition_has_the_same_hints(source, hint):
    """Conditions are compiled by the same parser."""
    with pytest.raises(LanguageError) as caught:
        compile_condition(source)
    assert hint in caught.value.report.fix


def test_javascript_in_globals_has_the_same_hints():
    """Globals have the same parser as well; the line is that of the globals."""
    with pytest.raises(LanguageError) as caught:
        compile_globals("def f(x):\n    return x\n\nconst y = f(1);\n")
    assert "leave const" in caught.value.report.fix
    assert caught.value.report.position.line == 4


@pytest.mark.parametrize(
    "body",
    [
        "return 'a => b' 1",
        "x = 'a && b' +",
        "x = total // count)",
        "x = a // b c",
        "return (1",
        "return x y  # a && b === c",
        "return 'don\\'t => do' it",
        "print 'x'",
        "x != 1 y",
    ],
)
def test_python_with_a_slip_of_its_own_gets_no_hint_about_javascript(report_of, body):
    """Texts, comments and operators that both languages have do not count as JavaScript."""
    assert report_of(f"def main(state):\n    {body}\n").fix is None


MEMBERS = {
    "[1].length": "len(rows)",
    "[1].push(2)": "rows.append(x)",
    "[1].map(f)": "[f(x) for x in rows]",
    "[1].forEach(f)": "for x in rows",
    "'a'.length": "len(text)",
    "'a'.toUpperCase()": "text.upper()",
    "{}.length": "len(d)",
    "(1).toString()": "str(x)",
    "(1.5).toFixed(2)": "round(x, 2)",
    "[1].then(f)": "then belongs to an operation",
    "{}.catch(f)": "except Exception as error",
    "state.data.length": "len(d)",
    "undefined": "None",
    "NaN": "nan",
    "Object.keys({})": "list(d)",
    "parseInt('1')": "int(text)",
    "{f2: 1}": 'in quotes: {"f2": ...}',
    "{f2, f}": '{"f2": f2}',
    "f({f2: 1})": 'in quotes: {"f2": ...}',
    "{state, f}": "a dict needs a key",
    "myHelper(1)": "write my_helper",
    "myHelpr(1)": "did you mean my_helper?",
    "fnIf(1)": "fn_if is a verb of the adaptor common",
}


@pytest.mark.parametrize("expression", MEMBERS)
def test_names_and_members_of_javascript_have_a_hint(report_of, expression):
    """The hint comes from the fields of the error and the text at its place."""
    before = "def f(*x): return lambda y: y\ndef my_helper(x): return x\n"
    report = report_of(f"{before}def main(state):\n    return {expression}\n", {"data": {"k": 1}})

    assert MEMBERS[expression] in report.fix
    assert report.position.line == 4


@pytest.mark.parametrize(
    "use",
    [
        "[i for i in state.data.items]",
        "state.data.items[0]",
        "len(state.data.items)",
        "state.data.items + [1]",
        "state.data.items.x",
        "state.data.items > 3",
        "state.data.pop[0]",
        "state.data.items",
    ],
)
def test_a_method_of_dict_in_place_of_a_key_has_a_hint(report_of, use):
    """The key exists, but the method wins: the hint says how to read the key."""
    if use == "state.data.items":
        with pytest.raises(StateNotCarriedError) as caught:
            encode_state({"data": {}.items})
        fix = caught.value.fix
    else:
        source = f"def main(state):\n    return {{'data': {use}}}\n"
        fix = report_of(source, {"data": {"items": [1], "pop": 1}}).fix
    assert '["items"] for the key' in fix or 'state.data["pop"] for the key' in fix


def test_a_function_that_is_not_called_is_not_taken_for_a_key(report_of):
    """The builtin is not a method of a dict, and a list has no keys."""
    assert "call it" in report_of("def main(state):\n    return len[0]\n").fix
    source = "def main(state):\n    return state.data.rows.pop[0]\n"
    assert "call it" in report_of(source, {"data": {"rows": [1]}}).fix


def test_a_callback_of_a_verb_has_a_hint(report_of):
    """Before its callback, a verb takes its own arguments only."""
    source = "def after(state):\n    return state\nget('/x', {}, {call})\n"
    for call in ("lambda state: state", "after"):
        report = report_of(source.replace("{call}", call), get=lambda path: lambda state: state)
        assert "a callback is the last argument" in report.fix
        assert report.position.line == 3
    report = report_of("get('/x', 3)", get=lambda path: lambda state: state)
    assert report.fix is None


@pytest.mark.parametrize(
    ("call", "fix"),
    [
        ("get('/x', {'query': {}, 'parseAs': 'text'})", "write query=..., parse_as=... in place"),
        ("get('/x', {'a b': 1})", None),
        ("get('/x', {**{}})", None),
        ("get('/x', parseAs='text')", "did you mean parse_as? names in Python have underscores"),
        ("get('/x', pars='text')", None),
    ],
)
def test_options_as_in_javascript_have_a_hint(report_of, call, fix):
    """There they are a dict at the end, and their names have capitals."""
    report = report_of(call, get=lambda path, *, query=None, parse_as=None: lambda state: state)
    assert fix in report.fix if fix else report.fix is None


@pytest.mark.parametrize(
    ("statement", "message", "fix"),
    [
        ("raise KeyError('patient 5 has no id')", "patient 5 has no id", None),
        ("raise KeyError('patient_5')", "no key 'patient_5'", None),
        ("{}['patient 5']", "no key 'patient 5'", "use d.get(key) if the key may be missing"),
        ("{}.pop('a b')", "no key 'a b'", "use d.get(key) if the key may be missing"),
        ("{}.popitem()", "popitem(): dictionary is empty", None),
        ("set().pop()", "pop from an empty set", None),
        ("raise KeyError(1, 2)", "(1, 2)", None),
    ],
)
def test_a_key_error_with_a_sentence_keeps_its_sentence(report_of, statement, message, fix):
    """The code that raised the error decides whether its argument is a key."""
    report = report_of(f"def main(state):\n    {statement}\n", {"data": {}})

    assert (report.subtype, report.message, report.fix) == ("KeyError", message, fix)


def test_a_key_that_a_library_passes_on_is_still_a_key(report_of):
    """For example, pandas does this for a column."""
    source = (
        "def column(d, name):\n    try:\n        return d[name]\n"
        "    except KeyError as error:\n        raise KeyError(name) from error\n"
        "def main(state):\n    column({}, 'First name')\n"
    )
    assert report_of(source).message == "no key 'First name'"


@pytest.mark.parametrize(
    "text",
    ["'NoneType' object is not good", "'coroutine' object", "x takes 1 positional arguments but 2"],
)
def test_the_author_s_own_text_is_not_searched_for_facts(report_of, text):
    """Only texts of the interpreter have a known meaning."""
    report = report_of(f"def main(state):\n    raise TypeError({text!r})\n")
    assert report.fix is None


def test_a_method_that_a_verb_has_got_for_a_key_has_a_hint(report_of):
    """A verb calls its argument with the state, and so calls the method."""
    source = "each(state.data.items, 1)"
    each = lambda path, _: lambda state: path(state)(state)
    report = report_of(source, {"data": {"items": [1]}}, each=each)

    assert report.fix.startswith('write state.data["items"] for the key')
