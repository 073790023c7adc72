// Colours of the canvas, read from the style sheet so that light and dark have one source.

import { STATES } from "./model.js";

let palette = null;

export function colours() {
  if (palette) return palette;
  const style = getComputedStyle(document.body);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  palette = {
    stands: STATES.map(([, , name]) => of(`s-${name}`)),
    ink: of("ink"),
    soft: of("soft"),
    line: of("line"),
    paper: of("paper"),
    raised: of("raised"),
    accent: of("accent"),
    bad: of("bad"),
    scale: [of("heat-0"), of("heat-1"), of("heat-2"), of("heat-3"), of("heat-4"), of("heat-5")],
    font: style.fontFamily || "sans-serif",
  };
  return palette;
}

export function forget() {
  palette = null;
}

// By what the chart is coloured: each gives a colour for a row and, for the key, words.
export const SCALES = {
  state: { label: "state" },
  spend: { label: "spend", value: (row) => row.cost, show: (v) => `$${v < 1 ? v.toFixed(3) : v.toFixed(2)}` },
  age: { label: "age in its state", value: (row, model) => Math.max(0, model.header.last - row.since), show: (v) => `${Math.round(v)} s` },
  failures: { label: "failures", value: (row) => row.failures, show: (v) => String(Math.round(v)) },
};

export function colouring(kind, model) {
  const { stands, scale } = colours();
  if (kind === "state" || !SCALES[kind]) return { of: (row) => stands[row.stand], most: 0 };
  const { value } = SCALES[kind];
  let most = 0;
  for (const row of model.rows) most = Math.max(most, value(row, model));
  const top = most || 1;
  return {
    most,
    of: (row) => {
      const share = value(row, model) / top;
      return scale[share <= 0 ? 0 : Math.min(scale.length - 1, 1 + Math.floor(Math.sqrt(share) * (scale.length - 1.001)))];
    },
  };
}
