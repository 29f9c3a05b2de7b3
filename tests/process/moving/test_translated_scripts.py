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
    "switch": """
const word = value => {
  switch (value) {
    case 'F':
    case 'f':
      return 'female';
    case 'M': {
      const found = 'male';
      return found;
    }
    default:
      return `other ${value}`;
  }
};
fn(state => {
  const out = [];
  for (const row of state.data) {
    switch (row.age) {
      case 36:
        out.push('old');
        break;
      case '7':
        out.push('text');
        break;
      case 7:
      case 18:
        for (const x of [1, 2]) { if (x === 1) continue; out.push(x); break; }
        break;
      default:
        out.push(word(row.sex));
    }
  }
  return { ...state, out, words: state.data.map(row => word(row.sex)) };
});
""",
    "loops": """
fn(state => {
  let n = 0;
  const seen = [];
  while (n < 10) {
    n += 3;
    if (n === 6) continue;
    seen.push(n);
  }
  for (let i = 0, j = 5; i < state.data.length; i += 1) {
    if (i === 1) break;
    seen.push(i, j);
  }
  for (let i = 3; i > 0; i--) seen.push(state.data[i]?.name ?? i);
  const body = { b: '', 2: 'two', a: 'x', 1: '', c: '' };
  for (const key in body) {
    seen.push(key);
    if (body[key] === '') delete body[key];
    if (key === 'b') delete body.c;
    body.later = 1;
  }
  for (const key in null) seen.push(key);
  return { ...state, seen, body };
});
""",
    "sort": """
fn(state => {
  const rows = [...state.data, { name: 'Zoe', age: 36 }, { name: 'Kim', age: 7, day: '2026-01-02' }];
  const first = [3, 1, 2].sort((a, b) => b - a)[0];
  const days = ['2026-11-29T10:00:00.000Z', '2026-11-29', '2026-11-29T10:00:00+02:00'];
  return {
    ...state,
    first,
    up: [...rows].sort((a, b) => a.age - b.age).map(r => r.name),
    down: [...rows].sort((a, b) => b.age - a.age).map(r => r.name),
    days: days.sort((a, b) => new Date(a) - new Date(b)),
    late: new Date(days[0]) > new Date('2026-11-29') && new Date(days[1]).getTime() < new Date(days[2]).getTime(),
  };
});
""",
    "at once": """
fn(state => {
  const n = state.data.length;
  if (n > 2) return each('$.data[*]', fn(s => ({ ...s, all: [...(s.all ?? []), s.data.age + n] })))(state);
  return combine(fn(s => ({ ...s, few: n })), fn(s => ({ ...s, more: s.few + 1 })))(state);
});
fn(state => fn(inner => ({ ...inner, last: 1 }))(state));
""",
    "patterns": """
const cleanValue = value => (value ? value.toString().replace(/_/g, ' ') : value);
fn(state => ({
  ...state,
  clean: state.data.map(row => cleanValue(row.name?.replace(/\\s+/g, '_'))),
  title: 'ann-marie o\\'neil'.replace(/\\w\\S*/g, t => t.charAt(0).toUpperCase() + t.slice(1)),
  parts: 'a b-c'.split(/\\s|-|'/),
  id: /^[A-Za-z_$][\\w$]*$/.test('$_a1'),
  no: /^\\d{3}$/.test('123\\n'),
  cut: '2026-11-29T10:00:00.123Z'.replace(/\\.\\d+Z$/, ''),
}));
""",
    "await": """
fn(async state => {
  const found = await fn(s => ({ ...s, data: s.data.length, extra: 1 }))(state);
  await fn(s => ({ ...s, lost: true }))(state);
  for (const row of state.data) {
    if (row.name) state = await each('$', fn(s => ({ ...s.data, seen: [...(s.data.seen ?? []), row.name] })))(state);
  }
  return await combine(fn(s => ({ ...s, n: found.data + found.extra })), fn(s => ({ ...s, m: s.n * 2 })))(state);
});
fn(async state => await fn(s => ({ ...s, last: s.m }))(state));
""",
    "dates with names": """
fn(state => {
  const first = new Date('2026-11-29T10:00:00.000Z');
  const days = ['2026-11-30', 1000].map(day => { const when = new Date(day); return [when.getTime(), when.toJSON()]; });
  for (const row of state.data) {
    const born = new Date(row.age ?? 0);
    row.old = first - born > 1000 && born < first;
  }
  return { ...state, days, at: first.toISOString().slice(0, 10), later: new Date(first.getTime() + 5).toISOString() };
});
""",
    "sets and places": """
fn(state => {
  const ages = [];
  state.data.forEach(row => ages.push(row.age));
  state.data.forEach((row, i) => (row.at = i));
  let sum = 0;
  ages.forEach(age => { sum += age; });
  ages.push(...[7, 7, '7'], ...ages.slice(0, 1));
  return {
    ...state, ages, sum,
    place: state.data.findIndex(row => row.age === 7),
    none: state.data.findIndex(({ name }, i) => i > 5 && name),
    whole: state.data.findIndex(row => { if (!row.name) return true; return row.sex; }),
    once: [...new Set(ages)], all: Array.from(new Set([1, '1', true, null, null, 1.0, undefined, ...ages])),
    most: Math.max(...ages.map(Number), 0), least: Math.min(...[3, 2]), flat: [0].concat(...[[1], [2, [3]]]),
    cut: ['abcd'.substr(1), 'abcd'.substr(-2, 1), 'abcd'.substr(1, -1), 'abcd'.substr(9), 'abcd'.substr(-9, 2)],
  };
});
""",
    "numbers": "fn(s => ({ ...s, mean: s.data.length / 2, up: Math.ceil(s.data[0].age / 7), rest: s.data[0].age % 5, text: '' + s.data[0].age / 4 }));",
}
# Everything above is a text of Python: a backslash of a script is written twice there.
SCRIPTS["patterns"] = SCRIPTS["patterns"].replace("\\\\", "\\")
STATES = [
    {"data": [{"name": "Ada Byron", "age": 36, "sex": "F"}, {"name": "Tim", "age": 7, "sex": "M"}, {"age": 3}], "n": 2},
    {"data": [{"name": "Ben", "age": 18}, {"name": "Ben", "age": 0, "sex": "X"}], "n": None, "total": 3},
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file, node, sandbox):
    """Look for leaks after the last test: a warm zygote forks again after each run."""


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
        "fn(state => ({ ...state, a: new Date('x').toISOString() }));",
        "fn(state => ({ ...state, a: state.n.replace(/a/, '') }));",
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
