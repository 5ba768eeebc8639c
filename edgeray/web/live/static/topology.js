// The map: devices with what is placed on them, links with their load, flows along their routes.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { figures, MISSING, nominal, percent, rate } from "./format.js";
import { grade, loadGrade, stateText } from "./overview.js";

const MANY_FLOWS = 24;
const LANE_PX = 7;
const ROWS = 4;
const chosen = { job: "", flow: null };
let map = null;
let askedFor = null;

export function topology(now, rest, rerender) {
  fetchMap(now, rerender);
  const jobs = [...new Set(now.flows.map((flow) => flow.job))];
  if (!jobs.includes(chosen.job)) chosen.job = "";
  const flows = now.flows.filter((flow) => !chosen.job || flow.job === chosen.job).sort((a, b) => (b.measured_bps ?? 0) - (a.measured_bps ?? 0));
  const drawn = flows.filter((flow) => flow.route.length > 1).slice(0, MANY_FLOWS).map((flow, order) => ({ ...flow, colour: order % 8, id: flowId(flow) }));
  drawn.sort((a, b) => a.id.localeCompare(b.id)).forEach((flow, order) => (flow.colour = order % 8));
  return [
    h("section", null,
      h("div", { class: "title" }, h("h2", null, "Topology"),
        jobs.length > 1 ? h("label", null, "Flows of ", h("select", { value: chosen.job, onchange: (event) => { chosen.job = event.target.value; rerender(); } },
          h("option", { value: "" }, "all jobs"), jobs.map((job) => h("option", { value: job }, job)))) : null,
        h("span", { class: "legend" }, "Load of a link: ", h("span", { class: "key" }, h("i", { class: "swatch low" }), "below 70 %"), h("span", { class: "key" }, h("i", { class: "swatch middle" }), "70–90 %"), h("span", { class: "key" }, h("i", { class: "swatch high" }), "above"))),
      map && map.width ? h("div", { class: "scroll map", role: "region", tabindex: 0, "aria-label": "Map of the devices" }, drawing(now, drawn, rerender)) : h("p", { class: "muted" }, "The map comes with the scheduler's first answer.")),
    h("section", null,
      h("h2", null, "Flows"),
      flows.length ? flowsTable(flows, drawn, rerender) : h("p", { class: "muted empty" }, "No flow leaves its device."),
      flows.length > drawn.length ? h("p", { class: "muted" }, `The map shows the ${drawn.length} fastest.`) : null),
    h("section", null, h("h2", null, "Links"), linksTable(now.links)),
  ];
}

const flowId = (flow) => `${flow.job}/${flow.from}->${flow.to}`;

function fetchMap(now, rerender) {
  const wanted = JSON.stringify([now.devices.map((device) => device.id), now.links.map((link) => link.id)]);
  if (wanted === askedFor || !now.links.length && !now.devices.length) return;
  askedFor = wanted;
  ask("/api/topology").then((answer) => { map = answer; rerender(); }, () => { askedFor = null; });
}

function drawing(now, flows, rerender) {
  const lanes = new Map();
  for (const flow of flows) {
    for (const [start, end] of hops(flow)) {
      const id = [start, end].sort().join("\n");
      lanes.set(id, [...(lanes.get(id) ?? []), { flow, start, end }]);
    }
  }
  const crossing = (link) => lanes.get([...link.ends].sort().join("\n")) ?? [];
  const taken = boxes();
  const widest = Math.max(...flows.map((flow) => flow.measured_bps ?? 0), 1);
  return h("svg", { viewBox: `0 0 ${map.width} ${map.height}`, style: { width: `${map.width}px` }, role: "group", "aria-label": `${now.devices.length} devices, ${now.links.length} links` },
    h("defs", null, [0, 1, 2, 3, 4, 5, 6, 7].map((colour) =>
      h("marker", { id: `arrow${colour}`, viewBox: "0 0 8 8", refX: 5, refY: 4, markerWidth: 13, markerHeight: 13, markerUnits: "userSpaceOnUse", orient: "auto" }, h("path", { class: `head s${colour}`, d: "M0 .8 7 4 0 7.2z" })))),
    now.links.map((link) => linkLine(link, crossing(link).length)),
    [...lanes.values()].flatMap((beside) => beside.map((lane, order) => strand(lane, order - (beside.length - 1) / 2, widest))),
    now.links.map((link) => linkLabel(link, crossing(link).length, taken)),
    now.devices.map((device) => deviceBox(device, now)));
}

const hops = (flow) => flow.route.slice(1).map((end, hop) => [flow.route[hop], end]).filter(([a, b]) => map.centres[a] && map.centres[b]);

export const linkLoad = (link) => {
  const sent = link.sent_bps.filter((bps) => bps !== null);
  return sent.length ? Math.max(...sent) / link.capacity_bps : null;
};

