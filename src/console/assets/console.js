// Charts, the state of the connection, keyboard, and times that count down. Every page works without it.
"use strict";

document.documentElement.classList.add("js");

// --- charts -------------------------------------------------------------------------------------

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const shade = (name) => color(`chart-${name}`);

/** Sums of the first n series, drawn from the highest to the lowest, so that each shows its own part. */
function stacked(series) {
  const sums = [];
  for (const one of series) {
    const below = sums.at(-1);
    sums.push(one.values.map((value, i) => (value ?? 0) + (below ? below[i] : 0)));
  }
  return sums;
}

function draw(element) {
  const chart = JSON.parse(element.dataset.chart);
  const style = getComputedStyle(document.body);
  const font = `12px ${style.fontFamily}`;
  const shown = chart.series.map((_, i) => i);
  if (chart.is_stacked) shown.reverse();
  const sums = chart.is_stacked ? stacked(chart.series) : chart.series.map((one) => one.values);
  // Months after days, as everywhere else.
  const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
  const number = (value) => (value == null ? "–" : value.toLocaleString(language) + chart.unit);
  const dated = (options) => new Intl.DateTimeFormat(language, { timeZone: element.dataset.zone, ...options });
  const isDaily = chart.x.length > 1 && chart.x[1] - chart.x[0] >= 86400;
  const day = dated({ day: "numeric", month: "short" });
  const hour = dated({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  // A label for each place, but on the axis only as many as fit.
  const { labels } = chart;
  const step = labels && Math.ceil(labels.length / Math.max(Math.floor(element.clientWidth / 70), 1));
  const named = (at) => (labels ? labels[at] ?? "" : `${day.format(at * 1000)} ${isDaily ? "" : hour.format(at * 1000)}`);
  const axis = { stroke: color("muted"), font, grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: Math.max(element.clientWidth, 200),
    height: 190,
    cursor: { points: { show: !chart.is_stacked }, drag: { x: false, y: false }, y: false },
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), element.dataset.zone),
    scales: { y: { range: (_, low, high) => [0, chart.unit === "%" ? 100 : Math.max(high * 1.05, 4)] }, x: { time: !labels, range: (_, low, high) => {
      if (low === high) return [low - 1, high + 1];
      const half = chart.is_stacked && chart.x.length > 1 ? (chart.x[1] - chart.x[0]) * 0.6 : 0;
      return [low - half, high + half];
    } } },
    axes: [
      { ...axis, size: 30, grid: { show: false }, values: (_, places) => places.map((at) => (labels ? named(at) : (isDaily ? day : hour).format(at * 1000))), space: 62,
        splits: labels ? () => chart.x.filter((at) => at % step === 0) : isDaily ? () => chart.x : undefined },
      { ...axis, size: 52, values: (_, values) => values.map((value) => (Number.isInteger(value) ? number(value) : "")) },
    ],
    series: [
      { label: element.dataset.first, value: (_, at) => (at == null ? "" : named(at)) },
      ...shown.map((i) => ({
        label: chart.series[i].label,
        stroke: chart.is_stacked ? undefined : shade(chart.series[i].color),
        fill: chart.is_stacked ? shade(chart.series[i].color) : undefined,
        width: chart.is_stacked ? 0 : 2,
        spanGaps: true,
        points: { show: !chart.is_stacked && chart.x.length <= 30, size: 5 },
        paths: chart.is_stacked ? uPlot.paths.bars({ size: [0.72, 48], radius: 0 }) : undefined,
        value: (_, __, ___, at) => (at == null ? "" : number(chart.series[i].values[at])),
      })),
    ],
  };
  element.replaceChildren();
  element.plot = new uPlot(options, [chart.x, ...shown.map((i) => sums[i])], element);
}

function drawAll(root = document) {
  if (!window.uPlot) return;
  for (const element of root.querySelectorAll("[data-chart]")) {
    element.plot?.destroy();
    draw(element);
  }
}

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) drawAll();
  width = innerWidth;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());

// --- connection ---------------------------------------------------------------------------------

