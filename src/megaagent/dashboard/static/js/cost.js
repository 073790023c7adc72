// Where the money went.

import { canvasIn, el, fill } from "./dom.js";
import { colours } from "./colours.js";
import { amount, duration, money, percent } from "./words.js";
import * as api from "./api.js";

export function cost(root, app) {
  const body = el("div", { class: "scroll" });
  root.append(body);
  let at = -1;
  let surface = null;

  async function load() {
    at = app.model.position;
    const given = await api.ask(app.run, "costs");
    const { header } = app.model;
    const label = header.simulated ? "simulated dollars" : "spent";
    surface?.close();
    const curve = el("div", { class: "curve" });
    fill(
      body,
      el("div", { class: "cards" },
        card(money(header.cost), `${label}${header.max_cost != null ? ` of ${money(header.max_cost)}` : ""}`),
        card(amount(header.prompt + header.completion), "tokens"),
        card(percent(header.prompt ? header.cached / header.prompt : 0), "of the prompt from the cache"),
        card(money(header.reserved), "reserved for calls in flight"),
        card(String(header.retries), "calls asked again"),
        given.waste.map((row) => card(money(row.cost), WASTE[row.name] ?? row.name)),
        given.economy?.batches
          ? card(money(given.economy.saved), `saved by ${given.economy.answered} calls in batches`) : null,
        card(String(given.returned), "times work was returned")),
      el("h3", {}, "Spending over time"),
      curve,
      el("div", { class: "columns" },
        stages(given.stages),
        waste(given.waste),
        table("By subtree", given.subtrees, ["agents", "calls", "failures"], (row) => app.agentLink(row.id, row.name)),
        table("By model", given.models, ["calls", "prompt", "completion", "cached"]),
        table("By purpose of the call", given.purposes, ["calls", "prompt", "completion", "cached"]),
        table("By tier", given.tiers, ["calls", "prompt", "completion", "cached"]),
        table("By tool", given.tools, ["calls", "refused"]),
        given.faults.length ? counts("Calls that failed or were asked again", given.faults, "count") : null),
    );
    surface = canvasIn(curve, `Spending over time, up to ${money(header.cost)}`, (context, width, height) => drawCurve(context, width, height, given.spending, app));
  }

  app.guarded(load());
  return {
    update() {
      if (app.model.position > at && app.ticks % 8 === 0) app.guarded(load());
    },
    recoloured: () => surface?.redraw(),
    close: () => surface?.close(),
  };
}

const card = (value, words) => el("div", { class: "card" }, el("b", {}, value), el("span", {}, words));

const WASTE = { retries: "paid for attempts without an answer", duplicates: "paid for steps that repeated others", discarded: "paid for work that was thrown away" };

const right = (words) => el("th", { scope: "col", class: "num" }, words);

// Planning, solving and merging; `at work` is the time in which at least one call of the stage was in flight.
function stages(rows) {
  const whole = rows.reduce((sum, row) => sum + row.cost, 0) || 1;
  return el("section", {}, el("h3", {}, "By stage"), el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), right("calls"), right("tokens"), right("at work"), el("th", { scope: "col" }, "cost"))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", {}, row.name), el("td", { class: "num" }, amount(row.calls)), el("td", { class: "num" }, amount(row.prompt + row.completion)), el("td", { class: "num" }, duration(row.wall)), share(row.cost, whole))))));
}

function waste(rows) {
  return el("section", {}, el("h3", {}, "For nothing"), el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), right("how often"), right("tokens"), right("cost"))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", { class: "words" }, row.name, el("div", { class: "soft" }, row.words)), el("td", { class: "num" }, amount(row.count)), el("td", { class: "num" }, amount(row.tokens)), el("td", { class: "num" }, money(row.cost)))))));
}

function share(cost, whole) {
  const bar = el("i");
  bar.style.width = `${Math.max(0, Math.min(100, (100 * cost) / whole))}%`;
  return el("td", { class: "share" }, bar, el("span", {}, money(cost)));
}

function table(title, rows, columns, named = (row) => row.name) {
  const whole = rows.reduce((sum, row) => sum + row.cost, 0) || 1;
  return el("section", {}, el("h3", {}, title), el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), columns.map((name) => el("th", { scope: "col", class: "num" }, name)), el("th", { scope: "col" }, "cost"))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", { class: "words" }, named(row)), columns.map((name) => el("td", { class: "num" }, amount(row[name] ?? 0))), share(row.cost, whole))))));
}

function counts(title, rows, ...columns) {
  return el("section", {}, el("h3", {}, title), el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), columns.map((name) => el("th", { scope: "col", class: "num" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", { class: "words" }, row.name), columns.map((name) => el("td", { class: "num" }, row[name] ? amount(row[name]) : "")))))));
}

function drawCurve(context, width, height, points, app) {
  if (points.length < 2) return;
  const palette = colours();
  const [first, last] = [app.model.header.first, points.at(-1)[0]];
  const top = points.at(-1)[1] || 1;
  const x = (time) => 8 + ((width - 16) * (time - first)) / Math.max(0.001, last - first);
  const y = (value) => height - 8 - ((height - 26) * value) / top;
  context.beginPath();
  context.moveTo(x(first), y(0));
  for (const [time, value] of points) context.lineTo(x(time), y(value));
  context.strokeStyle = palette.accent;
  context.lineWidth = 1.8;
  context.stroke();
  context.lineTo(x(last), y(0));
  context.fillStyle = palette.accent;
  context.globalAlpha = 0.12;
  context.fill();
  context.globalAlpha = 1;
  context.fillStyle = palette.soft;
  context.font = `12px ${palette.font}`;
  context.textAlign = "right";
  context.fillText(`${money(top)} at ${app.time(last)}`, width - 10, 14);
}
