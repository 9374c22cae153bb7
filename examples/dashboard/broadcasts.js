// Broadcasts: the list, and of one of them the funnel, why it failed for some, and its recipients.

import { ask } from "./api.js";
import { duration, filters, latest, make, pages, place, said, table, tick, time } from "./page.js";

const steps = ["created", "pending", "sent", "delivered", "read", "failed"];

export function broadcasts(main, query) {
  let now = {};
  const load = latest(() => (now.id === null ? list(main, now.query) : one(main, now.id, now.query)));
  return {
    async show(id, query) {
      now = { id, query };
      await load();
    },
    async told(events) {
      const isOurs = ({ broadcast_id: of }) => of !== null && (now.id === null || of === now.id);
      if (events.some(isOurs)) await load();
    },
  };
}

async function list(main, query) {
  const { data, meta } = await ask("/v1/broadcasts", [], query);
  const rows = data.map((broadcast) => [
    make("a", { href: place("broadcasts", broadcast.id) }, broadcast.name ?? broadcast.id),
    time(broadcast.created_at),
    ...["total", "delivered", "read", "failed"].map((field) => broadcast[field].toLocaleString()),
  ]);
  const head = ["Broadcast", "Sent", "Recipients", "Delivered", "Read", "Failed"];
  return () => main.replaceChildren(
    make("h2", {}, "Broadcasts"),
    data.length ? table(head, rows) : make("p.nothing", {}, "No broadcasts."),
    pages("broadcasts", null, query, meta));
}

async function one(main, id, query) {
  const [{ data: broadcast }, { data: logs, meta }] = await Promise.all([
    ask("/v1/broadcasts/{}", [id]),
    ask("/v1/broadcasts/{}/logs", [id], query),
  ]);
  return () => main.replaceChildren(
    make("p", {}, make("a", { href: place("broadcasts") }, "‹ All broadcasts")),
    make("h2", {}, broadcast.name ?? broadcast.id),
    make("p", {}, time(broadcast.created_at)),
    funnel(broadcast),
    ...reasons(broadcast),
    make("h3", {}, "Recipients"),
    filters("Recipients", [["Status", "status", steps]], query),
    recipients(logs),
    pages("broadcasts", id, query, meta));
}

// Each bar is of those who came at least so far.
function funnel({ total, reached, failed, seconds_to_delivery: delivery, seconds_to_read: read }) {
  const took = ({ p50, p95 }) => (p50 === null ? "" : `half within ${duration(p50)}, 95 of 100 within ${duration(p95)}`);
  const bars = [
    ["Recipients", "total", total, ""],
    ["Sent", "sent", reached.sent, ""],
    ["Delivered", "delivered", reached.delivered, took(delivery)],
    ["Read", "read", reached.read, took(read)],
    ["Failed", "failed", failed, ""],
  ];
  const bar = ([label, name, count, note]) => [
    make("dt", {}, label),
    make("dd", { "data-step": name },
      make(`meter.${name}`, { min: 0, max: Math.max(total, 1), value: count, "aria-label": label }),
      make("strong", {}, count.toLocaleString()),
      make("span", {}, total ? ` ${Math.round((100 * count) / total)} % ` : " ", make("small", {}, note))),
  ];
  return make("dl.funnel", {}, bars.map(bar));
}

function reasons({ failed_by_code: failures }) {
  if (!failures.length) return [];
  const rows = failures.map((failure) => [
    failure.count.toLocaleString(),
    `${failure.error_code ?? "none"}`,
    said(failure.error_meaning) ?? failure.error_title,
    said(failure.error_advice),
  ]);
  const list = table(["Recipients", "Code", "What happened", "What to do"], rows);
  list.classList.add("failures");
  return [make("h3", {}, "Why some failed"), list];
}

function recipients(logs) {
  const row = (log) => [
    log.contact_full_name,
    log.contact_phone_number,
    make("span", {}, tick(log.status), ` ${log.status ?? ""}`),
    time(log.status_times[log.status]?.at),
    said(log.error_meaning) ?? log.error_title,
  ];
  if (!logs.length) return make("p.nothing", {}, "No recipients.");
  return table(["Name", "Number", "Status", "Since", "Error"], logs.map(row));
}
