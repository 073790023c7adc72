// The page: what is seen follows from the address, so that a link brings back a view.
//   #/                                   the runs
//   #/run/ID/VIEW?agent=PATH&...         one of them

import { el, button, fill } from "./dom.js";
import { Folding, Model } from "./model.js";
import { forget } from "./colours.js";
import { amount, duration, money, nameOf } from "./words.js";
import * as api from "./api.js";
import { confirm, form, keys } from "./dialogs.js";
import { organization } from "./organization.js";
import { panel } from "./panel.js";
import { timeline } from "./timeline.js";
import { files } from "./files.js";
import { interventions, journal, line, messages } from "./facts.js";
import { approvals, questions } from "./asked.js";
import { compare } from "./compare.js";
import { debts } from "./debts.js";
import { cost } from "./cost.js";
import { runs } from "./runs.js";
import { prose } from "./markdown.js";

const VIEWS = {
  organization: ["Organization", organization],
  timeline: ["Timeline", timeline, (h) => h.steps],
  files: ["Files", files, (h) => h.commits],
  messages: ["Messages", messages, (h) => h.messages],
  debts: ["Debts", debts, (h) => h.debts],
  cost: ["Cost", cost],
  interventions: ["Interventions", interventions, (h) => h.interventions],
  questions: ["Questions", questions, (h) => h.questions],
  approvals: ["Approvals", approvals, (h) => h.approvals],
  journal: ["Journal", journal, (h) => app.model?.position],
};
const ASKING = ["questions", "approvals"]; // views whose number asks for somebody
const KEPT = ["agent", "tab"]; // parts of the address that go along from view to view

const [top, nav, main, side, notices] = ["top", "nav", "main", "panel", "notices"].map((id) => document.getElementById(id));

const app = {
  run: null,
  name: "",
  model: null,
  folding: null,
  params: new URLSearchParams(),
  live: false,
  kinds: [],
  ticks: 0,
  found: null,
  view: null,
  act,
  agentLink,
  caps,
  factLine: (fact) => line(app, fact),
  forkButton,
  guarded,
  link,
  notice,
  openPanel: () => app.selected() >= 0 && card.open(app.selected()),
  select,
  selected: () => (app.model ? app.model.find(app.params.get("agent")) : -1),
  set,
  time: (seconds) => (seconds ? duration(Math.max(0, seconds - (app.model?.header.first ?? 0))) : ""),
};
window.megaagent = app; // for the tests of this page
let stop = null;
let connection = "";
const card = panel(side, app);

// -- the address ------------------------------------------------------------------------------------------------------

function parse() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { run: parts[0] === "run" ? parts[1] : null, name: VIEWS[parts[2]] ? parts[2] : "organization", params: new URLSearchParams(query ?? "") };
}

function address(name, params) {
  const query = params.toString();
  return app.run ? `#/run/${encodeURIComponent(app.run)}/${name}${query ? `?${query}` : ""}` : `#/${query ? `?${query}` : ""}`;
}

function link(name, values = {}) {
  const params = new URLSearchParams();
  for (const kept of KEPT) if (app.params.get(kept)) params.set(kept, app.params.get(kept));
  for (const [key, value] of Object.entries(values)) if (value) params.set(key, value);
  return address(name, params);
}

// Change parts of the address; the view is drawn anew unless `quiet`.
function set(values, { quiet = false } = {}) {
  for (const [key, value] of Object.entries(values)) {
    if (value) app.params.set(key, value);
    else app.params.delete(key);
  }
  const to = address(app.name, app.params);
  if (to === location.hash) return;
  if (quiet) history.replaceState(null, "", to);
  else {
    history.pushState(null, "", to);
    mount();
  }
}

async function go() {
  const wanted = parse();
  if (api.session.only && !wanted.run) wanted.run = api.session.only;
  app.params = wanted.params;
  if (wanted.run !== app.run) await enterRun(wanted.run);
  app.name = wanted.name;
  mount();
}

// -- one run ----------------------------------------------------------------------------------------------------------

async function enterRun(run) {
  stop?.();
  stop = null;
  app.run = run;
  app.model = null;
  app.live = false;
  card.close();
  if (!run) return;
  const first = await reading(run);
  if (app.run !== run) return;
  const model = new Model();
  model.take(first);
  app.model = model;
  app.folding = new Folding(model);
  app.folding.begin();
  app.kinds = first.kinds;
  app.live = first.live;
  stop = api.changes(run, model.position, changed, (state) => {
    if (connection !== state) {
      connection = state;
      drawTop();
    }
    if (state === "lost") guarded(api.ask(run, "progress"));
  });
}

