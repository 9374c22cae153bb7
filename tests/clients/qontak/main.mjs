// Requests of public clients of Qontak's API, sent with the HTTP library that they use: a login before
// each call, as integrators' packages do, and the signatures of Mekari's SDK.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import axios from "axios";

const { ADDRESS, KEY, MEKARI_API_CLIENT_ID: id, MEKARI_API_CLIENT_SECRET: secret } = process.env;
assert(ADDRESS && KEY, "set ADDRESS and KEY");

const room = "24a60fba-3bc1-4694-9f51-66c4b74d1978";
const broadcast = "5ea8c3f9-65f3-494a-97f4-1ad64958d1dc";
const template = "a8237492-42fc-42e0-9498-dd42c131475b";

// A client that logs in and keeps the token in the default headers.
function createClient(baseURL, password) {
  const http = axios.create({ baseURL });
  const logIn = async () => {
    const { data } = await http.post("/oauth/token", {
      username: "siti@tokomaju.example", password, client_id: "client", client_secret: "as issued",
      grant_type: "password",
    });
    http.defaults.headers.common.Authorization = `Bearer ${data.access_token}`;
    return data;
  };
  const get = async (path, params) => (await logIn(), (await http.get(`/api/open/v1/${path}`, { params })).data);
  return { http, logIn, get };
}

async function rejected(promise) {
  const error = await promise.then(() => assert.fail("the request was accepted"), (error) => error);
  return [error.response.status, error.response.data];
}

const client = createClient(ADDRESS, KEY);
const checks = {
  async "login"() {
    const token = await client.logIn();
    assert.deepEqual(Object.keys(token).sort(),
      ["access_token", "created_at", "expires_in", "refresh_token", "token_type"]);
    assert.equal(token.token_type, "Bearer");
    const renewed = await axios.post(`${ADDRESS}/oauth/token`, new URLSearchParams({
      grant_type: "refresh_token", refresh_token: token.refresh_token, client_id: "client",
    }));
    assert.equal(renewed.data.access_token, token.access_token);
  },
  async "login with a wrong password"() {
    const [status, body] = await rejected(createClient(ADDRESS, "wrong").logIn());
    assert.equal(status, 401);
    assert.deepEqual([body.status, body.error.messages], ["error", ["Invalid token"]]);
  },
  async "health"() {
    for (const path of ["/v1/health", "/api/open/v1/health"]) {
      assert.deepEqual((await axios.get(ADDRESS + path)).data, { status: "ok" });
    }
  },
  async "WhatsApp channels"() {
    const { data, meta } = await client.get("integrations", { limit: 10, offset: 1, target_channel: "wa_cloud" });
    assert(data.length > 0 && data.every((channel) => channel.target_channel === "wa_cloud" && channel.is_active));
    assert.deepEqual([meta.pagination.limit, meta.pagination.offset], [10, 1]);
  },
  async "WhatsApp templates"() {
    const { data, meta } = await client.get("templates/whatsapp", { limit: 10, offset: 0 });
    // One of a broadcast, the other one of a `status_template` event.
    assert.equal(data.length, 2);
    assert.match(data.find((one) => one.id === template).body, /^Halo \{\{1\}\}/);
    assert.equal(meta.pagination.total, 2);
  },
  async "broadcast log"() {
    const { data, meta } = await client.get(`broadcasts/${broadcast}/whatsapp/log`);
    assert.equal(meta.pagination.total, 5);
    const read = data.find((log) => log.status === "read").messages_response;
    assert.equal(read.messaging_product, "whatsapp");
    for (const status of ["sent", "delivered", "read"]) {
      const [report] = read[status].statuses;
      assert.deepEqual([report.status, report.id], [status, read.messages[0].id]);
      assert.equal(read[status].webhook, "LkT0k0MajuWaCl0udHook1");
    }
    assert.equal(read.delivered.statuses[0].conversation.expiration_timestamp, "1749776400");
    const failed = data.find((log) => log.whatsapp_message_id === "n/a");
    assert.equal(failed.messages_response.meta.api_status, "stable");
  },
  async "broadcasts"() {
    const { data, headers } = await client.http.get("/api/open/v1/broadcasts/whatsapp", {
      params: { is_counted: true, start_date: "2025-06-12", end_date: "2025-06-12", order_by: "created_at", execute_types: ["immediately"] },
    });
    assert.equal(headers["x-ignored-parameters"], "execute_types[], order_by");
    assert.deepEqual(data.data.map((row) => row.id), [broadcast]);
    assert.deepEqual(data.data[0].message_status_count, { failed: 2, delivered: 1, read: 1, pending: 1, sent: 0 });
    assert.deepEqual((await client.get(`broadcasts/${broadcast}/whatsapp`)).data, data.data[0]);
  },
  async "cursors without a direction"() {
    const all = (await client.get("rooms", { limit: 500 })).data.map((row) => row.id);
    for (const name of ["next", "prev"]) {
      const seen = [];
      for (let cursor; ;) {
        const { data, meta } = await client.get("rooms", { limit: 2, cursor });
        if (data.length === 0) break;
        seen.push(...data.map((row) => row.id));
        assert(seen.length <= all.length, name);
        cursor = meta.pagination.cursor[name];
        if (!cursor) break;
      }
      assert.deepEqual(seen, all, name);
    }
  },
  async "room that does not exist"() {
    const [status, body] = await rejected(client.get("rooms/none"));
    assert.deepEqual([status, body.error.messages], [404, ["Resource not found."]]);
  },
};

