"use strict";
// A run as it goes on: server-sent events say that something is new, and the report brings it.
(() => {
  const id = decodeURIComponent(location.pathname.split("/").pop());
  const base = `/api/v1/runs/${encodeURIComponent(id)}`;
  const notice = document.getElementById("notice");
  const cancel = document.getElementById("cancel");
  const retry = document.getElementById("retry");
  const root = document.getElementById("run");
  let view = null, states = [], lines = [], busy = false, again = false, pause = 0;
  document.title = `${id} - jobcell`;

  async function ask(path, options) {
    const answer = await fetch(path, options);
    if (answer.status === 401) { location.href = "/login"; throw new Error("not logged in"); }
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message);
    return body;
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    const begin = performance.now();
    try {
      const report = await ask(`${base}/report?states_from=${states.length}&lines_from=${lines.length}`);
      states = states.concat(report.states || []);
      lines = lines.concat(report.lines || []);
      report.states = states;
      report.lines = lines;
      report.steps = report.steps || [];
      if (view === null) view = new jobcellView.View(root);
      view.update(report);
      cancel.hidden = Boolean(report.over);
      retry.hidden = !report.over;
      document.documentElement.dataset.ready = String(report.over ? "over" : "running");
    } catch (error) {
      notice.textContent = error.message;
    }
    // A large run is drawn less often, so that the page stays quick.
    pause = Math.min(2000, 4 * (performance.now() - begin));
    busy = false;
    if (again) { again = false; setTimeout(refresh, pause); }
  }

  function follow() {
    const stream = new EventSource(`${base}/stream`);
    const types = ["workflow-start", "init-start", "init-complete", "state-load", "credential-load", "job-start", "job-complete", "job-error", "edge-resolved", "log", "net-connect", "workflow-complete", "workflow-error"];
    for (const type of types) stream.addEventListener(type, refresh);
    stream.addEventListener("end", () => { stream.close(); refresh(); });
    stream.addEventListener("error", () => { notice.textContent = "The connection was lost; trying again."; });
    stream.addEventListener("open", () => { notice.textContent = ""; });
  }

  const send = (path, body) => ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  cancel.addEventListener("click", async () => {
    try { await send(`${base}/cancel`, {reason: "cancelled on the page"}); notice.textContent = "The run is being cancelled."; }
    catch (error) { notice.textContent = error.message; }
  });
  retry.addEventListener("click", async () => {
    try { const made = await send(`${base}/retry`, {}); location.href = `/runs/${encodeURIComponent(made.id)}`; }
    catch (error) { notice.textContent = error.message; }
  });
  refresh();
  follow();
})();
