"use strict";
// The list of runs. It asks again every two seconds while the page is visible, and changes only what differs.
(() => {
  const {make, own} = jobcellParts;
  const rows = document.getElementById("rows");
  const more = document.getElementById("more");
  const counts = document.getElementById("counts");
  const form = document.getElementById("filter");
  const asked = new URLSearchParams(location.search);
  for (const name of ["state", "tenant"]) form.elements[name].value = asked.get(name) || "";
  let older = [];
  let last = null;
  let asks = 0;
  let lines = new Map(); // the row of each run, and what it shows

  async function read(path) {
    let answer;
    try { answer = await fetch(path); } catch (error) { throw new Error("the server cannot be reached"); }
    if (answer.status === 401) { location.href = "/login"; throw new Error("not logged in"); }
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message);
    return body;
  }

  const say = (text) => { if (counts.textContent !== text) counts.textContent = text; };

  function query(before) {
    const words = new URLSearchParams();
    for (const name of ["state", "tenant"]) if (form.elements[name].value) words.set(name, form.elements[name].value);
    if (before) words.set("before", before);
    return words;
  }

  function took(run) {
    if (!run.started) return "";
    const end = run.ended || (run.state === "running" ? Date.now() / 1000 : null);
    return end === null ? "" : `${Math.max(0, end - run.started).toFixed(1)} s`;
  }

  function line(run) {
    const known = lines.get(run.id);
    const shown = JSON.stringify([run, took(run)]);
    if (known && known.shown === shown) return known;
    const status = make("span", {class: `status ${run.reason || run.state}`}, run.reason && run.reason !== run.state ? `${run.state}: ${run.reason}` : run.state);
    if (known) { // the link may have the focus
      known.node.children[1].replaceChildren(status);
      known.node.children[4].replaceChildren(took(run));
      known.shown = shown;
      return known;
    }
    const link = make("a", {href: `/runs/${encodeURIComponent(run.id)}`}, ...(run.name ? [own(run.name), " "] : []), own(run.id));
    const cells = [link, status, own(run.tenant), new Date(run.created * 1000).toLocaleString(), took(run)];
    return {shown, node: make("tr", {}, ...cells.map((content) => make("td", {}, content)))};
  }

  function draw(page) {
    const runs = [...page.runs, ...older.filter((run) => !page.runs.some((other) => other.id === run.id))];
    const next = new Map(runs.map((run) => [run.id, line(run)]));
    const nodes = [...next.values()].map((made) => made.node);
    lines = next;
    if (nodes.length !== rows.children.length || nodes.some((node, at) => node !== rows.children[at])) {
      const focused = document.activeElement;
      rows.replaceChildren(...nodes);
      if (rows.contains(focused)) focused.focus({preventScroll: true});
    }
    document.getElementById("none").hidden = runs.length > 0;
    if (!older.length) { last = page.runs.length ? page.runs[page.runs.length - 1].id : null; more.hidden = !page.more; }
  }

  async function refresh() {
    const number = ++asks;
    try {
      const [page, numbers] = await Promise.all([read(`/api/v1/runs?${query()}`), read("/api/v1/counts")]);
      if (number !== asks) return; // an answer to an older filter
      draw(page);
      say(Object.entries(numbers).map(([name, count]) => `${name}: ${count.toLocaleString("en")}`).join(", "));
      document.documentElement.dataset.ready = "1";
    } catch (error) {
      say(`The list cannot be read: ${error.message}`);
    }
  }

  more.addEventListener("click", async () => {
    try {
      const page = await read(`/api/v1/runs?${query(last)}`);
      older.push(...page.runs);
      last = page.runs.length ? page.runs[page.runs.length - 1].id : last;
      more.hidden = !page.more;
      await refresh();
    } catch (error) {
      say(`Older runs cannot be read: ${error.message}`);
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.elements.id.value) { location.href = `/runs/${encodeURIComponent(form.elements.id.value)}`; return; }
    older = [];
    const words = query();
    history.replaceState(null, "", words.size ? `?${words}` : "/");
    refresh();
  });
  refresh();
  setInterval(() => { if (document.visibilityState === "visible") refresh(); }, 2000);
})();