// As Mekari's SDK: the query is signed decoded, whatever the HTTP library makes of it.
async function signed(path, params, key = secret) {
  const date = new Date().toUTCString();
  const url = new URL(axios.getUri({ url: `${ADDRESS}/qontak/chat/v1/${path}`, params }));
  const query = decodeURIComponent(url.search.replaceAll("+", " "));
  const text = `date: ${date}\nGET ${url.pathname}${query} HTTP/1.1`;
  const signature = createHmac("sha256", key).update(text).digest("base64");
  const headers = {
    Date: date,
    Authorization: `hmac username="${id}", algorithm="hmac-sha256", headers="date request-line", signature="${signature}"`,
  };
  return (await axios.get(`${ADDRESS}/qontak/chat/v1/${path}`, { params, headers })).data;
}

if (id && secret) {
  Object.assign(checks, {
    async "signed lists"() {
      for (const [path, params] of [
        ["rooms", { status: "resolved", limit: 10 }],
        ["rooms", { channels: ["wa_cloud", "ig"], tags: ["vip"], untagged: false }],
        ["rooms/list/expired"], [`rooms/${room}/histories`], [`rooms/${room}/participants`],
        [`rooms/${room}/messages`, { limit: 1 }], ["users", { limit: 10, role: "agent" }],
        ["broadcasts/whatsapp", { is_counted: true }], [`broadcasts/${broadcast}/whatsapp/log`],
        ["integrations", { target_channel: "wa_cloud" }], ["templates/whatsapp"],
      ]) {
        const { status, data } = await signed(path, params);
        assert(status === "success" && Array.isArray(data), path);
      }
      const participants = (await signed(`rooms/${room}/participants`, { type: "all" })).data;
      assert(participants.some((one) => one.type === "Models::AgentParticipant" && one.profile.name));
      assert((await signed("users")).data.every((user) => user.role === "agent"));
    },
    async "signed items"() {
      assert.equal((await signed(`rooms/${room}`)).data.id, room);
      assert.equal((await signed(`broadcasts/${broadcast}/whatsapp`)).data.message_broadcast_error, "n/a");
    },
    async "wrong signature"() {
      assert.deepEqual(await rejected(signed("rooms", {}, "wrong")), [401, { message: "Unauthorized" }]);
    },
  });
} else {
  console.log("skipped: signatures, because MEKARI_API_CLIENT_ID and MEKARI_API_CLIENT_SECRET are not set");
}

for (const [name, check] of Object.entries(checks)) {
  await check().catch((error) => {
    console.error(`failed: ${name}`, error.response?.data ?? "");
    throw error;
  });
  console.log(`ok: ${name}`);
}
