// Reads the service with a client of openapi-typescript and openapi-fetch: types as generated, no
// casts.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

const { ADDRESS: baseUrl = "", KEY: key = "" } = process.env;
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${key}` } });

/** Data of a successful response; an error ends the program with its messages. */
function ok<T>({ data, error }: { data?: T; error?: Schemas["ErrorResponse"] }): T {
  if (error) throw new Error(`${error.error.code}: ${error.error.messages.join("; ")}`);
  assert(data !== undefined);
  return data;
}

/** All rooms with a filter, page by page. */
async function listRooms(): Promise<Schemas["Room"][]> {
  const rooms: Schemas["Room"][] = [];
  let cursor: string | null | undefined;
  do {
    const query = { channel: ["wa_cloud", "wa"], limit: 2, ...(cursor ? { cursor } : {}) };
    const { data, meta } = ok(await client.GET("/v1/rooms", { params: { query } }));
    rooms.push(...data);
    cursor = meta.pagination.cursor.next;
  } while (cursor);
  return rooms;
}

/** Every status is known: a new one does not compile. */
function rank(status: Schemas["Status"]): number {
  switch (status) {
    case "created":
    case "pending":
      return 0;
    case "sent":
    case "failed":
      return 1;
    case "delivered":
    case "read":
      return 2;
  }
}

// A list with filters, page by page.
const rooms = await listRooms();
assert(rooms.length > 2);
assert.equal(new Set(rooms.map((room) => room.id)).size, rooms.length);
assert(rooms.every((room) => room.channel === "wa_cloud" || room.channel === "wa"));
const query = { channel: ["wa_cloud", "wa"], is_counted: true, limit: 1 };
const counted = ok(await client.GET("/v1/rooms", { params: { query } }));
const total: number | undefined = counted.meta.pagination.total;
assert.equal(total, rooms.length);

// One item.
const [first] = rooms;
assert(first);
const path = { id: first.id };
const room = ok(await client.GET("/v1/rooms/{id}", { params: { path } })).data;
assert.deepEqual(room, first);
const avatar = room.avatar;
const address: string | null | undefined = typeof avatar === "string" ? avatar : avatar?.url;
assert(address?.startsWith("https://"));
const waiting = ok(
  await client.GET("/v1/rooms", { params: { query: { response_state: "unanswered" } } }),
);
assert(waiting.data.every((one) => typeof one.unread_count !== "string"));

// Objects of Qontak and WhatsApp.
const messages = ok(await client.GET("/v1/messages", { params: { query: { limit: 500 } } })).data;
const names: (string | null | undefined)[] = messages.map((message) => message.file?.filename);
assert(names.some((name) => name?.endsWith(".pdf")));
const replies = messages.map(({ reply }) => (typeof reply === "string" ? reply : reply?.text));
assert(replies.some((text) => text?.includes("motif parang")));
const raw = messages.flatMap(({ raw_message }) => raw_message?.messages ?? []);
assert(raw.some(({ type, location }) => type === "location" && location !== undefined));
const buttons: (string | null | undefined)[] = messages
  .flatMap((message) => message.buttons ?? [])
  .map((button) => button.text);
assert.equal(buttons.length, 0);

// Closed and open lists of words.
const sent = ok(await client.GET("/v1/messages", { params: { query: { direction: "out" } } })).data;
assert(sent.some(({ status }) => status !== null && rank(status) === 2));
const times = sent.flatMap(({ status_times }) => status_times.read ?? []);
assert(times.every(({ source }) => ["channel", "body", "received"].includes(source)));
const me = ok(await client.GET("/v1/me")).data;
const scopes: ("read" | "read_masked" | "export" | "replay" | "write")[] = me.scopes;
assert(scopes.includes("export"));

// Errors.
const missing = await client.GET("/v1/rooms/{id}", { params: { path: { id: "none" } } });
assert.equal(missing.response.status, 404);
assert.deepEqual(missing.error?.error.messages, ["not found"]);
const invalid = await client.GET("/v1/events", { params: { query: { limit: 1000 } } });
assert(invalid.error);
assert.equal(invalid.error.error.code, 422);
assert.match(invalid.error.error.messages.join(), /^limit: must be between/);

// Nothing has changed.
const tag = ok(await client.GET("/v1/events", { params: { query: { limit: 1 } } }));
assert.equal(tag.status, "success");
const again = await client.GET("/v1/me");
const headers = { "if-none-match": again.response.headers.get("etag") ?? "" };
assert.equal((await client.GET("/v1/me", { headers })).response.status, 304);

// Exports.
const csv = ok(await client.GET("/v1/exports/rooms", { parseAs: "text" }));
const [columns, ...lines] = csv.trimEnd().split("\r\n");
assert(columns?.startsWith("id,organization_id,name,"));
assert(lines.length >= rooms.length);
const filters = { params: { query: { format: "ndjson" as const, outcome: ["applied" as const] } } };
const ndjson = await client.GET("/v1/exports/events", { ...filters, parseAs: "stream" });
assert(ndjson.data);
assert.equal(ndjson.response.headers.get("content-type"), "application/x-ndjson; charset=utf-8");
const applied = (await new Response(ndjson.data).text()).trimEnd().split("\n");
assert(applied.length > 10);

// Statistics.
const period = { start_date: "2025-06-12", end_date: "2025-06-12", time_zone: "Asia/Jakarta" };
const stats = ok(await client.GET("/v1/stats", { params: { query: period } })).data;
const received: number = stats.messages.reduce((sum, row) => sum + row.in, 0);
assert(received > 0);
assert.equal(stats.start, "2025-06-12T00:00:00+07:00");

// Qontak's own routes.
const own = ok(await client.GET("/api/open/v1/rooms", { params: { query: { limit: 2 } } }));
assert.equal(own.data.length, 2);
