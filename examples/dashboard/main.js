// The frame: the key, the views by their hash, and what happens while they are open.

import { address, ask, forget, hasKey, listen, remember } from "./api.js";
import { here, place } from "./page.js";
import { broadcasts } from "./broadcasts.js";
import { rooms } from "./rooms.js";
import { stats } from "./stats.js";

// Each makes its frame in an element and returns `show(id, query)`, which may be called again, and
// `told(events)`, which is called with what was applied since.
const views = { rooms, broadcasts, stats };

const header = document.querySelector("header");
const main = document.querySelector("main");
const enter = document.getElementById("enter");
const live = document.getElementById("live");
const problem = document.getElementById("problem");

let open; // The view that is shown, by name and in parts.
let listening = new AbortController();

function tell(refusal) {
  if (!(refusal instanceof Error) || refusal.name === "AbortError") return;
  problem.textContent = refusal.message;
  problem.hidden = false;
  if (refusal.status === 401) close(`This key is not accepted. ${refusal.message}`);
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
  await told(open.show(id, query));
}

async function told(work) {
  problem.hidden = true;
  await work.catch(tell);
}

function showAnew() {
  open = undefined;
  return show();
}

// What comes at once is told at once, so that a storm of events is a few questions.
let waiting = [];
function gather(event) {
  if (waiting.push(event) > 1) return;
  setTimeout(() => {
    const events = waiting;
    waiting = [];
    if (open) told(open.told(events));
  }, 300);
}

// Listens first and loads afterwards, so that nothing falls between the two.
function start() {
  header.hidden = main.hidden = false;
  enter.hidden = problem.hidden = true;
  listening = new AbortController();
  let isLoaded = false;
  listen({
    event: gather,
    reset: showAnew,
    refused: tell,
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
  } catch (refusal) {
    const typed = key.value;
    tell(refusal);
    if (refusal.status !== 401) key.value = typed;
  }
});
document.getElementById("leave").addEventListener("click", () => close());
window.addEventListener("hashchange", show);
if (hasKey()) start();
else close();
