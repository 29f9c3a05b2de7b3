"use strict";
// Small parts of a page. Text of jobs is set as text and never as HTML.
var jobcellParts = (() => {
  const SVG = ["svg", "g", "rect", "text", "path", "title", "defs", "marker"];
  const SIGNS = {succeeded: "\u2713", failed: "\u2717", interrupted: "\u2717", running: "\u25b6", retried: "\u21bb", skipped: "\u2013", waiting: "\u00b7"};
  const ROW = 24;
  const TALLEST = 420;

  // Control characters, marks without a width, and those that turn the direction of the text after them. A job could
  // use them to show a status that is not its own.
  const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
  const escaped = (char) => {
    const code = char.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  };
  const visible = (text) => String(text).replace(UNSEEN, escaped);

  const present = (children) => children.filter((child) => child !== null && child !== undefined);
  const shown = (child) => child instanceof Node ? child : visible(child);

  function make(tag, attributes, ...children) {
    const node = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name.startsWith("aria-")) node.setAttribute(name, visible(value));
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : name === "title" ? visible(value) : value);
    }
    node.append(...present(children).map(shown));
    return node;
  }

  // Text of a stranger beside text of ours: its direction stays its own.
  const own = (...children) => make("bdi", {}, ...children);

  function duration(ms) {
    if (ms === null || ms === undefined) return "";
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 100000) return `${(ms / 1000).toFixed(1)} s`;
    return `${Math.floor(ms / 60000)} min ${Math.floor(ms / 1000) % 60} s`;
  }
  const size = (bytes) => bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const number = (count) => count.toLocaleString("en");
  const cut = (text, length) => text.length > length ? `${text.slice(0, length - 1)}\u2026` : text;
  const statusText = (status) => make("span", {class: `status ${status}`}, `${SIGNS[status] || ""} ${status}`);

  // A list of many rows, of which only the visible ones are in the document. One row can be reached with Tab;
  // the arrow keys go to the others, and Enter chooses.
  class Rows {
    constructor(label, render, choose) {
      this.render = render;
      this.choose = choose;
      this.items = [];
      this.at = 0;
      this.space = make("div", {class: "space", role: "presentation"});
      this.box = make("div", {class: "box list", role: "group", "aria-label": label}, this.space);
      this.box.addEventListener("scroll", () => this.draw());
      this.space.addEventListener("click", (event) => {
        const row = event.target.closest("[data-row]");
        // A click that ends a selection of text is not a choice.
        if (row && getSelection().isCollapsed) this.pick(Number(row.dataset.row));
      });
      this.space.addEventListener("keydown", (event) => this.onKey(event));
      new ResizeObserver(() => this.draw()).observe(this.box);
    }
    set(items) {
      this.items = items;
      this.at = Math.min(this.at, Math.max(0, items.length - 1));
      this.box.hidden = !items.length;
      const height = `${Math.min(TALLEST, items.length * ROW + 4)}px`;
      // A height that somebody has dragged stays.
      if (!this.height || this.box.style.height === this.height) this.box.style.height = height;
      this.height = height;
      this.space.style.height = `${items.length * ROW}px`;
      this.draw();
    }
    get atEnd() { return this.box.scrollTop + this.box.clientHeight >= this.items.length * ROW - 2; }
    draw() {
      const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 5);
      const last = Math.min(this.items.length, first + Math.ceil((this.box.clientHeight || TALLEST) / ROW) + 10);
      const active = document.activeElement;
      const focused = this.space.contains(active) ? active.dataset.row : undefined;
      const reached = this.at >= first && this.at < last ? this.at : Math.min(last - 1, first + 5);
      const rows = [];
      for (let number = first; number < last; number++) {
        const row = this.render(this.items[number], number);
        row.style.top = `${number * ROW}px`;
        row.dataset.row = number;
        row.tabIndex = number === reached ? 0 : -1;
        rows.push(row);
      }
      this.space.replaceChildren(...rows);
      if (focused !== undefined) this.focus(focused);
    }
    focus(number) {
      const row = this.space.querySelector(`[data-row="${number}"]`);
      if (row) row.focus({preventScroll: true});
    }
    reveal(number) {
      this.at = number;
      const top = number * ROW, seen = this.box.scrollTop;
      if (top < seen || top + ROW > seen + this.box.clientHeight) this.box.scrollTop = Math.max(0, top - this.box.clientHeight / 2);
      this.draw();
    }
    pick(number) {
      this.at = number;
      this.choose(this.items[number]);
    }
    onKey(event) {
      const row = event.target.closest("[data-row]");
      if (!row) return;
      const from = Number(row.dataset.row), page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.pick(from); return; }
      const to = {ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + page, PageUp: from - page, Home: 0, End: this.items.length - 1}[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = Math.min(this.items.length - 1, Math.max(0, to));
      this.reveal(next);
      this.focus(next);
    }
  }

  return {Rows, SIGNS, cut, duration, make, number, own, present, size, statusText, visible};
})();
