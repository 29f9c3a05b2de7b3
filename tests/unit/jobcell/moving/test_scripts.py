"""What is not certain in a script is left to do by hand, and its translation always compiles."""

from __future__ import annotations

import ast

import pytest

from jobcell.moving.script.job import translate_job

HTTP = {"common": None, "http": 7}


def translated(script, adaptors=HTTP):
    """Return the Python of a script of which nothing is left."""
    made = translate_job(script, "a.js", adaptors)
    assert made.left == ()
    return made.source.partition("semantics\n\n")[2] or made.source.partition("import.\n\n")[2]


@pytest.mark.parametrize(
    ("script", "python"),
    [
        ("get('/x')", 'get("/x")'),
        ("get('/x', { query: { a: 1 }, parseAs: 'json', maxRedirections: 0 })", 'get("/x", query={"a": 1}, parse_as="json", max_redirections=0)'),
        ("get(`/x/${$.id}`)", 'get(lambda state: js.template("/x/", js.get(state, "id")))'),
        ("del('/x', { errors: { 404: false, 409: 'taken' } })", 'delete("/x", errors={404: False, 409: "taken"})'),
        ("request('HEAD', '/x')", 'request("HEAD", "/x")'),
        ("post('/x', $.data)", 'post("/x", lambda state: js.plain(js.get(state, "data")))'),
        ("post('/x', dataValue('a.b'))", 'post("/x", dataValue("a.b"))'),
        ("post('/x', { a: dataValue('a.b[0]') })", 'post("/x", lambda state: js.plain({"a": js.find(state, "data", "a", "b", 0)}))'),
        ("post('/x', { a: s => s.a })", 'post("/x", lambda state: js.plain({"a": js.get(state, "a")}))'),
        ("post('/x', fields(field('a', lastReferenceValue('b')), field('c', 1)))", 'post("/x", fields(field("a", lastReferenceValue("b")), field("c", 1)))'),
        ("post('/x', merge('$.rows[*]', fields(field('a', sourceValue('$.b')))))", 'post("/x", merge("$.rows[*]", fields(field("a", sourceValue("$.b")))))'),
        ("each('$.data[*]', post('/x', $.data))", 'each("$.data[*]", post("/x", lambda state: js.plain(js.get(state, "data"))))'),
        ("each(dataPath('rows[*]'), get('/x'))", 'each(dataPath("rows[*]"), get("/x"))'),
        ("beta.each('$.a[*]', get('/x'))", 'beta.each("$.a[*]", get("/x"))'),
        ("fnIf($.ok, get('/x'))", 'fnIf(lambda state: js.truthy(js.get(state, "ok")), get("/x"))'),
        ("as('rows', get('/x'))", 'as_("rows", get("/x"))'),
        ("combine(get('/a'), get('/b'))", 'combine(get("/a"), get("/b"))'),
        ("each('$', get('/x'))", 'each("$", get("/x"))'),
        ("each('$.a/b[*].c-d', get('/x'))", 'each("$.a/b[*].c-d", get("/x"))'),
        ("post('/x', { a: dataValue('form/a.follow-up') })", 'post("/x", lambda state: js.plain({"a": js.find(state, "data", "form/a", "follow-up")}))'),
        ("fn(async state => await post('/x', state.a)(state))", 'fn(lambda state: post("/x", js.plain(js.get(state, "a")))(state))'),
        ("fn(async s => { const r = await get('/x')(s); s = await put('/y', r.data)(s); return s; })", 'def line_1(state):\n    r = get("/x")(state)\n    state = put("/y", js.plain(js.get(r, "data")))(state)\n    return js.plain(state)\n\n# a.js:1\nfn(line_1)'),
        ("get('/x').then(s => ({ ...s, n: 1 }))", 'get("/x").then(lambda state: {**state, "n": 1})'),
        ("fn(state => state)", "fn(lambda state: state)"),
        ("fn(state => post('/x', state.a)(state))", 'fn(lambda state: post("/x", js.plain(js.get(state, "a")))(state))'),
        ("fn(state => ({ ...state, d: state.a.replace(/_/g, ' ') }))", 'fn(lambda state: {**state, "d": js.replaced(js.get(state, "a"), "_", " ", every=True)})'),
        ("fn(state => ({ ...state, d: new Date().toISOString() }))", 'fn(lambda state: {**state, "d": js.iso(js.now_ms())})'),
        ("fn(s => { s.a.sort((a, b) => b - a); return { ...s }; })", 'def line_1(state):\n    js.sorted_by(js.get(state, "a"), lambda row: row, falling=True)\n    return js.plain({**state})\n\n# a.js:1\nfn(line_1)'),
        ("alterState(state => state)", "fn(lambda state: state)"),
        ("console.log('a', 'b')", 'log("a b")'),
    ],
)  # fmt: skip
def test_an_operation_is_a_call_of_our_verb(script, python):
    """The comment before it names its line."""
    comment = "" if python.startswith("def ") else "# a.js:1\n"
    assert translated(script) == f"{comment}{python}\n"