// As wide as the flows that cross it, and a little more: its colour is its load.
function linkLine(link, lanes) {
  const [a, b] = link.ends.map((end) => map.centres[end]);
  if (!a || !b) return null;
  const load = linkLoad(link);
  return h("line", { key: `line ${link.id}`, class: `link ${load === null ? "unknown" : loadGrade(load)}`, x1: a[0], y1: a[1], x2: b[0], y2: b[1], style: { "stroke-width": `${10 + LANE_PX * lanes}px` } },
    h("title", null, `${link.id}: ${link.ends[0]} sends ${rate(link.sent_bps[0])}, ${link.ends[1]} sends ${rate(link.sent_bps[1])}, capacity ${rate(link.capacity_bps)}`));
}

// Where the line between two boxes leaves the first one.
function edge(from, to, gap) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const reach = Math.min((map.box[0] / 2 + gap) / Math.max(Math.abs(dx), 1e-6), (map.box[1] / 2 + gap) / Math.max(Math.abs(dy), 1e-6), 0.5);
  return [from[0] + dx * reach, from[1] + dy * reach];
}

// Beside its line, where it covers no box and no other label if there is such a place. taken: rectangles so far.
function linkLabel(link, lanes, taken) {
  const [a, b] = link.ends.map((end) => map.centres[end]);
  if (!a || !b) return null;
  const load = linkLoad(link);
  const capacity = nominal(rate(link.capacity_bps));
  const text = load === null ? capacity : `${rate(load * link.capacity_bps)} of ${capacity}`;
  const half = text.length * 2.95 + 7;
  const [start, end] = [edge(a, b, 0), edge(b, a, 0)];
  const [dx, dy] = [end[0] - start[0], end[1] - start[1]];
  const length = Math.hypot(dx, dy) || 1;
  const away = lanes ? ((lanes - 1) / 2) * LANE_PX + 12 + Math.abs(dy / length) * half + Math.abs(dx / length) * 9 : 0;
  const places = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8].flatMap((part) => (away ? [1, -1] : [0]).map((side) => ({
    x: start[0] + dx * part - (dy / length) * away * side - half, y: start[1] + dy * part + (dx / length) * away * side - 9, width: 2 * half, height: 18 })));
  const free = places.find((place) => place.x > 0 && place.x + place.width < map.width && !taken.some((other) => meets(place, other))) ?? places[0];
  taken.push(free);
  return h("g", { key: `label ${link.id}`, class: "linklabel" },
    h("rect", { ...free, rx: 9 }),
    h("text", { x: free.x + half, y: free.y + 12.5, "text-anchor": "middle" }, text));
}

const meets = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

const boxes = () => Object.values(map.centres).map(([x, y]) => ({ x: x - map.box[0] / 2, y: y - map.box[1] / 2, width: map.box[0], height: map.box[1] }));

function strand({ flow, start, end }, lane, widest) {
  const [a, b] = [map.centres[start], map.centres[end]];
  const [from, to] = [edge(a, b, 3), edge(b, a, 7)];
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  // Lanes count from the same side, whichever way a flow goes.
  const side = start < end ? 1 : -1;
  const [ox, oy] = [(-(b[1] - a[1]) / length) * lane * LANE_PX * side, ((b[0] - a[0]) / length) * lane * LANE_PX * side];
  const width = 1.6 + 3.4 * Math.sqrt(Math.min(1, (flow.measured_bps ?? 0) / widest));
  const dim = chosen.flow !== null && chosen.flow !== flow.id;
  return h("line", { key: `${flow.id} ${start} ${end}`, class: `strand s${flow.colour}${dim ? " dim" : ""}`, x1: from[0] + ox, y1: from[1] + oy, x2: to[0] + ox, y2: to[1] + oy, "stroke-width": width, "marker-end": `url(#arrow${flow.colour})` },
    h("title", null, `${flow.job}: ${flow.from} → ${flow.to}, ${rate(flow.measured_bps)} of ${rate(flow.granted_bps)} granted`));
}

function deviceBox(device, now) {
  const centre = map.centres[device.id];
  if (!centre) return null;
  const [width, height] = map.box;
  const [left, top] = [centre[0] - width / 2, centre[1] - height / 2];
  const placed = placements(device.id, now);
  const small = height < 80;
  const shown = placed.length > ROWS ? [...placed.slice(0, ROWS - 1), `and ${placed.length - ROWS + 1} more`] : placed;
  return h("g", { key: device.id, class: `box ${device.state}${device.id === now.head ? " headbox" : ""}`, tabindex: 0, role: "img", "aria-label": `${device.id}, ${device.type}, ${stateText(device)}, CPU ${percent(device.cpu_fraction)}, holds ${placed.join(", ") || "nothing"}` },
    h("title", null, [`${device.id} (${device.type}), ${stateText(device)}`, ...placed].join("\n")),
    h("rect", { class: "body", x: left, y: top, width, height, rx: 10 }),
    h("circle", { class: `state ${grade(device.state)}`, cx: left + width - 13, cy: top + 14, r: 4.5 }),
    h("text", { class: "name", x: left + 11, y: top + 19 }, clipped(device.id, small ? 9 : 16)),
    small ? null : [
      h("text", { class: "type", x: left + 11, y: top + 33 }, clipped(device.state === "up" ? device.type : stateText(device), 24)),
      meter(left + 11, top + 41, (width - 30) / 2, "CPU", device.cpu_fraction, device),
      meter(left + 19 + (width - 30) / 2, top + 41, (width - 30) / 2, "mem", device.used_bytes / device.memory_bytes, device),
      shown.map((line, row) => h("text", { class: "placed", x: left + 11, y: top + 77 + row * 14.5 }, clipped(line, 25))),
    ]);
}

