// Lists of facts: the raw journal, messages, interventions. Pages from the newest; one can follow the end.

import { el, button, fill } from "./dom.js";
import { isTrouble, saying } from "./words.js";
import { said } from "./markdown.js";
import * as api from "./api.js";

// One fact as a line; a click shows it whole, as it is in the journal.
export function line(app, fact) {
  const open = async () => {
    const there = node.querySelector("pre");
    if (there) {
      there.remove();
      return;
    }
    const whole = await api.ask(app.run, "fact", { position: fact.position });
    node.append(el("pre", {}, JSON.stringify(whole, null, 2)), app.forkButton(fact.position));
  };
  const node = el(
    "div",
    { class: `fact${isTrouble(fact) ? " trouble" : ""}` },
    el("button", { type: "button", class: "link num", title: `fact ${fact.position}: show it whole`, onclick: () => app.guarded(open()) }, String(fact.position)),
    el("span", { class: "num soft" }, app.time(fact.time)),
    el("span", { class: "agent" }, app.agentLink(fact.agent)),
    el("span", { class: "words" }, el("span", { class: "kind" }, `${fact.event.kind} `), saying(fact)),
  );
  return node;
}

const MESSAGE_KINDS = ["talk", "assignment", "review", "report", "notice", "person"];

export function journal(root, app) {
  return list(root, app, { kinds: "", choose: true, note: "Every fact that this run has recorded. A number shows one whole." });
}

export function interventions(root, app) {
  return list(root, app, { kinds: "interventions", note: "What the supervisor and people did to keep the run going." });
}

export function messages(root, app) {
  return list(root, app, { kinds: "MessageSent", talk: true });
}

function list(root, app, { kinds, choose = false, talk = false, note = "" }) {
  const { params } = app;
  const body = el("div", { class: "scroll facts-list" });
  const text = el("input", { type: "search", class: "grow", placeholder: "Containing these words", "aria-label": "Containing", value: params.get("text") ?? "" });
  const of = el("input", { type: "search", placeholder: "Agent", "aria-label": "Of an agent, by its path", value: params.get("of") ?? "", list: "agents-known" });
  const kind = choose
    ? el("select", { "aria-label": "Kind of fact" }, el("option", { value: "" }, "all kinds"), app.kinds.map((each) => el("option", { value: each, selected: each === params.get("kind") }, each)))
    : talk
      ? el("select", { "aria-label": "Kind of message" }, el("option", { value: "" }, "all kinds"), MESSAGE_KINDS.map((each) => el("option", { value: each, selected: each === params.get("kind") }, each)))
      : null;
  const follow = button("Follow", () => {
    follow.setAttribute("aria-pressed", String(follow.getAttribute("aria-pressed") !== "true"));
    if (follow.getAttribute("aria-pressed") === "true") app.guarded(load());
  }, { "aria-pressed": params.get("text") ? "false" : "true", title: "Show new ones as they come" });
  root.append(el("div", { class: "head bar" }, kind, of, text, follow, note ? el("span", { class: "soft" }, note) : null), body);
  let asked = 0;
  let newest = 0;
  let loading = false;

  const wanted = () => ({
    kinds: choose ? kind.value : kinds,
    agent: of.value.trim() ? (app.model.rows.find((row) => row.name === of.value.trim()) ? app.model.id(app.model.rows.find((row) => row.name === of.value.trim()).index) : of.value.trim()) : "",
    text: text.value,
  });
  const fits = (fact) => !talk || !kind.value || (fact.event.message.kind ?? "talk") === kind.value;
  const drawn = (fact) => (talk ? mail(fact) : line(app, fact));

  function mail(fact) {
    const { message } = fact.event;
    return el("div", { class: "box" },
      el("div", { class: "by" },
        el("button", { type: "button", class: "link", onclick: () => app.guarded(whole(fact.position)) }, String(fact.position)),
        el("span", { class: "num" }, app.time(fact.time)),
        app.agentLink(message.sender), "→", message.to.slice(0, 8).map((id) => app.agentLink(id)), message.to.length > 8 ? `and ${message.to.length - 8} more` : null,
        el("span", {}, message.kind ?? "talk")),
      el("div", { id: `mail-${fact.position}` }, said(message.text)));
  }

  async function whole(position) {
    const fact = await api.ask(app.run, "fact", { position });
    fill(document.getElementById(`mail-${position}`), said(fact.event.message.text));
  }

  async function load(before = undefined) {
    const turn = ++asked;
    loading = true;
    try {
      const page = await api.ask(app.run, "journal", { ...wanted(), before, limit: 80 });
      if (turn !== asked) return;
      const facts = page.facts.filter(fits).map(drawn);
      const more = page.next ? button("Earlier", () => app.guarded(load(page.next))) : null;
      if (before === undefined) {
        newest = page.last;
        fill(body, facts.length || more ? [facts, more] : el("p", { class: "empty" }, "None."));
      } else {
        body.lastChild.remove();
        body.append(...[...facts, more].filter(Boolean));
      }
    } finally {
      if (turn === asked) loading = false;
    }
  }

  // New ones are put on top; those that are there are not touched, so nothing is missed and nothing doubled.
  async function grow() {
    const turn = asked;
    loading = true;
    try {
      const page = await api.ask(app.run, "journal", { ...wanted(), after: newest, order: "oldest", limit: 200 });
      if (turn !== asked) return;
      const last = page.facts.at(-1)?.position;
      newest = page.next ? (last ?? page.next) : page.last;
      if (page.facts.length) body.querySelector(".empty")?.remove();
      const top = body.scrollTop;
      const height = body.scrollHeight;
      body.prepend(...page.facts.filter(fits).map(drawn).reverse());
      if (top > 4) body.scrollTop = top + body.scrollHeight - height;
      while (body.childElementCount > 2000) body.lastChild.remove();
    } finally {
      if (turn === asked) loading = false;
    }
  }

  const changed = () => {
    app.set({ text: text.value, of: of.value, kind: kind?.value ?? "" }, { quiet: true });
    app.guarded(load());
  };
  let later = 0;
  text.addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(changed, 250);
  });
  of.addEventListener("change", changed);
  kind?.addEventListener("change", changed);
  app.guarded(load());
  return {
    update() {
      if (!loading && newest && app.model.position > newest && follow.getAttribute("aria-pressed") === "true") app.guarded(grow());
    },
    close() {
      asked += 1;
    },
  };
}