// A long journal takes a while to fold; say how far it is.
async function reading(run) {
  const told = el("p", { class: "empty" }, "Reading the journal…");
  fill(main, told);
  const timer = setInterval(async () => {
    const { position, last } = await api.ask(run, "progress").catch(() => ({}));
    if (last) told.textContent = `Reading the journal: ${amount(position)} of ${amount(last)} facts…`;
  }, 700);
  try {
    return await api.ask(run, "organization");
  } finally {
    clearInterval(timer);
  }
}

function changed(delta) {
  const { model } = app;
  const ended = model.header.status;
  const before = model.grown;
  model.take(delta);
  app.ticks += 1;
  if (delta.header.status !== ended || app.ticks % 20 === 0) guarded(refreshLive());
  if (before !== model.grown && before < 8) app.drawing?.rebuilt();
  drawTop();
  drawNav();
  app.view?.update();
  card.update();
}

async function refreshLive() {
  const { runs: all } = await api.runs();
  const now = all.find((run) => run.id === app.run)?.live ?? false;
  if (now !== app.live) {
    app.live = now;
    drawTop();
  }
}

function mount() {
  app.view?.close();
  app.view = null;
  const root = el("div", { class: "view" });
  fill(main, root);
  document.body.classList.toggle("plain", !app.run);
  if (!app.run) {
    document.title = "MegaAgent";
    card.close();
    drawTop();
    fill(nav);
    app.view = app.params.get("compare")?.includes(",") && app.params.get("beside") ? compare(root, app) : runs(root, app);
    return;
  }
  if (!app.model) return;
  drawTop();
  drawNav();
  nav.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  card.setTab(app.params.get("tab"));
  app.view = VIEWS[app.name][1](root, app);
  const chosen = app.selected();
  if (chosen >= 0) card.open(chosen);
  else card.close();
}

function select(index, { quiet = false } = {}) {
  const id = index >= 0 ? app.model.id(index) : "";
  set({ agent: id }, { quiet: true });
  if (index < 0) {
    card.close();
    app.view?.chosen?.(-1, []);
    return;
  }
  if (!quiet || card.shown) card.open(index);
  app.view?.chosen?.(index);
}

// -- head and views ---------------------------------------------------------------------------------------------------

function drawTop() {
  const brand = el("a", { class: "brand", href: "#/" }, el("img", { src: "/static/icon.svg", alt: "" }), "megaagent");
  const end = el("div", { class: "bar end" }, button(document.documentElement.dataset.look === "dark" ? "☀" : "☾", turn, { "aria-label": "Light or dark" }), button("?", help, { "aria-label": "Keys" }));
  if (!app.model) {
    fill(top, brand, api.session.scope === "read" ? el("span", { class: "chip" }, "look only") : null, end);
    return;
  }
  const h = app.model.header;
  const asks = app.live ? h.questions + h.approvals : 0;
  document.title = `${asks ? `(${asks}) ` : ""}${app.run} · MegaAgent`;
  const cut = h.status === "running" && !app.live;
  const status = cut ? "cut off" : h.verifying ? "verifying" : h.status;
  const seconds = h.last - h.first;
  fill(
    top,
    brand,
    el("span", { class: "title", title: app.run }, app.run),
    el("span", { class: `chip ${status.split(" ")[0]}`, title: h.reason ?? "" }, status, h.reason && h.status !== "completed" ? el("span", { class: "wide soft" }, h.reason.slice(0, 48)) : null),
    h.simulated ? el("span", { class: "sim", title: `${h.model}: no model is asked; answers, times and costs are a script's` }, "simulated") : null,
    el("div", { class: "figures" },
      figure(amount(h.agents), "agents"),
      figure(amount(h.calls), "in flight"),
      app.live ? ASKING.map((name) => h[name] ? el("a", { class: "figure asks", href: link(name) }, `${amount(h[name])} ${h[name] === 1 ? name.slice(0, -1) : name}`) : null) : null,
      el("span", { class: "figure" }, el("b", {}, money(h.cost)), el("span", {}, h.max_cost != null ? `of ${money(h.max_cost)}` : "no money cap"), h.max_cost ? meter(h.cost / h.max_cost) : null),
      figure(amount(h.prompt + h.completion), "tokens", "wide wider"),
      figure(duration(seconds), "", "wide"),
      connected()),
    el("div", { class: "bar end" }, actions(h), ...end.childNodes),
  );
}

