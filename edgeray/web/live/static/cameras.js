// One tile a camera: its newest picture with the people in it, where it is worked on, and how well that goes.

import { ask } from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { duration, figures, MISSING } from "./format.js";
import { sparks } from "./sparks.js";

const PICTURE_MS = 350;
const pictures = new Map(); // "job/camera": {busy, askedMs, picture, problem}
const rates = sparks();

export function cameras(now, rest, rerender) {
  if (!now.streams.length) {
    return [h("section", null, h("h2", null, "Cameras"), h("p", { class: "muted empty" }, "No camera is being watched. Start a job that does: ", h("code", null, "edgeray submit apps/reid")))];
  }
  rates.refresh(now.streams.slice(0, 100).map((stream) => `fps:${nameOf(stream)}`), rerender);
  for (const stream of now.streams) fetchPicture(stream, rerender);
  for (const key of pictures.keys()) if (!now.streams.some((stream) => nameOf(stream) === key)) pictures.delete(key);
  return [h("div", { class: "tiles" }, now.streams.map(tile))];
}

const nameOf = (stream) => `${stream.job}/${stream.camera}`;

function tile(stream) {
  const name = nameOf(stream);
  const { picture, problem } = pictures.get(name) ?? {};
  const here = stream.detect_on === stream.device;
  return h("article", { key: name, class: "tile", "data-camera": name, "aria-label": `Camera ${stream.camera}` },
    screen(stream, picture, problem),
    h("div", { class: "under" },
      h("header", null, h("h3", null, stream.camera), stream.moving ? h("span", { class: "pill info" }, "moving") : null,
        h("span", { class: "fps" }, h("b", null, figures(stream.fps)), ` of ${figures(stream.planned_fps)} fps`)),
      sparkline(rates.values(`fps:${name}`), `Frames a second of ${stream.camera}, last 5 minutes`),
      h("dl", null,
        pair("Camera on", stream.device), pair("Detected on", here ? `${stream.detect_on} (here)` : stream.detect_on), pair("Identified on", stream.identify_on),
        pair("Latency p50 / p95", stream.latency_p50_s === null ? MISSING : `${duration(stream.latency_p50_s)} / ${duration(stream.latency_p95_s)}`),
        stream.planned_latency_s === null ? null : pair("Planned latency", duration(stream.planned_latency_s)),
        pair("People a frame", figures(stream.people)), pair("Re-identified so far", stream.asked), pair("Dropped", `${stream.dropped} of ${stream.frames + stream.dropped}`))));
}

const pair = (label, value) => h("div", null, h("dt", null, label), h("dd", null, String(value)));

function screen(stream, picture, problem) {
  if (!picture) return h("div", { class: "screen empty" }, h("span", null, problem ?? "waiting for a picture"));
  const alt = `Picture of ${stream.camera} with ${picture.boxes.length} people`;
  return h("div", { class: "screen", style: { "aspect-ratio": `${picture.width} / ${picture.height}` } },
    h("img", { src: `data:image/jpeg;base64,${picture.jpeg}`, alt }),
    h("svg", { viewBox: `0 0 ${picture.width} ${picture.height}` }, picture.boxes.map((box, index) => person(stream, picture, box, index))),
    problem ? h("span", { class: "stale" }, problem) : null);
}

function person(stream, picture, [left, top, right, bottom], index) {
  const number = picture.persons[index];
  const named = number !== null && number !== undefined;
  const text = named ? String(number) : "?";
  const unit = picture.width / 400; // the drawing's pixel, whatever the picture's size
  const width = (8 + 7.5 * text.length) * unit;
  const shape = [
    h("rect", { class: "outline", x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top), rx: 2 * unit, "stroke-width": 1.8 * unit }),
    h("rect", { class: "plate", x: left, y: Math.max(0, top - 15 * unit), width, height: 15 * unit, rx: 2 * unit }),
    h("text", { x: left + width / 2, y: Math.max(0, top - 15 * unit) + 11.5 * unit, "font-size": 12 * unit, "text-anchor": "middle" }, text),
  ];
  const key = `track ${picture.tracks[index] ?? index}`;
  if (!named) return h("g", { key, class: "person new" }, h("title", null, "not yet identified"), shape);
  return h("a", { key, class: `person s${number % 8}`, href: `#/people/${encodeURIComponent(stream.job)}/${number}`, "aria-label": `Person ${number}: where they went` },
    h("title", null, `person ${number}: where they went`), shape);
}

function onScreen(name) {
  const element = document.querySelector(`[data-camera="${CSS.escape(name)}"]`);
  if (!element) return true;
  const box = element.getBoundingClientRect();
  return box.bottom > -100 && box.top < window.innerHeight + 100;
}

async function fetchPicture(stream, rerender) {
  const name = nameOf(stream);
  const known = pictures.get(name) ?? { busy: false, askedMs: -Infinity };
  pictures.set(name, known);
  if (known.busy || performance.now() - known.askedMs < PICTURE_MS || !onScreen(name)) return;
  known.busy = true;
  known.askedMs = performance.now();
  try {
    const picture = await ask("/api/view", { job: stream.job, camera: stream.camera });
    if (picture) known.picture = picture;
    known.problem = null;
  } catch (error) {
    known.problem = error.message.split("\n")[0];
  }
  known.busy = false;
  rerender();
}
