// Devices with their load, and jobs with what was planned and what is measured.

import { stopJob, token } from "./api.js";
import { decisions } from "./decisions.js";
import { h } from "./dom.js";
import { clock, count, duration, figures, MISSING, nominal, percent, rate, size, span } from "./format.js";

const stopping = new Map(); // job: "sure?", "asked", or what went wrong

export function overview(now, rest, rerender) {
  const living = now.jobs.filter((job) => !job.ended);
  const ended = now.jobs.filter((job) => job.ended);
  return [
    h("div", { class: "facts" }, facts(now, living)),
    h("section", null,
      h("h2", null, "Devices"),
      now.devices.length ? h("div", { class: "devices" }, now.devices.map((device) => deviceCard(device, now))) : h("p", { class: "muted" }, "The scheduler has named no devices yet.")),
    h("section", null,
      h("h2", null, "Jobs"),
      living.length ? jobsTable(living, rerender) : h("p", { class: "muted empty" }, "No job is running. Start one: ", h("code", null, "edgeray submit apps/attributes")),
      ended.length ? h("details", null, h("summary", null, `Ended: ${count(ended.length, "job")}`), jobsTable(ended, rerender)) : null),
    decisions(living, rerender),
  ];
}

function facts(now, living) {
  const up = now.devices.filter((device) => device.state === "up").length;
  const sent = now.links.flatMap((link) => link.sent_bps).filter((bps) => bps !== null);
  const fps = now.streams.map((stream) => stream.fps).filter((value) => value !== null);
  return [
    fact(`${up} of ${now.devices.length}`, "devices up", up < now.devices.length ? "bad" : ""),
    fact(String(living.filter((job) => job.phase === "running").length), "jobs running"),
    now.streams.length ? fact(String(now.streams.length), `cameras, ${figures(fps.reduce((a, b) => a + b, 0) / Math.max(fps.length, 1))} fps each`) : null,
    fact(sent.length ? rate(sent.reduce((a, b) => a + b, 0)) : MISSING, "on all links"),
  ];
}

const fact = (value, label, grade = "") => h("div", { class: "fact" }, h("b", { class: grade }, value), h("span", { class: "muted" }, label));

function deviceCard(device, now) {
  const sent = now.links.flatMap((link) => link.ends.map((end, side) => (end === device.id ? link.sent_bps[side] : null))).filter((bps) => bps !== null);
  const gone = device.state !== "up";
  return h("article", { key: device.id, class: `device ${device.state}`, "aria-label": `Device ${device.id}` },
    h("header", null,
      h("h3", null, device.id),
      device.id === now.head ? h("span", { class: "badge" }, "head") : null,
      h("span", { class: `pill ${grade(device.state)}` }, h("i", { class: "dot" }), stateText(device))),
    h("p", { class: "muted" }, device.type),
    bar("CPU", gone && device.state !== "unknown" ? null : device.cpu_fraction, `${percent(device.cpu_fraction)} of ${count(Number(device.cpus.toFixed(2)), "CPU")}`),
    bar("Memory", gone && device.state !== "unknown" ? null : device.used_bytes / device.memory_bytes, `${size(device.used_bytes)} of ${nominal(size(device.memory_bytes))}`),
    h("dl", null,
      h("div", null, h("dt", null, "Sends"), h("dd", null, sent.length ? rate(sent.reduce((a, b) => a + b, 0)) : MISSING)),
      h("div", null, h("dt", null, "Flows held by"), h("dd", null, device.enforcement ?? MISSING))),
    h("p", { class: "chips" }, device.jobs.length ? device.jobs.map((job) => h("span", { class: "chip" }, job)) : h("span", { class: "muted" }, "no job")));
}

export function stateText(device) {
  if (device.state === "silent") return `silent for ${span(device.age_s)}`;
  if (device.state === "unknown") return "not known";
  return device.state;
}

export const grade = (state) => ({ up: "good", silent: "bad", away: "bad" })[state] ?? "warn";

