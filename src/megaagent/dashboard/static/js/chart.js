// The organization on a canvas: as a tidy tree or as circles in circles; zoom, pan, fold, who talks to whom.

import { canvasIn, el, button, fill } from "./dom.js";
import { SETTLED, SIGNS, STATES } from "./model.js";
import { SCALES, colouring, colours } from "./colours.js";
import { amount, money, plural } from "./words.js";

const ROW = 26;
const COLUMN = 190; // what a name and an act need beside a dot
const PACKED_FROM = 48; // agents: beyond, lines are too narrow to be read, and circles say more
const READABLE = 0.8; // scale of a tree below which its names are hard to read
const TALKERS = 60; // between so many, talk is drawn; beyond, it is drawn between their groups
const TALKS = 240;
const WAITS = 2_000; // arrows
const WAITING = STATES.findIndex(([name]) => name === "waiting");
const HANDED = STATES.findIndex(([name]) => name === "handed in");
const STAMPED = 12; // pixels; smaller dots are copied from a picture, which is many times faster than drawing circles

export function chart(box, app) {
  const { model, folding } = app;
  const state = { k: 1, x: 0, y: 0, nodes: [], byIndex: new Map(), built: "", fitted: false, moved: false, column: COLUMN, hover: -1, talks: null, waits: null, chain: [] };
  const surface = canvasIn(box, "Chart of the organization; the list beside it holds the same as text", draw);
  surface.onresize = () => {
    if (state.moved) return;
    state.built = ""; // a small tree takes the width that there is
    state.fitted = false;
  };
  const tip = el("div", { class: "tip", hidden: true });
  const key = el("div", { class: "key" });
  box.append(
    el("div", { class: "float zoom" }, button("+", () => zoom(1.4), { "aria-label": "Zoom in" }), button("−", () => zoom(1 / 1.4), { "aria-label": "Zoom out" }), button("⤢", () => fit(), { "aria-label": "Show all" })),
    key,
    tip,
  );

  const layout = () => {
    const wanted = app.params.get("layout");
    return wanted === "tree" || wanted === "circles" ? wanted : model.rows.length > PACKED_FROM ? "circles" : "tree";
  };

  const hiding = () => (state.how === "tree" ? folding.closed : folding.byHand);

  function build() {
    if (!model.rows.length) return;
    const how = layout();
    const built = `${how} ${model.grown} ${folding.changed}`;
    if (built === state.built) return;
    state.built = built;
    state.how = how;
    if (how === "tree") buildTree();
    else buildCircles();
    state.byIndex = new Map(state.nodes.map((node) => [node.at, node]));
    if (!state.fitted) fit(state.how === "tree" ? READABLE : 0);
  }

  function buildTree() {
    const root = d3.hierarchy({ at: 0 }, (it) => (folding.closed.has(it.at) ? [] : model.children[it.at].map((at) => ({ at }))));
    state.column = Math.min(COLUMN + 60, Math.max(96, (surface.width - 40) / (root.height + 1)));
    d3.tree().nodeSize([ROW, state.column])(root);
    state.nodes = root.descendants().map((node) => ({ at: node.data.at, x: node.y, y: node.x, r: 6, up: node.parent ? node.parent.data.at : -1 }));
    bounds((node) => [node.x - 10, node.y - ROW / 2, node.x + state.column - 12, node.y + ROW / 2]);
  }

  function buildCircles() {
    // An admin is a circle of its own beside those of its group; the ring around them is the group.
    const below = (it) => {
      const kids = model.children[it.at];
      return it.self || !kids.length || folding.byHand.has(it.at) ? [] : [{ at: it.at, self: true }, ...kids.map((at) => ({ at }))];
    };
    const root = d3.hierarchy({ at: 0 }, below);
    root.sum((it) => (it.self ? 1.6 : folding.byHand.has(it.at) ? Math.max(1, model.sums[it.at].agents) : model.children[it.at].length ? 0 : 1));
    const size = 60 * Math.sqrt(Math.max(1, root.value));
    d3.pack().size([size, size]).padding((node) => (node.height > 1 ? 8 : 3))(root);
    state.nodes = root.descendants().map((node) => ({ at: node.data.at, x: node.x, y: node.y, r: node.r, ring: Boolean(node.children), depth: node.depth, up: -1 }));
    bounds((node) => [node.x - node.r, node.y - node.r, node.x + node.r, node.y + node.r]);
  }

  function bounds(of) {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const node of state.nodes) {
      const [a, b, c, d] = of(node);
      box[0] = Math.min(box[0], a);
      box[1] = Math.min(box[1], b);
      box[2] = Math.max(box[2], c);
      box[3] = Math.max(box[3], d);
    }
    state.box = box;
  }

  // Show everything; of what would be too small, as much as fits around the boss.
  function fit(least = 0) {
    if (!state.box || !surface.width) return;
    const [a, b, c, d] = state.box;
    const room = 16;
    const all = Math.min(1.5, (surface.width - 2 * room) / (c - a), (surface.height - 2 * room - 24) / (d - b));
    state.k = Math.max(all, least);
    state.x = state.k > all ? room - state.k * a : (surface.width - state.k * (c + a)) / 2;
    state.y = (surface.height - 24) / 2 - state.k * (state.k > all ? state.nodes[0].y : (d + b) / 2);
    state.fitted = true;
    state.moved = false;
    surface.redraw();
  }

  function zoom(by, x = surface.width / 2, y = surface.height / 2) {
    const k = Math.min(12, Math.max(0.01, state.k * by));
    state.x = x - ((x - state.x) * k) / state.k;
    state.y = y - ((y - state.y) * k) / state.k;
    state.k = k;
    state.moved = true;
    surface.redraw();
  }

  function draw(context, width, height) {
    build();
    if (!model.rows.length) return;
    const palette = colours();
    const colour = colouring(app.params.get("colour") ?? "state", model);
    context.font = `12px ${palette.font}`;
    context.textBaseline = "middle";
    if (state.how === "tree") drawTree(context, width, height, palette, colour);
    else drawCircles(context, width, height, palette, colour);
    if (app.params.get("talk")) drawTalk(context, palette);
    if (app.params.get("waits")) drawWaits(context, palette);
    drawChain(context, palette);
    describe(colour);
  }

  const sx = (x) => x * state.k + state.x;
  const sy = (y) => y * state.k + state.y;

  function drawTree(context, width, height, palette, colour) {
    const { k } = state;
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.beginPath();
    for (const node of state.nodes) {
      const up = state.byIndex.get(node.up);
      if (!up) continue;
      const [x0, y0, x1, y1] = [sx(up.x), sy(up.y), sx(node.x), sy(node.y)];
      if (Math.max(y0, y1) < 0 || Math.min(y0, y1) > height || x1 < 0 || x0 > width) continue;
      const bend = (x1 - x0) * 0.45;
      context.moveTo(x0, y0);
      context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
    }
    context.stroke();
    const words = k * 12 >= 6.5;
    const selected = app.selected();
    for (const node of state.nodes) {
      const [x, y] = [sx(node.x), sy(node.y)];
      if (y < -20 || y > height + 20 || x < -state.column * k || x > width + 20) continue;
      const row = model.rows[node.at];
      const closed = folding.closed.has(node.at) && model.children[node.at].length;
      const r = Math.max(1.5, Math.min(ROW * k * 0.4, (closed ? 8 : 5.5) * Math.min(1.4, k)));
      if (closed) pie(context, x, y, r + 1.5, node.at, palette);
      else {
        context.fillStyle = colour.of(row);
        context.beginPath();
        context.arc(x, y, r, 0, 2 * Math.PI);
        context.fill();
      }
      ring(context, node.at, x, y, r, palette, selected);
      if (!words) continue;
      const size = Math.min(13, Math.max(7, 12 * k));
      const room = state.column * k - 26 * k;
      context.font = `600 ${size}px ${palette.font}`;
      context.fillStyle = row.stand >= SETTLED ? palette.soft : palette.ink;
      const label = closed ? `${row.name} +${model.sums[node.at].agents - 1}` : row.name;
      const name = cut(context, label, room);
      halo(context, name, x + r + 5, y, palette);
      if (model.children[node.at].length && !closed) continue;
      const wide = context.measureText(name).width;
      const left = room - wide - 8;
      if (left < 40 || k < 0.8) continue;
      context.font = `${size - 1.5}px ${palette.font}`;
      context.fillStyle = palette.soft;
      context.fillText(cut(context, row.act, left), x + r + 5 + wide + 7, y + 0.5);
    }
  }

  function drawCircles(context, width, height, palette, colour) {
    const { k } = state;
    const dots = new Map();
    context.lineWidth = 1;
    for (const node of state.nodes) {
      const [x, y, r] = [sx(node.x), sy(node.y), node.r * k];
      if (x + r < 0 || x - r > width || y + r < 0 || y - r > height) continue;
      if (node.ring) {
        if (r < 5) continue;
        context.beginPath();
        context.arc(x, y, r, 0, 2 * Math.PI);
        if (r > 24) {
          context.fillStyle = palette.raised;
          context.globalAlpha = node.depth % 2 ? 0.35 : 0.9;
          context.fill();
          context.globalAlpha = 1;
        }
        context.strokeStyle = palette.line;
        context.stroke();
        continue;
      }
      const closed = folding.byHand.has(node.at) && model.children[node.at].length;
      if (closed && r > 3) {
        pie(context, x, y, r, node.at, palette);
        continue;
      }
      const of = colour.of(model.rows[node.at]);
      if (!dots.has(of)) dots.set(of, []);
      dots.get(of).push(x, y, r);
    }
    for (const [of, places] of dots) {
      context.fillStyle = of;
      for (let at = 0; at < places.length; at += 3) {
        const [x, y, r] = [places[at], places[at + 1], places[at + 2]];
        if (r < 2.4) context.fillRect(x - r, y - r, 2 * r, 2 * r);
        else if (r < STAMPED) {
          const size = 2 * r + 2;
          context.drawImage(stamp(of, Math.ceil(r)), x - r - 1, y - r - 1, size, size);
        } else {
          context.beginPath();
          context.arc(x, y, r, 0, 2 * Math.PI);
          context.fill();
        }
      }
    }
    drawNames(context, width, height, palette);
  }

  function drawNames(context, width, height, palette) {
    const { k } = state;
    context.textAlign = "center";
    const taken = []; // places of names: one that would cover another is left out
    const free = (text, x, y) => {
      const half = context.measureText(text).width / 2 + 2;
      if (taken.some(([a, b, c]) => Math.abs(a - y) < 13 && b < x + half && c > x - half)) return false;
      taken.push([y, x - half, x + half]);
      return true;
    };
    const chosen = app.selected();
    const marked = new Set([...(app.found ?? []), chosen, state.hover]);
    for (const node of state.nodes) {
      const r = node.r * k;
      if (r < 15 && !marked.has(node.at)) continue;
      const [x, y] = [sx(node.x), sy(node.y)];
      if (x + r < 0 || x - r > width || y + r < 0 || y - r > height) continue;
      if (!node.ring && marked.has(node.at)) ring(context, node.at, x, y, r, palette, chosen);
      if (node.ring ? r < 46 || node.depth > 2 || r > width : r < 15) continue;
      const row = model.rows[node.at];
      context.font = `${node.ring ? 650 : 500} ${node.ring ? 12 : Math.min(13, Math.max(9, r / 2.6))}px ${palette.font}`;
      if (node.ring) {
        context.fillStyle = palette.ink;
        const name = cut(context, row.name, r * 1.3);
        if (free(name, x, y - r + 1)) halo(context, name, x, y - r + 1, palette);
      } else {
        const closed = folding.byHand.has(node.at) && model.children[node.at].length;
        context.fillStyle = palette.ink;
        const name = cut(context, closed ? `${row.name} ${model.sums[node.at].agents}` : row.name, r * 1.8);
        if (free(name, x, y)) halo(context, name, x, y, palette);
      }
    }
    context.textAlign = "left";
  }

  function pie(context, x, y, r, at, palette) {
    const { stands, agents } = model.sums[at];
    let angle = -Math.PI / 2;
    stands.forEach((count, stand) => {
      if (!count) return;
      const to = angle + (2 * Math.PI * count) / agents;
      context.fillStyle = palette.stands[stand];
      context.beginPath();
      context.moveTo(x, y);
      context.arc(x, y, r, angle, to);
      context.fill();
      angle = to;
    });
    context.strokeStyle = palette.ink;
    context.lineWidth = 1;
    context.beginPath();
    context.arc(x, y, r, 0, 2 * Math.PI);
    context.stroke();
  }

  function ring(context, at, x, y, r, palette, selected) {
    const chosen = at === selected;
    if (!chosen && !app.found?.has(at) && at !== state.hover) return;
    context.strokeStyle = chosen ? palette.accent : palette.ink;
    context.lineWidth = chosen ? 3 : 1.5;
    context.beginPath();
    context.arc(x, y, Math.max(r, 3) + 2.5, 0, 2 * Math.PI);
    context.stroke();
    context.lineWidth = 1;
  }

  function halo(context, text, x, y, palette) {
    context.lineWidth = 3;
    context.strokeStyle = palette.paper;
    context.lineJoin = "round";
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
    context.lineWidth = 1;
  }

  function place(at) {
    for (const up of model.lineage(folding.visible(at, hiding()))) {
      const node = state.byIndex.get(up);
      if (node) return node;
    }
    return null;
  }

  // For every agent the group by which it is drawn when many talk: the deepest level that is not too crowded.
  function speakers() {
    const seen = `${model.grown} ${folding.changed} ${state.how}`;
    if (state.spoken === seen) return state.speakers;
    state.spoken = seen;
    let level = 0;
    const depths = model.rows.map((row) => model.lineage(row.index).length - 1);
    const counts = [];
    for (const depth of depths) counts[depth] = (counts[depth] ?? 0) + 1;
    for (let sum = 0; level < counts.length && sum + counts[level] <= TALKERS; level += 1) sum += counts[level];
    const deepest = Math.max(1, level - 1);
    state.speakers = model.rows.map((row) => {
      const line = model.lineage(row.index);
      return folding.visible(depths[row.index] > deepest ? line[line.length - 1 - deepest] : row.index, hiding());
    });
    return state.speakers;
  }

  function drawTalk(context, palette) {
    if (!state.talks) return;
    const pairs = new Map();
    const speaker = speakers();
    for (const [a, b, count] of state.talks) {
      if (a >= model.rows.length || b >= model.rows.length) continue;
      const [from, to] = [speaker[a], speaker[b]];
      if (from === to) continue;
      const id = from < to ? `${from} ${to}` : `${to} ${from}`;
      pairs.set(id, (pairs.get(id) ?? 0) + count);
    }
    const sorted = [...pairs].sort((a, b) => b[1] - a[1]).slice(0, TALKS);
    const most = sorted[0]?.[1] ?? 1;
    context.strokeStyle = palette.accent;
    for (const [id, count] of sorted) {
      const [a, b] = id.split(" ").map((at) => place(Number(at)));
      if (!a || !b) continue;
      context.globalAlpha = 0.12 + 0.55 * (count / most);
      context.lineWidth = 0.8 + 3.2 * (count / most);
      arc(context, a, b);
    }
    context.globalAlpha = 1;
  }

  // An arrow from each who waits to whom it waits for; of those that are drawn as one, how many says the width.
  function drawWaits(context, palette) {
    if (!state.waits) return;
    if (state.arrowsOf !== state.waits || state.arrowsIn !== state.built) {
      state.arrows = arrows();
      state.arrowsOf = state.waits;
      state.arrowsIn = state.built;
    }
    const crowded = state.arrows.length > 150;
    for (const { a, b, kind, count } of state.arrows) {
      context.strokeStyle = context.fillStyle = palette.stands[kind === "review" ? HANDED : WAITING];
      context.globalAlpha = crowded ? 0.55 : 0.95;
      context.lineWidth = Math.min(5, 1 + Math.log2(count));
      arc(context, a, b, true);
    }
    context.globalAlpha = 1;
    context.lineWidth = 1;
  }

  // What is drawn as one arrow: from and to the groups that are shown, the thickest ones first.
  function arrows() {
    const pairs = new Map();
    for (const [from, to, kind] of state.waits) {
      if (from >= model.rows.length || to >= model.rows.length) continue;
      const [a, b] = [place(from), place(to)];
      if (!a || !b || a === b) continue;
      const id = `${a.at} ${b.at} ${kind}`;
      const known = pairs.get(id);
      if (known) known.count += 1;
      else pairs.set(id, { a, b, kind, count: 1 });
    }
    return [...pairs.values()].sort((one, other) => other.count - one.count).slice(0, WAITS);
  }

  function arc(context, a, b, arrow = false) {
    const [x0, y0, x1, y1] = [sx(a.x), sy(a.y), sx(b.x), sy(b.y)];
    const bend = 0.18;
    const [cx, cy] = [(x0 + x1) / 2 - (y1 - y0) * bend, (y0 + y1) / 2 + (x1 - x0) * bend];
    context.beginPath();
    context.moveTo(x0, y0);
    context.quadraticCurveTo(cx, cy, x1, y1);
    context.stroke();
    if (!arrow) return;
    const way = Math.atan2(y1 - cy, x1 - cx);
    const back = (b.ring ? 0 : Math.max(3, Math.min(9, b.r * state.k))) + 1;
    const [tx, ty] = [x1 - Math.cos(way) * back, y1 - Math.sin(way) * back];
    const size = 5 + context.lineWidth;
    context.beginPath();
    context.moveTo(tx, ty);
    for (const turn of [-0.45, 0.45]) context.lineTo(tx - size * Math.cos(way + turn), ty - size * Math.sin(way + turn));
    context.fill();
  }

  function drawChain(context, palette) {
    context.strokeStyle = palette.stands[WAITING];
    context.lineWidth = 2.5;
    context.setLineDash([6, 4]);
    for (let at = 1; at < state.chain.length; at += 1) {
      const [a, b] = [place(model.find(state.chain[at - 1])), place(model.find(state.chain[at]))];
      if (a && b && a !== b) arc(context, a, b);
    }
    context.setLineDash([]);
    context.lineWidth = 1;
  }

  let described = "";
  function describe(colour) {
    const kind = app.params.get("colour") ?? "state";
    const { stands } = model.sums[0];
    const layer = app.params.get("waits") && state.waits ? [el("span", {}, bar(WAITING), `waits for ${state.waits.filter(([, , how]) => how === "wait").length}`), el("span", {}, bar(HANDED), `for a review ${state.waits.filter(([, , how]) => how === "review").length}`)] : [];
    const said = `${kind === "state" ? [...stands].join() : `${kind} ${colour.most}`} ${layer.map((it) => it.textContent).join()}`;
    if (said === described) return;
    described = said;
    if (kind === "state") {
      fill(key, STATES.map(([name, sign], at) => (stands[at] ? el("span", {}, swatch(colours().stands[at]), `${sign} ${name} ${stands[at].toLocaleString("en")}`) : null)), layer);
    } else {
      const { scale } = colours();
      fill(key, el("span", {}, `${SCALES[kind].label}: 0`), scale.map((of) => el("span", {}, swatch(of))), el("span", {}, SCALES[kind].show(colour.most)), layer);
    }
  }

  // -- pointing ---------------------------------------------------------------------------------------------------

  function at(event) {
    const box = surface.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function hit(x, y) {
    const [wx, wy] = [(x - state.x) / state.k, (y - state.y) / state.k];
    let found = -1;
    if (state.how === "tree") {
      const words = state.k * 12 >= 6.5;
      for (const node of state.nodes) {
        if (Math.abs(node.y - wy) < Math.min(ROW / 2, 12 / state.k) && wx > node.x - 10 / state.k && wx < node.x + (words ? state.column - 30 : 10 / state.k)) found = node.at;
      }
      return found;
    }
    let depth = -1;
    for (const node of state.nodes) {
      const [dx, dy] = [node.x - wx, node.y - wy];
      if (dx * dx + dy * dy <= node.r * node.r && (node.ring ? node.depth : 99) > depth) {
        found = node.at;
        depth = node.ring ? node.depth : 99;
      }
    }
    return found;
  }

  const pointers = new Map();
  let moved = 0;
  let pinch = 0;
  surface.canvas.addEventListener("pointerdown", (event) => {
    surface.canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved = 0;
  });
  surface.canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      const over = hit(x, y);
      if (over !== state.hover) {
        state.hover = over;
        surface.redraw();
      }
      showTip(over, x, y);
      return;
    }
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      const now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (pinch) zoom(now / pinch, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      pinch = now;
      moved = 99;
      return;
    }
    state.x += x - before[0];
    state.y += y - before[1];
    state.moved = true;
    moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
    tip.hidden = true;
    surface.redraw();
  });
  const up = (event) => {
    const was = pointers.delete(event.pointerId);
    pinch = 0;
    if (!was || moved > 6 || event.type !== "pointerup") return;
    const over = hit(...at(event));
    if (over >= 0) app.select(over);
  };
  surface.canvas.addEventListener("pointerup", up);
  surface.canvas.addEventListener("pointercancel", up);
  surface.canvas.addEventListener("pointerleave", () => {
    tip.hidden = true;
    state.hover = -1;
    surface.redraw();
  });
  surface.canvas.addEventListener("dblclick", (event) => {
    const over = hit(...at(event));
    if (over >= 0 && model.children[over].length) app.fold(over);
  });
  surface.canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), ...at(event));
    },
    { passive: false },
  );

  function showTip(over, x, y) {
    tip.hidden = over < 0;
    if (over < 0) return;
    const row = model.rows[over];
    const sum = model.sums[over];
    fill(
      tip,
      el("b", {}, row.name),
      ` ${SIGNS[row.stand]} ${STATES[row.stand][0]}`,
      el("div", { class: "soft" }, row.act),
      el("div", {}, `${plural(row.steps, "step")}, ${money(row.cost)}${row.failures ? `, ${plural(row.failures, "failure")}` : ""}`),
      sum.agents > 1 ? el("div", {}, `group of ${sum.agents}: ${money(sum.cost)}, ${amount(sum.tokens)} tokens`) : null,
    );
    tip.style.left = `${Math.min(x + 14, surface.width - 230)}px`;
    tip.style.top = `${Math.min(y + 14, surface.height - 90)}px`;
  }

  return {
    redraw: surface.redraw,
    fit,
    zoom,
    rebuilt() {
      state.fitted = state.moved = false;
      state.built = "";
      surface.redraw();
    },
    talks(pairs) {
      state.talks = pairs;
      surface.redraw();
    },
    waits(pairs) {
      state.waits = pairs;
      surface.redraw();
    },
    chain(ids) {
      state.chain = ids;
      surface.redraw();
    },
    centre(index) {
      build();
      const node = place(index);
      if (!node) return;
      const [px, py] = [sx(node.x), sy(node.y)];
      const seen = px > 20 && px < surface.width - 60 && py > 20 && py < surface.height - 40;
      if (seen && (state.how !== "tree" || state.k >= 0.6)) {
        surface.redraw();
        return;
      }
      state.moved = true;
      if (state.k < 0.6 && state.how === "tree") state.k = 0.9;
      state.x = surface.width / 2 - node.x * state.k;
      state.y = surface.height / 2 - node.y * state.k;
      surface.redraw();
    },
    frames: () => surface.frames,
    close: surface.close,
  };
}

const stamps = new Map();

// A picture of a dot, made once for each colour and size.
function stamp(colour, r) {
  const id = `${colour} ${r}`;
  if (!stamps.has(id)) {
    const ratio = window.devicePixelRatio || 1;
    const side = Math.ceil((2 * r + 2) * ratio);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.fillStyle = colour;
    context.beginPath();
    context.arc(side / 2, side / 2, r * ratio, 0, 2 * Math.PI);
    context.fill();
    stamps.set(id, canvas);
  }
  return stamps.get(id);
}

const bar = (stand) => {
  const it = swatch(colours().stands[stand]);
  it.classList.add("line");
  return it;
};

function swatch(colour) {
  const dot = el("i", { class: "swatch" });
  dot.style.background = colour;
  return dot;
}

function cut(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}
