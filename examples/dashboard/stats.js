// Statistics: messages over time, first response times, open rooms.

import { ask } from "./api.js";
import { draw, duration, fill, filters, latest, make, table } from "./page.js";

const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
const fields = [
  ["By", "interval", ["day", "hour"]],
  ["From", "start_date", "date"],
  ["Until", "end_date", "date"],
  ["Time zone", "time_zone", "text"],
];

export function stats(main) {
  const form = filters("Statistics", fields);
  const charts = make("div");
  main.append(make("h2", {}, "Statistics"), form, charts);
  let now = {};
  const load = latest(async () => {
    const { data } = await ask("/v1/stats", [], { time_zone: own, ...now });
    return () => charts.replaceChildren(tiles(data), ...chart(data));
  });
  return {
    async show(_, query) {
      now = query;
      fill(form, { time_zone: own, ...query });
      await load();
    },
    update: load,
  };
}

function tiles({ rooms, first_response: first }) {
  const tile = (label, value, note) => [make("dt", {}, label), make("dd", {}, value, make("small", {}, note))];
  const more = (is_sample) => (is_sample ? " (or more)" : "");
  const sample = (is_sample) => (is_sample ? " (of the latest)" : "");
  return make("dl.tiles", {},
    make("div", {}, tile("Open rooms", rooms.open.toLocaleString(), more(rooms.is_sample))),
    make("div", {}, tile("Unanswered", rooms.unanswered.toLocaleString(), more(rooms.is_sample))),
    make("div", {}, tile("First response, median", duration(first.p50_seconds), sample(first.is_sample))),
    make("div", {}, tile("First response, 95th percentile", duration(first.p95_seconds), sample(first.is_sample))));
}

// All hours or days between the two, including those without messages, which the response omits.
// Local times are used as written: `2025-06-12T09:00:00+07:00` is hour 9.
function moments({ interval, start, end }) {
  const [length, step] = interval === "hour" ? [13, 3600e3] : [10, 86400e3];
  const wall = (at) => Date.parse(`${at.slice(0, 19)}Z`);
  const all = [];
  const first = Math.floor(wall(start) / step) * step;
  for (let at = first; at < wall(end); at += step) all.push(new Date(at).toISOString().slice(0, length));
  return all;
}

const [width, height, gap] = [900, 220, 24];

function chart(stats) {
  const sums = new Map(moments(stats).map((at) => [at, { in: 0, out: 0 }]));
  const length = stats.interval === "hour" ? 13 : 10;
  for (const row of stats.messages) {
    const sum = sums.get(row.at.slice(0, length));
    if (!sum) continue;
    sum.in += row.in;
    sum.out += row.out;
  }
  const most = Math.max(1, ...[...sums.values()].map((sum) => sum.in + sum.out));
  const slot = width / Math.max(1, sums.size);
  const every = Math.ceil(sums.size / 12);
  const scale = (count) => (count / most) * (height - 2 * gap);
  const bar = (name, count, below, x, what) =>
    draw("rect", { class: name, x, y: height - gap - scale(count + below), width: slot * 0.7, height: scale(count) },
      draw("title", {}, `${what}: ${count} ${name}`));
  const parts = [...sums].flatMap(([at, sum], place) => {
    const x = place * slot + slot * 0.15;
    const label = draw("text", { x, y: height - 8 }, stats.interval === "hour" ? `${at.slice(11)}:00` : at.slice(5));
    return [bar("in", sum.in, 0, x, at), bar("out", sum.out, sum.in, x, at), ...(place % every ? [] : [label])];
  });
  const total = (name) => stats.messages.reduce((sum, row) => sum + row[name], 0).toLocaleString();
  const rows = stats.messages.map((row) => [row.at.slice(0, 16).replace("T", " "), row.channel ?? "unknown", `${row.in}`, `${row.out}`]);
  return [
    make("p.legend", {}, make("span.in", {}, `${total("in")} in`), make("span.out", {}, `${total("out")} out`),
      `${stats.time_zone}; the highest bar is ${most}`),
    draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Messages over time; the table below contains the same data" }, ...parts),
    make("details", {}, make("summary", {}, "As a table"), table(["Time", "Channel", "In", "Out"], rows)),
  ];
}
