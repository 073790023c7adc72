// What agents have asked a person: questions to be answered, and calls that wait to be approved.

import { el, button, fill } from "./dom.js";
import { duration, plural } from "./words.js";
import { said } from "./markdown.js";
import { pretty } from "./panel.js";
import * as api from "./api.js";

export function questions(root, app) {
  return list(root, app, (given) => {
    const open = new Set(given.open);
    const answers = new Map(given.answers.map((fact) => [fact.event.id, fact]));
    return [
      el("h2", {}, open.size ? plural(open.size, "open question") : "No open question"),
      el("p", { class: "soft" }, "Agents ask a person with ask_user. Without an answer in time they are told to decide themselves."),
      openFirst(given.questions, open).map((fact) => {
        const { id, question } = fact.event;
        const answer = answers.get(id);
        const stand = open.has(id) ? "open" : answer ? `answered by the ${answer.event.by}` : "over";
        return el("div", { class: `box${open.has(id) ? " open" : ""}` },
          by(app, fact, stand, open.has(id)),
          said(question),
          answer ? said(`→ ${answer.event.text}`, "soft") : null,
          open.has(id) && may(app) ? reply(id) : null);
      }),
    ];
  });

  function reply(id) {
    const text = el("textarea", { "aria-label": "Answer", placeholder: "Your answer" });
    return el("div", {}, text, button("Answer", () => text.value.trim() && app.act({ do: "answer", target: id, text: text.value }), { class: "primary" }));
  }
}

export function approvals(root, app) {
  return list(root, app, (given) => {
    const open = new Set(given.waiting);
    const rulings = new Map(given.rulings.map((fact) => [fact.event.id, fact]));
    return [
      el("h2", {}, open.size ? plural(open.size, "call waits for approval", "calls wait for approval") : "No call waits for approval"),
      el("p", { class: "soft" }, "Calls that the settings mark (tools.ask_before) are made only when a person lets them. What is shown is what would be done, as the engine reads it; nothing of it has been done."),
      openFirst(given.approvals, open).map((fact) => call(fact, open.has(fact.event.id), rulings.get(fact.event.id))),
    ];
  });

  function call(fact, waits, ruling) {
    const { id, tool, effect, rule, until, unanswered } = fact.event;
    const args = fact.event.arguments ?? "{}";
    const stand = waits ? "waits" : ruling ? `${ruling.event.ruling === "approve" ? "approved" : "refused"} by the ${ruling.event.by ?? "person"} at ${app.time(ruling.time)}` : "over";
    const left = until - Date.now() / 1000;
    return el("div", { class: `box${waits ? " open" : ""}` },
      by(app, fact, stand, waits),
      el("div", { class: "effect" }, el("code", {}, tool), el("ul", {}, (effect ?? []).map((line) => el("li", {}, line)))),
      el("details", { open: waits }, el("summary", { class: "soft" }, "its arguments, as they are"), el("pre", { class: "clip" }, pretty(args))),
      ruling?.event.remark ? el("div", { class: "said soft" }, `→ ${ruling.event.remark}`) : null,
      el("div", { class: "soft" }, rule ?? "", waits && app.live ? ` · ${unanswered === "approve" ? "approved" : "refused"} by itself in ${duration(Math.max(0, left))}` : ""),
      waits && may(app) ? ruled(id) : null);
  }

  function ruled(id) {
    const remark = el("input", { type: "text", class: "grow", "aria-label": "Remark", placeholder: "A remark for the agent (may be left out)" });
    const send = (what) => () => app.act({ do: what, target: id, text: remark.value });
    return el("div", { class: "bar" }, remark, button("Approve", send("approve"), { class: "primary" }), button("Refuse", send("refuse"), { class: "danger" }));
  }
}

const may = (app) => api.session.scope === "full" && app.live;

const openFirst = (facts, open) => [...facts].reverse().sort((a, b) => open.has(b.event.id) - open.has(a.event.id));

function by(app, fact, stand, open) {
  return el("div", { class: "by" }, app.agentLink(fact.agent), el("span", {}, app.time(fact.time)), el("span", { class: open ? "warn" : "" }, stand));
}

function list(root, app, draw) {
  const body = el("div", { class: "scroll" });
  root.append(body);
  let at = "";
  const now = () => `${app.model.header.questions} ${app.model.header.approvals} ${app.live}`;

  async function load() {
    at = now();
    const given = await api.ask(app.run, "asked");
    fill(body, draw(given));
  }

  app.guarded(load());
  return {
    // What somebody types is not taken from under their hands, unless what it answers is over.
    update() {
      if (now() === at) return;
      const typing = body.contains(document.activeElement) && document.activeElement.value;
      if (!typing || app.model.header.questions + app.model.header.approvals === 0) app.guarded(load());
    },
    close() {},
  };
}
