// Jobs that decide while they run: their helpers with what the dispatcher tells of each and what the learner holds, or
// their users with their virtual queues.

import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { duration, figures, MISSING, percent } from "./format.js";
import { sparks } from "./sparks.js";

const number = (value) => (typeof value === "number" ? figures(value) : MISSING);
const whole = (value) => (typeof value === "number" ? String(value) : MISSING);
const HELPERS = [["sent", "sent", whole], ["met", "met", whole], ["late", "late", whole], ["failed", "failed", whole], ["lost", "lost", whole], ["waiting", "queue", whole], ["expected to meet", "probability", percent]];
const USERS = [["packets", "arrived", whole], ["sent", "sent", whole], ["local", "local", whole], ["dropped", "dropped", whole], ["slots", "slots", whole], ["J", "energy_j", number], ["virtual queue", "queue", number]];
const ARMS = ["learned from", "happy", "estimate", "last 5 min"];
const learned = sparks();

export function decisions(jobs, rerender) {
  const deciding = [...jobs.filter((job) => job.online), ...jobs.flatMap(dealing)];
  if (!deciding.length) return null;
  learned.refresh(deciding.flatMap(seriesOf), rerender);
  return h("section", { class: "decisions" }, h("h2", null, "Decisions"), deciding.map(one));
}

// A task with replicas is as a job of its own, whose helpers these are.
const dealing = (job) =>
  Object.entries(job.replicas ?? {}).map(([task, told]) => ({ job: `${job.job}/${task}`, policy: told.policy, mode: "offload", online: told, learner: null }));

const arms = (job) => job.learner?.arms ?? {};
const regret = (job) => `regret:${job.job}`;
const estimate = (job, name) => `estimate:${job.job}/${name}`;
const seriesOf = (job) => (job.mode === "offload" && job.learner ? [regret(job), ...Object.keys(arms(job)).map((name) => estimate(job, name))] : []);

function one(job) {
  const offload = job.mode === "offload";
  const [rows, columns] = offload ? [{ ...job.online.helpers, ...former(job) }, HELPERS] : [job.online.users ?? {}, USERS];
  const learns = offload && job.learner !== null;
  return h("div", { key: job.job, class: "scroll", role: "region", tabindex: 0, "aria-label": `Decisions of ${job.job}` },
    h("table", { "data-decides": job.job },
      h("caption", null, h("span", null, `${job.job} by ${job.policy}: ${summary(job, offload)}`), job.learner ? holds(job, offload) : null),
      h("thead", null,
        learns ? h("tr", { key: "groups" }, h("th", null), h("th", { scope: "colgroup", colspan: columns.length }, "the dispatcher, since it began"), h("th", { class: "learns", scope: "colgroup", colspan: ARMS.length }, "the learner, of the whole job")) : null,
        h("tr", { key: "columns" }, h("th", { scope: "col", class: "text" }, offload ? "helper" : "user"), columns.map(([heading]) => h("th", { scope: "col" }, heading)),
          learns ? ARMS.map((heading, column) => h("th", { scope: "col", class: column ? null : "learns" }, heading)) : null)),
      h("tbody", null, Object.entries(rows).map(([name, row]) =>
        h("tr", { key: name }, h("th", { scope: "row" }, name, row.away ? h("small", { class: "warn" }, "away") : row.left ? h("small", { class: "muted" }, "no helper now") : null), columns.map(([, key, show]) => h("td", null, show(row[key]))),
          learns ? armCells(job, name) : null)))));
}

// Helpers that only the learner knows: the job had them.
function former(job) {
  const left = Object.keys(arms(job)).filter((name) => !(name in (job.online.helpers ?? {})));
  return Object.fromEntries(left.map((name) => [name, { left: true }]));
}

function armCells(job, name) {
  const arm = arms(job)[name] ?? { seen: 0, happy: 0, estimate: null };
  return [
    h("td", { class: "learns" }, whole(arm.seen)),
    h("td", null, percent(arm.seen ? arm.happy / arm.seen : null)),
    h("td", null, percent(arm.estimate)),
    h("td", { class: "past" }, sparkline(learned.values(estimate(job, name)), `Estimate of ${name}, last 5 minutes`, 1.05)),
  ];
}

function holds(job, offload) {
  const { learner } = job;
  const age = learner.away ? h("span", { class: "warn" }, `it does not answer now, this is of ${duration(learner.age_s)} ago`) : `the newest of ${duration(learner.age_s)} ago`;
  if (!offload) return h("span", { class: "holds" }, "The learner keeps its state, ", age);
  const lost = learner.regret_proxy === null ? "no estimates" : `regret ${figures(learner.regret_proxy)}`;
  return h("span", { class: "holds" }, `The learner holds ${learner.items} items, ${percent(learner.happy)} happy, ${lost}; `, age,
    learner.regret_proxy === null ? null : sparkline(learned.values(regret(job)), `Regret of ${job.job}, last 5 minutes`));
}

function summary(job, offload) {
  const told = job.online;
  if (offload) return `${told.items} items, ${percent(told.items ? told.met / told.items : null)} met their deadline, regret ${number(told.regret_proxy)} by its own estimates`;
  const hopeless = told.infeasible?.length ? `; the drop rate cannot be held for ${told.infeasible.join(", ")}` : "";
  return `${told.frames} frames, ${percent(told.drop_rate)} of ${told.arrived} packets dropped, ${number(told.energy_per_user_frame_j)} J a user and frame (${told.meter ?? "no meter"})${hopeless}`;
}
