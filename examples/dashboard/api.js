// Asks the API, and listens to it. The key is in a header, never in a URL.

const keeper = sessionStorage;

export const address = () => keeper.getItem("address") ?? location.origin;
export const hasKey = () => keeper.getItem("key") !== null;
export const forget = () => keeper.removeItem("key");

export function remember(address, key) {
  keeper.setItem("address", address.replace(/\/+$/, ""));
  keeper.setItem("key", key);
}

// What the API refused. `status` is 0 where there was no answer.
export class Refusal extends Error {
  constructor(status, messages) {
    super(messages.join("; "));
    this.status = status;
  }
}

async function get(path, headers = {}, signal = undefined) {
  const request = { headers: { authorization: `Bearer ${keeper.getItem("key")}`, ...headers }, signal };
  const answer = await fetch(address() + path, request).catch((problem) => {
    if (signal?.aborted) throw problem;
    const hint = address() === location.origin ? "" : `, and does its setting api.cors_origins name ${location.origin}`;
    throw new Refusal(0, [`${address()} does not answer: is the address right, does it run${hint}?`]);
  });
  if (answer.ok) return answer;
  const refusal = await answer.json().catch(() => undefined);
  throw new Refusal(answer.status, refusal?.error?.messages ?? [`${answer.status} ${answer.statusText}`]);
}

// The answer of a route: `data`, and of a list `meta`. Each `{}` in the path is the next id;
// parameters without a value are left out.
export async function ask(path, ids = [], parameters = {}) {
  const parts = ids.map(encodeURIComponent);
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const answer = await get(path.replace(/{}/g, () => parts.shift()) + (query.size ? `?${query}` : ""));
  return answer.json();
}

// Tells of what is applied until `signal` aborts: calls `on.event` with each event, `on.reset` if
// some were missed, `on.state` with whether it is connected, and `on.refused` if it never will be.
// After a cut it goes on from where it was.
export async function listen(on, signal) {
  const last = { id: "", retry: 2000 };
  while (!signal.aborted) {
    try {
      const answer = await get("/v1/stream", last.id ? { "last-event-id": last.id } : {}, signal);
      on.state(true);
      await read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), last, on);
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401 || problem.status === 403) return on.refused(problem);
    }
    on.state(false);
    await pause(last.retry);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Server-sent events: blocks of lines, each block with an empty line behind it.
async function read(reader, last, on) {
  for (let text = ""; ; ) {
    // The service says something every 15 s: who hears nothing for long is cut off.
    const { done, value } = (await Promise.race([reader.read(), pause(45_000)])) ?? { done: true };
    if (done) return reader.cancel();
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
      if (lines.event === "reset") on.reset();
      else if (lines.data) on.event(JSON.parse(lines.data));
      last.id = lines.id ?? last.id;
      last.retry = Number(lines.retry ?? last.retry);
    }
  }
}
