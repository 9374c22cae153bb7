// Elements shared by all views. API data is inserted as text, never as HTML.

// Creates an element with attributes and children. A function is added as a listener of the event of
// that name. Attributes that are false or null are omitted.
export function make(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  return dress(element, attributes, children);
}

const vectors = "http://www.w3.org/2000/svg";
export const draw = (name, attributes = {}, ...children) =>
  dress(document.createElementNS(vectors, name), attributes, children);

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

// Parses a URL fragment: `#/rooms/<id>?status=assigned`.
export function place(view, id = null, query = {}) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return `#/${view}${id === null ? "" : `/${encodeURIComponent(id)}`}${parameters.size ? `?${parameters}` : ""}`;
}

export function here() {
  const [path, query] = location.hash.slice(2).split(/\?(.*)/s);
  const [view, id] = path.split("/");
  return { view, id: id ? decodeURIComponent(id) : null, query: Object.fromEntries(new URLSearchParams(query)) };
}

// A filter form. A change sets the query in the fragment and returns to the first page. `fields` are
// [label, parameter, options or input type].
export function filters(label, fields) {
  const inputs = fields.map(([label, name, kind]) => make("label", {}, label, input(name, kind)));
  const choose = (event) => {
    event.preventDefault();
    const { view, id } = here();
    location.hash = place(view, id, Object.fromEntries(new FormData(form)));
  };
  const form = make("form.filters", { submit: choose, change: choose, role: "search", "aria-label": label }, inputs);
  return form;
}

function input(name, kind) {
  if (!Array.isArray(kind)) return make("input", { name, type: kind, autocomplete: "off" });
  return make("select", { name }, kind.map((word) => make("option", { value: word }, word || "any")));
}

// Fills the form from the query, which may come from a link.
export function fill(form, query) {
  for (const field of form.elements) {
    const otherwise = field.options?.[0].value ?? "";
    if (field !== document.activeElement) field.value = query[field.name] ?? otherwise;
  }
}

// Replaces the children of an element and keeps the focus on the same link.
export function refill(element, ...children) {
  const focused = element.contains(document.activeElement) && document.activeElement.getAttribute("href");
  element.replaceChildren(...children.flat(Infinity));
  if (focused) element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

// Links to the previous and the next page.
export function pages(view, id, query, meta) {
  const { prev, next } = meta.pagination.cursor;
  const link = (text, cursor) => cursor && make("a", { href: place(view, id, { ...query, cursor }) }, text);
  return make("nav.pages", { "aria-label": "Pages" }, link("‹ Newer", prev), link("Older ›", next));
}

export function table(head, rows) {
  const line = (cell, row) => make("tr", {}, row.map((part) => make(cell, {}, part ?? "")));
  return make("table", {}, make("thead", {}, line("th", head)), make("tbody", {}, rows.map((row) => line("td", row))));
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });
export const hour = (at) => clock.format(new Date(at));
export const date = (at) => day.format(new Date(at));

// The time, with its date unless it is on the given day.
export const brief = (at, known = new Date()) =>
  date(at) === date(known) ? hour(at) : `${date(at)}, ${hour(at)}`;

// A short time, with the full time as tooltip.
export function time(at, text = at && brief(at)) {
  return at ? make("time", { datetime: at, title: new Date(at).toLocaleString() }, text) : "";
}

// Formats seconds, e.g. as minutes or hours.
export function duration(seconds) {
  if (seconds === null) return "–";
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Number((seconds / size).toFixed(1))} ${unit}`;
}

// Selects the text in the language of the browser.
export const localized = (text) => text && (navigator.language.startsWith("id") ? text.id : text.en);

const ticks = { created: "○", pending: "◔", sent: "✓", delivered: "✓✓", read: "✓✓", failed: "!" };

// The delivery status as ticks; `played` and other values have none.
export const tick = (status) =>
  make(`span.tick.${status in ticks ? status : "other"}`, { role: "img", "aria-label": status ?? "no status" }, ticks[status] ?? "·");

// Shows only the response to the newest request. `work` sends a request and returns the function that
// shows the response.
export function latest(work) {
  let turn = 0;
  return async (...about) => {
    const mine = ++turn;
    const show = await work(...about);
    if (mine === turn) show();
  };
}
