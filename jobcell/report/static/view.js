"use strict";
// Shows a run in an element, and shows it again as it goes on.
var jobcellView = (() => {
  const {Rows, SIGNS, cut, duration, make, number, own, present, size, statusText} = jobcellParts;
  const {changes, parse, tree} = jobcellTree;
  const TABS = [["log", "Log"], ["input", "Input"], ["output", "Output"], ["diff", "Changes"], ["job", "Job"], ["net", "Connections"], ["all", "Whole log"]];
  const LEVELS = ["debug", "info", "warning", "error"];
  const CONNECTIONS = 1000; // rows of the table

  // The time of the job itself; an attempt that goes on, or that comes from an old file, has only its events.
  const spent = (attempt, end) => duration(attempt.duration_ms === undefined ? (end - attempt.begin) * 1000 : attempt.duration_ms);
  const nameOf = (step) => step.name || step.id;

  // A line in parts, with the place of an error underlined. Columns count characters, from 1.
  function pointed({line, column, end_line, end_column}, text) {
    const chars = Array.from(text);
    if (!column || column > chars.length) return [text];
    const end = end_line && end_line > line ? chars.length : Math.max(column, (end_column || column + 1) - 1);
    const [before, part, after] = [[0, column - 1], [column - 1, end], [end]].map((range) => chars.slice(...range).join(""));
    return [before, make("u", {}, part), after];
  }

  // Lines of a job from the line `first`, with the one of the error marked.
  function source(lines, first, position) {
    return make("pre", {class: "source"}, ...lines.map((line, at) => {
      const marked = position && position.line === first + at;
      const mark = marked ? [make("span", {class: "hidden"}, "the error is in this line: ")] : [];
      return make("span", {class: marked ? "marked" : null}, ...mark, make("b", {}, `${String(first + at).padStart(4)} `), own(...(marked ? pointed(position, line) : [line])), "\n");
    }));
  }

  class View {
    constructor(root) {
      this.chosen = null;
      this.isPicked = false; // until somebody chooses, the page follows the run
      this.tab = "log";
      this.parsed = new Map();
      this.filter = {text: "", level: "debug"};
      this.attempts = new Rows("Timeline of all attempts", (item) => this.attemptRow(item), ({step, attempt}) => this.pick({step: step.id, run: attempt.run, number: attempt.number}));
      this.lines = new Rows("Log lines", (line) => this.lineRow(line), (line) => this.showLine(line));
      this.graph = new jobcellGraph.Graph((step) => this.pick({step}));
      this.head = make("header");
      this.live = make("p", {class: "hidden", role: "status"}); // says how the run goes on, to a screen reader
      this.detail = make("section", {"aria-label": "Details of the chosen step", onfocusin: () => { this.isPicked = true; }});
      this.timeline = make("h2", {}, "Timeline");
      const left = make("section", {"aria-label": "Workflow"}, make("h2", {}, "Workflow"),
        make("div", {class: "bar"}, make("button", {onclick: () => this.graph.zoomBy(1.25)}, "Zoom in"), make("button", {onclick: () => this.graph.zoomBy(0.8)}, "Zoom out"), make("button", {onclick: () => this.graph.fit()}, "Fit")),
        this.graph.box);
      const right = make("section", {"aria-label": "Timeline"}, this.timeline, make("p", {class: "note"}, "Choose an attempt for its log, states and error."), this.attempts.box);
      root.replaceChildren(this.head, make("div", {class: "columns"}, left, right), this.detail, this.live);
    }

    update(report) {
      this.report = report;
      this.timed = report.timed !== false;
      const steps = [...report.steps], edges = report.edges || [];
      this.byStep = new Map(steps.map((step) => [step.id, step]));
      for (const {source: from, target} of edges) { // without a plan, a step that no run has reached
        for (const id of [from, target]) {
          if (this.byStep.has(id)) continue;
          const step = {id, status: report.over ? "skipped" : "waiting"};
          this.byStep.set(id, step);
          steps.push(step);
        }
      }
      const rows = steps.flatMap((step) => (step.attempts || []).map((attempt) => ({step, attempt})));
      rows.sort((a, b) => a.attempt.begin - b.attempt.begin);
      this.rows = rows;
      this.span = rows.reduce((most, {attempt}) => Math.max(most, attempt.end || attempt.begin), 0.001);
      this.timeline.textContent = this.timed ? "Timeline" : "Order of the steps";
      this.drawHead(steps.length);
      this.graph.draw(steps, edges);
      this.attempts.set(rows);
      if (!this.isPicked || this.chosen.step === null) this.choose(this.first());
      else this.drawDetail();
    }

    pick(key) {
      this.isPicked = true;
      this.choose(key);
    }

    // The attempt that a reader looks for first: the one that ended the run badly, or the one that goes on.
    first() {
      const taken = new Set((this.report.edges || []).filter((edge) => edge.taken).map((edge) => edge.source));
      const failed = this.rows.filter((row) => ["failed", "interrupted"].includes(row.attempt.status || "running"));
      const error = this.report.error;
      const row = (error && failed.find((item) => item.step.id === error.step_id)) || failed.find((item) => !taken.has(item.step.id)) || failed[0]
        || (this.report.over || !this.timed ? this.rows[0] : this.rows[this.rows.length - 1]);
      return row ? {step: row.step.id, run: row.attempt.run, number: row.attempt.number} : {step: null};
    }

    choose(key) {
      this.chosen = key;
      if (key.step !== null && key.run === undefined) {
        const attempts = (this.byStep.get(key.step) || {}).attempts || [];
        if (attempts.length) Object.assign(key, {run: attempts[attempts.length - 1].run, number: attempts[attempts.length - 1].number});
      }
      this.graph.mark(key.step);
      const at = this.rows.findIndex((row) => this.isChosen(row));
      if (at >= 0) this.attempts.reveal(at); else this.attempts.draw();
      this.drawDetail();
    }

    isChosen(row) {
      return this.chosen && row.attempt.run === this.chosen.run && row.attempt.number === this.chosen.number;
    }

    drawHead(steps) {
      const report = this.report;
      const reason = report.over ? report.reason : !this.timed ? "ending unknown" : report.began ? "running" : "waiting";
      const facts = [
        ["started", report.began ? new Date(report.began * 1000).toLocaleString() : null],
        ["duration", report.duration_ms === undefined ? null : duration(report.duration_ms)],
        ["steps", number(steps)],
        ["attempts", number(this.rows.length)],
        ["replayed", report.replayed || null],
        ["peak memory", report.peak_memory_bytes ? size(report.peak_memory_bytes) : null],
        ["processor", report.cpu_s ? duration(report.cpu_s * 1000) : null],
        ["children", report.children && report.children > 1 ? report.children : null],
        ["connections", report.connections && report.connections.length ? report.connections.length : null],
        ["sandbox", report.confinement],
        ["jobcell", report.versions && report.versions.engine],
      ].filter(([, value]) => value !== null && value !== undefined);
      const sign = report.reason === "success" ? SIGNS.succeeded : report.over ? SIGNS.failed : SIGNS[reason] || SIGNS.waiting;
      this.head.replaceChildren(...present([
        make("h1", {}, own(report.name || "Run"), " ", make("code", {}, own(report.run))),
        make("p", {}, make("span", {class: `status ${reason}`}, `${sign} ${reason}`)),
        make("ul", {class: "facts"}, ...facts.map(([name, value]) => make("li", {}, `${name}: `, own(value)))),
        ...(report.notes || []).map((note) => make("p", {class: "note"}, note)),
        report.error ? this.errorBox(report.error) : null,
      ]));
      if (this.live.textContent !== reason) this.live.textContent = reason;
    }

    attemptRow({step, attempt}) {
      const status = attempt.status || "running";
      const end = attempt.end === undefined ? this.span : attempt.end;
      const track = make("span", {class: `track ${status}`});
      if (this.timed) {
        const bar = make("i");
        bar.style.left = `${(100 * attempt.begin / this.span).toFixed(3)}%`;
        bar.style.width = `${(100 * Math.max(0, end - attempt.begin) / this.span).toFixed(3)}%`;
        track.append(bar);
      }
      const isChosen = Boolean(this.isChosen({attempt}));
      return make("div", {class: `row pick ${isChosen ? "chosen" : ""}`, role: "button", "aria-pressed": isChosen},
        make("span", {class: `status ${status}`, "aria-hidden": true}, SIGNS[status]),
        make("span", {class: "name"}, `${cut(nameOf(step), 200)}${attempt.number > 1 ? ` (attempt ${attempt.number})` : ""}`),
        make("span", {class: "hidden"}, `: ${status}, `),
        this.timed ? make("span", {class: "time"}, attempt.end === undefined && !this.report.over ? "" : spent(attempt, end)) : null, track);
    }

    lineRow([time, level, from, step, , message]) {
      const place = this.tab === "all" ? make("span", {class: "step"}, step ? cut(nameOf(this.byStep.get(step) || {id: step}), 100) : "") : null;
      return make("div", {class: `row pick ${level}`, role: "button", title: cut(message, 2000)}, make("span", {class: "time"}, `${time.toFixed(3)} s`), make("span", {class: "note"}, `${level} ${from}`), place, make("span", {class: "message"}, cut(message, 600).replaceAll("\n", " \u23ce ")));
    }

    showLine([time, level, from, step, attempt, message]) {
      const facts = [`${time.toFixed(3)} s`, level, from, step ? `step ${step}` : null, attempt ? `attempt ${attempt}` : null];
      const before = document.activeElement ? document.activeElement.dataset.row : undefined;
      const box = make("dialog", {"aria-label": "Log line"}, make("ul", {class: "facts"}, ...present(facts).map((fact) => make("li", {}, own(fact)))), make("pre", {tabindex: 0}, own(message)), make("form", {method: "dialog"}, make("button", {}, "Close")));
      document.body.append(box);
      box.addEventListener("close", () => { box.remove(); if (before !== undefined) this.lines.focus(before); });
      box.showModal();
    }

    state(at) {
      if (!this.parsed.has(at)) this.parsed.set(at, parse(this.report.states[at]));
      return this.parsed.get(at);
    }

    // Draws only what has changed: a reader may be in the middle of a log, a tree or a search.
    drawDetail() {
      const step = this.byStep.get(this.chosen.step);
      if (!step) {
        this.detail.replaceChildren(make("h2", {}, this.report.over ? "No step has run" : "No step has begun yet"));
        this.top = this.panel = null;
        return;
      }
      const attempt = (step.attempts || []).find((item) => item.run === this.chosen.run && item.number === this.chosen.number);
      const top = JSON.stringify([step.id, step.name, step.status, attempt]);
      if (this.top !== top) {
        this.top = top;
        this.drawTop(step, attempt);
      }
      this.detail.querySelectorAll("[role=tab]").forEach((tab) => {
        const mine = tab.id === `tab-${this.tab}`;
        tab.setAttribute("aria-selected", mine);
        tab.tabIndex = mine ? 0 : -1;
      });
      this.drawPanel(step, attempt);
    }

    drawTop(step, attempt) {
      const status = attempt ? attempt.status || "running" : step.status || "waiting";
      const timed = attempt && this.timed;
      const facts = [...(step.adaptors || []).map((name) => `adaptor ${name}`)];
      if (attempt) facts.unshift(...present([`attempt ${attempt.number}`, timed ? `from ${attempt.begin.toFixed(3)} s` : null, !timed || attempt.end === undefined ? null : `took ${spent(attempt, attempt.end)}`, attempt.memory_bytes ? `peak memory ${size(attempt.memory_bytes)}` : null, attempt.retry_in_ms === undefined ? null : `next attempt in ${duration(attempt.retry_in_ms)}`]));
      if (!this.panelBox) {
        const go = (key) => { this.tab = key; this.drawDetail(); this.detail.querySelector(`#tab-${key}`).focus(); };
        this.tabs = make("div", {class: "bar", role: "tablist", "aria-label": "What to show"}, ...TABS.map(([key, name], at) => make("button", {role: "tab", id: `tab-${key}`, "aria-controls": "panel",
          onclick: () => go(key),
          onkeydown: (event) => {
            const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1}[event.key];
            if (to !== undefined) { event.preventDefault(); go(TABS[(to + TABS.length) % TABS.length][0]); }
          }}, name)));
        this.panelBox = make("div", {id: "panel", role: "tabpanel"});
        this.about = make("div");
      }
      if (!this.tabs.isConnected) this.detail.replaceChildren(this.about, this.tabs, this.panelBox);
      this.about.replaceChildren(...present([
        make("h2", {}, own(nameOf(step)), " ", statusText(status)),
        make("ul", {class: "facts"}, ...facts.map((fact) => make("li", {}, own(fact)))),
        attempt && attempt.error ? this.errorBox(attempt.error, step) : null]));
    }

    drawPanel(step, attempt) {
      const isLog = this.tab === "log" || this.tab === "all";
      const parts = {log: [attempt && attempt.run, attempt && attempt.number], input: attempt && attempt.input, output: attempt && attempt.output, diff: attempt && [attempt.input, attempt.output], job: attempt && attempt.error,
        net: [attempt, (this.report.connections || []).length]}[this.tab];
      const panel = JSON.stringify([this.tab, this.tab === "all" ? null : step.id, parts, this.tab === "job" ? step.expression : null]);
      if (this.panel === panel) {
        if (isLog) this.showLines();
        return;
      }
      this.panel = panel;
      this.panelBox.setAttribute("aria-labelledby", `tab-${this.tab}`);
      if (isLog) return this.drawLog(step, attempt);
      const shown = {input: () => this.inputOf(attempt), output: () => this.outputOf(attempt), diff: () => this.changesOf(attempt), job: () => this.jobOf(step, attempt), net: () => this.connectionsOf(attempt)}[this.tab]();
      this.panelBox.replaceChildren(...shown.map((part) => part instanceof Node ? part : make("p", {class: "note"}, part)));
      return undefined;
    }

    // A state as a tree, or the sentence that says why it is not shown.
    stateOf(at) {
      if ((this.report.sentences || []).includes(at)) return this.state(at);
      return make("div", {class: "box tree", tabindex: 0, role: "group", "aria-label": "State"}, tree(null, this.state(at), "", 0));
    }

    inputOf(attempt) {
      const inputs = attempt && attempt.input || [];
      return inputs.length ? inputs.map((at) => this.stateOf(at)) : [attempt ? "The events of this run do not have the input of this step." : "The step has not run."];
    }

    outputOf(attempt) {
      if (!attempt || attempt.output === undefined) return ["There is no output state."];
      return [this.stateOf(attempt.output)];
    }

    changesOf(attempt) {
      const inputs = attempt && attempt.input || [], output = attempt ? attempt.output : undefined;
      if (output === undefined || inputs.length !== 1) return ["Changes need one input and one output."];
      const hidden = [inputs[0], output].find((at) => (this.report.sentences || []).includes(at));
      if (hidden !== undefined) return [`The changes cannot be shown. ${this.state(hidden)}`];
      if (inputs[0] === output) return ["The step returned the state as it was."];
      return [make("div", {class: "box tree", tabindex: 0, role: "group", "aria-label": "Changes of the state"}, changes(null, this.state(inputs[0]), this.state(output), 0))];
    }

    jobOf(step, attempt) {
      if (!step.expression) return [step.expression === undefined && !this.report.has_plan ? "The text of the job is not in the events; give the plan to jobcell report." : "This step is a trigger."];
      const lines = step.expression.replace(/\n$/, "").split("\n");
      return [make("div", {class: "box", tabindex: 0, role: "group", "aria-label": "Text of the job"}, source(lines, 1, attempt && attempt.error && attempt.error.position))];
    }

    connectionsOf(attempt) {
      const end = attempt && attempt.end !== undefined ? attempt.end : Infinity;
      const found = (this.report.connections || []).filter((item) => !attempt || (item[0] >= attempt.begin && item[0] <= end + 0.5));
      if (!found.length) return ["There were no connections."];
      const head = ["time", "host", "port", "outcome", "reason", "sent", "received", "duration"];
      const rows = found.slice(0, CONNECTIONS).map(([time, host, port, outcome, reason, sent, received, took]) => make("tr", {}, ...[`${time.toFixed(3)} s`, host, String(port), outcome, reason, size(sent), size(received), duration(took)].map((text) => make("td", {}, own(text)))));
      const table = make("table", {}, make("thead", {}, make("tr", {}, ...head.map((name) => make("th", {scope: "col"}, name)))), make("tbody", {}, ...rows));
      return present([make("div", {class: "box", tabindex: 0, role: "group", "aria-label": "Connections"}, table), found.length > CONNECTIONS ? `${number(found.length - CONNECTIONS)} more are not shown.` : null]);
    }

    drawLog(step, attempt) {
      const search = make("input", {type: "search", "aria-label": "Text to look for", placeholder: "Look for", value: this.filter.text});
      const level = make("select", {"aria-label": "Least important level"}, ...LEVELS.map((name) => make("option", {value: name, selected: name === this.filter.level}, name)));
      const count = make("span", {class: "note", role: "status"});
      const belongs = this.tab === "all" ? () => true : (line) => line[3] === step.id && (!attempt || line[4] === null || line[4] === attempt.number) && (!attempt || (line[6] || line[3]) === attempt.run);
      this.showLines = () => {
        this.filter = {text: search.value, level: level.value};
        const wanted = search.value.toLowerCase(), least = LEVELS.indexOf(level.value);
        const follow = !this.report.over && this.lines.items.length > 0 && this.lines.atEnd;
        const found = (this.report.lines || []).filter((line) => belongs(line) && LEVELS.indexOf(line[1]) >= least && (!wanted || line[5].toLowerCase().includes(wanted)));
        const text = found.length === 1 ? "1 line" : `${number(found.length)} lines`;
        if (count.textContent !== text) count.textContent = text;
        this.lines.set(found);
        if (follow) this.lines.box.scrollTop = this.lines.box.scrollHeight;
      };
      search.addEventListener("input", this.showLines);
      level.addEventListener("change", this.showLines);
      this.panelBox.replaceChildren(make("div", {class: "bar"}, search, make("label", {}, "Level from ", level), count), this.lines.box);
      this.lines.items = [];
      this.lines.at = 0;
      this.lines.box.scrollTop = 0;
      this.showLines();
    }

    errorBox(error, step) {
      const kind = error.subtype && error.subtype !== error.name ? `${error.name} (${error.subtype})` : error.name;
      const where = error.position ? `, line ${error.position.line}` : "";
      const place = error.step_id ? [" in step ", own(error.step_id)] : [];
      const box = make("div", {class: "box error", role: "group", tabindex: 0, "aria-label": "Error"}, make("pre", {}, make("strong", {class: "failed"}, own(kind), ...place, `${where}: `), own(error.message)));
      if (error.position && step && step.expression) {
        const first = Math.max(0, error.position.line - 3);
        box.append(source(step.expression.replace(/\n$/, "").split("\n").slice(first, error.position.line + 2), first + 1, error.position));
      } else if (error.position && error.position.source) {
        box.append(source([error.position.source], error.position.line, error.position));
      }
      if (error.fix) box.append(make("pre", {class: "note"}, "hint: ", own(error.fix)));
      if (error.details !== undefined && error.details !== null) box.append(make("div", {class: "tree"}, tree("details", error.details, "", 2)));
      return box;
    }
  }

  return {View};
})();
