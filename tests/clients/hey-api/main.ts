// Reads the service with a client of @hey-api/openapi-ts: types as generated, no casts. zod validates
// every request and response.
import assert from "node:assert/strict";
import { client } from "./client/client.gen.js";
import {
  exportMessages,
  exportRooms,
  getBroadcast,
  getMe,
  getRoom,
  getStats,
  listBroadcasts,
  listDeliveryStatuses,
  listEvents,
  listLedger,
  listMessages,
  listRooms,
  qontakListRooms,
} from "./client/index.js";
import type { Room, Status } from "./client/index.js";
import { zMessage, zRoom } from "./client/zod.gen.js";

client.setConfig({ baseUrl: process.env.ADDRESS ?? "", auth: process.env.KEY ?? "" });
const throwOnError = true;

/** All rooms with a filter, page by page. */
async function allRooms(): Promise<Room[]> {
  const rooms: Room[] = [];
  let cursor: string | null | undefined;
  do {
    const query = { channel: ["wa_cloud", "wa"], limit: 2, ...(cursor ? { cursor } : {}) };
    const { data } = await listRooms({ query, throwOnError });
    rooms.push(...data.data);
    cursor = data.meta.pagination.cursor.next;
  } while (cursor);
  return rooms;
}

// A list with filters, page by page.
const rooms = await allRooms();
assert(rooms.length > 2);
assert.equal(new Set(rooms.map((room) => room.id)).size, rooms.length);
rooms.forEach((room) => zRoom.parse(room));

// One item.
const [first] = rooms;
assert(first);
const room: Room = (await getRoom({ path: { id: first.id }, throwOnError })).data.data;
assert.deepEqual(room, first);
const address = typeof room.avatar === "string" ? room.avatar : room.avatar?.url;
assert(address?.startsWith("https://"));
const query = { response_state: "unanswered", session: "expired" } as const;
assert((await listRooms({ query, throwOnError })).data.data.length <= rooms.length);

// Objects of Qontak and WhatsApp, closed and open lists of words.
const messages = (await listMessages({ query: { limit: 500 }, throwOnError })).data.data;
messages.forEach((message) => zMessage.parse(message));
const names: (string | null | undefined)[] = messages.map((message) => message.file?.filename);
assert(names.some((name) => name?.endsWith(".pdf")));
const replies = messages.map(({ reply }) => (typeof reply === "string" ? reply : reply?.text));
assert(replies.some((text) => text?.includes("motif parang")));
const reached: Status[] = ["delivered", "read"];
assert(messages.some(({ status }) => status !== null && reached.includes(status)));
const { scopes } = (await getMe({ throwOnError })).data.data;
assert(scopes.includes("export"));

// Counts are numbers, everywhere.
const [broadcast] = (await listBroadcasts({ throwOnError })).data.data;
assert(broadcast);
const total: number = broadcast.total;
const funnel = (await getBroadcast({ path: { id: broadcast.id }, throwOnError })).data.data;
assert.equal(funnel.total, total);
assert(funnel.failed_by_code.every(({ count }) => Number.isInteger(count)));
const statuses = { status: ["failed" as const], limit: 500 };
const deliveries = (await listDeliveryStatuses({ query: statuses, throwOnError })).data.data;
const codes: (number | null)[] = deliveries.map((delivery) => delivery.error_code);
assert(codes.some((code) => code !== null && code > 0));
const [hour] = (await listLedger({ throwOnError })).data.data;
assert(hour && hour.received > 0);

// Errors.
const missing = await getRoom({ path: { id: "none" } });
assert.equal(missing.response?.status, 404);
assert.deepEqual(missing.error?.error.messages, ["not found"]);
const cursor = { query: { cursor: "none", kind: ["status_message" as const] } };
const invalid = await listEvents(cursor);
assert(invalid.error);
assert.equal(invalid.error.error.code, 422);
assert.match(invalid.error.error.messages.join(), /^cursor: must be one/);

// Exports.
const csv = (await exportRooms({ throwOnError })).data;
assert(csv.startsWith("id,organization_id,name,"));
assert(csv.trimEnd().split("\r\n").length > rooms.length);
const ndjson = { query: { format: "ndjson" }, parseAs: "text", throwOnError } as const;
const lines = (await exportMessages(ndjson)).data.trimEnd().split("\n");
assert.equal(lines.length, messages.length);
lines.forEach((line) => zMessage.parse(JSON.parse(line)));

// Statistics.
const period = { start_date: "2025-06-12", end_date: "2025-06-12", time_zone: "Asia/Jakarta" };
const stats = (await getStats({ query: period, throwOnError })).data.data;
assert(stats.messages.reduce((sum, row) => sum + row.in, 0) > 0);

// Qontak's own routes.
const own = await qontakListRooms({ query: { limit: 2 }, throwOnError });
assert.equal(own.data.data.length, 2);
