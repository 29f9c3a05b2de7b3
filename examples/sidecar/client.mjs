// A manager in JavaScript: starts a run on a jobcell server and follows it to its end.
//   node client.mjs http://127.0.0.1:8321 plan.json [state.json]      (JOBCELL_TOKEN, if the server needs one)
import { readFileSync } from "node:fs";

const [base, planFile, stateFile] = process.argv.slice(2);
const token = process.env.JOBCELL_TOKEN;
const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };

async function call(path, options = {}) {
  const answer = await fetch(`${base}/api/v1${path}`, { headers, ...options });
  if (!answer.ok) throw new Error((await answer.json()).message);
  return answer;
}

const body = { plan: JSON.parse(readFileSync(planFile)), state: stateFile ? JSON.parse(readFileSync(stateFile)) : null };
const { id } = await (await call("/runs", { method: "POST", body: JSON.stringify(body) })).json();

let rest = "";
const decoder = new TextDecoder();
for await (const chunk of (await call(`/runs/${id}/stream`)).body) {
  rest += decoder.decode(chunk, { stream: true });
  const messages = rest.split(/\r?\n\r?\n/);
  rest = messages.pop();
  for (const message of messages) {
    const data = message.split(/\r?\n/).find((line) => line.startsWith("data: "));
    const event = data ? JSON.parse(data.slice(6)) : {};
    if (event.type) console.log(event.seq, event.type, event.step_id ?? "", event.message ?? "");
  }
}

const result = await (await call(`/runs/${id}/result?wait_s=10`)).json();
console.log(JSON.stringify({ reason: result.reason, state: result.state }));
