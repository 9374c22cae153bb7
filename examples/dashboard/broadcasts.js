// Broadcasts: the list; for one broadcast the funnel, the errors and the recipients.

import { ask } from "./api.js";
import { draw, duration, fill, filters, latest, make, pages, place, refill, localized, table, tick, time } from "./page.js";

const steps = ["", "created", "pending", "sent", "delivered", "read", "failed"];

export function broadcasts(main) {
  const above = make("div");
  const form = filters("Recipients", [["Status", "status", steps]]);
  const below = make("div");
  main.append(above, form, below);
  let now = {};
  const load = latest(async () => {
    const { id, query } = now;
    const [top, bottom] = id === null ? await list(query) : await one(id, query);
    return () => {
      form.hidden = id === null;
      fill(form, query);
      refill(above, top);
      refill(below, bottom);
    };
  });
  return {
    async show(id, query) {
      now = { id, query };
      await load();
    },
    async update(events) {
      const isOurs = ({ broadcast_id: of }) => of !== null && (now.id === null || of === now.id);
      if (events.some(isOurs)) await load();
    },
  };
}

async function list(query) {
  const { data, meta } = await ask("/v1/broadcasts", [], query);
  const rows = data.map((broadcast) => [
    make("a", { href: place("broadcasts", broadcast.id) }, broadcast.name ?? broadcast.id),
    time(broadcast.created_at),
    ...["total", "delivered", "read", "failed"].map((field) => broadcast[field].toLocaleString()),
  ]);
  const head = ["Broadcast", "Sent", "Recipients", "Delivered", "Read", "Failed"];
  const all = data.length ? table(head, rows) : make("p.nothing", {}, "No broadcasts.");
  return [make("h2", {}, "Broadcasts"), [all, pages("broadcasts", null, query, meta)]];
}

async function one(id, query) {
  const [{ data: broadcast }, { data: logs, meta }] = await Promise.all([
    ask("/v1/broadcasts/{}", [id]),
    ask("/v1/broadcasts/{}/logs", [id], query),
  ]);
  const top = [
    make("p", {}, make("a", { href: place("broadcasts") }, "‹ All broadcasts")),
    make("h2", {}, broadcast.name ?? broadcast.id),
    make("p", {}, time(broadcast.created_at)),
    funnel(broadcast),
    reasons(broadcast),
    make("h3", {}, "Recipients"),
  ];
  return [top, [recipients(logs), pages("broadcasts", id, query, meta)]];
}

// A bar counts the recipients who reached at least this step.
function funnel({ total, reached, failed, seconds_to_delivery: delivery, seconds_to_read: read }) {
  const took = ({ p50, p95 }) => (p50 === null ? "" : `median ${duration(p50)}, 95th percentile ${duration(p95)}`);
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
      draw("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("rect", { class: name, width: (100 * count) / Math.max(total, 1), height: 1 })),
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
    localized(failure.error_meaning) ?? failure.error_title,
    localized(failure.error_advice),
  ]);
  const list = table(["Recipients", "Code", "Meaning", "Advice"], rows);
  list.classList.add("failures");
  return [make("h3", {}, "Failures by error code"), list];
}

function recipients(logs) {
  const row = (log) => [
    log.contact_full_name,
    log.contact_phone_number ?? log.contact_id,
    make("span", {}, tick(log.status), ` ${log.status ?? ""}`),
    time(log.status_times[log.status]?.at),
    localized(log.error_meaning) ?? log.error_title,
  ];
  if (!logs.length) return make("p.nothing", {}, "No recipients.");
  return table(["Name", "Number", "Status", "Since", "Error"], logs.map(row));
}