function connected() {
  const [words, title] = {
    waiting: ["no connection", "the server does not answer; this page tries again by itself"],
    lost: ["server lost", "the server was ended or started anew: open its new link"],
  }[connection] ?? [app.live ? "going on" : "", "news come as they are recorded"];
  const gone = connection === "waiting" || connection === "lost";
  return el("span", { class: `figure connection${gone ? " warn" : ""}`, title }, el("i", { class: `dot ${connection}` }), el("span", { class: gone ? "" : "wide wider" }, words));
}

const figure = (value, words, wide = "") => el("span", { class: `figure ${wide}` }, el("b", {}, value), el("span", {}, words));

function meter(share) {
  const fillIn = el("i", { class: share > 0.8 ? "near" : "" });
  fillIn.style.width = `${Math.min(100, 100 * share)}%`;
  return el("span", { class: "meter", role: "meter", "aria-label": "Budget used", "aria-valuenow": Math.round(100 * share), "aria-valuemin": 0, "aria-valuemax": 100 }, fillIn);
}

function actions(h) {
  if (api.session.scope !== "full") return [el("span", { class: "chip" }, "look only")];
  if (!app.live) {
    const over = !["completed"].includes(h.status) && !api.session.only;
    return [over ? button("Resume", () => guarded(resume())) : null, api.session.only ? null : button("Fork", () => guarded(forkAt(app.model.position - 1)))];
  }
  return [
    h.status === "paused" ? button("Unpause", () => act({ do: "unpause" }), { class: "primary" }) : button("Pause", () => act({ do: "pause" })),
    button("Budget", () => guarded(budget())),
    button("Stop", () => guarded(end()), { class: "danger" }),
  ];
}

function drawNav() {
  const kept = nav.scrollLeft;
  const h = app.model.header;
  fill(nav, Object.entries(VIEWS).map(([name, [words, , count]]) => {
    const number = count?.(h);
    return el("a", { href: link(name), "aria-current": name === app.name ? "page" : undefined }, words, number ? el("span", { class: `count${ASKING.includes(name) ? " ask" : ""}` }, amount(number)) : null);
  }));
  nav.scrollLeft = kept;
}

// -- acting -----------------------------------------------------------------------------------------------------------

async function act(request) {
  try {
    notice((await api.control(app.run, request)).text);
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

async function end() {
  if (await confirm("Stop the run?", "What was made so far is kept, and the run can be resumed.", "Stop")) await act({ do: "stop" });
}

async function budget() {
  const h = app.model.header;
  await caps("New caps of the run", `${money(h.cost)}, ${amount(h.prompt + h.completion)} tokens and ${amount(h.steps)} steps are spent, in ${duration(h.last - h.first)}.`, {}, [
    { name: "cost", label: "Money, in dollars", kind: "number", value: h.max_cost ?? "" },
    { name: "tokens", label: "Tokens", kind: "number", value: h.max_tokens ?? "" },
    { name: "seconds", label: "Time, in seconds", kind: "number", value: h.max_seconds ?? "" },
    { name: "steps", label: "Steps (model calls)", kind: "number", value: h.max_steps ?? "" },
  ]);
}

// Ask for caps and set those that were changed; an empty field leaves a cap as it is.
async function caps(title, words, request, fields) {
  const given = await form(title, words, fields, "Set");
  if (!given) return;
  const changed = fields.filter(({ name, value }) => given[name] && Number(given[name]) !== Number(value || NaN));
  if (!changed.length) {
    notice("nothing was changed");
    return;
  }
  await act({ do: "budget", ...request, ...Object.fromEntries(changed.map(({ name }) => [name, name === "cost" || name === "seconds" ? Number(given[name]) : Math.round(Number(given[name]))])) });
}

async function resume() {
  const given = await form("Resume the run", "An engine of its own goes on with it.", [{ name: "max_cost", label: "New cap of money, in dollars (empty: as it was)", kind: "number" }], "Resume");
  if (!given) return;
  await api.resume(app.run, { max_cost: given.max_cost ? Number(given.max_cost) : null });
  notice("it goes on");
  await refreshLive();
}

async function forkAt(position) {
  const given = await form("Fork", "A new run with this one's past up to a fact; this one is not touched.", [
    { name: "at", label: "The last fact that both have in common", kind: "number", value: position },
    { name: "say", label: "Mail to the boss, from you", kind: "area" },
  ], "Fork");
  if (!given) return;
  const { run } = await api.fork(app.run, { at: Number(given.at), say: given.say });
  location.hash = `#/run/${encodeURIComponent(run)}`;
}

function forkButton(position) {
  if (api.session.scope !== "full" || api.session.only) return "";
  return button("Fork from here", () => guarded(forkAt(position)));
}

function agentLink(id, words = undefined) {
  const index = app.model.find(id);
  const name = words ?? nameOf(id ?? "");
  if (index < 0) return el("span", {}, name);
  return el("a", { href: link(app.name, { ...Object.fromEntries(app.params), agent: app.model.id(index) }), title: id, onclick: (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    select(index);
  } }, name);
}

// -- telling ----------------------------------------------------------------------------------------------------------

function notice(words, bad = false) {
  const node = el("div", { class: `notice${bad ? " bad" : ""}` }, words);
  notices.append(node);
  while (notices.childElementCount > 4) notices.firstChild.remove();
  setTimeout(() => node.remove(), bad ? 9000 : 4000);
}

function complain(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof api.Refused)) console.error(error); // a mistake of this page's own
  if (error.status === 401) {
    closed(error.message);
    return;
  }
  notice(error.message, true);
}

