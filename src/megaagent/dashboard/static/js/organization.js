// The organization: the chart, and beside it the same as an indented list for reading and for screen readers.

import { el, button, virtualList } from "./dom.js";
import { STATES, SIGNS } from "./model.js";
import { SCALES, colouring } from "./colours.js";
import { chart } from "./chart.js";
import { money } from "./words.js";
import * as api from "./api.js";

export function organization(root, app) {
  const { model, folding, params } = app;
  const search = el("input", { type: "search", placeholder: "Find an agent, a state, an act", "aria-label": "Find", class: "grow", value: params.get("find") ?? "", dataset: { find: "" } });
  const found = el("span", { class: "soft num" });
  const colour = el(
    "select",
    { "aria-label": "Colour by" },
    Object.entries(SCALES).map(([kind, { label }]) => el("option", { value: kind, selected: kind === (params.get("colour") ?? "state") }, label)),
  );
  const layout = el(
    "select",
    { "aria-label": "Layout" },
    [["", "by size"], ["tree", "tree"], ["circles", "circles"]].map(([value, words]) => el("option", { value, selected: value === (params.get("layout") ?? "") }, words)),
  );
  const talk = button("Talk", () => app.set({ talk: params.get("talk") ? "" : "1" }), { "aria-pressed": String(Boolean(params.get("talk"))), title: "Who talks to whom" });
  const waits = button("Waits", () => app.set({ waits: params.get("waits") ? "" : "1" }), { "aria-pressed": String(Boolean(params.get("waits"))), title: "Who waits for whom" });
  const list = button("List", () => app.set({ list: params.get("list") === "0" ? "" : "0" }), { "aria-pressed": String(params.get("list") !== "0") });
  const bar = el(
    "div",
    { class: "head bar" },
    search,
    found,
    el("label", { class: "field" }, "colour", colour),
    el("label", { class: "field" }, "layout", layout),
    talk,
    waits,
    list,
    button("⊞", () => {
      folding.openAll();
      redraw(true);
    }, { "aria-label": "Open all groups", title: "Open all groups" }),
    button("⊟", () => {
      folding.closeAll();
      redraw(true);
    }, { "aria-label": "Fold all groups", title: "Fold all groups" }),
  );
  const box = el("div", { class: "chart" });
  const rows = el("div", { class: "rows", role: "tree", "aria-label": "Agents", tabindex: "0", dataset: { list: "" } });
  const side = el("div", { class: "list", hidden: params.get("list") === "0" }, rows);
  root.append(bar, el("div", { class: "split stack" }, side, box));
  const drawing = chart(box, app);
  let shown = [];
  let built = "";
  let tint = colouring("state", model);
  const virtual = virtualList(rows, 24, (at) => item(...shown[at]));

  function item(index, depth) {
    const row = model.rows[index];
    const group = model.children[index].length;
    const sum = model.sums[index];
    const open = !folding.closed.has(index);
    const sign = el("span", { class: "sign", title: STATES[row.stand][0] }, SIGNS[row.stand]);
    sign.style.color = tint.of(row);
    const node = el(
      "div",
      {
        class: "item",
        role: "treeitem",
        id: `agent-${index}`,
        "aria-level": depth + 1,
        "aria-selected": String(index === app.selected()),
        "aria-expanded": group ? String(open) : undefined,
        "aria-label": `${row.name}, ${STATES[row.stand][0]}, ${row.act}`,
        onclick: () => app.select(index),
        ondblclick: () => group && fold(index),
      },
      group
        ? el("span", { class: "fold", "aria-hidden": "true", onclick: (event) => {
            event.stopPropagation();
            fold(index);
          } }, open ? "▾" : "▸")
        : el("span", { class: "fold" }),
      sign,
      el("span", { class: "name" }, row.name),
      el("span", { class: "act" }, group && !open ? `${sum.agents - 1} below, ${model.busy(index)} at work` : row.act),
      row.inbox ? el("span", { class: "num", title: "unread mail" }, `✉${row.inbox}`) : null,
      el("span", { class: "num" }, money(group && !open ? sum.cost : row.cost)),
    );
    node.style.paddingLeft = `${6 + 13 * Math.min(depth, 14)}px`;
    return node;
  }

  function matches() {
    const words = search.value.trim().toLowerCase();
    app.found = null;
    found.textContent = "";
    if (!words) return null;
    const keep = new Set();
    app.found = new Set();
    for (const row of model.rows) {
      if (`${row.name} ${STATES[row.stand][0]} ${row.act} ${row.tier}`.toLowerCase().includes(words)) {
        app.found.add(row.index);
        for (const at of model.lineage(row.index)) keep.add(at);
      }
    }
    found.textContent = `${app.found.size} found`;
    return keep;
  }

  function redraw(refit = false) {
    const keep = matches();
    const now = `${model.grown} ${folding.changed} ${search.value} ${keep ? model.position : ""}`;
    if (now !== built) {
      built = now;
      shown = folding.list(keep);
    }
    tint = colouring("state", model);
    virtual.update(shown.length);
    rows.setAttribute("aria-activedescendant", `agent-${app.selected()}`);
    if (refit) drawing.rebuilt();
    else drawing.redraw();
  }

  function fold(index) {
    folding.toggle(index);
    redraw();
  }
  app.fold = fold;

  const typed = () => {
    app.set({ find: search.value }, { quiet: true });
    redraw();
  };
  search.addEventListener("input", typed);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && app.found?.size) {
      const all = [...app.found];
      const next = all[(all.indexOf(app.selected()) + 1) % all.length];
      app.select(next);
      drawing.centre(next);
    }
  });
  colour.addEventListener("change", () => {
    app.set({ colour: colour.value === "state" ? "" : colour.value }, { quiet: true });
    drawing.redraw();
  });
  layout.addEventListener("change", () => {
    app.set({ layout: layout.value }, { quiet: true });
    drawing.rebuilt();
  });

  async function loadTalk() {
    if (params.get("talk")) drawing.talks(await api.ask(app.run, "talks"));
  }
  app.guarded(loadTalk());

  let waitsAt = 0;
  async function loadWaits() {
    waitsAt = model.position;
    if (params.get("waits")) drawing.waits(await api.ask(app.run, "waits"));
  }
  app.guarded(loadWaits());

  // Arrow keys walk the tree, on chart and list alike.
  const walk = (event) => {
    const at = Math.max(0, shown.findIndex(([index]) => index === app.selected()));
    const [index] = shown[at] ?? [0];
    const below = model.children[index] ?? [];
    const go = (place) => {
      const next = shown[Math.max(0, Math.min(shown.length - 1, place))];
      if (!next) return;
      app.select(next[0], { quiet: true });
      virtual.reveal(shown.indexOf(next));
      drawing.centre(next[0]);
    };
    const page = Math.floor(rows.clientHeight / 24) - 1;
    const act = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      PageDown: () => go(at + page),
      PageUp: () => go(at - page),
      Home: () => go(0),
      End: () => go(shown.length - 1),
      ArrowRight: () => (below.length && folding.closed.has(index) ? fold(index) : below.length && go(at + 1)),
      ArrowLeft: () => (below.length && !folding.closed.has(index) && index ? fold(index) : go(shown.findIndex(([it]) => it === model.rows[index].parent))),
      " ": () => below.length && fold(index),
      Enter: () => app.openPanel(),
      "+": () => drawing.zoom(1.3),
      "=": () => drawing.zoom(1.3),
      "-": () => drawing.zoom(1 / 1.3),
      0: () => drawing.fit(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  };
  rows.addEventListener("keydown", walk);
  box.addEventListener("keydown", walk);
  app.drawing = drawing;
  redraw();

  let talkAt = model.header.messages;
  return {
    update() {
      redraw();
      if (params.get("talk") && model.header.messages > talkAt + 20) {
        talkAt = model.header.messages;
        app.guarded(loadTalk());
      }
      if (params.get("waits") && model.position > waitsAt && app.ticks % 4 === 0) app.guarded(loadWaits());
    },
    chosen(index, chain) {
      drawing.chain(chain ?? []);
      redraw();
      const at = shown.findIndex(([it]) => it === index);
      if (at >= 0) virtual.reveal(at);
    },
    recoloured: () => redraw(),
    close() {
      app.found = null;
      app.drawing = null;
      drawing.close();
      virtual.close();
    },
  };
}
