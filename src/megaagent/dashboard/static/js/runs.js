// The runs that there are; begin one, tick two to compare.

import { el, button, fill } from "./dom.js";
import { amount, duration, money, plural } from "./words.js";
import * as api from "./api.js";
import { form } from "./dialogs.js";

export function runs(root, app) {
  const bar = el("div", { class: "head bar" });
  const body = el("div", { class: "scroll" });
  root.append(bar, body);
  const picked = new Set((app.params.get("compare") ?? "").split(",").filter(Boolean));
  let timer = 0;
  let drawn = "";

  async function load() {
    try {
      const { runs: all } = await api.runs();
      const now = JSON.stringify([all, [...picked]]);
      if (now !== drawn) draw(all);
      drawn = now;
    } finally {
      clearTimeout(timer);
      timer = setTimeout(() => app.guarded(load()), 2000);
    }
  }

  function draw(all) {
    fill(bar, el("h2", {}, plural(all.length, "run")), el("span", { class: "grow" }),
      picked.size === 2 ? el("a", { class: "button", href: `#/?${new URLSearchParams({ compare: [...picked].join(","), beside: "1" })}` }, "Compare the two") : el("span", { class: "soft" }, "tick two to compare them"),
      api.session.scope === "full" && !api.session.only ? button("Start a run", () => app.guarded(begin()), { class: "primary" }) : null);
    fill(body,
      all.length ? el("table", { class: "cut runs" },
        el("thead", {}, el("tr", {}, ["", "Run", "Status", "Goal", "Agents", "Calls", "Cost", "Time", "Begun"].map((name, at) => el("th", { scope: "col", class: at > 3 ? "num" : "" }, name)))),
        el("tbody", {}, all.map(row)))
        : el("p", { class: "empty" }, "No run yet. Try: megaagent run --scenario gobang"));
  }

  function row(run) {
    const tick = el("input", { type: "checkbox", "aria-label": `Compare ${run.id}`, checked: picked.has(run.id), onchange: () => {
      if (tick.checked) picked.add(run.id);
      else picked.delete(run.id);
      while (picked.size > 2) picked.delete([...picked][0]);
      app.set({ compare: [...picked].join(",") }, { quiet: true });
      drawn = "";
      app.guarded(load());
    } });
    return el("tr", {},
      el("td", {}, tick),
      el("td", {}, el("a", { href: `#/run/${encodeURIComponent(run.id)}` }, run.id), run.parent ? el("div", { class: "soft" }, `from ${run.parent}`) : null),
      el("td", {}, el("span", { class: `chip ${run.status.split(" ")[0]}` }, run.live ? el("i", { class: "dot live" }) : null, run.status), asks(run), run.simulated ? [" ", el("span", { class: "sim" }, "simulated")] : null),
      el("td", { class: "words soft" }, run.goal.slice(0, 160)),
      el("td", { class: "num" }, amount(run.agents)), el("td", { class: "num" }, amount(run.steps)), el("td", { class: "num" }, money(run.cost)), el("td", { class: "num" }, duration(run.last - run.began)),
      el("td", { class: "num soft" }, run.began ? new Date(run.began * 1000).toLocaleString() : ""));
  }

  function asks(run) {
    const count = run.waits.length + run.questions;
    return count ? [" ", el("a", { class: "asks", href: `#/run/${encodeURIComponent(run.id)}/${run.waits.length ? "approvals" : "questions"}` }, count === 1 ? "asks you" : `asks you ${count}×`)] : null;
  }

  async function begin() {
    const given = await form("Start a run", "It runs in a process of its own, and goes on when this server ends.", [
      { name: "goal", label: "Goal", kind: "area", hint: "What is to be made, in plain words" },
      { name: "model", label: "Model, as provider:name", hint: "openai:gpt-4.1" },
      { name: "scenario", label: "Or a scenario that rehearses without a provider", hint: "gobang" },
      { name: "max_cost", label: "Cap of money, in dollars", kind: "number", value: "" },
    ], "Start");
    if (!given) return;
    const { run } = await api.start({ goal: given.goal, model: given.model.trim(), scenario: given.scenario.trim(), max_cost: given.max_cost ? Number(given.max_cost) : null });
    location.hash = `#/run/${encodeURIComponent(run)}`;
  }

  app.guarded(load());
  return {
    update() {},
    close: () => clearTimeout(timer),
  };
}