async function guarded(promise) {
  try {
    return await promise;
  } catch (error) {
    complain(error);
    return undefined;
  }
}

function closed(words) {
  stop?.();
  document.body.classList.add("plain");
  side.hidden = true;
  fill(main, el("div", { class: "scroll" }, el("h2", {}, "Not signed in"), el("p", {}, words)));
}

function turn() {
  const root = document.documentElement;
  root.dataset.look = root.dataset.look === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("look", root.dataset.look);
  } catch {
    // it is remembered for this page only
  }
  forget();
  drawTop();
  app.view?.recoloured?.();
}

const KEYS = [
  ["?", "these keys"],
  ["/", "find"],
  ["1 … 9", "the views, in their order"],
  ["j", "the journal"],
  ["g", "all runs"],
  ["↑ ↓ ← →", "walk the tree, open and close groups"],
  ["Enter", "open the agent"],
  ["Esc", "close the agent"],
  ["m", "write to the agent that is open"],
  ["p", "pause or unpause the run"],
  ["+ - 0", "zoom, and show all"],
  ["t", "texts as they were written, or with their Markdown drawn"],
  ["d", "light or dark"],
];

function help() {
  keys(KEYS);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (app.model) select(-1);
    return;
  }
  if (typing) return;
  const names = Object.keys(VIEWS);
  const view = event.key === "j" ? "journal" : /^[1-9]$/.test(event.key) ? names[Number(event.key) - 1] : null;
  if (view && app.model) {
    location.hash = link(view);
    return;
  }
  const acts = {
    "?": help,
    "/": () => main.querySelector("input[type=search]")?.focus(),
    g: () => {
      location.hash = "#/";
    },
    m: () => card.focusMessage(),
    d: turn,
    t: () => {
      prose.written = !prose.written;
      notice(prose.written ? "texts as they were written" : "Markdown is drawn");
      const chosen = app.selected();
      card.close();
      mount();
      if (chosen >= 0) card.open(chosen);
    },
    p: () => app.live && api.session.scope === "full" && act({ do: app.model.header.status === "paused" ? "unpause" : "pause" }),
  };
  if (acts[event.key]) {
    event.preventDefault();
    acts[event.key]();
  }
});

function look() {
  let kept = null;
  try {
    kept = localStorage.getItem("look");
  } catch {
    // storage may be refused; the system's own wish counts then
  }
  document.documentElement.dataset.look = kept ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

look();
window.addEventListener("hashchange", () => guarded(location.hash.startsWith("#token=") ? api.enter().then(go) : go()));
drawTop();
api.enter().then(go).catch((error) => (error.status === 401 || error.status === 403 ? closed(error.message) : complain(error)));