def test_names_of_python_are_not_taken():
    """A name of the script never hides one that the translation needs."""
    source = translated(
        "const list = [1]; const js = 2; const fn_ = 3; const None = 4; const $x = 5; const _y = 6; const state_ = 7;\n"
        "fn(state => ({ ...state, all: [list, js, fn_, None, $x, _y, state_] }))"
    )
    assert '"all": [list_js, js_js, fn_js, None_js, x, y, state_js]' in source.replace(
        "fn_js_2", "fn_js"
    )


@pytest.mark.parametrize(
    ("script", "reason", "line"),
    [
        ("fn(async state => { const a = await state.p; return state; })", "await", 1),
        ("fn(async state => { const a = await get('/x')(state.data); return state; })", "await", 1),
        ("fn(async state => { const a = await other('/x')(state); return state; })", "not a verb", 1),
        ("fn(state => { const a = get('/x')(state); return state; })", "a call of the result of a call", 1),
        ("fn(async s => { const all = await Promise.all(s.a.map(x => get(x)(s))); return s; })", "await", 1),
        ("fn(s => { const d = new Date(); return { ...s, d }; })", "d, which is a date, is used as a value", 1),
        ("fn(s => { const d = new Date(); d.setDate(1); return s; })", "which is a date", 1),
        ("fn(s => { const d = new Date(), e = d + 1; return s; })", "which is a date", 1),
        ("fn(s => { const d = new Date(); return { ...s, same: d === s.d }; })", "which is a date", 1),
        ("fn(s => { let d = new Date(); d = 5; return { ...s, d: d.getTime() }; })", "an assignment to d", 1),
        ("const d = new Date();\nfn(s => s)", "new Date()", 1),
        ("fn(s => { const d = new Date(2026, 1); return s; })", "local time", 1),
        ("fn(s => ({ ...s, a: [...new Set()] }))", "a set of 0 arguments", 1),
        ("fn(s => ({ ...s, a: Array.from(new Set(s.a), x => x) }))", "a set of 2 arguments", 1),
        ("fn(s => ({ ...s, a: new Set(s.a) }))", "new Set", 1),
        ("fn(s => ({ ...s, a: s.a.indexOf(...s.b) }))", "... among the arguments", 1),
        ("fn(s => { s.a.forEach(x => x.b); return s; })", "forEach with a value that is not used", 1),
        ("fn(s => { s.a.forEach(x => { if (x) return; }); return s; })", "forEach with return", 1),
        ("merge('$', fields())", "not a verb", 1),
        ("fn(state => {\n  for (;;) {}\n  return state;\n})", "a loop", 2),
        ("fn(state => { for (let i = 0; i < 3; i++) { if (i) continue; } return state; })", "continue in a loop that counts", 1),
        ("fn(state => { for (let i = 0; ; i++) { break; } return state; })", "without an end", 1),
        ("fn(state => { for (state.i in state) {} return state; })", "a variable from outside", 1),
        ("fn(state => { do { state.a = 1; } while (state.b); return state; })", "do statement", 1),
        ("fn(state => { while (true) {} })", "does not always return the state", 1),
        ("fn(state => { try { a(); } catch (e) {} return state; })", "try statement", 1),
        ("fn(state => { switch (state.a) { case 1: state.b = 1; case 2: state.c = 1; } return state; })", "goes on into the next", 1),
        ("fn(state => { switch (state.a) { case 1: if (state.b) break; state.c = 1; break; } return state; })", "break inside of a case", 1),
        ("fn(state => { switch (state.a) { default: state.b = 1; break; case 1: break; } return state; })", "default before", 1),
        ("fn(state => { switch (state.a) { case 1: return state; } })", "does not always return the state", 1),
        ("fn(state => { state.a = 1; })", "does not always return the state", 1),
        ("fn(state => { if (state.a) return state; })", "does not always return the state", 1),
        ("fn(state => { return; })", "returns nothing", 1),
        ("fn(state => ({ ...state, d: new Date() }))", "new Date()", 1),
        ("fn(state => ({ ...state, d: new Date(2026, 1) - 1 }))", "which are in local time", 1),
        ("fn(state => ({ ...state, d: new Date(state.a).getDate() }))", "new Date(state.a)", 1),
        ("fn(state => ({ ...state, d: new Map() }))", "new Map()", 1),
        ("fn(state => ({ ...state, d: /a/ }))", "a regular expression", 1),
        ("fn(state => ({ ...state, d: /a/y.test('a') }))", "the flags y", 1),
        ("fn(state => ({ ...state, d: /(?<=a)b/.test('a') }))", "a regular expression with (?<", 1),
        ("fn(state => ({ ...state, d: /(a)\\1/.test('a') }))", "a regular expression with \\1", 1),
        ("fn(state => ({ ...state, d: /(a*)*/.test('a') }))", "a group that repeats", 1),
        ("fn(state => ({ ...state, d: /\\u0041/.test('a') }))", "a regular expression with \\u", 1),
        ("fn(state => ({ ...state, d: /[]/.test('a') }))", "[] or [^]", 1),
        ("fn(state => ({ ...state, d: /\u00e9/i.test('a') }))", "the character \u00e9", 1),
        ("fn(state => ({ ...state, d: state.a.replace(/a*/g, '') }))", "matches nothing", 1),
        ("fn(state => ({ ...state, d: state.a.replace(/(a)/, (all, one) => one) }))", "these parameters of replace", 1),
        ("fn(state => ({ ...state, d: state.a.split(/(a)/) }))", "split(...) with groups", 1),
        ("fn(state => ({ ...state, d: state.a.match(/a/) }))", "the method match(...)", 1),
        ("fn(state => ({ ...state, d: 10n }))", "the number 10n", 1),
        ("fn(state => ({ ...state, d: state.rows.sort() }))", "sort(...) by something else", 1),
        ("fn(state => ({ ...state, d: state.rows.sort((a, b) => a < b ? 1 : -1) }))", "sort(...) by something else", 1),
        ("fn(state => ({ ...state, d: state.rows.sort((a, b) => a.x - b.y) }))", "a difference of two kinds", 1),
        ("fn(state => ({ ...state, d: state.rows.sort((a, b) => a.x - 1) }))", "a difference of other values", 1),
        ("fn(state => post('/x', {})(state).then(s => s))", "a call of the result of a call", 1),
        ("fn(state => ({ ...state, d: post('/x', {})(state) }))", "a call of the result of a call", 1),
        ("const f = state => post('/x', {})(state);", "a call of the result of a call", 1),
        ("fn(state => ({ ...state, d: state.rows.map(async r => r) }))", "async", 1),
        ("fn(state => ({ ...state, d: x => x }))", "a function as a value", 1),
        ("fn(state => ({ ...state, d: this }))", "this", 1),
        ("fn(state => ({ ...state, d: a }))", "a is not defined in this script", 1),
        ("fn(state => ({ ...state, d: state.map`x` }))", "a tagged template", 1),
        ("fn(state => ({ ...state, d: state.f?.(1) }))", "a call with ?.()", 1),
        ("fn(state => ({ ...state, d: (1, 2) }))", "the operator ,", 1),
        ("fn(state => ({ ...state, d: state.a & 1 }))", "the operator &", 1),
        ("fn(state => ({ ...state, ['__proto__']: 1, __proto__: {} }))", "the key __proto__", 1),
        ("fn(state => ({ ...state, d: [1, , 2] }))", "holes", 1),
        ("let n = 0;\nfn(state => { n++; return state; })", "an assignment to n of another function", 2),
        ("const a = 1;\nfn(state => { const a = 2; return state; })", "hides another a", 2),
        ("fn(state => { for (const r of state.rows) { const f = () => r; } return state; })", "made in a loop", 1),
        ("get(state.url)", "state is not defined", 1),
        ("get('/x', $.options)", "options that are not written", 1),
        ("get('/x', { tls: {} })", "the option tls", 1),
        ("get('/x', { parseAs: 'stream' })", "parseAs with this value", 1),
        ("each('$.rows[?(@.a)]', get('/x'))", "the path", 1),
        ("each($.rows.filter(r => r.a), get('/x'))", "a method of $", 1),
        ("collections.get('a', 'b')", "collections.get(...)", 1),
        ("sql(state => `select ${state.a}`)", "sql(...)", 1),
        ("const get = 1;\nget('/x')", "get(...)", 2),
        ("import x from 'lodash';\nfn(s => s)", "an import", 1),
        ("if (true) { get('/x') }", "if statement at the top of a job", 1),
        ("get('/x').catch(e => { return { m: e.message }; })", "e, which is an error", 1),
        ("fn(state => {\n  return state\n", "not JavaScript", 1),
        ("fn(state => ({ ...state, a: '\\07' }))", "octal", 1),
    ],
)  # fmt: skip
def test_another_piece_is_left_with_its_line(script, reason, line):
    """The job raises an error before it does anything."""
    made = translate_job(script, "a.js", HTTP)
    assert [(reason in left.reason, left.line) for left in made.left] == [(True, line)], made.left
    assert "fn(unfinished)" in made.source
    first = next(s for s in ast.parse(made.source).body if isinstance(s, ast.Expr))
    assert ast.unparse(first) == "fn(unfinished)"


