// The last 5 minutes of a view's series, for lines that are as high as text.

import { ask } from "./api.js";

const AGAIN_MS = 3000;
const SECONDS = 300;
const POINTS = 100;
const MOST = 400; // in one question

export function sparks() {
  const held = { busy: false, askedMs: -Infinity, series: {} };
  return {
    // The values of a series, oldest first; none before they came.
    values: (name) => held.series[name] ?? [],
    // Ask for these, if it is time to.
    async refresh(names, rerender) {
      if (!names.length || held.busy || performance.now() - held.askedMs < AGAIN_MS) return;
      held.busy = true;
      held.askedMs = performance.now();
      try {
        held.series = (await ask("/api/history", { series: names.slice(0, MOST), seconds: SECONDS, points: POINTS })).series;
        rerender();
      } catch {
        held.series = {};
      }
      held.busy = false;
    },
  };
}