function meter(x, y, width, label, fraction, device) {
  const known = device.state === "up" && Number.isFinite(fraction);
  const full = known ? Math.max(0, Math.min(1, fraction)) : 0;
  return h("g", { class: "meter" },
    h("text", { class: "type", x, y: y + 8 }, label), h("text", { class: "type", x: x + width, y: y + 8, "text-anchor": "end" }, known ? percent(fraction) : MISSING),
    h("rect", { class: "track", x, y: y + 12, width, height: 5, rx: 2.5 }), h("rect", { class: `fill ${loadGrade(full)}`, x, y: y + 12, width: width * full, height: 5, rx: 2.5 }));
}

// What is on a device, in words: each camera job's streams by what is done there, of other jobs their tasks.
function placements(device, now) {
  const cameras = new Set(now.streams.map((stream) => stream.job));
  const list = (all, what, names) => (!names.length ? [] : [names.length === all && all > 2 ? `${what} all ${all} cameras` : `${what} ${names.join(", ")}`]);
  const watched = [...cameras].flatMap((job) => {
    const mine = now.streams.filter((stream) => stream.job === job);
    return [
      ...list(mine.length, "camera", mine.filter((stream) => stream.device === device).map((stream) => stream.camera)),
      ...list(mine.length, "detects", mine.filter((stream) => stream.detect_on === device).map((stream) => stream.camera)),
      ...list(mine.length, "identifies", mine.filter((stream) => stream.identify_on === device).map((stream) => stream.camera)),
    ];
  });
  const living = now.jobs.filter((job) => !cameras.has(job.job) && Object.keys(job.placement).length);
  const tasks = living.flatMap((job) => {
    const held = Object.keys(job.placement).filter((task) => job.placement[task] === device);
    if (living.length === 1) return held;
    return held.length ? [`${job.job}: ${held.join(", ")}`] : [];
  });
  return [...watched, ...tasks];
}

const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function flowsTable(flows, drawn, rerender) {
  const colours = new Map(drawn.map((flow) => [flow.id, flow.colour]));
  const choose = (id) => { chosen.flow = chosen.flow === id ? null : id; rerender(); };
  return h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Flows" },
    h("table", null,
      h("thead", null, h("tr", null, ["flow", "job", "route", "granted", "measured", "of grant", "waiting"].map((name, column) => h("th", { scope: "col", class: column < 3 ? "text" : null }, name)))),
      h("tbody", null, flows.map((flow) => {
        const id = flowId(flow);
        const ratio = flow.granted_bps && flow.measured_bps !== null ? flow.measured_bps / flow.granted_bps : null;
        return h("tr", { key: id },
          h("th", { scope: "row" }, h("button", { class: "plain", "aria-pressed": String(chosen.flow === id), title: "Show it on the map", onclick: () => choose(id) },
            h("i", { class: colours.has(id) ? `swatch s${colours.get(id)}` : "swatch none" }), `${flow.from} → ${flow.to}`)),
          h("td", { class: "text" }, flow.job), h("td", { class: "text" }, flow.route.join(" → ")),
          h("td", null, rate(flow.granted_bps), flow.ceiling_bps > flow.granted_bps ? h("small", { class: "muted" }, `up to ${rate(flow.ceiling_bps)}`) : null), h("td", null, rate(flow.measured_bps)),
          ratio === null ? h("td", null, MISSING) : h("td", { class: "bar", style: { "--fill": `${Math.min(100, ratio * 100).toFixed(0)}%` } }, percent(ratio)),
          h("td", null, flow.backlog_bytes === null ? MISSING : `${figures(flow.backlog_bytes / 1000)} kB`));
      }))));
}

function linksTable(links) {
  return h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Links" },
    h("table", null,
      h("thead", null, h("tr", null, ["link", "capacity", "there", "back", "load"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, links.map((link) => {
        const load = linkLoad(link);
        return h("tr", { key: link.id }, h("th", { scope: "row" }, link.ends.join(" – ")), h("td", null, nominal(rate(link.capacity_bps))),
          h("td", null, rate(link.sent_bps[0])), h("td", null, rate(link.sent_bps[1])),
          load === null ? h("td", null, MISSING) : h("td", { class: "bar", style: { "--fill": `${Math.min(100, load * 100).toFixed(0)}%` } }, percent(load)));
      }))));
}
