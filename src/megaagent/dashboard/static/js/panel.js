// One agent: who it is, why it waits, what it owes and was sent; and what a person can do about it.

import { el, button, fill } from "./dom.js";
import { SIGNS, STATES } from "./model.js";
import { colours } from "./colours.js";
import { amount, money, nameOf, percent, plural } from "./words.js";
import { said } from "./markdown.js";
import * as api from "./api.js";
import { confirm } from "./dialogs.js";

const TABS = ["Overview", "Conversation", "Mail", "Role", "Facts"];

export function panel(root, app) {
  let shown = null; // the agent's id
  let data = null;
  let tab = "Overview";
  let asked = 0;
  let readAt = 0;
  let turned = false; // the address has named another tab since it was drawn
  const head = el("div", { class: "head" });
  const tabs = el("div", { class: "tabs", role: "tablist" });
  const body = el("div", { class: "scroll", role: "tabpanel" });
  const say = el("textarea", { placeholder: "Write to this agent; it reads it before its next step", "aria-label": "Message" });
  const foot = el("div", { class: "head" });
  root.append(head, tabs, body, foot);

  async function open(index) {
    const id = app.model.id(index);
    const fresh = id !== shown;
    shown = id;
    root.hidden = false;
    if (fresh) {
      data = null;
      fill(body, el("p", { class: "empty" }, "…"));
      say.value = "";
    }
    const turn = ++asked;
    const given = await api.ask(app.run, "agent", { id });
    if (turn !== asked || shown !== id) return;
    data = given;
    readAt = app.model.position;
    draw(fresh || turned);
    turned = false;
    app.view?.chosen?.(index, data.why.map((link) => link.id));
  }

  function draw(fresh) {
    const stand = app.model.rows[data.index]?.stand ?? 8;
    const sign = el("span", {}, SIGNS[stand]);
    sign.style.color = colours().stands[stand];
    fill(
      head,
      el("div", { class: "who" }, el("h2", {}, sign, ` ${data.name} `, el("span", { class: "soft" }, STATES[stand][0])), el("div", { class: "soft path" }, `${data.id} · ${data.tier}`)),
      button("✕", () => app.select(-1), { "aria-label": "Close" }),
    );
    fill(
      tabs,
      TABS.map((name) =>
        button(name, () => {
          tab = name;
          app.set({ tab: name === "Overview" ? "" : name }, { quiet: true });
          draw(true);
        }, { role: "tab", "aria-selected": String(name === tab) }),
      ),
    );
    drawFoot();
    if (tab === "Conversation") {
      if (fresh) app.guarded(conversation());
    } else if (tab === "Facts") {
      if (fresh) app.guarded(facts());
    } else fill(body, { Overview: overview, Mail: mail, Role: role }[tab]());
  }

  function drawFoot() {
    const may = api.session.scope === "full" && app.live;
    foot.hidden = !may || data.retired !== null;
    if (foot.hidden || foot.childElementCount) return;
    fill(
      foot,
      el("div", { class: "who" }, say, el("div", { class: "bar" },
        button("Send", send, { class: "primary" }),
        button("Pause", () => subtree("pause"), { title: "Pause this agent and all below it" }),
        button("Unpause", () => subtree("unpause")),
        button("Budget", () => app.guarded(purse()), { title: "What this agent and all below it may spend" }),
        button("Stop", () => subtree("stop"), { class: "danger", title: "Stop this agent and all below it" }))),
    );
  }

  async function send() {
    const text = say.value;
    if (!text.trim()) {
      say.focus();
      return;
    }
    if (await app.act({ do: "send", target: shown, text })) say.value = "";
  }

  async function purse() {
    const { purse: it, subtree: sum } = data;
    await app.caps(`What ${data.name} and all below it may spend`, `${money(sum.cost ?? 0)} and ${amount(sum.tokens ?? 0)} tokens are spent. What is given is set aside out of ${nameOf(data.superior ?? "the run")}'s purse; what is left flows back when its work is accepted.`, { target: shown }, [
      { name: "cost", label: "Money, in dollars", kind: "number", value: it.own ? it.cost ?? "" : "", hint: it.cost == null ? "no cap" : `as a share of its superior's: ${money(it.cost)}` },
      { name: "tokens", label: "Tokens", kind: "number", value: it.own ? it.tokens ?? "" : "", hint: it.tokens == null ? "no cap" : `as a share of its superior's: ${amount(it.tokens)}` },
    ]);
    if (shown) open(data.index);
  }

  async function subtree(what) {
    const sum = app.model.sums[data.index];
    if (what === "stop" && !(await confirm(`Stop ${data.name}?`, `${plural(sum.agents, "agent")} will end at once; calls in flight are given up, and what they owed goes back to ${nameOf(data.superior ?? "the run")}.`, "Stop"))) return;
    await app.act({ do: what, target: shown });
  }

  function overview() {
    const { usage, subtree: sum } = data;
    const share = usage.prompt ? (usage.cached ?? 0) / usage.prompt : 0;
    return [
      el("p", {}, data.description),
      data.paused ? el("p", { class: "warn" }, `paused: ${data.paused}`) : null,
      data.retired ? el("p", { class: "soft" }, `has left: ${data.retired}`) : null,
      el("h3", {}, "Why it stands so"),
      el("ol", { class: "chain" }, data.why.map((link) => el("li", {}, app.agentLink(link.id), el("span", { class: "soft" }, link.words)))),
      el("h3", {}, "Spent"),
      el("dl", { class: "facts" },
        el("dt", {}, "alone"), el("dd", {}, `${money(data.cost)}, ${plural(data.steps, "step")}, ${amount((usage.prompt ?? 0) + (usage.completion ?? 0))} tokens (${percent(share)} cached)`),
        sum.agents > 1 ? [el("dt", {}, "with those below"), el("dd", {}, `${money(sum.cost ?? 0)}, ${plural(sum.calls ?? 0, "call")}, ${plural(sum.agents, "agent")}`)] : null,
        el("dt", {}, "may spend"), el("dd", {}, [data.purse.cost == null ? "" : money(data.purse.cost), data.purse.tokens == null ? "" : `${amount(data.purse.tokens)} tokens`].filter(Boolean).join(" and ") || "no cap", el("span", { class: "soft" }, data.purse.own ? " set aside for it" : data.superior ? " of its superior's purse" : "")),
        el("dt", {}, "failures"), el("dd", {}, String(data.failures)),
        el("dt", {}, "here since"), el("dd", {}, app.time(data.born))),
      section("Checklist", data.checklist, (item) => el("li", { class: item.done ? "soft" : "" }, `${item.done ? "☑" : "☐"} ${item.text}`, item.since ? el("span", { class: "soft" }, ` · since ${app.time(item.since)}`) : null)),
      section("Owes", data.owes, debt),
      section("Is owed", data.owed, debt),
      data.program ? [el("h3", {}, "Program"), el("p", {}, "one is running")] : null,
      section("Last programs", data.runs, ([command, code]) => el("li", {}, el("code", {}, command), el("span", { class: code ? "bad" : "soft" }, code === null ? " …" : ` → ${code}`))),
      section("Files", data.files, (path) => el("li", {}, el("a", { href: app.link("files", { path }) }, path))),
      section("Conflicts to settle", data.disputed, (path) => el("li", { class: "warn" }, path)),
      section("Group", data.group, (name) => el("li", { class: "inline" }, app.agentLink(`${data.id}/${name}`))),
    ];
  }

  function debt(it) {
    return el("li", { class: "box" },
      el("div", { class: "by" }, app.agentLink(it.debtor), "→", app.agentLink(it.creditor), el("span", {}, it.status), it.returns ? el("span", { class: "warn" }, `returned ${it.returns}×`) : null, el("span", {}, `since ${app.time(it.opened)}`)),
      said(it.task),
      it.report ? el("details", {}, el("summary", {}, "report"), said(it.report)) : null);
  }

  function mail() {
    if (!data.inbox.length) return [el("p", { class: "empty" }, "No unread mail. What it has read is in its conversation.")];
    return data.inbox.map((message) => el("div", { class: "box" }, el("div", { class: "by" }, app.agentLink(message.sender), el("span", {}, message.kind)), said(message.text)));
  }

  function role() {
    return [el("h3", {}, "Role, as its recruiter wrote it"), said(data.prompt || "none")];
  }

  async function conversation(before = undefined) {
    const id = shown;
    const page = await api.ask(app.run, "conversation", { id, before });
    if (id !== shown || tab !== "Conversation") return;
    const earlier = page.start > 0 ? button(`Show ${Math.min(40, page.start)} earlier of ${page.start}`, () => app.guarded(conversation(page.start))) : null;
    const turns = page.messages.map(turn);
    if (before === undefined) {
      fill(body, earlier, turns, el("p", { class: "soft" }, "The next request carries all of this, its new mail and its status."));
      body.scrollTop = body.scrollHeight;
    } else {
      body.firstChild.remove();
      body.prepend(...[earlier, ...turns].filter(Boolean));
    }
  }

  function turn(message) {
    return el("div", { class: `turn ${message.role}` },
      el("div", { class: "by" }, message.role),
      message.reasoning ? el("details", {}, el("summary", { class: "soft" }, "thinking"), said(message.reasoning, "soft")) : null,
      message.text ? (message.text.length > 900 ? el("details", {}, el("summary", {}, `${message.text.slice(0, 200)}…`), words(message)) : words(message)) : null,
      message.calls.map((call) => el("details", {}, el("summary", {}, el("code", {}, call.name), el("span", { class: "soft" }, ` ${call.arguments.slice(0, 70)}`)), el("pre", { class: "clip" }, pretty(call.arguments)))));
  }

  // What a tool answered is a file or what a program wrote: never prose.
  const words = (message) => (message.role === "tool" ? el("div", { class: "said" }, message.text) : said(message.text));

  async function facts() {
    const id = shown;
    const page = await api.ask(app.run, "journal", { agent: id, limit: 120 });
    if (id !== shown || tab !== "Facts") return;
    fill(body, page.facts.map((fact) => app.factLine(fact)), page.next ? el("p", {}, el("a", { href: app.link("journal", { of: id }) }, "All in the journal")) : null);
  }

  return {
    open: (index) => app.guarded(open(index)),
    close() {
      shown = null;
      asked += 1;
      root.hidden = true;
      fill(foot);
    },
    get shown() {
      return shown;
    },
    setTab(name) {
      const wanted = TABS.includes(name) ? name : "Overview";
      turned = turned || wanted !== tab;
      tab = wanted;
    },
    update() {
      if (!shown || !data || app.model.position === readAt) return;
      readAt = app.model.position;
      const index = app.model.find(shown);
      if (index >= 0 && !body.contains(document.activeElement)) app.guarded(open(index));
    },
    focusMessage: () => say.focus(),
  };
}

export function section(title, items, draw) {
  return items.length ? [el("h3", {}, `${title} · ${items.length}`), el("ul", {}, items.map(draw))] : null;
}

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

