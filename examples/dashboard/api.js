// API client: requests and the event stream. The key is sent in a header, never in a URL.

const keeper = sessionStorage;

export const address = () => keeper.getItem("address") ?? location.origin;
export const hasKey = () => keeper.getItem("key") !== null;
export const forget = () => keeper.removeItem("key");

export function remember(address, key) {
  keeper.setItem("address", address.replace(/\/+$/, ""));
  keeper.setItem("key", key);
}

// An error response. `status` is 0 if there was no response.
export class ApiError extends Error {
  constructor(status, messages) {
    super(messages.join("; "));
    this.status = status;
  }
}

async function get(path, headers = {}, signal = undefined) {
  const request = { headers: { authorization: `Bearer ${keeper.getItem("key")}`, ...headers }, signal };
  const answer = await fetch(address() + path, request).catch((error) => {
    if (signal?.aborted) throw error;
    const hint = address() === location.origin ? "" : `, and that its setting api.cors_origins contains ${location.origin}`;
    throw new ApiError(0, [`no response from ${address()}: check the address and that the service is running${hint}`]);
  });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => undefined);
  throw new ApiError(answer.status, body?.error?.messages ?? [`${answer.status} ${answer.statusText}`]);
}

// Returns the response body: `data`, and `meta` for a list. Each `{}` in the path is replaced by the
// next id. Parameters without a value are omitted.
export async function ask(path, ids = [], parameters = {}) {
  const parts = ids.map(encodeURIComponent);
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const answer = await get(path.replace(/{}/g, () => parts.shift()) + (query.size ? `?${query}` : ""));
  return answer.json();
}

// Subscribes to applied events until `signal` aborts. Calls `on.event` with each event, `on.reset` if
// events were missed, `on.state` with whether it is connected, and `on.refused` if the key is rejected.
// Resumes after a disconnect.
export async function listen(on, signal) {
  const last = { id: "", retry: 2000 };
  while (!signal.aborted) {
    try {
      const answer = await get("/v1/stream", last.id ? { "last-event-id": last.id } : {}, signal);
      on.state(true);
      await read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), last, on);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) return on.refused(error);
    }
    on.state(false);
    await pause(last.retry);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Parses server-sent events: blocks of lines, separated by empty lines.
async function read(reader, last, on) {
  for (let text = ""; ; ) {
    // The service sends a heartbeat every 15 s. Without one the connection is dead.
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
