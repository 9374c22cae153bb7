// Shows /openapi.json, and asks the routes. The key stays in this page: it is in no URL, and
// is forgotten with the tab.
"use strict";

const key = document.getElementById("key");
key.value = sessionStorage.getItem("key") ?? "";
key.addEventListener("input", () => sessionStorage.setItem("key", key.value));

// An element with these properties and children; what is text stays text.
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

const json = (value) => JSON.stringify(value, null, 2);

function resolve(api, part) {
  while (part?.$ref) part = part.$ref.slice(2).split("/").reduce((at, name) => at[name], api);
  return part ?? {};
}

// What a value may be, in a word or two.
function type(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(type).join(" or ");
  if (schema.enum) return schema.enum.join(", ");
  const types = [schema.type ?? "any"].flat();
  const names = types.map((name) => (name === "array" ? `array of ${type(schema.items ?? {})}` : name));
  const range = schema.maximum === undefined ? "" : ` ${schema.minimum} to ${schema.maximum}`;
  return names.join(" or ") + range + (schema.format ? ` (${schema.format})` : "");
}

const described = (part) => part.description ?? part.oneOf?.find((one) => one.description)?.description ?? "";

function table(rows) {
  const cells = (row) => row.map((text) => make("td", {}, text));
  return make("table", {}, ...rows.map((row) => make("tr", {}, ...cells(row))));
}

// The fields of a type, and of the types that these name, each once.
function fields(api, schema, shown = new Set()) {
  const parts = [];
  for (const name of json(schema).match(/(?<=#\/components\/schemas\/)\w+/g) ?? []) {
    if (shown.has(name)) continue;
    shown.add(name);
    const named = api.components.schemas[name];
    const rows = Object.entries(named.properties ?? {}).map(([field, of]) => [field, type(of), described(of)]);
    if (rows.length) parts.push(make("h4", {}, name), make("p", {}, named.description ?? ""), table(rows));
    parts.push(...fields(api, named, shown));
  }
  return parts;
}

function input(parameter) {
  const name = parameter.name;
  const words = parameter.schema?.enum;
  if (!words) return make("input", { name, required: parameter.required, autocomplete: "off" });
  return make("select", { name }, make("option", { value: "" }), ...words.map((word) => make("option", {}, word)));
}

// The most characters that are shown of an answer which is no JSON: a stream never ends.
const LIMIT = 1_000_000;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// What these inputs ask: where, and with which headers.
function question(path, parameters, elements) {
  let target = path.slice(1);
  const query = new URLSearchParams();
  const headers = { authorization: `Bearer ${key.value}` };
  for (const { name, in: place } of parameters) {
    const value = elements[name].value;
    if (place === "path") target = target.replace(`{${name}}`, () => encodeURIComponent(value));
    else if (value && place === "header") headers[name] = value;
    else if (value) query.set(name, value);
  }
  return { url: new URL(query.size ? `${target}?${query}` : target, document.baseURI), headers };
}

// The same for a shell, which knows the key by itself.
function curl(method, url, { authorization, ...others }) {
  const headers = Object.entries(others).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)} `);
  const verb = method === "get" ? "" : `-X ${method.toUpperCase()} `;
  return `curl ${verb}-H "authorization: Bearer $key" ${headers.join("")}${quoted(String(url))}`;
}

// Tells an answer: JSON as a whole, anything else as it comes.
async function read(response, tell) {
  tell(`${response.status}\n`);
  if (response.headers.get("content-type")?.startsWith("application/json")) return tell(json(await response.json()));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let told = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    tell(part.value);
    told += part.value.length;
    if (told > LIMIT) {
      tell("\n… and so on");
      return reader.cancel();
    }
  }
}

function form(path, method, parameters) {
  const answer = make("pre", { hidden: true });
  const ask = make("button", {}, "Ask");
  const stop = make("button", { type: "button", hidden: true }, "Stop");
  const inputs = parameters.map((parameter) => make("label", {}, input(parameter), ` ${parameter.name}`));
  const asking = make("form", {}, ...inputs, ask, " ", stop, answer);
  const show = (isAsking) => {
    ask.disabled = isAsking;
    stop.hidden = !isAsking;
    answer.hidden = false;
  };
  asking.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { url, headers } = question(path, parameters, asking.elements);
    const stopping = new AbortController();
    stop.onclick = () => stopping.abort("stopped");
    show(true);
    answer.textContent = `${curl(method, url, headers)}\n\n`;
    try {
      await read(await fetch(url, { method, headers, signal: stopping.signal }), (text) => answer.append(text));
    } catch (problem) {
      answer.append(`\n${problem}`);
    }
    show(false);
  });
  return asking;
}

function route(api, path, method, operation) {
  const parameters = operation.parameters ?? [];
  const rows = parameters.map((parameter) => [parameter.name, type(parameter.schema ?? {}), parameter.description ?? ""]);
  const [ok = {}] = Object.values(operation.responses["200"]?.content ?? {});
  const refusals = Object.entries(operation.responses).filter(([status]) => status >= "300");
  const line = make("b", {}, `${method.toUpperCase()} ${path}`);
  return make("details", { id: operation.operationId },
    make("summary", {}, line, operation.summary ?? ""),
    make("p", {}, operation.description ?? ""),
    table(rows),
    operation.security ? form(path, method, parameters) : "",
    make("details", {}, make("summary", {}, "Example"), make("pre", {}, json(ok.example ?? null))),
    make("details", {}, make("summary", {}, "Fields"), ...fields(api, ok.schema ?? {})),
    make("details", {}, make("summary", {}, "Refusals"),
      table(refusals.map(([status, refusal]) => [status, resolve(api, refusal).description ?? ""]))));
}

async function show() {
  const api = await (await fetch("openapi.json")).json();
  document.getElementById("about").textContent = api.info.description;
  const routes = document.getElementById("routes");
  let tag;
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of ["get", "post"].filter((method) => item[method])) {
      const [its] = item[method].tags;
      if (its !== tag) routes.append(make("h2", {}, its));
      tag = its;
      routes.append(route(api, path, method, item[method]));
    }
  }
}

show().catch((problem) => document.getElementById("routes").append(String(problem)));