function bar(label, fraction, text) {
  const known = typeof fraction === "number" && Number.isFinite(fraction);
  const full = Math.max(0, Math.min(1, known ? fraction : 0));
  return h("div", { class: "load" },
    h("span", null, label), h("span", { class: "value" }, known ? text : MISSING),
    h("div", { class: "track", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(full * 100) },
      h("div", { class: `fill ${loadGrade(full)}`, style: { width: `${(full * 100).toFixed(1)}%` } })));
}

export const loadGrade = (fraction) => (fraction >= 0.9 ? "high" : fraction >= 0.7 ? "middle" : "low");

function jobsTable(jobs, rerender) {
  return h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Jobs" },
    h("table", null,
      h("thead", null, h("tr", null,
        ["job", "phase", "policy", "planned", "measured", "of plan", "latency p50 / p95", "done", "dropped", ""].map((name, column) =>
          h("th", { scope: "col", class: column < 3 ? "text" : null }, name)))),
      h("tbody", null, jobs.map((job) => jobRow(job, rerender)))));
}

function jobRow(job, rerender) {
  const why = [job.detail, ...job.reasons].filter(Boolean).join("\n");
  return h("tr", { key: job.job, "data-job": job.job },
    h("th", { scope: "row" }, job.job, h("small", { class: "muted" }, job.bottleneck ? `bound by ${job.bottleneck}` : job.app)),
    h("td", { class: "text" }, h("span", { class: `pill ${phaseGrade(job.phase)}` }, job.phase),
      why ? h("small", { class: "why" }, why) : job.ended_s && job.ended ? h("small", { class: "muted" }, `at ${clock(job.ended_s)}`) : null),
    h("td", { class: "text" }, job.policy),
    h("td", null, amount(job.measure, job.planned)),
    h("td", null, amount(job.measure, job.measured)),
    ofPlan(job),
    h("td", null, job.latency_p50_s === null ? MISSING : `${duration(job.latency_p50_s)} / ${duration(job.latency_p95_s)}`),
    h("td", null, job.progress ? `${job.progress[0]} of ${job.progress[1]} ${job.measure === "round" ? "rounds" : "tasks"}` : `${job.items} items`),
    h("td", { class: job.dropped && !job.progress ? "warn" : null }, job.progress ? MISSING : String(job.dropped)),
    h("td", { class: "act" }, job.ended ? null : stopControl(job, rerender)));
}

const phaseGrade = (phase) => ({ running: "good", done: "good", failed: "bad", stopped: "", waiting: "warn" })[phase] ?? "info";

function amount(measure, value) {
  if (value === null || value === undefined) return MISSING;
  if (measure === "items" || measure === "frames") return `${figures(value)} ${measure === "frames" ? "fps" : "/s"}`;
  return duration(value) + (measure === "round" ? " a round" : "");
}

function ofPlan(job) {
  if (!job.planned || job.measured === null) return h("td", null, MISSING);
  const ratio = job.measured / job.planned;
  return h("td", { class: "bar", style: { "--fill": `${Math.min(100, ratio * 100).toFixed(0)}%` } }, percent(ratio));
}

function stopControl(job, rerender) {
  if (!token()) return null;
  const said = stopping.get(job.job);
  const become = (what) => {
    stopping.set(job.job, what);
    rerender();
  };
  if (said === "asked") return h("span", { class: "muted" }, "stopping …");
  if (said === "sure?") {
    return h("span", { class: "sure" },
      h("button", { key: "yes", class: "danger", onclick: () => order(job.job, become) }, "Stop it"),
      h("button", { key: "no", onclick: () => become(undefined) }, "Keep it"));
  }
  return [said ? h("small", { class: "bad", role: "alert" }, said) : null,
    h("button", { key: "stop", "aria-label": `Stop ${job.job}`, onclick: () => become("sure?") }, "Stop")];
}

async function order(job, become) {
  become("asked");
  try {
    await stopJob(job);
  } catch (error) {
    become(error.message);
  }
}
