// One conversation: messages with sender, delivery status and time, and room events.

import { ask } from "./api.js";
import { brief, date, hour, latest, make, place, refill, localized, tick, time } from "./page.js";

const when = (message) => message.created_at ?? message.received_at;
const earlierFirst = (a, b) => when(a).localeCompare(when(b)) || a.id.localeCompare(b.id);

// Shows rooms in this element, one at a time.
export function conversation(element) {
  let id = null;
  let messages = new Map();
  let earlier = null; // Cursor of the page before the earliest message shown.

  const head = make("div");
  const life = make("ul");
  const count = make("summary");
  const more = make("button", { type: "button", click: () => loadEarlier() }, "Earlier messages");
  const list = make("ol.messages", { role: "log", "aria-label": "Messages" });
  element.append(
    make("header", {}, make("a.back", { href: place("rooms") }, "‹ All rooms"), head, make("details", {}, count, life)),
    more,
    list,
  );

  const load = latest(async () => {
    const [room, events, page] = await Promise.all([
      ask("/v1/rooms/{}", [id]),
      ask("/v1/rooms/{}/events", [id]),
      ask("/v1/rooms/{}/messages", [id]),
    ]);
    return () => {
      messages = new Map(page.data.map((message) => [message.id, message]));
      earlier = page.meta.pagination.cursor.next;
      describe(room.data, events.data);
      write();
      element.scrollTop = element.scrollHeight;
    };
  });

  async function loadEarlier() {
    const of = id;
    const page = await ask("/v1/rooms/{}/messages", [id], { cursor: earlier });
    if (of !== id) return;
    for (const message of page.data) messages.set(message.id, message);
    earlier = page.meta.pagination.cursor.next;
    write();
  }

  function describe(room, events) {
    refill(head, title(room));
    count.textContent = `History (${events.length})`;
    refill(life, events.map(happening));
  }

  function write() {
    const sorted = [...messages.values()].sort(earlierFirst);
    const lines = sorted.flatMap((message, index) => {
      const isNewDay = !index || date(when(message)) !== date(when(sorted[index - 1]));
      return [isNewDay ? make("li.day", {}, date(when(message))) : [], bubble(message)].flat();
    });
    more.hidden = earlier === null;
    refill(list, lines);
  }

  // Changed messages are fetched one by one, so that loaded pages stay.
  async function refresh(happened) {
    const of = id;
    const changed = new Set(happened.filter((event) => /message/.test(event.kind)).map((event) => event.subject_id));
    const [room, events, ...answers] = await Promise.all([
      ask("/v1/rooms/{}", [id]),
      ask("/v1/rooms/{}/events", [id]),
      ...[...changed].map((message) => ask("/v1/messages/{}", [message])),
    ]);
    if (of !== id) return;
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 80;
    const [first] = [...messages.values()].sort(earlierFirst);
    for (const { data } of answers) {
      const isShown = earlier === null || messages.has(data.id) || earlierFirst(first, data) < 0;
      if (isShown) messages.set(data.id, data);
    }
    describe(room.data, events.data);
    write();
    if (isAtEnd) element.scrollTop = element.scrollHeight;
  }

  return {
    async show(room) {
      if (room === id) return;
      id = room;
      refill(list);
      more.hidden = true;
      if (id !== null) await load();
    },
    async update(events) {
      const ours = events.filter((event) => event.room_id === id);
      if (ours.length) await refresh(ours);
    },
  };
}

function title(room) {
  const facts = [room.account_uniq_id, room.channel, room.channel_account?.trim(), room.status];
  return [make("h2", {}, room.name ?? room.id), make("p", {}, facts.filter(Boolean).join(" · "))];
}

const happening = (event) => make("li", {}, time(event.at ?? event.received_at), " ",
  event.type.replace("_", " "), event.actor_name ? ` – ${event.actor_name}` : "");

function bubble(message) {
  const side = message.direction === "in" ? "in" : "out";
  const answered = typeof message.reply === "string" ? message.reply : (message.reply?.text ?? null);
  return make(`li.${side}`, { "data-id": message.id },
    make("span.sender", {}, message.sender.name ?? message.participant_type ?? "unknown",
      message.participant_type === "bot" ? make("span.mark", {}, "bot") : null),
    answered ? make("q", {}, answered) : null,
    attachment(message),
    message.text ? make("p", {}, message.text) : null,
    make("footer", {}, time(when(message), hour(when(message))), side === "out" ? progress(message) : null),
    message.status === "failed" ? failure(message) : null);
}

// WhatsApp reports the exact time; other sources only when it was first seen.
function progress(message) {
  const reached = message.status_times[message.status];
  const since = reached && ` ${reached.source === "channel" ? "at" : "by"} ${brief(reached.at, when(message))}`;
  const all = Object.entries(message.status_times).sort(([, a], [, b]) => a.at.localeCompare(b.at));
  const lines = all.map(([status, { at, source }]) => `${status}: ${new Date(at).toLocaleString()} (${source})`);
  return make("span.progress", { title: lines.join("\n") }, tick(message.status), ` ${message.status ?? ""}`, since);
}

function failure(message) {
  const parts = [localized(message.error_meaning) ?? message.error_title, localized(message.error_advice)];
  return make("p.failure", {}, parts.filter(Boolean).join(" ") || "Failed; no error was reported.");
}

// A link to the attachment if its URL is http or https.
function attachment({ type, file, raw_message }) {
  const name = file?.filename ?? type;
  if (/^https?:\/\//i.test(file?.url ?? "")) {
    return make("a.file", { href: file.url, target: "_blank", rel: "noopener noreferrer" }, `📎 ${name}`);
  }
  const { latitude, longitude, name: where } = raw_message?.messages?.[0]?.location ?? {};
  if (latitude !== undefined) return make("span.file", {}, `📍 ${where ?? ""} ${latitude}, ${longitude}`);
  return type === "text" || type === null ? null : make("span.file", {}, `[${type}]`);
}