def test_names_that_are_left_take_their_users_with_them():
    """A function that calls a function without a translation has none either."""
    made = translate_job(
        "const f = x => new Map(x);\nconst g = x => f(x);\nfn(s => ({ ...s, d: g(1) }));",
        "a.js",
        HTTP,
    )
    assert [left.line for left in made.left] == [1, 2, 3]


def test_a_function_above_does_not_use_a_name_that_is_given_up_below():
    """A function may be used before it is defined."""
    script = "const g = x => f(x);\nconst f = x => new Map(x);\nfn(s => ({ ...s, d: g(1) }));"
    made = translate_job(script, "a.js", HTTP)
    assert sorted(left.line for left in made.left) == [1, 2, 3]
    assert "f(" not in made.source.partition("fn(unfinished)")[2].replace("fn(", "").replace(
        "def ", ""
    )


def test_a_script_that_is_mostly_data_is_left():
    """The engine would refuse the job."""
    texts = f"'{'x' * 1_000}', " * 1_100
    script = f"const codes = [{texts}];\nfn(s => ({{ ...s, codes }}));"
    made = translate_job(script, "a.js", HTTP)
    assert [left.line for left in made.left] == [1]
    assert "too much data; a job may have 1,000,000 characters" in made.left[0].reason
    assert len(made.source) < 1_000


