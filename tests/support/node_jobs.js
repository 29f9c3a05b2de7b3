// Runs jobs for tests: one JSON object with a script and a state a line, and one with the result as an answer.
// The verbs do what the documentation of @openfn/language-common says of them.
const readline = require('readline');

const copy = value => JSON.parse(JSON.stringify(value));

function run(script, state) {
  const operations = [];
  const take = operation => {
    const place = operations.indexOf(operation);
    if (place >= 0) operations.splice(place, 1);
    return operation;
  };
  const make = act => {
    const operation = state => act(state);
    operation.then = f => make(async state => f(await take(operation)(state)));
    operation.catch = f => {
      take(operation);
      return make(async state => {
        try {
          return await operation(state);
        } catch (error) {
          return f(error, state);
        }
      });
    };
    const then = operation.then;
    operation.then = f => { take(operation); return then(f); };
    operations.push(operation);
    return operation;
  };
  const itemsOf = (source, state) => {
    if (typeof source === 'function') return source(state);
    if (typeof source !== 'string') return source;
    if (source === '$') return [state];
    const found = /^\$\.(\w+)\[\*\]$/.exec(source);
    return state[found[1]];
  };
  const verbs = {
    fn: f => (take(f), make(async state => f(state))),
    each: (source, operation) => (take(operation), make(async state => {
      let index = 0;
      for (const data of itemsOf(source, state)) state = await operation({ ...state, data, index: index++ });
      return state;
    })),
    fnIf: (condition, operation) => (take(operation), make(async state => {
      const value = typeof condition === 'function' ? condition(state) : condition;
      return value ? operation(state) : state;
    })),
    combine: (...all) => (all.forEach(take), make(async state => {
      for (const operation of all) state = await operation({ ...state });
      return state;
    })),
  };
  new Function(...Object.keys(verbs), 'console', `'use strict';\n${script}`)(...Object.values(verbs), { log: () => {} });
  return operations.slice().reduce((before, operation) => before.then(operation), Promise.resolve(copy(state)));
}

readline.createInterface({ input: process.stdin }).on('line', async line => {
  const { script, state, states, condition } = JSON.parse(line);
  let answer;
  try {
    if (condition !== undefined) {
      const test = new Function('state', `'use strict'; return (${condition})`);
      answer = states.map(each => {
        try {
          return { taken: Boolean(test(each)) };
        } catch (error) {
          return { error: String(error) };
        }
      });
    } else {
      answer = { state: copy(await run(script, state)) };
    }
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
});
