"use strict";
// Shows a run in an element. Text of jobs is set as text and never as HTML.
var jobcellView = (() => {
  const SIGNS = {succeeded: "\u2713", failed: "\u2717", interrupted: "\u2717", running: "\u25b6", retried: "\u21bb", skipped: "\u2013", waiting: "\u00b7"};
  const ROW = 24;
  const DAGRE_STEPS = 300; // dagre takes seconds and a deep stack for larger graphs
  const WIDTH = 170, HEIGHT = 34;

  function make(tag, attributes, ...children) {
    const svg = ["svg", "g", "rect", "text", "path", "title", "defs", "marker"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name.startsWith("aria-")) node.setAttribute(name, String(value));
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...present(children));
    return node;
  }
  const present = (children) => children.filter((child) => child !== null && child !== undefined);

  function duration(ms) {
    if (ms === null || ms === undefined) return "";
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 100000) return `${(ms / 1000).toFixed(1)} s`;
    return `${Math.floor(ms / 60000)} min ${Math.round(ms / 1000) % 60} s`;
  }
  const size = (bytes) => bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  // The time of the job itself; an attempt that goes on, or that comes from an old file, has only its events.
  const spent = (attempt, end) => duration(attempt.duration_ms === undefined ? (end - attempt.begin) * 1000 : attempt.duration_ms);

  // A line in parts, with the place of an error underlined. Columns count characters, from 1.
  function pointed({line, column, end_line, end_column}, text) {
    const chars = Array.from(text);
    if (!column || column > chars.length) return [text];
    const end = end_line && end_line > line ? chars.length : Math.max(column, (end_column || column + 1) - 1);
    const [before, part, after] = [[0, column - 1], [column - 1, end], [end]].map((range) => chars.slice(...range).join(""));
    return [before, make("u", {}, part), after];
  }

  const statusText = (status) => make("span", {class: `status ${status}`}, `${SIGNS[status] || ""} ${status}`);

  // A list of many rows, of which only the visible ones are in the document.
  class Rows {
    constructor(label, render) {
      this.render = render;
      this.items = [];
      this.space = make("div", {class: "space", role: "presentation"});
      this.box = make("div", {class: "box list", tabindex: 0, role: "group", "aria-label": label}, this.space);
      this.box.addEventListener("scroll", () => this.draw());
      new ResizeObserver(() => this.draw()).observe(this.box);
    }
    set(items) {
      this.items = items;
      this.box.style.height = `${Math.min(420, Math.max(2, items.length) * ROW + 4)}px`;
      this.space.style.height = `${items.length * ROW}px`;
      this.draw();
    }
    draw() {
      const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 5);
      const last = Math.min(this.items.length, first + Math.ceil((this.box.clientHeight || 420) / ROW) + 10);
      const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.row : null;
      const rows = [];
      for (let number = first; number < last; number++) {
        const row = this.render(this.items[number], number);
        row.style.top = `${number * ROW}px`;
        row.dataset.row = number;
        rows.push(row);
      }
      this.space.replaceChildren(...rows);
      if (focused !== null && focused !== undefined) {
        const again = this.space.querySelector(`[data-row="${focused}"]`);
        if (again) again.focus({preventScroll: true});
      }
    }
    reveal(number) {
      const top = number * ROW;
      if (top < this.box.scrollTop || top + ROW > this.box.scrollTop + this.box.clientHeight) {
        this.box.scrollTop = Math.max(0, top - this.box.clientHeight / 2);
      }
      this.draw();
    }
  }

  // Ranks by the longest way, in the order of the plan: for graphs that are too large for dagre.
  function simpleLayout(steps, edges) {
    const ranks = new Map(steps.map((step) => [step.id, 0]));
    const open = new Map(steps.map((step) => [step.id, 0]));
    const out = new Map(steps.map((step) => [step.id, []]));
    for (const edge of edges) {
      if (!out.has(edge.source) || !open.has(edge.target)) continue;
      out.get(edge.source).push(edge.target);
      open.set(edge.target, open.get(edge.target) + 1);
    }
    const ready = steps.filter((step) => open.get(step.id) === 0).map((step) => step.id);
    while (ready.length) {
      const id = ready.pop();
      for (const target of out.get(id)) {
        ranks.set(target, Math.max(ranks.get(target), ranks.get(id) + 1));
        open.set(target, open.get(target) - 1);
        if (open.get(target) === 0) ready.push(target);
      }
    }
    const columns = new Map();
    const places = new Map();
    for (const step of steps) {
      const rank = ranks.get(step.id), column = columns.get(rank) || 0;
      columns.set(rank, column + 1);
      places.set(step.id, {x: column * (WIDTH + 30) + WIDTH / 2 + 10, y: rank * (HEIGHT + 40) + HEIGHT / 2 + 10});
    }
    const height = (Math.max(0, ...ranks.values()) + 1) * (HEIGHT + 40);
    const width = Math.max(1, ...columns.values()) * (WIDTH + 30) + 20;
    const points = edges.map((edge) => {
      const from = places.get(edge.source), to = places.get(edge.target);
      return from && to ? [{x: from.x, y: from.y + HEIGHT / 2}, {x: to.x, y: to.y - HEIGHT / 2}] : [];
    });
    return {places, points, width, height};
  }

  function layout(steps, edges) {
    if (steps.length > DAGRE_STEPS) return simpleLayout(steps, edges);
    try {
      const graph = new dagre.graphlib.Graph({multigraph: true});
      graph.setGraph({rankdir: "TB", nodesep: 25, ranksep: 45, marginx: 10, marginy: 10});
      graph.setDefaultEdgeLabel(() => ({}));
      for (const step of steps) graph.setNode(step.id, {width: WIDTH, height: HEIGHT});
      edges.forEach((edge, number) => graph.setEdge(edge.source, edge.target, {}, String(number)));
      dagre.layout(graph);
      const places = new Map(steps.map((step) => [step.id, graph.node(step.id)]));
      const points = edges.map((edge, number) => graph.edge(edge.source, edge.target, String(number)).points);
      const {width, height} = graph.graph();
      return {places, points, width, height};
    } catch (error) {
      return simpleLayout(steps, edges);
    }
  }

  const cut = (text, length) => text.length > length ? `${text.slice(0, length - 1)}\u2026` : text;

  // A value as a tree; `other` is the value to compare with, or undefined.
  function tree(key, value, mark, depth, other) {
    const label = key === null ? null : make("span", {class: "key"}, `${key}: `);
    if (value !== null && typeof value === "object") {
      const entries = Array.isArray(value) ? value.map((item, number) => [number, item]) : Object.entries(value);
      const count = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
      const comparable = other !== undefined && other !== null && typeof other === "object" && Array.isArray(other) === Array.isArray(value);
      const details = make("details", {class: mark, open: depth < 2}, make("summary", {}, label, count));
      const fill = () => {
        if (details.dataset.full) return;
        details.dataset.full = "1";
        for (const [name, inner] of entries.slice(0, 500)) {
          if (!comparable) details.append(tree(name, inner, "", depth + 1));
          else if (!Object.hasOwn(other, name)) details.append(tree(name, inner, "added", depth + 1));
          else if (JSON.stringify(other[name]) === JSON.stringify(inner)) details.append(tree(name, inner, "", depth + 2));
          else details.append(changed(name, other[name], inner, depth + 1));
        }
        if (entries.length > 500) details.append(make("div", {class: "leaf note"}, `... and ${entries.length - 500} more`));
        if (comparable) for (const [name, inner] of Object.entries(other)) {
          if (!Object.hasOwn(value, name)) details.append(tree(name, inner, "removed", depth + 1));
        }
      };
      if (details.open) fill(); else details.addEventListener("toggle", fill);
      return details;
    }
    return make("div", {class: `leaf ${mark}`}, label, typeof value === "string" ? JSON.stringify(value) : String(value));
  }

  function changed(name, before, after, depth) {
    const both = before !== null && after !== null && typeof before === "object" && typeof after === "object" && Array.isArray(before) === Array.isArray(after);
    if (both) return tree(name, after, "", depth, before);
    if (after !== null && typeof after === "object") return tree(name, after, "added", depth);
    return make("div", {class: "leaf changed"}, make("span", {class: "key"}, `${name}: `), make("span", {class: "old"}, cut(JSON.stringify(before) || "", 200)), " \u2192 ", make("span", {class: "new"}, JSON.stringify(after)));
  }

  class View {
    constructor(root) {
      this.root = root;
      this.chosen = null;
      this.tab = "log";
      this.parsed = new Map();
      this.filter = {text: "", level: "debug"};
      this.shape = null;
      this.zoom = 1;
      this.attempts = new Rows("Timeline of all attempts", (item) => this.attemptRow(item));
      this.lines = new Rows("Log lines", (line) => this.lineRow(line));
      this.head = make("header");
      this.graph = make("div", {class: "box graph", tabindex: 0, role: "group", "aria-label": "Graph of the workflow"});
      this.detail = make("section", {"aria-label": "Details of the chosen step"});
      this.live = make("p", {class: "hidden", role: "status"});
      const zoom = (factor) => () => { this.zoom = Math.min(3, Math.max(0.1, this.zoom * factor)); this.scale(); };
      const left = make("section", {"aria-label": "Workflow"}, make("h2", {}, "Workflow"),
        make("div", {class: "bar"}, make("button", {onclick: zoom(1.25)}, "Zoom in"), make("button", {onclick: zoom(0.8)}, "Zoom out"), make("button", {onclick: () => this.fit()}, "Fit")),
        this.graph);
      const right = make("section", {"aria-label": "Timeline"}, make("h2", {}, "Timeline"), make("p", {class: "note"}, "Choose an attempt for its log, states and error."), this.attempts.box);
      root.replaceChildren(this.head, make("div", {class: "columns"}, left, right), this.detail, this.live);
    }

    update(report) {
      this.report = report;
      this.parsed.clear();
      const rows = [];
      for (const step of report.steps) {
        for (const attempt of step.attempts || []) rows.push({step, attempt});
      }
      rows.sort((a, b) => a.attempt.begin - b.attempt.begin);
      this.rows = rows;
      this.span = rows.reduce((most, {attempt}) => Math.max(most, attempt.end || attempt.begin), 0.001);
      this.byStep = new Map(report.steps.map((step) => [step.id, step]));
      this.drawHead();
      this.drawGraph();
      this.attempts.set(rows);
      if (this.chosen === null) this.choose(this.first());
      else this.drawDetail();
    }

    first() {
      const bad = this.rows.find((row) => ["failed", "interrupted"].includes(row.attempt.status || "running"));
      const row = bad || this.rows[0];
      return row ? {step: row.step.id, run: row.attempt.run, number: row.attempt.number} : {step: null};
    }

    choose(key) {
      this.chosen = key;
      if (key.step !== null && key.run === undefined) {
        const attempts = (this.byStep.get(key.step) || {}).attempts || [];
        if (attempts.length) Object.assign(key, {run: attempts[attempts.length - 1].run, number: attempts[attempts.length - 1].number});
      }
      for (const node of this.graph.querySelectorAll("g[data-step]")) {
        const mine = node.dataset.step === key.step;
        node.classList.toggle("chosen", mine);
        node.setAttribute("aria-pressed", mine);
      }
      const number = this.rows.findIndex((row) => this.isChosen(row));
      if (number >= 0) this.attempts.reveal(number); else this.attempts.draw();
      this.drawDetail();
    }

    isChosen(row) {
      return this.chosen && row.attempt.run === this.chosen.run && row.attempt.number === this.chosen.number;
    }

    drawHead() {
      const report = this.report;
      const reason = report.over ? report.reason : "running";
      const facts = [
        ["started", report.began ? new Date(report.began * 1000).toLocaleString() : null],
        ["duration", report.duration_ms === undefined ? null : duration(report.duration_ms)],
        ["steps", report.steps.length],
        ["attempts", this.rows.length],
        ["replayed", report.replayed || null],
        ["peak memory", report.peak_memory_bytes ? size(report.peak_memory_bytes) : null],
        ["processor", report.cpu_s ? duration(report.cpu_s * 1000) : null],
        ["children", report.children && report.children > 1 ? report.children : null],
        ["connections", report.connections && report.connections.length ? report.connections.length : null],
        ["sandbox", report.confinement],
        ["jobcell", report.versions && report.versions.engine],
      ].filter(([, value]) => value !== null && value !== undefined);
      const sign = report.reason === "success" ? SIGNS.succeeded : report.over ? SIGNS.failed : SIGNS.running;
      this.head.replaceChildren(...present([
        make("h1", {}, report.name || "Run", " ", make("code", {}, report.run)),
        make("p", {}, make("span", {class: `status ${reason}`}, `${sign} ${reason}`)),
        make("ul", {class: "facts"}, ...facts.map(([name, value]) => make("li", {}, `${name}: ${value}`))),
        ...(report.notes || []).map((note) => make("p", {class: "note"}, note)),
        report.error ? this.errorBox(report.error) : null,
      ]));
    }

    drawGraph() {
      const {steps, edges = []} = this.report;
      const shape = JSON.stringify([steps.map((step) => step.id), edges.map((edge) => [edge.source, edge.target])]);
      const kept = [this.graph.scrollLeft, this.graph.scrollTop];
      if (shape !== this.shape) this.placed = layout(steps, edges);
      const {places, points, width, height} = this.placed;
      const marker = make("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto"}, make("path", {d: "M0 0 L8 4 L0 8", class: "taken"}));
      const lines = edges.map((edge, number) => {
        const way = points[number];
        if (!way.length) return null;
        const path = way.map((point, at) => `${at ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join("");
        const kind = edge.taken ? "taken" : edge.refused ? "refused" : "";
        const label = edge.label ? `${edge.label}: ` : "";
        return make("path", {d: path, class: kind, "marker-end": "url(#arrow)"}, make("title", {}, `${edge.source} to ${edge.target}: ${label}taken ${edge.taken || 0}, not taken ${edge.refused || 0}`));
      });
      const labels = steps.length > DAGRE_STEPS ? [] : edges.map((edge, number) => {
        const way = points[number];
        if (!edge.label || !way.length) return null;
        const middle = way[Math.floor(way.length / 2)];
        return make("text", {class: "label", x: middle.x + 6, y: middle.y}, cut(edge.label, 26));
      });
      const nodes = steps.map((step) => {
        const place = places.get(step.id);
        const status = step.status || "waiting";
        const name = step.name || step.id;
        const tries = (step.attempts || []).length;
        const open = () => this.choose({step: step.id});
        return make("g", {class: `state ${status}`, transform: `translate(${(place.x - WIDTH / 2).toFixed(1)} ${(place.y - HEIGHT / 2).toFixed(1)})`, tabindex: 0, role: "button", "data-step": step.id, "aria-pressed": false,
          onclick: open, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } }},
          make("rect", {width: WIDTH, height: HEIGHT, rx: 5}),
          make("text", {class: "sign", x: 9, y: 22}, SIGNS[status]),
          make("text", {x: 26, y: 22}, cut(name, tries > 1 ? 17 : 20)),
          tries > 1 ? make("text", {class: "label", x: WIDTH - 28, y: 22}, `\u00d7${tries}`) : null,
          make("title", {}, `${step.id}, ${name}: ${status}`));
      });
      this.svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${steps.length} steps, ${edges.length} edges`}, make("defs", {}, marker), ...lines.filter(Boolean), ...labels.filter(Boolean), ...nodes);
      this.full = {width, height};
      this.graph.replaceChildren(this.svg);
      if (shape !== this.shape) this.fit(); else { this.scale(); [this.graph.scrollLeft, this.graph.scrollTop] = kept; }
      this.shape = shape;
    }

    fit() {
      const fitting = Math.min((this.graph.clientWidth - 20) / this.full.width, (this.graph.clientHeight - 10) / this.full.height);
      this.zoom = Math.max(0.6, Math.min(1, fitting)); // smaller text cannot be read
      this.scale();
    }

    scale() {
      this.svg.setAttribute("width", Math.round(this.full.width * this.zoom));
      this.svg.setAttribute("height", Math.round(this.full.height * this.zoom));
    }

    attemptRow({step, attempt}) {
      const status = attempt.status || "running";
      const end = attempt.end === undefined ? this.span : attempt.end;
      const bar = make("i");
      bar.style.left = `${(100 * attempt.begin / this.span).toFixed(3)}%`;
      bar.style.width = `${(100 * Math.max(0, end - attempt.begin) / this.span).toFixed(3)}%`;
      const took = spent(attempt, end);
      const row = make("div", {class: `row pick ${this.isChosen({attempt}) ? "chosen" : ""}`, role: "button", tabindex: 0, "aria-pressed": Boolean(this.isChosen({attempt}))},
        make("span", {class: `status ${status}`, "aria-hidden": true}, SIGNS[status]),
        make("span", {class: "name"}, `${step.name || step.id}${attempt.number > 1 ? ` (attempt ${attempt.number})` : ""}`),
        make("span", {class: "hidden"}, `: ${status}, `),
        make("span", {class: "time"}, took),
        make("span", {class: `track ${status}`}, bar));
      const choose = () => this.choose({step: step.id, run: attempt.run, number: attempt.number});
      row.addEventListener("click", choose);
      row.addEventListener("keydown", (event) => this.onRowKey(event, row, choose));
      return row;
    }

    onRowKey(event, row, choose) {
      const number = Number(row.dataset.row);
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = Math.min(this.rows.length - 1, Math.max(0, number + step));
      this.attempts.reveal(next);
      const target = this.attempts.space.querySelector(`[data-row="${next}"]`);
      if (target) target.focus();
    }

    lineRow([time, level, source, step, attempt, message]) {
      return make("div", {class: `row ${level}`, title: cut(message, 2000), ondblclick: () => this.showLine(message)}, make("span", {class: "time"}, `${time.toFixed(3)} s`), make("span", {class: "note"}, `${level} ${source}`), make("span", {class: "message"}, cut(message.replaceAll("\n", " \u23ce "), 600)));
    }

    showLine(message) {
      const box = make("dialog", {"aria-label": "Log line"}, make("pre", {}, message), make("form", {method: "dialog"}, make("button", {}, "Close")));
      document.body.append(box);
      box.addEventListener("close", () => box.remove());
      box.showModal();
    }

    state(number) {
      if (!this.parsed.has(number)) this.parsed.set(number, JSON.parse(this.report.states[number]));
      return this.parsed.get(number);
    }

    drawDetail() {
      const step = this.byStep.get(this.chosen.step);
      if (!step) { this.detail.replaceChildren(make("h2", {}, "No step has run")); this.drawLog(null, null); return; }
      const attempt = (step.attempts || []).find((item) => item.run === this.chosen.run && item.number === this.chosen.number);
      const status = attempt ? attempt.status || "running" : step.status || "waiting";
      const tabs = [["log", "Log"], ["input", "Input"], ["output", "Output"], ["diff", "Changes"], ["job", "Job"], ["net", "Connections"], ["all", "Whole log"]];
      const buttons = tabs.map(([key, name]) => make("button", {role: "tab", id: `tab-${key}`, "aria-controls": "panel", "aria-selected": key === this.tab, tabindex: key === this.tab ? 0 : -1,
        onclick: () => { this.tab = key; this.drawDetail(); this.detail.querySelector(`#tab-${key}`).focus(); },
        onkeydown: (event) => {
          const move = {ArrowRight: 1, ArrowLeft: -1}[event.key];
          if (move === undefined) return;
          const next = tabs[(tabs.findIndex(([name]) => name === key) + move + tabs.length) % tabs.length][0];
          this.tab = next; this.drawDetail(); this.detail.querySelector(`#tab-${next}`).focus();
        }}, name));
      const facts = attempt ? [`attempt ${attempt.number}`, `from ${attempt.begin.toFixed(3)} s`, attempt.end === undefined ? null : `took ${spent(attempt, attempt.end)}`, attempt.memory_bytes ? `peak memory ${size(attempt.memory_bytes)}` : null, attempt.retry_in_ms === undefined ? null : `next attempt in ${duration(attempt.retry_in_ms)}`] : [];
      const panel = make("div", {id: "panel", role: "tabpanel", "aria-labelledby": `tab-${this.tab}`});
      this.detail.replaceChildren(...present([
        make("h2", {}, step.name || step.id, " ", statusText(status)),
        make("ul", {class: "facts"}, ...[...facts.filter(Boolean), ...(step.adaptors || []).map((name) => `adaptor ${name}`)].map((fact) => make("li", {}, fact))),
        attempt && attempt.error ? this.errorBox(attempt.error, step) : null,
        make("div", {class: "bar", role: "tablist", "aria-label": "What to show"}, ...buttons), panel]));
      this.drawPanel(panel, step, attempt);
    }

    drawPanel(panel, step, attempt) {
      const empty = (text) => panel.append(make("p", {class: "note"}, text));
      const inputs = attempt && attempt.input || [];
      const output = attempt ? attempt.output : undefined;
      const show = (number, other) => panel.append(make("div", {class: "box tree", tabindex: 0, role: "group", "aria-label": "State"}, tree(null, this.state(number), "", 0, other)));
      if (this.tab === "log") return this.drawLog(panel, (line) => line[3] === step.id && (!attempt || line[4] === null || line[4] === attempt.number));
      if (this.tab === "all") return this.drawLog(panel, () => true);
      if (this.tab === "input") {
        if (!inputs.length) empty("The events of this run do not have the input of this step.");
        inputs.forEach((number) => show(number));
      } else if (this.tab === "output") {
        if (output === undefined) empty("There is no output state.");
        else show(output);
      } else if (this.tab === "diff") {
        if (output === undefined || inputs.length !== 1) empty("Changes need one input and one output.");
        else if (inputs[0] === output) empty("The step returned the state as it was.");
        else show(output, this.state(inputs[0]));
      } else if (this.tab === "job") {
        if (!step.expression) empty(step.expression === undefined ? "The text of the job is not in the events; give the plan to jobcell report." : "This step is a trigger.");
        else panel.append(make("div", {class: "box", tabindex: 0, role: "group", "aria-label": "Text of the job"}, this.source(step.expression, attempt && attempt.error && attempt.error.position)));
      } else this.drawConnections(panel, attempt);
      return undefined;
    }

    drawLog(panel, belongs) {
      if (!panel) return;
      const search = make("input", {type: "search", "aria-label": "Text to look for", placeholder: "Look for", value: this.filter.text});
      const level = make("select", {"aria-label": "Least important level"}, ...["debug", "info", "warning", "error"].map((name) => make("option", {value: name, selected: name === this.filter.level}, name)));
      const count = make("span", {class: "note", role: "status"});
      const order = ["debug", "info", "warning", "error"];
      const apply = () => {
        this.filter = {text: search.value, level: level.value};
        const wanted = search.value.toLowerCase(), least = order.indexOf(level.value);
        const found = (this.report.lines || []).filter((line) => belongs(line) && order.indexOf(line[1]) >= least && (!wanted || line[5].toLowerCase().includes(wanted)));
        count.textContent = found.length === 1 ? "1 line" : `${found.length.toLocaleString("en")} lines`;
        this.lines.set(found);
      };
      search.addEventListener("input", apply);
      level.addEventListener("change", apply);
      panel.append(make("div", {class: "bar"}, search, level, count), this.lines.box);
      this.lines.box.scrollTop = 0;
      apply();
    }

    drawConnections(panel, attempt) {
      const end = attempt && attempt.end !== undefined ? attempt.end : Infinity;
      const found = (this.report.connections || []).filter((item) => !attempt || (item[0] >= attempt.begin && item[0] <= end + 0.5));
      if (!found.length) { panel.append(make("p", {class: "note"}, "There were no connections.")); return; }
      const head = ["time", "host", "port", "outcome", "reason", "sent", "received", "duration"];
      panel.append(make("div", {class: "box", tabindex: 0, role: "group", "aria-label": "Connections"}, make("table", {}, make("thead", {}, make("tr", {}, ...head.map((name) => make("th", {scope: "col"}, name)))),
        make("tbody", {}, ...found.slice(0, 1000).map(([time, host, port, outcome, reason, sent, received, took]) => make("tr", {}, ...[`${time.toFixed(3)} s`, host, String(port), outcome, reason, size(sent), size(received), duration(took)].map((text) => make("td", {}, text))))))));
    }

    source(text, position) {
      const lines = text.replace(/\n$/, "").split("\n");
      const marked = position ? position.line : null;
      return make("pre", {class: "source"}, ...lines.map((line, at) => make("span", {class: at + 1 === marked ? "marked" : null}, make("b", {}, `${String(at + 1).padStart(4)} `), ...(at + 1 === marked ? pointed(position, line) : [line]), "\n")));
    }

    errorBox(error, step) {
      const kind = error.subtype && error.subtype !== error.name ? `${error.name} (${error.subtype})` : error.name;
      const where = error.position ? `, line ${error.position.line}` : "";
      const box = make("div", {class: "box", role: "group", "aria-label": "Error"}, make("pre", {}, make("strong", {class: "failed"}, `${kind}${error.step_id ? ` in step ${error.step_id}` : ""}${where}: `), error.message));
      if (error.position && error.position.source && !(step && step.expression)) {
        const {line, source} = error.position;
        box.append(make("pre", {class: "source"}, make("span", {class: "marked"}, make("b", {}, `${String(line).padStart(4)} `), ...pointed(error.position, source), "\n")));
      } else if (error.position && step && step.expression) {
        const lines = step.expression.split("\n");
        const first = Math.max(0, error.position.line - 3);
        box.append(make("pre", {class: "source"}, ...lines.slice(first, error.position.line + 2).map((line, at) => make("span", {class: first + at + 1 === error.position.line ? "marked" : null}, make("b", {}, `${String(first + at + 1).padStart(4)} `), ...(first + at + 1 === error.position.line ? pointed(error.position, line) : [line]), "\n"))));
      }
      if (error.fix) box.append(make("pre", {class: "note"}, `hint: ${error.fix}`));
      if (error.details !== undefined && error.details !== null) box.append(make("div", {class: "tree"}, tree("details", error.details, "", 2)));
      return box;
    }
  }

  return {View};
})();
