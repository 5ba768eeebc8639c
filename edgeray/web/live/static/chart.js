// Lines over time, as SVG.

import { h } from "./dom.js";
import { MISSING, span } from "./format.js";

const WIDTH = 340;
const LEFT = 52;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;
// A line goes on across so many missing values: a question that took a little long.
const BRIDGED = 2;

const hovered = { chart: null, step: null };

// series: [{name, values, colour: 0-7, dashed}], all of one length. format: a value as text. rerender: draw again.
export function chart({ id, label, series, stepS, format, height = 132, rerender }) {
  const steps = Math.max(...series.map((one) => one.values.length), 2);
  const all = series.flatMap((one) => one.values).filter((value) => value !== null);
  const top = niceTop(Math.max(...all, 0));
  const bottom = height - BOTTOM;
  const x = (step) => LEFT + ((WIDTH - LEFT - RIGHT) * step) / (steps - 1);
  const y = (value) => bottom - ((bottom - TOP) * value) / top;
  const step = hovered.chart === id ? Math.min(hovered.step, steps - 1) : null;
  const move = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    hovered.chart = id;
    hovered.step = Math.max(0, Math.min(steps - 1, Math.round(((at - LEFT) / (WIDTH - LEFT - RIGHT)) * (steps - 1))));
    rerender();
  };
  const leave = () => {
    hovered.chart = null;
    rerender();
  };
  return h("figure", { class: "chart" },
    h("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": spoken(label, series, format), onpointermove: move, onpointerleave: leave },
      [0, 0.5, 1].map((part) => [
        h("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(top * part), y2: y(top * part) }),
        h("text", { class: "tick", x: LEFT - 5, y: y(top * part) + 3.5, "text-anchor": "end" }, all.length || part === 0 ? format(top * part) : ""),
      ]),
      h("text", { class: "tick", x: LEFT, y: height - 5 }, series.some((one) => one.values.length) ? `${span(steps * stepS)} ago` : ""),
      h("text", { class: "tick", x: WIDTH - RIGHT, y: height - 5, "text-anchor": "end" }, "now"),
      all.length ? null : h("text", { class: "tick", x: (LEFT + WIDTH) / 2, y: (TOP + bottom) / 2, "text-anchor": "middle" }, "nothing measured yet"),
      series.map((one) => h("path", { class: `line s${one.colour}${one.dashed ? " dashed" : ""}`, d: path(one.values, x, y) })),
      step === null ? null : h("line", { class: "cursor", x1: x(step), x2: x(step), y1: TOP, y2: bottom }),
      step === null ? null : series.map((one) =>
        one.values[step] == null ? null : h("circle", { class: `dot s${one.colour}`, cx: x(step), cy: y(one.values[step]), r: 3 })),
    ),
    h("figcaption", null,
      series.map((one) => h("span", { class: "key" },
        h("i", { class: `swatch s${one.colour}${one.dashed ? " dashed" : ""}` }), `${one.name} `,
        h("b", null, format(step === null ? last(one.values) : one.values[step])))),
      h("span", { class: "muted when" }, step === null ? "" : `${span((steps - 1 - step) * stepS)} ago`),
    ),
  );
}

// A line alone, as high as a line of text. values: of any number. most: what is drawn at the top, if not the largest.
export function sparkline(values, label, most = null) {
  const known = values.filter((value) => value !== null);
  const top = most ?? Math.max(...known, 1e-9) * 1.1;
  const x = (step) => (100 * step) / Math.max(values.length - 1, 1);
  const y = (value) => 23 - (22 * value) / top;
  return h("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("path", { class: "line s0", d: path(values, x, y), "vector-effect": "non-scaling-stroke" }));
}

function path(values, x, y) {
  let drawn = "";
  let missing = BRIDGED + 1;
  values.forEach((value, step) => {
    if (value === null) {
      missing += 1;
      return;
    }
    const point = `${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
    drawn += missing > BRIDGED ? `M${point}h.01` : `L${point}`;
    missing = 0;
  });
  return drawn;
}

const last = (values) => values.slice(-5).reduce((found, value) => value ?? found, null);

const spoken = (label, series, format) =>
  `${label}. Now: ${series.map((one) => `${one.name} ${format(last(one.values))}`).join(", ") || MISSING}`;

// The least of 1, 2, 2.5, 5 times a power of ten that is not below value.
function niceTop(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((top) => top >= value * 1.02) ?? 10 * power;
}
