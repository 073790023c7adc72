// What is owed, by whom, since when; open checklists; questions to a person.

import { el, button, fill } from "./dom.js";
import { duration, plural } from "./words.js";
import { said } from "./markdown.js";
import * as api from "./api.js";

const STATUSES = ["open", "reported", "accepted", "dropped", "failed"];

export function debts(root, app) {
  const bar = el("div", { class: "head bar" });
  const body = el("div", { class: "scroll" });
  root.append(bar, body);
  let at = -1;

  async function load() {
    at = app.model.position;
    const status = app.params.get("status") ?? "open";
    const given = await api.ask(app.run, "debts", { status });
    fill(
      bar,
      el("span", { class: "choice" }, STATUSES.map((each) => button(`${each} ${given.counts[each] ?? 0}`, () => app.set({ status: each === "open" ? "" : each }), { "aria-pressed": String(each === status) }))),
      el("span", { class: "soft" }, "Every assignment is a debt of the agent that has it to the agent that gave it."),
    );
    const now = app.model.header.last;
    fill(
      body,
      given.debts.length
        ? el("table", { class: "cut" },
            el("thead", {}, el("tr", {}, ["Debtor", "Owes to", "Task", "Since", "Returned", "Report"].map((name) => el("th", { scope: "col", class: name === "Since" || name === "Returned" ? "num" : "" }, name)))),
            el("tbody", {}, given.debts.map((debt) => el("tr", {},
              el("td", {}, app.agentLink(debt.debtor)), el("td", {}, app.agentLink(debt.creditor)), el("td", { class: "words" }, said(debt.task)),
              el("td", { class: "num" }, status === "open" || status === "reported" ? duration(now - debt.opened) : app.time(debt.opened)),
              el("td", { class: "num" }, debt.returns ? `${debt.returns}×` : ""), el("td", { class: "words" }, said(debt.report, "soft"))))))
        : el("p", { class: "empty" }, `No assignment is ${status}.`),
      el("h3", {}, `Checklists with open items · ${given.checklists.length}`),
      el("div", { class: "columns" }, given.checklists.map((entry) => el("div", { class: "box" },
        el("div", { class: "by" }, app.agentLink(entry.id), el("span", {}, `${entry.items.filter((item) => item.done).length} of ${entry.items.length}`)),
        el("ul", {}, entry.items.map((item) => el("li", { class: item.done ? "soft" : "" }, `${item.done ? "☑" : "☐"} ${item.text}`, item.since ? el("span", { class: "soft" }, ` · open for ${duration(now - item.since)}`) : null)))))),
    );
  }
  app.guarded(load());
  return {
    update() {
      if (app.model.position > at + 8 || app.ticks % 8 === 0) app.guarded(load());
    },
    close() {},
  };
}
