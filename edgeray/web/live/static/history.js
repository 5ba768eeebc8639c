// What was measured in the last 5 or 30 minutes: one chart for each camera, job, device, link or flow.

import { ask } from "./api.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { duration, figures, percent, rate, size } from "./format.js";

const MOST_CARDS = 24;
const POINTS = 300;
const RANGES = { 300: "5 min", 1800: "30 min" };
const chosen = { topic: null, seconds: 300 };
const held = { key: null, askedMs: -Infinity, busy: false, stepS: 1, series: {} };

const line = (name, series, colour, dashed = false) => ({ name, series, colour, dashed });
const fps = (value) => figures(value);
const MOST_ARMS = 8; // as many as there are colours

// Topic: its label, and the cards of it: {name, charts: [{label, format, lines}]}.
const TOPICS = {
  cameras: ["Cameras", (now) => now.streams.map((stream) => {
    const name = `${stream.job}/${stream.camera}`;
    return { name: stream.camera, note: stream.job, charts: [
      { label: "Frames a second", format: fps, lines: [line("measured", `fps:${name}`, 0), line("planned", `fps.planned:${name}`, 1, true)] },
      { label: "Latency", format: duration, lines: [line("median", `p50:${name}`, 2), line("p95", `p95:${name}`, 3)] }] };
  })],
  jobs: ["Jobs", (now) => now.jobs.filter((job) => !job.ended).map((job) => {
    const timed = job.measure === "makespan" || job.measure === "round";
    const what = { makespan: "Makespan", round: "Seconds a round", frames: "Frames a second", items: "Items a second" }[job.measure];
    return { name: job.job, note: job.policy, charts: [
      { label: what, format: timed ? duration : fps, lines: [line("measured", `job:${job.job}`, 0), line("planned", `job.planned:${job.job}`, 1, true)] },
      ...(timed ? [] : [{ label: "Latency", format: duration, lines: [line("median", `job.p50:${job.job}`, 2), line("p95", `job.p95:${job.job}`, 3)] }]),
      ...learned(job)] };
  })],
  devices: ["Devices", (now) => now.devices.map((device) => ({ name: device.id, note: device.type, charts: [
    { label: "CPU", format: percent, lines: [line("CPU", `cpu:${device.id}`, 0)] },
    { label: "Memory", format: size, lines: [line("memory", `memory:${device.id}`, 3)] }] }))],
  links: ["Links", (now) => now.links.map(({ id, ends: [a, b] }) => ({ name: `${a} – ${b}`, note: id, charts: [
    { label: "On the wire", format: rate, lines: [line(`${a} sends`, `link:${a}>${b}`, 0), line(`${b} sends`, `link:${b}>${a}`, 1)] }] }))],
  flows: ["Flows", (now) => now.flows.map((flow) => {
    const name = `${flow.job}/${flow.from}->${flow.to}`;
    return { name: `${flow.from} → ${flow.to}`, note: flow.job, charts: [
      { label: "On the wire", format: rate, lines: [line("measured", `flow:${name}`, 0), line("granted", `granted:${name}`, 1, true)] }] };
  })],
};

// What the learner holds of a job: of the helpers that it learned most from.
function learned(job) {
  if (job.mode !== "offload" || !job.learner || job.learner.regret_proxy === null) return [];
  const arms = Object.entries(job.learner.arms);
  const most = arms.sort(([, one], [, other]) => other.seen - one.seen).slice(0, MOST_ARMS).map(([name]) => name).sort();
  const some = arms.length > most.length ? `, ${most.length} of ${arms.length} helpers` : "";
  return [
    { label: "Regret by the learner's own estimates", format: figures, lines: [line("regret", `regret:${job.job}`, 0)] },
    { label: `Estimates: an item meets its deadline${some}`, format: percent, lines: most.map((name, colour) => line(name, `estimate:${job.job}/${name}`, colour)) },
  ];
}

export function history(now, [wanted], rerender) {
  const topic = wanted in TOPICS ? wanted : now.streams.length ? "cameras" : now.jobs.some((job) => !job.ended) ? "jobs" : "devices";
  const cards = TOPICS[topic][1](now);
  const shown = cards.slice(0, MOST_CARDS);
  fetchSeries(shown.flatMap((card) => card.charts.flatMap((one) => one.lines.map((each) => each.series))), rerender);
  return [
    h("div", { class: "controls" },
      h("nav", { "aria-label": "What to draw" }, Object.entries(TOPICS).map(([name, [label]]) => h("a", { key: name, href: `#/history/${name}`, "aria-current": name === topic ? "page" : null }, label))),
      h("div", { class: "ranges", role: "group", "aria-label": "How far back" }, Object.entries(RANGES).map(([seconds, label]) =>
        h("button", { key: seconds, "aria-pressed": String(chosen.seconds === Number(seconds)), onclick: () => { chosen.seconds = Number(seconds); held.askedMs = -Infinity; rerender(); } }, label)))),
    shown.length ? h("div", { class: "charts" }, shown.map((card) =>
      h("section", { key: card.name + card.note }, h("h2", null, card.name, " ", h("small", { class: "muted" }, card.note)),
        card.charts.map((one) => [h("h3", null, one.label), chart({
          id: `${topic} ${card.name} ${card.note} ${one.label}`, label: `${one.label} of ${card.name}`, stepS: held.stepS, format: one.format, rerender,
          series: one.lines.map((each) => ({ ...each, values: held.series[each.series] ?? [] })) })]))))
      : h("section", null, h("p", { class: "muted empty" }, `There are no ${topic} to draw.`)),
    cards.length > shown.length ? h("p", { class: "muted" }, `${shown.length} of ${cards.length} are drawn.`) : null,
  ];
}

async function fetchSeries(series, rerender) {
  const key = JSON.stringify([series, chosen.seconds]);
  const againMs = chosen.seconds > 300 ? 6000 : 2000;
  if (!series.length || held.busy || (key === held.key && performance.now() - held.askedMs < againMs)) return;
  Object.assign(held, { busy: true, askedMs: performance.now(), key });
  try {
    const answer = await ask("/api/history", { series, seconds: chosen.seconds, points: POINTS });
    Object.assign(held, { series: answer.series, stepS: answer.step_s });
  } catch {
    held.key = null; // the header says that nobody answers; the next tick asks again
  }
  held.busy = false;
  rerender();
}
