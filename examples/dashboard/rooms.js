// Conversations: the list with filters, and the selected conversation.

import { ask } from "./api.js";
import { fill, filters, latest, make, pages, place, refill, tick, time } from "./page.js";
import { conversation } from "./conversation.js";

const fields = [
  ["Search", "q", "search"],
  ["Status", "status", ["", "unassigned", "assigned", "resolved", "campaign"]],
  ["Channel", "channel", ["", "wa_cloud", "wa", "ig", "web_chat"]],
  ["Response", "response", ["", "unanswered", "answered"]],
  ["Session", "session", ["", "open", "expiring", "expired"]],
  ["From", "start_date", "date"],
  ["Until", "end_date", "date"],
];

export function rooms(main) {
  const form = filters("Rooms", fields);
  const list = make("ul.rooms");
  const around = make("div");
  const talk = make("section.conversation", { "aria-label": "Conversation" });
  const hint = make("p.nothing", {}, "Select a conversation.");
  main.append(make("section.list", { "aria-label": "Rooms" }, form, list, around), talk, hint);
  const opened = conversation(talk);
  let now = {};

  const load = latest(async () => {
    const { id, query } = now;
    const { data, meta } = await ask("/v1/rooms", [], { limit: 25, ...query });
    return () => {
      refill(list, data.map((room) => line(room, id, query)));
      if (!data.length) list.append(make("li.nothing", {}, "No rooms."));
      refill(around, pages("rooms", id, query, meta));
    };
  });

  return {
    async show(id, query) {
      now = { id, query };
      fill(form, query);
      talk.hidden = id === null;
      hint.hidden = id !== null;
      await Promise.all([load(), opened.show(id)]);
    },
    async update(events) {
      const changed = events.filter((event) => event.room_id !== null);
      if (changed.length) await Promise.all([load(), opened.update(changed)]);
    },
  };
}

function line(room, id, query) {
  const last = room.last_message;
  const at = room.last_activity_at ?? room.last_message_at;
  const waits = room.is_unresponded && room.status !== "resolved";
  return make("li", {},
    make("a", { href: place("rooms", room.id, query), "aria-current": room.id === id && "true" },
      make("strong", {}, room.name ?? room.account_uniq_id ?? room.id),
      time(at),
      make("span.last", {}, last && last.direction !== "in" ? [tick(last.status), " "] : "", preview(last)),
      make("span.marks", {},
        make(`span.mark.${waits ? "waits" : "plain"}`, {}, room.status ?? "no status"),
        room.channel ? make("span.mark", {}, room.channel) : null,
        room.unread_count ? make("span.mark.unread", { title: "unread" }, `${room.unread_count}`) : null,
        (room.tags ?? []).map((tag) => make("span.mark.tag", {}, tag)))));
}

const preview = (message) => (message ? (message.text ?? `[${message.type ?? "message"}]`) : "No messages.");