@pytest.mark.parametrize(
    "script",
    [
        f"fn(state => ({{ ...state, a: {'[' * 3_000}1{']' * 3_000} }}))",
        f"fn(state => ({{ ...state, a: {'(' * 3_000}1{')' * 3_000} }}))",
        f"fn(state => ({{ ...state, a: {'!' * 3_000}1 }}))",
        f"fn(state => ({{ ...state, a: 1{' + 1' * 3_000} }}))",
        f"fn(state => ({{ ...state, a: state{'.a' * 3_000} }}))",
        f"fn(state => ({{ ...state, a: state{'.a()' * 3_000} }}))",
        f"fn(state => ({{ ...state, a: state{'?.trim()' * 300} }}))",
        f"fn(state => {{ {'if (state.a) {} else ' * 3_000} {{}} return state; }})",
        f"fn(state => {{ {'{' * 3_000}{'}' * 3_000} return state; }})",
        f"post('/x', {'fields(' * 2_000}{')' * 2_000})",
        f"fn(state => state){'.then(state => state)' * 2_000}",
        "combine(" * 2_000 + "fn(s => s)" + ")" * 2_000,
        "(" * 100_000,
        "\0",
        "\ud800",
        "`${`${`${1}`}`}`",
    ],
    ids=range(16),
)
def test_hostile_scripts_have_a_translation_that_compiles(script):
    """A deep value does not end the program."""
    made = translate_job(script, "a.js", HTTP)
    ast.parse(made.source)


def test_a_name_cannot_leave_its_text():
    """Texts of the script are literals, and never code."""
    made = translate_job(
        "fn(s => ({ ...s, a: '\\'\"\"\"\\n', [`\\u2028\"`]: '\\\\' }))", "a.js", HTTP
    )
    tree = ast.parse(made.source)
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert '\'"""\n' in texts
    assert '\u2028"' in texts
    assert "\\" in texts
