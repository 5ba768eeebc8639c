// Numbers as people read them, as in EdgeRay's reports. null becomes a dash: not measured, or not defined.

export const MISSING = "–";
const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

const known = (value) => typeof value === "number" && Number.isFinite(value);

// Three significant figures, never with an exponent.
export function figures(value) {
  if (!known(value)) return MISSING;
  const rounded = Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : value;
  if (rounded === 0) return "0";
  const decimals = Math.max(0, Math.min(2 - Math.floor(Math.log10(Math.abs(rounded))), 4));
  return rounded.toFixed(decimals);
}

function prefixed(value, unit) {
  if (!known(value)) return MISSING;
  for (const [factor, prefix] of PREFIXES) {
    if (Math.abs(value) >= factor * 0.9995) return `${figures(value / factor)} ${prefix}${unit}`;
  }
  return `${figures(value)} ${unit}`;
}

export const rate = (bps) => prefixed(bps, "bps");
export const size = (bytes) => prefixed(bytes, "B");

// A nominal amount, as written in a cluster file: 12 Mbps.
export function nominal(text) {
  const [number, unit] = text.split(" ");
  return `${number.includes(".") ? number.replace(/\.?0+$/, "") : number} ${unit ?? ""}`.trim();
}

export function duration(seconds) {
  if (!known(seconds)) return MISSING;
  return seconds >= 1 ? `${figures(seconds)} s` : `${figures(seconds * 1e3)} ms`;
}

// How long something took or lasts, for people: 45 s, 3 min 20 s, 2 h 5 min.
export function span(seconds) {
  if (!known(seconds)) return MISSING;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  const minutes = Math.round(whole / 60);
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export function percent(fraction) {
  if (!known(fraction)) return MISSING;
  const text = Math.abs(fraction) < 0.0995 ? (fraction * 100).toFixed(1).replace(/\.0$/, "") : (fraction * 100).toFixed(0);
  return `${text} %`;
}

export const clock = (epochS) =>
  known(epochS) ? new Date(epochS * 1000).toLocaleTimeString([], { hour12: false }) : MISSING;

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