const banner = () => document.getElementById("problem");
let wasLost = false;
/** The stream of events. */
let source = null;

function showProblem(text) {
  const element = banner();
  if (!element) return;
  element.hidden = !text;
  element.textContent = text ?? "";
}

function setLive(isOn) {
  const element = document.getElementById("live");
  if (!element) return;
  element.classList.toggle("on", isOn);
  element.textContent = isOn ? element.dataset.on : element.dataset.off;
  if (isOn && wasLost) recover();
  wasLost = !isOn;
}

/** Loads the parts of the page again: what happened meanwhile was missed. */
function recover() {
  if (!navigator.onLine) return;
  showProblem(null);
  htmx.trigger(document.body, "refresh");
}

document.addEventListener("htmx:sseOpen", () => setLive(true));
document.addEventListener("htmx:sseError", () => setLive(false));
addEventListener("offline", () => { setLive(false); showProblem(banner()?.dataset.offline); });
addEventListener("online", () => {
  // The stream may have survived, or be back already.
  wasLost = false;
  if (source?.readyState === EventSource.OPEN) setLive(true);
  recover();
});
// The service may be restarting, or the connection not quite back: it is tried again until it works.
let retry = null;
for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    showProblem(navigator.onLine ? banner()?.dataset.failed : banner()?.dataset.offline);
    const status = event.detail.xhr?.status ?? 0;
    if (status === 0 || status >= 500) retry ??= setTimeout(() => { retry = null; recover(); }, 3000);
  });
}
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status < 400 && navigator.onLine) showProblem(null);
});
document.addEventListener("htmx:afterSettle", (event) => {
  drawAll(event.detail.elt.parentElement ?? document);
  countDown();
});

// Before htmx looks for what is in sight: the frame begins at its newest message.
document.querySelector(".message.hit")?.scrollIntoView({ block: "center" });

/** Newer messages are put below a hit: the message above them stays where it is. */
let held = null;

function hold() {
  const frame = document.getElementById("messages");
  if (held && frame) frame.scrollTop += held.element.getBoundingClientRect().top - held.top;
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "newer") return;
  const element = event.detail.target.previousElementSibling;
  if (element) held = { element, top: element.getBoundingClientRect().top };
});
document.addEventListener("htmx:afterSwap", hold);
document.addEventListener("htmx:afterSettle", () => { hold(); held = null; });

// --- what a refresh must not take away ----------------------------------------------------------

/** An element is known by its link, or by its place in the nearest element with an id. */
function placeOf(element) {
  const home = element.parentElement.closest("[id]");
  const { localName, id } = element;
  return { id, home: home?.id, localName, href: element.getAttribute("href"), at: home && [...home.querySelectorAll(localName)].indexOf(element) };
}

function elementAt({ id, home, localName, href, at }) {
  const all = [...(document.getElementById(home)?.querySelectorAll(localName) ?? [])];
  return (id && document.getElementById(id)) || (href ? all.find((one) => one.getAttribute("href") === href) : all[at]);
}

let before = null;

document.addEventListener("htmx:beforeSwap", (event) => {
  // Only a part that loads itself again has the same elements after it.
  if (event.detail.target !== event.detail.elt) return;
  const open = [...document.querySelectorAll("main details[open]")];
  const focused = document.activeElement?.closest("main a, main summary, main button");
  before = { open: open.map(placeOf), focus: focused && placeOf(focused) };
});
document.addEventListener("htmx:afterSwap", () => {
  for (const place of before?.open ?? []) {
    const element = elementAt(place);
    if (element) element.open = true;
  }
  if (before?.focus && document.activeElement === document.body) elementAt(before.focus)?.focus({ preventScroll: true });
  before = null;
});
// A selection of events is not loaded away.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt } = event.detail;
  if (elt.id === "list" && elt.querySelector("input:checked")) event.preventDefault();
});

// --- live ---------------------------------------------------------------------------------------

/** Tells the page at most once a second what changed, however many events arrive. */
const changedRooms = new Set();
let flush = null;
let slow = null;

/** A tab that nobody looks at costs the service nothing. */
let isStale = false;

