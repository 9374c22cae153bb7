// Entry point: the key, routing by URL fragment, and live updates.

import { address, ask, forget, hasKey, listen, remember } from "./api.js";
import { here, place } from "./page.js";
import { broadcasts } from "./broadcasts.js";
import { rooms } from "./rooms.js";
import { stats } from "./stats.js";

// Each view creates its elements in a parent and returns `show(id, query)`, which may be called
// repeatedly, and `update(events)`, which is called with newly applied events.
const views = { rooms, broadcasts, stats };

const header = document.querySelector("header");
const main = document.querySelector("main");
const enter = document.getElementById("enter");
const live = document.getElementById("live");
const problem = document.getElementById("problem");

let open; // The current view: its name and functions.
let listening = new AbortController();

function showError(error) {
  if (!(error instanceof Error) || error.name === "AbortError") return;
  problem.textContent = error.message;
  problem.hidden = false;
  if (error.status === 401) close(`This key is not accepted. ${error.message}`);
}

async function show() {
  if (!hasKey()) return;
  const { view, id, query } = here();
  if (!Object.hasOwn(views, view)) return location.replace(place("rooms"));
  if (open?.view !== view) {
    main.replaceChildren();
    main.className = view;
    open = { view, ...views[view](main) };
  }
  for (const link of header.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.hash === place(view));
  }
  await reportErrors(open.show(id, query));
}

async function reportErrors(work) {
  problem.hidden = true;
  await work.catch(showError);
}

function reload() {
  open = undefined;
  return show();
}

// Events are batched, so that a burst causes few requests.
let waiting = [];
function gather(event) {
  if (waiting.push(event) > 1) return;
  setTimeout(() => {
    const events = waiting;
    waiting = [];
    if (open) reportErrors(open.update(events));
  }, 300);
}

// Subscribe before loading, so that no event is missed in between.
function start() {
  header.hidden = main.hidden = false;
  enter.hidden = problem.hidden = true;
  listening = new AbortController();
  let isLoaded = false;
  listen({
    event: gather,
    reset: reload,
    refused: showError,
    state(isLive) {
      live.textContent = isLive ? "live" : "connecting …";
      live.classList.toggle("on", isLive);
      if (!isLoaded) show();
      isLoaded = true;
    },
  }, listening.signal);
}

function close(message = "") {
  listening.abort();
  forget();
  open = undefined;
  main.replaceChildren();
  header.hidden = main.hidden = true;
  enter.hidden = false;
  problem.textContent = message;
  problem.hidden = !message;
  enter.elements.address.value = address();
  enter.elements.key.value = "";
  enter.elements.key.focus();
}

enter.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { address, key } = enter.elements;
  remember(address.value, key.value);
  try {
    await ask("/v1/rooms", [], { limit: 1 });
    start();
  } catch (error) {
    const typed = key.value;
    showError(error);
    if (error.status !== 401) key.value = typed;
  }
});
document.getElementById("leave").addEventListener("click", () => close());
window.addEventListener("hashchange", show);
if (hasKey()) start();
else close();
