"""Scripts as authors write them: the sandbox and node agree about the final state."""

from __future__ import annotations

import pytest
from node import Node, engine_for_translations, run_translated, text_of

SCRIPTS = {
    "spread": "fn(state => ({ ...state, names: state.data.map(p => p.name) }));",
    "template": "fn(state => ({ ...state, hello: `Hello ${state.data[0].name}, ${state.n} of ${state.nothing}` }));",
    "statements": """
const genders = { M: 'male', F: 'female' };
fn(state => {
  const { data, ...rest } = state;
  const out = [];
  let skipped = 0;
  for (const row of data) {
    if (!row.name) {
      skipped++;
      continue;
    } else if (row.age >= 18 && row.sex !== undefined) {
      out.push({ name: row.name, sex: genders[row.sex] || 'unknown' });
    } else {
      out.push({ name: row.name });
    }
  }
  rest.total ??= 0;
  rest.total += out.length;
  return { ...rest, out, skipped };
});
""",
    "functions": """
const full = (row) => {
  const { name, age } = row;
  if (!age) return name;
  return `${name} (${age})`;
};
function label(row, i) { return `${i}: ${full(row)}`; }
fn(state => ({ ...state, labels: state.data.map(label), adults: state.data.filter(({ age }) => age >= 18) }));
""",
    "mutation": """
fn(state => {
  state.data.forEach((row, index) => {
    row.index = index;
    delete row.sex;
  });
  state.byName = {};
  for (const row of state.data) {
    state.byName[row.name] = [...(state.byName[row.name] ?? []), row.age];
  }
  return state;
});
""",
    "each": """
each('$.data[*]', fn(state => {
  state.seen = state.seen || [];
  state.seen.push({ name: state.data.name, at: state.index });
  return state;
}));
fnIf(state => state.seen.length > 1, fn(s => ({ ...s, many: true })));
""",
    "chains": """
fn(state => { throw new Error('no'); }).catch((error, state) => ({ ...state, caught: true }));
fn(state => ({ ...state, a: 1 })).then(state => ({ ...state, b: state.a + 1 }));
combine(fn(state => ({ ...state, c: 1 })), fn(state => ({ ...state, d: state.c + state.b })));
""",
    "undefined": "fn(state => ({ ...state, a: state.nothing, b: [state.nothing], c: { d: state.nothing }, n: undefined }));",
    "helpers": """
fn(state => {
  const rows = state.data.map(row => {
    const first = row.name?.split(' ')[0] ?? '';
    return { first, upper: first.toUpperCase(), keys: Object.keys(row).join() };
  });
  return { ...state, rows, text: JSON.stringify({ n: rows.length, rows }), any: rows.some(r => r.first === 'Ada') };
});
""",
    "reduce": """
fn(state => {
  const byName = state.data.reduce((all, row) => ({ ...all, [row.name]: (all[row.name] ?? 0) + 1 }), {});
  const ages = state.data.reduce((sum, row) => { if (!row.age) return sum; return sum + row.age; }, 0);
  return { ...state, byName, ages, none: [].reduce((a, b) => a + b, 7) };
});
""",
    "numbers": "fn(s => ({ ...s, mean: s.data.length / 2, up: Math.ceil(s.data[0].age / 7), rest: s.data[0].age % 5, text: '' + s.data[0].age / 4 }));",
}
STATES = [
    {"data": [{"name": "Ada Byron", "age": 36, "sex": "F"}, {"name": "Tim", "age": 7, "sex": "M"}, {"age": 3}], "n": 2},
    {"data": [{"name": "Ben", "age": 18}, {"name": "Ben", "age": 0, "sex": "X"}], "n": None, "total": 3},
]  # fmt: skip


@pytest.fixture(scope="module")
def node():
    """A process of node."""
    running = Node()
    yield running
    running.close()


@pytest.fixture(scope="module")
def sandbox():
    """An engine whose children serve all examples."""
    with engine_for_translations() as engine:
        for _ in range(3):
            assert run_translated(engine, SCRIPTS["spread"], STATES[0]).reason == "success"
        yield engine


@pytest.mark.parametrize("state", range(len(STATES)))
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_final_states_are_the_same(node, sandbox, name, state):
    """Nothing of these scripts is left to do by hand."""
    theirs = node.run(SCRIPTS[name], STATES[state])
    result = run_translated(sandbox, SCRIPTS[name], STATES[state])
    assert result.reason == "success", result.error
    assert text_of(result.state) == text_of(theirs["state"])


@pytest.mark.parametrize(
    "script",
    [
        "fn(state => ({ ...state, a: state.nothing.more }));",
        "fn(state => { state.nothing.more = 1; return state; });",
        "fn(state => ({ ...state, a: state.n.map(x => x) }));",
        "fn(state => { throw new Error(`no ${state.n}`); });",
        "fn(state => ({ ...state, a: [...state.nothing] }));",
    ],
)
def test_an_error_of_javascript_is_an_error_here(node, sandbox, script):
    """The step fails; the state is not made up."""
    assert "error" in node.run(script, STATES[0])
    assert run_translated(sandbox, script, STATES[0]).reason == "fail"


def test_a_number_that_javascript_would_round_is_an_error(sandbox):
    """Python would count on with a number that JavaScript does not have."""
    result = run_translated(sandbox, "fn(s => ({ ...s, a: s.n + 1 }));", {"n": 2**53})
    assert "JavaScript would round it" in result.error.message
