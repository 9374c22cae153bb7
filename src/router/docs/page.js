// Shows /openapi.json and sends requests. The key is stored in the tab's sessionStorage and sent in
// a header, never in a URL.
"use strict";

const key = document.getElementById("key");
key.value = sessionStorage.getItem("key") ?? "";
key.addEventListener("input", () => sessionStorage.setItem("key", key.value));

// Creates an element. Strings are inserted as text, never as HTML.
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

// Short name of a schema's type.
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

// Tables of the fields of a schema and of all schemas it references, each once.
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

// Maximum characters shown of a response that is not JSON: a stream never ends.
const LIMIT = 1_000_000;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// URL and headers of the request.
function buildRequest(path, parameters, elements) {
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

// The request as a shell command. The key is read from the variable `key`.
function curl(method, url, { authorization, ...others }) {
  const headers = Object.entries(others).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)} `);
  const verb = method === "get" ? "" : `-X ${method.toUpperCase()} `;
  return `curl ${verb}-H "authorization: Bearer $key" ${headers.join("")}${quoted(String(url))}`;
}

// Passes a response to `show`: JSON as a whole, anything else as it arrives.
async function read(response, show) {
  show(`${response.status}\n`);
  if (response.headers.get("content-type")?.startsWith("application/json")) return show(json(await response.json()));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    show(part.value);
    length += part.value.length;
    if (length > LIMIT) {
      show("\n… truncated");
      return reader.cancel();
    }
  }
}

function form(path, method, parameters) {
  const output = make("pre", { hidden: true });
  const send = make("button", {}, "Send");
  const stop = make("button", { type: "button", hidden: true }, "Stop");
  const inputs = parameters.map((parameter) => make("label", {}, input(parameter), ` ${parameter.name}`));
  const element = make("form", {}, ...inputs, send, " ", stop, output);
  const setRunning = (isRunning) => {
    send.disabled = isRunning;
    stop.hidden = !isRunning;
    output.hidden = false;
  };
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { url, headers } = buildRequest(path, parameters, element.elements);
    const controller = new AbortController();
    stop.onclick = () => controller.abort("stopped");
    setRunning(true);
    output.textContent = `${curl(method, url, headers)}\n\n`;
    try {
      await read(await fetch(url, { method, headers, signal: controller.signal }), (text) => output.append(text));
    } catch (error) {
      output.append(`\n${error}`);
    }
    setRunning(false);
  });
  return element;
}

function route(api, path, method, operation) {
  const parameters = operation.parameters ?? [];
  const rows = parameters.map((parameter) => [parameter.name, type(parameter.schema ?? {}), parameter.description ?? ""]);
  const [ok = {}] = Object.values(operation.responses["200"]?.content ?? {});
  const errors = Object.entries(operation.responses).filter(([status]) => status >= "400");
  const line = make("b", {}, `${method.toUpperCase()} ${path}`);
  return make("details", { id: operation.operationId },
    make("summary", {}, line, operation.summary ?? ""),
    make("p", {}, operation.description ?? ""),
    table(rows),
    operation.security ? form(path, method, parameters) : "",
    make("details", {}, make("summary", {}, "Example"), make("pre", {}, json(ok.example ?? null))),
    make("details", {}, make("summary", {}, "Fields"), ...fields(api, ok.schema ?? {})),
    make("details", {}, make("summary", {}, "Errors"),
      table(errors.map(([status, error]) => [status, resolve(api, error).description ?? ""]))));
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

show().catch((error) => document.getElementById("routes").append(String(error)));
