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

function form(path, method, parameters) {
  const answer = make("pre", { hidden: true });
  const inputs = parameters.map((parameter) => make("label", {}, input(parameter), ` ${parameter.name}`));
  const asking = make("form", {}, ...inputs, make("button", {}, "Ask"), answer);
  asking.addEventListener("submit", async (event) => {
    event.preventDefault();
    let target = path.slice(1);
    const query = new URLSearchParams();
    for (const { name, in: place } of parameters) {
      const value = asking.elements[name].value;
      if (place === "path") target = target.replace(`{${name}}`, () => encodeURIComponent(value));
      else if (value) query.set(name, value);
    }
    const url = new URL(query.size ? `${target}?${query}` : target, document.baseURI);
    const curl = `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}-H "authorization: Bearer $key" '${url}'`;
    answer.hidden = false;
    answer.textContent = `${curl}\n\n…`;
    try {
      const headers = { authorization: `Bearer ${key.value}` };
      const response = await fetch(url, { method, headers });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.startsWith("application/json");
      answer.textContent = `${curl}\n\n${response.status}\n${isJson ? json(JSON.parse(text)) : text}`;
    } catch (problem) {
      answer.textContent = `${curl}\n\n${problem}`;
    }
  });
  return asking;
}

function route(api, path, method, operation) {
  const parameters = operation.parameters ?? [];
  const rows = parameters.map((parameter) => [parameter.name, type(parameter.schema ?? {}), parameter.description ?? ""]);
  const ok = operation.responses["200"]?.content?.["application/json"] ?? {};
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
