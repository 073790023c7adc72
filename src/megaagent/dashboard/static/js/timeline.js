// When everybody did what: one lane for each agent, or for a closed group how many of it were at work.

import { canvasIn, el, button, fill } from "./dom.js";
import { colours } from "./colours.js";
import { SIGNS } from "./model.js";
import { duration, nameOf, plural } from "./words.js";
import * as api from "./api.js";

const LANE = 22;
const TOP = 24;
const KINDS = ["model call", "program", "wait", "review", "intervention", "failure", "file"];

export function timeline(root, app) {
  const { model, folding, params } = app;
  const critical = button("Critical path", () => app.set({ critical: params.get("critical") ? "" : "1" }), { "aria-pressed": String(Boolean(params.get("critical"))) });
  const told = el("span", { class: "soft" });
  const bar = el("div", { class: "head bar" },
    button("+", () => zoom(1.6), { "aria-label": "Zoom in" }), button("−", () => zoom(1 / 1.6), { "aria-label": "Zoom out" }), button("Whole run", () => whole()),
    critical, told,
    el("span", { class: "soft" }, "Wheel: lanes; Ctrl and wheel: time; drag: both; double click: open or close a group"));
  const box = el("div", { class: "chart" });
  const tip = el("div", { class: "tip", hidden: true });
  const key = el("div", { class: "key" });
  root.append(bar, box);
  const surface = canvasIn(box, "Timeline: what each agent did when", draw);
  box.append(key, tip);
  let lanes = folding.list();
  let scroll = 0;
  let data = { lanes: {}, groups: {} };
  let path = null;
  let asked = 0;
  let pending = 0;
  let wanted = "";
  const given = (params.get("window") ?? "").split("-").map(Number);
  let follow = given.length !== 2 || !(given[1] > given[0]);
  const view = follow ? { start: 0, end: 1 } : { start: model.header.first + given[0], end: model.header.first + given[1] };

  const label = () => (surface.width < 600 ? 96 : 170);
  const end = () => Math.max(model.header.last, model.header.first + 0.5);
  const x = (time) => label() + ((surface.width - label() - 12) * (time - view.start)) / (view.end - view.start);
  const timeAt = (px) => view.start + ((px - label()) * (view.end - view.start)) / (surface.width - label() - 12);

  function whole() {
    follow = true;
    app.set({ window: "" }, { quiet: true });
    refresh();
  }

  function zoom(by, px = (surface.width + label()) / 2) {
    const at = timeAt(Math.max(label(), px));
    const span = Math.min((end() - model.header.first) * 1.2, Math.max(0.05, (view.end - view.start) / by));
    const share = (at - view.start) / (view.end - view.start);
    view.start = at - share * span;
    view.end = view.start + span;
    follow = false;
    settle();
  }

  function settle() {
    const { first } = model.header;
    app.set({ window: `${(view.start - first).toFixed(2)}-${(view.end - first).toFixed(2)}`.replace(/^-/, "0") }, { quiet: true });
    surface.redraw();
    later();
  }

  function later() {
    clearTimeout(pending);
    pending = setTimeout(() => app.guarded(load()), 120);
  }

  function seen() {
    const first = Math.max(0, Math.floor(scroll / LANE));
    return lanes.slice(first, first + Math.ceil((surface.height - TOP - 26) / LANE) + 1);
  }

  async function load() {
    if (!surface.width || !model.rows.length) return;
    const shown = seen();
    const closed = (at) => folding.closed.has(at) && model.children[at].length > 0;
    const ask = {
      start: Math.max(0, view.start - 1).toFixed(3),
      end: (view.end + 1).toFixed(3),
      bins: Math.max(50, Math.min(1200, Math.round(surface.width))),
      agent: shown.filter(([at]) => !closed(at)).map(([at]) => model.id(at)),
      group: shown.filter(([at]) => closed(at)).map(([at]) => model.id(at)),
    };
    const words = JSON.stringify([ask, model.position]);
    if (words === wanted) return;
    wanted = words;
    const turn = ++asked;
    const answer = await api.ask(app.run, "timeline", ask);
    if (turn !== asked) return;
    data = { ...answer, start: Number(ask.start), end: Number(ask.end) };
    surface.redraw();
  }

  async function loadPath() {
    if (!params.get("critical")) return;
    path = await api.ask(app.run, "critical");
    told.textContent = `${plural(path.steps.length, "step")}, ${duration(path.seconds)} of calls and programs, ${(100 * path.share).toFixed(0)} % of the run`;
    surface.redraw();
  }

  function refresh() {
    if (follow) {
      view.start = model.header.first;
      view.end = end();
    }
    lanes = folding.list();
    scroll = Math.max(0, Math.min(scroll, lanes.length * LANE - (surface.height - TOP - 26)));
    surface.redraw();
    later();
  }
  surface.onresize = refresh;

  function draw(context, width, height) {
    const palette = colours();
    const tints = [palette.stands[0], palette.stands[1], palette.stands[4], palette.stands[7], palette.stands[9], palette.bad, palette.stands[10]];
    context.font = `12px ${palette.font}`;
    context.textBaseline = "middle";
    drawTimes(context, width, height, palette);
    const first = Math.max(0, Math.floor(scroll / LANE));
    const left = label();
    const places = new Map();
    for (let place = first; place < lanes.length; place += 1) {
      const y = TOP + place * LANE - scroll;
      if (y > height) break;
      const [at, depth] = lanes[place];
      const row = model.rows[at];
      const id = model.id(at);
      places.set(id, y);
      if (at === app.selected()) {
        context.fillStyle = palette.accent;
        context.globalAlpha = 0.13;
        context.fillRect(0, y, width, LANE);
        context.globalAlpha = 1;
      }
      context.save();
      context.beginPath();
      context.rect(left, TOP, width - left, height - TOP);
      context.clip();
      if (data.groups?.[id]) drawGroup(context, data.groups[id], model.sums[at].agents, y, palette);
      else drawSpans(context, data.lanes?.[id] ?? [], y, tints, width);
      context.restore();
      context.save();
      context.beginPath();
      context.rect(0, TOP, left - 6, height);
      context.clip();
      const closed = folding.closed.has(at) && model.children[at].length;
      const x0 = 8 + Math.min(depth, 6) * 9;
      context.fillStyle = palette.stands[row.stand];
      context.fillText(SIGNS[row.stand], x0, y + LANE / 2);
      context.fillStyle = palette.ink;
      context.fillText(closed ? `${row.name} +${model.sums[at].agents - 1}` : row.name, x0 + 14, y + LANE / 2);
      context.restore();
      context.strokeStyle = palette.line;
      context.globalAlpha = 0.5;
      context.beginPath();
      context.moveTo(0, y + LANE + 0.5);
      context.lineTo(width, y + LANE + 0.5);
      context.stroke();
      context.globalAlpha = 1;
    }
    if (path && params.get("critical")) drawPath(context, places, left, palette, width, height);
    if (!key.childElementCount || key.dataset.look !== palette.paper) {
      key.dataset.look = palette.paper;
      fill(key, KINDS.map((name, kind) => {
        const dot = el("i", { class: "swatch" });
        dot.style.background = tints[kind];
        if (kind < 3) dot.style.borderRadius = "2px";
        return el("span", {}, dot, name);
      }));
    }
  }

  function drawTimes(context, width, height, palette) {
    const span = view.end - view.start;
    const step = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400].find((each) => span / each <= Math.max(3, (width - label()) / 90)) ?? 864000;
    context.fillStyle = palette.soft;
    context.strokeStyle = palette.line;
    context.textAlign = "center";
    const { first } = model.header;
    for (let tick = Math.ceil((view.start - first) / step) * step; first + tick <= view.end; tick += step) {
      const at = Math.round(x(first + tick)) + 0.5;
      if (at < label() - 1) continue;
      context.beginPath();
      context.moveTo(at, TOP - 5);
      context.lineTo(at, height);
      context.globalAlpha = 0.6;
      context.stroke();
      context.globalAlpha = 1;
      context.fillText(step < 1 ? `${tick.toFixed(1)}s` : duration(tick).replace(/\.0s$/, "s"), at, 11);
    }
    context.textAlign = "left";
  }

  function drawSpans(context, spans, y, tints, width) {
    const heights = [12, 12, 2];
    for (const pass of [2, 1, 0]) {
      context.fillStyle = tints[pass];
      for (const [kind, start, ended] of spans) {
        if (kind !== pass) continue;
        const [a, b] = [Math.max(label(), x(start)), Math.min(width, x(ended))];
        if (b >= a) context.fillRect(a, y + (LANE - heights[kind]) / 2, Math.max(1, b - a), heights[kind]);
      }
    }
    for (const [kind, start] of spans) {
      if (kind < 3) continue;
      const at = x(start);
      context.fillStyle = tints[kind];
      context.beginPath();
      if (kind === 6) context.rect(at - 1, y + LANE - 5, 3, 3);
      else if (kind === 3) context.arc(at, y + 4, 3, 0, 7);
      else {
        context.moveTo(at - 4, y + 1);
        context.lineTo(at + 4, y + 1);
        context.lineTo(at, y + 8);
      }
      context.fill();
    }
  }

  function drawGroup(context, bins, agents, y, palette) {
    const top = Math.max(1, ...bins);
    const step = (data.end - data.start) / bins.length;
    context.fillStyle = palette.stands[0];
    bins.forEach((busy, at) => {
      if (!busy) return;
      const from = x(data.start + at * step);
      const tall = Math.max(1, (LANE - 5) * (busy / top));
      context.globalAlpha = 0.4 + 0.6 * Math.min(1, busy / agents);
      context.fillRect(from, y + LANE - 2 - tall, Math.max(1, x(data.start + (at + 1) * step) - from), tall);
    });
    context.globalAlpha = 1;
  }

  function drawPath(context, places, left, palette, width, height) {
    context.save();
    context.beginPath();
    context.rect(left, TOP, width, height);
    context.clip();
    context.strokeStyle = palette.ink;
    context.lineWidth = 1.6;
    let last = null;
    for (const [id, , start, ended] of path.steps) {
      const y = places.get(model.id(folding.visible(model.find(id))));
      if (y === undefined) {
        last = null;
        continue;
      }
      const [a, b, middle] = [x(start), x(ended), y + LANE / 2];
      context.strokeRect(a, y + 3.5, Math.max(2, b - a), LANE - 7);
      if (last) {
        context.beginPath();
        context.moveTo(last[0], last[1]);
        context.lineTo(a, middle);
        context.stroke();
      }
      last = [b, middle];
    }
    context.restore();
  }

  function at(event) {
    const area = surface.canvas.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  }

  const laneAt = (y) => (y < TOP ? undefined : lanes[Math.floor((y - TOP + scroll) / LANE)]);
  let drag = null;
  surface.canvas.addEventListener("pointerdown", (event) => {
    surface.canvas.setPointerCapture(event.pointerId);
    drag = { at: at(event), moved: 0 };
  });
  surface.canvas.addEventListener("pointermove", (event) => {
    const [px, py] = at(event);
    if (!drag) {
      showTip(px, py);
      return;
    }
    const [dx, dy] = [px - drag.at[0], py - drag.at[1]];
    drag.moved += Math.abs(dx) + Math.abs(dy);
    drag.at = [px, py];
    const seconds = (dx * (view.end - view.start)) / (surface.width - label());
    if (dx) {
      view.start -= seconds;
      view.end -= seconds;
      follow = false;
    }
    scroll = Math.max(0, Math.min(scroll - dy, Math.max(0, lanes.length * LANE - (surface.height - TOP - 26))));
    if (drag.moved > 4) settle();
  });
  surface.canvas.addEventListener("pointerup", (event) => {
    const lane = drag && drag.moved <= 4 ? laneAt(at(event)[1]) : undefined;
    drag = null;
    if (lane) app.select(lane[0]);
  });
  surface.canvas.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
  surface.canvas.addEventListener("dblclick", (event) => {
    const lane = laneAt(at(event)[1]);
    if (lane && model.children[lane[0]].length) {
      folding.toggle(lane[0]);
      refresh();
    }
  });
  surface.canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.altKey || event.metaKey) zoom(Math.exp(-event.deltaY * 0.003), at(event)[0]);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const seconds = ((event.deltaX || event.deltaY) * (view.end - view.start)) / surface.width;
      view.start += seconds;
      view.end += seconds;
      follow = false;
      settle();
    } else {
      scroll = Math.max(0, Math.min(scroll + event.deltaY, Math.max(0, lanes.length * LANE - (surface.height - TOP - 26))));
      surface.redraw();
      later();
    }
  }, { passive: false });
  surface.canvas.addEventListener("keydown", (event) => {
    const span = view.end - view.start;
    const pan = (by) => {
      view.start += by;
      view.end += by;
      follow = false;
      settle();
    };
    const act = { ArrowLeft: () => pan(-span / 8), ArrowRight: () => pan(span / 8), "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: whole }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });

  function showTip(px, py) {
    const lane = laneAt(py);
    tip.hidden = true;
    if (!lane || px < label()) return;
    const id = model.id(lane[0]);
    const time = timeAt(px);
    const near = (3 * (view.end - view.start)) / surface.width;
    const found = (data.lanes?.[id] ?? []).filter(([, start, ended]) => start - near <= time && time <= ended + near);
    if (!found.length) return;
    fill(tip, el("b", {}, nameOf(id)), found.slice(0, 5).map(([kind, start, ended]) => el("div", {}, `${KINDS[kind]} at ${app.time(start)}${ended > start ? `, ${duration(ended - start)}` : ""}`)));
    tip.hidden = false;
    tip.style.left = `${Math.min(px + 14, surface.width - 200)}px`;
    tip.style.top = `${Math.min(py + 14, surface.height - 70)}px`;
  }

  app.guarded(loadPath());
  return {
    update() {
      refresh();
    },
    chosen: () => surface.redraw(),
    recoloured: () => surface.redraw(),
    close() {
      clearTimeout(pending);
      asked += 1;
      surface.close();
    },
  };
}
