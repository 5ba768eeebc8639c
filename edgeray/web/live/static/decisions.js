// Jobs that decide while they run: their helpers with what is known of each, or their users with their virtual queues.

import { h } from "./dom.js";
import { figures, MISSING, percent } from "./format.js";

const number = (value) => (typeof value === "number" ? figures(value) : MISSING);
const HELPERS = [["sent", "sent", number], ["met", "met", number], ["late", "late", number], ["failed", "failed", number], ["lost", "lost", number], ["waiting", "queue", number], ["expected to meet", "probability", percent]];
const USERS = [["packets", "arrived", number], ["sent", "sent", number], ["local", "local", number], ["dropped", "dropped", number], ["slots", "slots", number], ["J", "energy_j", number], ["virtual queue", "queue", number]];

export function decisions(jobs) {
  const deciding = jobs.filter((job) => job.online);
  if (!deciding.length) return null;
  return h("section", { class: "decisions" }, h("h2", null, "Decisions"), deciding.map(one));
}

function one(job) {
  const offload = job.mode === "offload";
  const [rows, columns] = offload ? [job.online.helpers ?? {}, HELPERS] : [job.online.users ?? {}, USERS];
  return h("div", { key: job.job, class: "scroll", role: "region", tabindex: 0, "aria-label": `Decisions of ${job.job}` },
    h("table", { "data-decides": job.job },
      h("caption", null, h("span", null, `${job.job} by ${job.policy}: ${summary(job, offload)}`)),
      h("thead", null, h("tr", null, h("th", { scope: "col", class: "text" }, offload ? "helper" : "user"), columns.map(([heading]) => h("th", { scope: "col" }, heading)))),
      h("tbody", null, Object.entries(rows).map(([name, row]) =>
        h("tr", { key: name }, h("th", { scope: "row" }, name, row.away ? h("small", { class: "warn" }, "away") : null), columns.map(([, key, show]) => h("td", null, show(row[key]))))))));
}

function summary(job, offload) {
  const told = job.online;
  if (offload) return `${told.items} items, ${percent(told.items ? told.met / told.items : null)} met their deadline, regret ${number(told.regret_proxy)} by its own estimates`;
  const hopeless = told.infeasible?.length ? `; the drop rate cannot be held for ${told.infeasible.join(", ")}` : "";
  return `${told.frames} frames, ${percent(told.drop_rate)} of ${told.arrived} packets dropped, ${number(told.energy_per_user_frame_j)} J a user and frame (${told.meter ?? "no meter"})${hopeless}`;
}
