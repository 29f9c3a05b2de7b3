"use strict";
// The graph of a workflow: its layout, and its drawing, which later reports only change where they differ.
var jobcellGraph = (() => {
  const {SIGNS, cut, make, visible} = jobcellParts;
  const DAGRE_STEPS = 300; // dagre takes seconds and a deep stack for larger graphs
  const WIDTH = 170, HEIGHT = 34;
  const LABEL = 26; // characters of a label; the title has all of it
  const LETTER = 6.2; // the width of a character of a label, at most, in nearly every font

  // Ranks by the longest way, in the order of the plan: for graphs that are too large for dagre.
  function simpleLayout(steps, edges) {
    const ranks = new Map(steps.map((step) => [step.id, 0]));
    const open = new Map(steps.map((step) => [step.id, 0]));
    const out = new Map(steps.map((step) => [step.id, []]));
    for (const edge of edges) {
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
    let height = 1, width = 1;
    for (const rank of ranks.values()) height = Math.max(height, rank + 1);
    for (const count of columns.values()) width = Math.max(width, count);
    const ways = edges.map((edge) => {
      const from = places.get(edge.source), to = places.get(edge.target);
      return {points: [{x: from.x, y: from.y + HEIGHT / 2}, {x: to.x, y: to.y - HEIGHT / 2}]};
    });
    return {places, ways, width: width * (WIDTH + 30) + 20, height: height * (HEIGHT + 40)};
  }

  function layout(steps, edges) {
    if (steps.length > DAGRE_STEPS) return simpleLayout(steps, edges);
    try {
      const graph = new dagre.graphlib.Graph({multigraph: true});
      graph.setGraph({rankdir: "TB", nodesep: 25, ranksep: 45, marginx: 10, marginy: 10});
      graph.setDefaultEdgeLabel(() => ({}));
      for (const step of steps) graph.setNode(step.id, {width: WIDTH, height: HEIGHT});
      edges.forEach((edge, at) => {
        const space = edge.label ? {width: Math.min(LABEL, visible(edge.label).length) * LETTER, height: 14, labelpos: "c"} : {};
        graph.setEdge(edge.source, edge.target, space, String(at));
      });
      dagre.layout(graph);
      const places = new Map(steps.map((step) => [step.id, graph.node(step.id)]));
      const ways = edges.map((edge, at) => graph.edge(edge.source, edge.target, String(at)));
      const {width, height} = graph.graph();
      return {places, ways, width, height};
    } catch (error) {
      return simpleLayout(steps, edges);
    }
  }

  class Graph {
    constructor(choose) {
      this.choose = choose;
      this.shape = null;
      this.zoom = 1;
      this.box = make("div", {class: "box graph", tabindex: 0, role: "group", "aria-label": "Graph of the workflow"});
    }

    draw(steps, edges) {
      const shape = JSON.stringify([steps.map((step) => [step.id, step.name]), edges.map((edge) => [edge.source, edge.target, edge.label])]);
      if (shape !== this.shape) {
        this.shape = shape;
        this.build(steps, edges);
        this.fit();
      }
      edges.forEach((edge, at) => this.showEdge(edge, this.lines[at]));
      for (const step of steps) this.showStep(step, this.nodes.get(step.id));
    }

    build(steps, edges) {
      const {places, ways, width, height} = layout(steps, edges);
      const marker = make("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto"}, make("path", {d: "M0 0 L8 4 L0 8", class: "taken"}));
      this.lines = edges.map((edge, at) => {
        const path = ways[at].points.map((point, index) => `${index ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join("");
        const title = make("title");
        return {title, node: make("path", {d: path, "marker-end": "url(#arrow)"}, title)};
      });
      const labels = edges.map((edge, at) => {
        const {x, y} = ways[at];
        return edge.label && x !== undefined ? make("text", {class: "label", x, y: y + 4, "text-anchor": "middle"}, cut(visible(edge.label), LABEL)) : null;
      });
      this.nodes = new Map(steps.map((step) => [step.id, this.makeNode(step, places.get(step.id))]));
      this.svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${steps.length} steps, ${edges.length} edges`}, make("defs", {}, marker),
        ...this.lines.map((line) => line.node), ...labels.filter(Boolean), ...[...this.nodes.values()].map((node) => node.group));
      this.full = {width, height};
      this.box.replaceChildren(this.svg);
    }

    makeNode(step, place) {
      const open = () => this.choose(step.id);
      const title = make("title"), sign = make("text", {class: "sign", x: 9, y: 22});
      const name = make("text", {x: 26, y: 22}), tries = make("text", {class: "label", x: WIDTH - 28, y: 22});
      const group = make("g", {transform: `translate(${(place.x - WIDTH / 2).toFixed(1)} ${(place.y - HEIGHT / 2).toFixed(1)})`, tabindex: 0, role: "button", "data-step": step.id, "aria-pressed": false,
        onclick: open, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } }},
        make("rect", {width: WIDTH, height: HEIGHT, rx: 5}), sign, name, tries, title);
      return {group, title, sign, name, tries, seen: null};
    }

    showStep(step, node) {
      const status = step.status || "waiting", tries = (step.attempts || []).length;
      if (node.seen === `${status} ${tries}`) return;
      node.seen = `${status} ${tries}`;
      const name = step.name || step.id;
      node.group.setAttribute("class", `state ${status}${node.group.classList.contains("chosen") ? " chosen" : ""}`);
      node.sign.textContent = SIGNS[status];
      node.name.replaceChildren(cut(visible(name), tries > 1 ? 17 : 20));
      node.tries.textContent = tries > 1 ? `\u00d7${tries}` : "";
      node.title.replaceChildren(visible(`${step.id}, ${name}: ${status}`));
    }

    showEdge(edge, line) {
      const counts = `taken ${edge.taken || 0}, not taken ${edge.refused || 0}`;
      if (line.seen === counts) return;
      line.seen = counts;
      line.node.setAttribute("class", edge.taken ? "taken" : edge.refused ? "refused" : "");
      line.title.replaceChildren(visible(`${edge.source} to ${edge.target}: ${edge.label ? `${edge.label}: ` : ""}${counts}`));
    }

    mark(id) {
      for (const [name, {group}] of this.nodes) {
        if (group.classList.contains("chosen") === (name === id)) continue;
        group.classList.toggle("chosen", name === id);
        group.setAttribute("aria-pressed", name === id);
      }
    }

    zoomBy(factor) {
      this.zoom = Math.min(3, Math.max(0.1, this.zoom * factor));
      this.scale();
    }

    fit() {
      const fitting = Math.min((this.box.clientWidth - 20) / this.full.width, (this.box.clientHeight - 10) / this.full.height);
      this.zoom = Math.max(0.6, Math.min(1, fitting)); // smaller text cannot be read
      this.scale();
    }

    scale() {
      this.svg.setAttribute("width", Math.round(this.full.width * this.zoom));
      this.svg.setAttribute("height", Math.round(this.full.height * this.zoom));
    }
  }

  return {Graph};
})();
