// A manager in JavaScript: starts a run on a jobcell server and follows it to its end.
//   node client.mjs http://127.0.0.1:8321 plan.json [state.json]      (JOBCELL_TOKEN, if the server needs one)
//   node client.mjs unix:/run/jobcell.sock plan.json [state.json]
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const [address, planFile, stateFile] = process.argv.slice(2);
const socketPath = address.startsWith("unix:") ? address.slice("unix:".length) : undefined;
const base = socketPath ? "http://localhost" : address;
const token = process.env.JOBCELL_TOKEN;
const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };

async function call(path, { method = "GET", body } = {}) {
  const { request } = base.startsWith("https:") ? https : http;
  const answer = await new Promise((resolve, reject) => {
    request(`${base}/api/v1${path}`, { method, headers, socketPath }, resolve).on("error", reject).end(body);
  });
  answer.setEncoding("utf8");
  if (answer.statusCode >= 400) throw new Error((await json(answer)).message);
  return answer;
}
const json = async (answer) => JSON.parse((await answer.toArray()).join(""));

const body = { plan: JSON.parse(readFileSync(planFile)), state: stateFile ? JSON.parse(readFileSync(stateFile)) : null };
const { id } = await json(await call("/runs", { method: "POST", body: JSON.stringify(body) }));

let rest = "";
for await (const text of await call(`/runs/${id}/stream`)) {
  const messages = (rest + text).split(/\r?\n\r?\n/);
  rest = messages.pop();
  for (const message of messages) {
    const data = message.split(/\r?\n/).find((line) => line.startsWith("data: "));
    const event = data ? JSON.parse(data.slice("data: ".length)) : {};
    if (event.type) console.log(event.seq, event.type, event.step_id ?? "", event.message ?? "");
  }
}

const result = await json(await call(`/runs/${id}/result?wait_s=10`));
console.log(JSON.stringify({ reason: result.reason, state: result.state }));