function changedSlowly() {
  isStale = document.hidden;
  if (!isStale) htmx.trigger(document.body, "changed-slowly");
}

document.addEventListener("visibilitychange", () => { if (isStale) changedSlowly(); });

function changed(event) {
  try { changedRooms.add(JSON.parse(event.data).room_id); } catch { /* no object: only the list changes */ }
  flush ??= setTimeout(() => {
    flush = null;
    for (const element of document.querySelectorAll("[data-room]")) {
      if (changedRooms.has(element.dataset.room)) htmx.trigger(element, "room-changed");
    }
    changedRooms.clear();
    htmx.trigger(document.body, "changed");
    // For parts that take longer. Not htmx's throttle: it also drops the refresh of `recover`, and the last change.
    slow ??= setTimeout(() => { slow = null; changedSlowly(); }, 4000);
  }, 1000);
}

htmx.createEventSource = (url) => {
  source = new EventSource(url);
  for (const kind of document.querySelector("[data-kinds]").dataset.kinds.split(" ")) source.addEventListener(kind, changed);
  source.addEventListener("reset", recover);
  return source;
};

// A browser opens six connections to a host. The stream of a page that was left holds one for a minute, if
// the browser keeps the page for its back button.
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

/** Fields that are not filled in do not become parameters. */
document.addEventListener("htmx:configRequest", (event) => {
  for (const [name, value] of Object.entries(event.detail.parameters)) {
    if (value === "") delete event.detail.parameters[name];
  }
});

// --- times that count down ----------------------------------------------------------------------

function countDown() {
  for (const element of document.querySelectorAll("[data-until]")) {
    const minutes = Math.floor((Date.parse(element.dataset.until) - Date.now()) / 60000);
    if (minutes < 0) { element.textContent = element.dataset.over; continue; }
    const text = minutes >= 60 ? `${Math.floor(minutes / 60)} ${element.dataset.hour} ${minutes % 60} ${element.dataset.minute}` : `${minutes} ${element.dataset.minute}`;
    element.textContent = element.dataset.left.replace("{}", text);
  }
}
setInterval(countDown, 30000);

// --- keyboard -----------------------------------------------------------------------------------

/** `/` goes to the search or the first filter, or else to the search for anything; `j` and `k` go through the
    rows, Enter opens (it is a link), Escape leads back. */
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isField = event.target.matches?.("input, select, textarea");
  if (event.key === "Escape") {
    const open = document.querySelector("details.menu[open], details.thread-facts[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
    else if (isField) event.target.blur();
    else document.querySelector("[data-back]")?.click();
    return;
  }
  if (isField) return;
  if (event.key === "/") {
    const field = document.querySelector("main input[type=search]") ?? document.querySelector("main .filters select, main nav.switch a");
    event.preventDefault();
    field?.focus();
    field?.select?.();
    if (!field) document.querySelector('nav a[href^="/console/trace"]')?.click();
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.getClientRects().length);
    const at = rows.indexOf(document.activeElement);
    const next = event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0);
    rows[next]?.focus();
  }
});

// --- small things -------------------------------------------------------------------------------

// Back to where the page was opened: as the browser's button does it, so that two pages do not lead to each other.
let hasPushed = false;
document.addEventListener("htmx:pushedIntoHistory", () => { hasPushed = true; });

document.addEventListener("click", (event) => {
  const back = event.target.closest?.("[data-back]");
  if (back && back.href === document.referrer && !hasPushed) { event.preventDefault(); history.back(); }
  const copy = event.target.closest?.("[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(copy.dataset.copy).then(() => { copy.textContent = copy.dataset.done; });
  }
  // A click beside an open menu closes it.
  for (const menu of document.querySelectorAll("details.menu[open], details.thread-facts[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("change", (event) => {
  if (event.target.closest?.("[data-submit]")) event.target.form.requestSubmit();
  const all = event.target.closest?.("[data-all]");
  if (!all) return;
  for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) box.checked = all.checked;
});

drawAll();
countDown();
// On a phone the sections go beyond the edge.
document.querySelector(".side nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
