"use strict";
// The list of runs. It asks again every two seconds while the page is visible.
(() => {
  const rows = document.getElementById("rows");
  const more = document.getElementById("more");
  const counts = document.getElementById("counts");
  const form = document.getElementById("filter");
  const asked = new URLSearchParams(location.search);
  for (const name of ["state", "tenant"]) form.elements[name].value = asked.get(name) || "";
  let older = [];
  let last = null;

  async function read(path) {
    const answer = await fetch(path);
    if (answer.status === 401) { location.href = "/login"; throw new Error("not logged in"); }
    if (!answer.ok) throw new Error((await answer.json()).message);
    return answer.json();
  }

  function query(before) {
    const words = new URLSearchParams();
    for (const name of ["state", "tenant"]) if (form.elements[name].value) words.set(name, form.elements[name].value);
    if (before) words.set("before", before);
    return words;
  }

  function row(run) {
    const line = document.createElement("tr");
    const link = document.createElement("a");
    link.href = `/runs/${encodeURIComponent(run.id)}`;
    link.textContent = run.name ? `${run.name} ${run.id}` : run.id;
    const took = run.started ? `${((run.ended || Date.now() / 1000) - run.started).toFixed(1)} s` : "";
    const state = document.createElement("span");
    state.className = `status ${run.reason || run.state}`;
    state.textContent = run.reason && run.reason !== run.state ? `${run.state}: ${run.reason}` : run.state;
    for (const content of [link, state, run.tenant, new Date(run.created * 1000).toLocaleString(), took]) {
      const cell = document.createElement("td");
      cell.append(content);
      line.append(cell);
    }
    return line;
  }

  function draw(page) {
    const runs = [...page.runs, ...older.filter((run) => !page.runs.some((other) => other.id === run.id))];
    rows.replaceChildren(...runs.map(row));
    if (!older.length) { last = page.runs.length ? page.runs[page.runs.length - 1].id : null; more.hidden = !page.more; }
  }

  async function refresh() {
    try {
      const [page, numbers] = await Promise.all([read(`/api/v1/runs?${query()}`), read("/api/v1/counts")]);
      draw(page);
      counts.textContent = Object.entries(numbers).map(([name, count]) => `${name}: ${count.toLocaleString("en")}`).join(", ");
      document.documentElement.dataset.ready = "1";
    } catch (error) {
      counts.textContent = `The list cannot be read: ${error.message}`;
    }
  }

  more.addEventListener("click", async () => {
    const page = await read(`/api/v1/runs?${query(last)}`);
    older.push(...page.runs);
    last = page.runs.length ? page.runs[page.runs.length - 1].id : last;
    more.hidden = !page.more;
    await refresh();
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
