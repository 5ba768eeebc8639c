// The page: asks again and again what is, and draws the view that the address names.

import { ask, takeToken, token } from "./api.js";
import { h, patch } from "./dom.js";
import { count, span } from "./format.js";
import { cameras } from "./cameras.js";
import { history } from "./history.js";
import { overview } from "./overview.js";
import { people } from "./people.js";
import { topology } from "./topology.js";

const PERIOD_MS = 400; // a device that falls silent shows within 3 s: 2.5 s of silence, and one period
const LATE_S = 2.5;
const VIEWS = { overview: ["Overview", overview], topology: ["Topology", topology], cameras: ["Cameras", cameras], people: ["People", people], history: ["History", history] };

const state = { now: null, heardMs: performance.now(), problem: null };
let asking = false;
let states = new Map();

// Where the address leads: the view's name, and what follows it.
function place() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  return { name: name in VIEWS ? name : "overview", rest };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function refresh() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    state.now = await ask("/api/now", {}, { timeoutMs: 4000 });
    state.heardMs = performance.now();
    state.problem = null;
    announce();
  } catch (error) {
    state.problem = error.message;
  } finally {
    asking = false;
  }
}

function render() {
  const { name, rest } = place();
  const unheardS = (performance.now() - state.heardMs) / 1000;
  patch(document.getElementById("header"), header(name, unheardS));
  patch(document.getElementById("alerts"), alerts(unheardS));
  if (state.now === null) return;
  document.title = `${VIEWS[name][0]} – ${state.now.cluster || "EdgeRay"}`;
  const main = document.getElementById("main");
  main.className = name;
  patch(main, [h("h1", { class: "unseen" }, VIEWS[name][0]), ...VIEWS[name][1](state.now, rest, render)]);
}

function header(current, unheardS) {
  return [
    h("div", { class: "brand" },
      h("img", { src: "/static/icon.svg", alt: "", width: 28, height: 28 }),
      h("span", { class: "name" }, "EdgeRay"),
      state.now?.cluster ? h("span", { class: "muted" }, state.now.cluster) : null),
    h("nav", { "aria-label": "Views" },
      Object.entries(VIEWS).map(([name, [label]]) =>
        h("a", { key: name, href: `#/${name}`, "aria-current": name === current ? "page" : null }, label))),
    pill(unheardS),
  ];
}

function pill(unheardS) {
  const silentS = (state.now?.silent_s ?? 0) + unheardS;
  const late = silentS > LATE_S || state.now === null;
  const access = token() ? "may stop jobs" : "read-only";
  return h("div", { class: "status" },
    h("span", { class: `pill ${late ? "bad" : "good"}` }, h("i", { class: "dot" }), late ? (state.now ? `data ${span(silentS)} old` : "connecting") : "live"),
    h("span", { class: "muted access" }, access));
}

// What a person must not miss, on every view.
function alerts(unheardS) {
  const told = [];
  if (unheardS > LATE_S && state.problem !== null) {
    told.push(h("p", { class: "notice bad", role: "alert", key: "server" },
      h("b", null, `The page's server has not answered for ${span(unheardS)}.`), " Is `edgeray ui` still running?"));
  } else if (state.now && state.now.silent_s > LATE_S) {
    told.push(h("p", { class: "notice bad", role: "alert", key: "scheduler" },
      h("b", null, `The scheduler has not answered for ${span(state.now.silent_s)}.`),
      " What you see is from before.", state.now.errors.map((error) => h("span", { class: "reason" }, error))));
  }
  const silent = (state.now?.devices ?? []).filter((device) => device.state === "silent" || device.state === "away");
  if (silent.length) {
    told.push(h("p", { class: "notice warn", key: "devices" },
      h("b", null, `${count(silent.length, "device")} not here: `),
      silent.map((device) => (device.state === "away" ? `${device.id} (away)` : `${device.id} (silent for ${span(device.age_s)})`)).join(", ")));
  }
  return told;
}

// For those who do not see the page: a device that goes, or comes back.
function announce() {
  const news = [];
  for (const device of state.now.devices) {
    const before = states.get(device.id);
    if (before && before !== device.state && device.state !== "unknown") news.push(`${device.id} is ${device.state}`);
  }
  states = new Map(state.now.devices.map((device) => [device.id, device.state]));
  if (news.length) document.getElementById("announcer").textContent = news.join(", ");
}

async function tick() {
  await refresh();
  render();
}

takeToken();
document.getElementById("skip").onclick = (event) => {
  event.preventDefault(); // the address names the view
  document.getElementById("main").focus();
};
window.addEventListener("hashchange", () => {
  takeToken();
  render();
  window.scrollTo(0, 0);
});
document.addEventListener("visibilitychange", tick);
setInterval(tick, PERIOD_MS);
tick();
