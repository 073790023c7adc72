// Two runs beside each other: what they were asked, what they cost, and what they made.

import { canvasIn, el, fill } from "./dom.js";
import { colours } from "./colours.js";
import { amount, duration, money, percent } from "./words.js";
import * as api from "./api.js";

const FIGURES = [
  ["Status", (run) => run.status],
  ["Reason", (run) => run.reason],
  ["Goal", (run, about) => about.goal.slice(0, 600)],
  ["Model", (run) => `${run.model}${run.simulated ? " (simulated)" : ""}`],
  ["Scenario", (run) => run.scenario ?? ""],
  ["Version", (run, about) => about.version],
  ["Parted from", (run, about) => (about.parent ? `${about.parent}, after its fact ${about.parted}` : "")],
];
const COUNTED = [
  ["Agents", (run) => run.agents, amount],
  ["Model calls", (run) => run.steps, amount],
  ["Tokens", (run) => run.tokens, amount],
  ["Cost", (run) => run.cost, money],
  ["Time", (run) => run.last - run.began, duration],
  ["Interventions", (run) => run.interventions, amount],
];

export function compare(root, app) {
  const body = el("div", { class: "scroll" });
  root.append(el("div", { class: "head bar" }, el("h2", {}, "Two runs"), el("a", { href: `#/?compare=${encodeURIComponent(app.params.get("compare"))}` }, "All runs")), body);
  let surface = null;

  async function load() {
    fill(body, el("p", { class: "empty" }, "Reading both journals…"));
    const ids = app.params.get("compare").split(",").slice(0, 2);
    const { runs } = await api.runs();
    const two = ids.map((id) => runs.find((run) => run.id === id));
    if (two.includes(undefined)) {
      fill(body, el("p", { class: "empty" }, "One of them is not there."));
      return;
    }
    const abouts = await Promise.all(ids.map((id) => api.ask(id, "about")));
    const costs = await Promise.all(ids.map((id) => api.ask(id, "costs")));
    const curve = el("div", { class: "curve" });
    fill(body,
      table("The runs", two, FIGURES.map(([label, value]) => [label, two.map((run, at) => value(run, abouts[at]))]).filter(([, values]) => values.some(Boolean))),
      table("Figures", two, COUNTED.map(([label, value, show]) => counted(label, two.map(value), show)), "second against first"),
      el("h3", {}, "Spending over time"), curve,
      el("div", { class: "columns" },
        sums("Cost by stage", two, costs, "stages"), sums("Cost by tier", two, costs, "tiers"), sums("Cost by model", two, costs, "models"),
        sums("Cost of waste", two, costs, "waste"), sums("Calls of tools", two, costs, "tools", "calls", amount)),
      files(two, abouts),
      table("Settings that differ", two, differing(abouts.map((about) => about.settings))));
    surface?.close();
    surface = canvasIn(curve, "Spending of both runs over time", (context, width, height) => draw(context, width, height, two, costs));
  }

  const heads = (two) => two.map((run) => el("th", { scope: "col", title: run.id }, el("a", { href: `#/run/${encodeURIComponent(run.id)}` }, run.id)));

  function table(title, two, rows, last = "") {
    return el("section", {}, el("h3", {}, `${title}${rows.length ? "" : " · none"}`), rows.length ? el("table", { class: "beside" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), heads(two), last ? el("th", { scope: "col" }, last) : null)),
      el("tbody", {}, rows.map(([label, values, extra]) => el("tr", {}, el("td", { class: "soft" }, label), values.map((value) => el("td", { class: "words" }, value)), last ? el("td", { class: "soft" }, extra ?? "") : null)))) : null);
  }

  const against = ([one, other]) => (one === other ? "=" : one ? `${other >= one ? "+" : "−"}${percent(Math.abs(other / one - 1))}` : "");

  const counted = (label, values, show) => [label, values.map((value) => show(value)), against(values)];

  function sums(title, two, costs, key, field = "cost", show = money) {
    const names = [...new Set(costs.flatMap((cost) => cost[key].map((row) => row.name)))];
    const of = (cost, name) => cost[key].find((row) => row.name === name)?.[field] ?? 0;
    return table(title, two, names.map((name) => counted(name, costs.map((cost) => of(cost, name)), show)), "change");
  }

  function files(two, abouts) {
    const [one, other] = abouts.map((about) => about.files);
    const names = [...new Set([...Object.keys(one), ...Object.keys(other)])].sort();
    const same = names.filter((name) => one[name]?.[0] === other[name]?.[0]);
    const cell = (run, file, path) => (file ? el("a", { href: `#/run/${encodeURIComponent(run.id)}/files?${new URLSearchParams({ path })}` }, `${amount(file[1])} bytes`) : "–");
    const rows = names.filter((name) => !same.includes(name)).map((name) => [name, [cell(two[0], one[name], name), cell(two[1], other[name], name)]]);
    return el("div", {}, table(`Files that differ · ${rows.length} of ${names.length}`, two, rows.slice(0, 500)));
  }

  function differing([one, other]) {
    const told = (value) => (value === undefined ? "–" : JSON.stringify(value));
    return [...new Set([...Object.keys(one), ...Object.keys(other)])].sort().filter((name) => told(one[name]) !== told(other[name])).map((name) => [name, [told(one[name]), told(other[name])]]);
  }

  app.guarded(load());
  return {
    update() {},
    recoloured: () => surface?.redraw(),
    close: () => surface?.close(),
  };
}

function draw(context, width, height, two, costs) {
  const palette = colours();
  const longest = Math.max(0.001, ...two.map((run) => run.last - run.began));
  const most = Math.max(1e-9, ...costs.flatMap((cost) => cost.spending.map(([, sum]) => sum)));
  context.font = `12px ${palette.font}`;
  two.forEach((run, at) => {
    context.strokeStyle = context.fillStyle = at ? palette.stands[4] : palette.accent;
    context.setLineDash(at ? [6, 3] : []);
    context.lineWidth = 1.8;
    context.beginPath();
    context.moveTo(8, height - 8);
    for (const [time, sum] of costs[at].spending) context.lineTo(8 + ((width - 16) * (time - run.began)) / longest, height - 8 - ((height - 40) * sum) / most);
    context.stroke();
    context.fillText(`${at ? "╌╌" : "──"} ${run.id}: ${money(run.cost)} in ${duration(run.last - run.began)}`, 12, 16 + 16 * at);
  });
  context.setLineDash([]);
}
