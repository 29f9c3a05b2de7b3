"use strict";
// A run as it goes on: server-sent events say that something is new, and the report brings it.
(() => {
  const AGAIN_MS = 2000; // after an answer that is an error
  const id = decodeURIComponent(location.pathname.split("/").pop());
  const base = `/api/v1/runs/${encodeURIComponent(id)}`;
  const notice = document.getElementById("notice");
  const cancel = document.getElementById("cancel");
  const retry = document.getElementById("retry");
  const root = document.getElementById("run");
  let view = null, states = [], lines = [], busy = false, again = false, pause = 0, seen = 0, isOver = false, isGone = false;
  document.title = `${jobcellParts.visible(id)} - jobcell`;

  const say = (text) => { if (notice.textContent !== text) notice.textContent = jobcellParts.visible(text); };

  async function ask(path, options) {
    let answer;
    try { answer = await fetch(path, options); } catch (error) { throw new Error("The server cannot be reached; trying again."); }
    if (answer.status === 401) { location.href = `/login?next=${encodeURIComponent(location.pathname)}`; throw new Error("Not logged in."); }
    const body = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(body.message), {status: answer.status});
    return body;
  }

  // The run is not there, or not there any more: nothing will come.
  function giveUp(message) {
    isGone = true;
    cancel.hidden = retry.hidden = true;
    say(message);
    if (view === null) root.replaceChildren(jobcellParts.make("h1", {}, "There is no such run"), jobcellParts.make("p", {}, message));
    document.documentElement.dataset.ready = "gone";
  }

  async function refresh() {
    if (busy || isGone) { again = true; return; }
    busy = true;
    again = false;
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
      isOver = Boolean(report.over);
      cancel.hidden = isOver;
      retry.hidden = !isOver;
      document.documentElement.dataset.ready = isOver ? "over" : "running";
      // A large run is drawn less often, so that the page stays quick.
      pause = Math.min(2000, 4 * (performance.now() - begin));
    } catch (error) {
      if (error.status === 404) giveUp(error.message);
      else { say(error.message); again = true; pause = AGAIN_MS; }
    }
    busy = false;
    if (again) setTimeout(refresh, pause);
  }

  function follow() {
    const stream = new EventSource(`${base}/stream?after=${seen}`);
    const types = ["workflow-start", "init-start", "init-complete", "state-load", "credential-load", "job-start", "job-complete", "job-error", "edge-resolved", "log", "net-connect", "workflow-complete", "workflow-error"];
    for (const type of types) stream.addEventListener(type, (event) => { seen = Math.max(seen, Number(event.lastEventId) || 0); refresh(); });
    stream.addEventListener("end", () => { stream.close(); refresh(); });
    stream.addEventListener("open", () => say(""));
    stream.addEventListener("error", () => {
      if (!isOver && !isGone) say("The connection was lost; trying again.");
      // A browser tries again after a lost connection, but not after an answer that is an error.
      if (stream.readyState === EventSource.CLOSED && !isGone) { refresh(); if (!isOver) setTimeout(() => { if (!isGone && !isOver) follow(); }, AGAIN_MS); }
    });
  }

  const send = (path, body) => ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  cancel.addEventListener("click", async () => {
    try { await send(`${base}/cancel`, {reason: "cancelled on the page"}); say("The run is being cancelled."); }
    catch (error) { say(error.message); }
  });
  retry.addEventListener("click", async () => {
    try { const made = await send(`${base}/retry`, {}); location.href = `/runs/${encodeURIComponent(made.id)}`; }
    catch (error) { say(error.message); }
  });
  refresh();
  follow();
})();
