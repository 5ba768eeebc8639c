// Who went where: a person's visits to the cameras on a line of time.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { clock, count, span } from "./format.js";

const AGAIN_MS = 5000;
const LABEL_PX = 110;
const WIDTH_PX = 860;
const ROW_PX = 34;
const held = { job: null, person: null, list: null, visits: null, problem: null, busy: false, askedMs: -Infinity, filter: "" };

export function people(now, [wantedJob, wantedPerson], rerender) {
  const jobs = now.jobs.filter((job) => job.measure === "frames").map((job) => job.job);
  const job = jobs.includes(wantedJob) ? wantedJob : jobs[0];
  if (job === undefined) {
    return [h("section", null, h("h2", null, "People"), h("p", { class: "muted empty" }, "No job has watched cameras yet. Start one: ", h("code", null, "edgeray submit apps/reid")))];
  }
  const person = /^\d+$/.test(wantedPerson ?? "") ? Number(wantedPerson) : null;
  if (job !== held.job || person !== held.person) {
    Object.assign(held, { visits: null, problem: null, askedMs: -Infinity, list: job === held.job ? held.list : null, job, person });
  }
  fetchPeople(job, person, rerender);
  return [
    h("section", { class: "who" },
      h("div", { class: "title" }, h("h2", null, "People"),
        jobs.length > 1 ? h("label", null, "Job ", h("select", { value: job, onchange: (event) => { location.hash = `#/people/${encodeURIComponent(event.target.value)}`; } }, jobs.map((name) => h("option", { value: name }, name)))) : h("span", { class: "muted" }, job),
        h("label", null, "Person ", h("input", { type: "search", inputmode: "numeric", placeholder: "number", size: 8, value: held.filter, oninput: (event) => { held.filter = event.target.value.trim(); rerender(); } }))),
      held.problem ? h("p", { class: "notice bad" }, held.problem) : null,
      held.list === null ? h("p", { class: "muted" }, held.problem ? "" : "Asking the devices …") : list(job, person)),
    person === null ? null : h("section", null, h("h2", null, `Person ${person}`), held.visits ? trajectory(held.visits) : h("p", { class: "muted" }, held.problem ? "Not known." : "Asking the devices …")),
  ];
}

function list(job, person) {
  const shown = held.list.persons.filter((one) => String(one.person).startsWith(held.filter)).sort((a, b) => b.cameras.length - a.cameras.length || b.visits - a.visits || a.person - b.person);
  return [missing(held.list),
    shown.length ? h("ul", { class: "persons" }, shown.slice(0, 200).map((one) =>
      h("li", { key: one.person }, h("a", { href: `#/people/${encodeURIComponent(job)}/${one.person}`, "aria-current": one.person === person ? "true" : null },
        h("b", { class: `number s${one.person % 8}` }, String(one.person)),
        h("span", null, `${count(one.cameras.length, "camera")}, ${count(one.visits, "visit")}`),
        h("span", { class: "muted" }, `${clock(one.first_s)} – ${clock(one.last_s)}`)))))
      : h("p", { class: "muted empty" }, held.filter ? `Nobody has a number that begins with ${held.filter}.` : "Nobody has been seen yet.")];
}

function missing(answer) {
  if (answer.complete) return null;
  const told = answer.missing.map((one) => `${one.device}${one.synced_s ? ` since ${clock(one.synced_s)}` : ""}`).join(", ");
  return h("p", { class: "notice warn" }, h("b", null, "This is not all. "), `No answer from: ${told}. What was seen there is missing until it answers.`);
}

function trajectory(answer) {
  const visits = [...answer.visits].sort((a, b) => a.from_s - b.from_s);
  if (!visits.length) return [missing(answer), h("p", { class: "muted" }, "Not seen by any camera.")];
  return [missing(answer),
    h("div", { class: "scroll timeline", role: "region", tabindex: 0, "aria-label": "Visits on a line of time" }, timeline(visits)),
    h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Visits" },
      h("table", null,
        h("thead", null, h("tr", null, ["camera", "device", "from", "to", "for", "frames"].map((name, column) => h("th", { scope: "col", class: column < 2 ? "text" : null }, name)))),
        h("tbody", null, visits.map((visit) => h("tr", null, h("th", { scope: "row" }, visit.camera), h("td", { class: "text" }, visit.device), h("td", null, clock(visit.from_s)), h("td", null, clock(visit.to_s)), h("td", null, span(visit.to_s - visit.from_s)), h("td", null, String(visit.frames)))))))];
}

function timeline(visits) {
  const cameras = [...new Set(visits.map((visit) => visit.camera))].sort();
  const begin = Math.min(...visits.map((visit) => visit.from_s));
  const length = Math.max(...visits.map((visit) => visit.to_s)) - begin || 1;
  const x = (at) => LABEL_PX + ((WIDTH_PX - LABEL_PX - 60) * (at - begin)) / length;
  const y = (camera) => cameras.indexOf(camera) * ROW_PX + 8;
  const height = cameras.length * ROW_PX + 34;
  const steps = visits.slice(1).map((visit, index) => [visits[index], visit]).filter(([a, b]) => a.camera !== b.camera);
  return h("svg", { viewBox: `0 0 ${WIDTH_PX} ${height}`, role: "img", "aria-label": visits.map((visit) => `${visit.camera} from ${clock(visit.from_s)} to ${clock(visit.to_s)}`).join("; ") },
    cameras.map((camera) => [
      h("rect", { class: "lane", x: LABEL_PX, y: y(camera), width: WIDTH_PX - LABEL_PX - 50, height: ROW_PX - 8, rx: 5 }),
      h("text", { class: "label", x: LABEL_PX - 10, y: y(camera) + 17, "text-anchor": "end" }, camera.length > 14 ? `${camera.slice(0, 13)}…` : camera)]),
    [0, 0.25, 0.5, 0.75, 1].map((part) => [
      h("line", { class: "grid", x1: x(begin + part * length), x2: x(begin + part * length), y1: 4, y2: height - 24 }),
      h("text", { class: "tick", x: x(begin + part * length), y: height - 8, "text-anchor": "middle" }, clock(begin + part * length))]),
    steps.map(([a, b]) => h("line", { class: "step", x1: x(a.to_s), y1: y(a.camera) + 13, x2: x(b.from_s), y2: y(b.camera) + 13 })),
    visits.map((visit) => h("rect", { class: `visit s${cameras.indexOf(visit.camera) % 8}`, x: x(visit.from_s), y: y(visit.camera) + 3, width: Math.max(4, x(visit.to_s) - x(visit.from_s)), height: ROW_PX - 14, rx: 4 },
      h("title", null, `${visit.camera} on ${visit.device}, ${clock(visit.from_s)} – ${clock(visit.to_s)}, ${visit.frames} frames`))));
}

async function fetchPeople(job, person, rerender) {
  if (held.busy || performance.now() - held.askedMs < AGAIN_MS) return;
  held.busy = true;
  held.askedMs = performance.now();
  try {
    const [everybody, one] = await Promise.all([ask("/api/people", { job }), person === null ? null : ask("/api/people", { job, person })]);
    if (job === held.job) held.list = everybody;
    if (job === held.job && person === held.person) held.visits = one;
    held.problem = null;
  } catch (error) {
    held.problem = error.message.split("\n")[0];
  }
  held.busy = false;
  rerender();
}
